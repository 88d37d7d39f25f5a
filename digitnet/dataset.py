"""MNIST through torchvision: loaders for training, validation and test."""

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import platformdirs
import torch
import torchvision
from torch import Tensor
from torch.utils.data import DataLoader, Sampler, Subset
from torchvision.datasets.utils import check_integrity
from torchvision.transforms import v2

from digitnet.errors import DataError, SaveError
from digitnet.files import md5, write_atomically

HOLD_OUT = 5000  # training images for validation; they decide everything, and the test set decides nothing
HOLD_OUT_SEED = 20261122  # never change it: another split would put validation images into training

# The MD5 of each unpacked file of MNIST.
FILES = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}
CHECKOUT_ROOT = Path(__file__).resolve().parent.parent / "data"

Batches = DataLoader[tuple[Tensor, Tensor]]


def get_data_loaders(
    root: str | Path | None = None, *, batch_size: int = 128, hold_out: int = 0, seed: int = 0
) -> tuple[Batches, Batches]:
    """The training loader (shuffled again for each epoch) and the test loader (never shuffled).

    Batches are images (N, 1, 28, 28), float in [0, 1], ink bright on dark, and labels (N,), int64.

    Args:
        root: the folder that holds `MNIST/raw`. Without it: the copy in the repository or, if there is none, the user's
            cache folder, where torchvision downloads MNIST once. Only training does this without being told to.
        batch_size: images in a training batch.
        hold_out: how many training images are kept back for `get_validation_loader` and never trained on.
        seed: fixes the order of the training images for every epoch.

    Raises:
        DataError: MNIST is missing or damaged; the message says where, and what to do.
    """
    folder = find_mnist(root, download=True)
    mnist = MNIST(folder, train=True)
    train_set: Subset[tuple[Tensor, Tensor]] = Subset(mnist, split(len(mnist), hold_out)[0])
    test_set = MNIST(folder, train=False)
    order = ShuffledBatches(len(train_set), batch_size, seed)
    return (
        DataLoader(train_set, batch_sampler=order, collate_fn=as_is),
        DataLoader(test_set, batch_size=1000, collate_fn=as_is),
    )


def get_validation_loader(root: str | Path | None = None, *, hold_out: int = HOLD_OUT) -> Batches:
    """The `hold_out` training images that `get_data_loaders(hold_out=...)` keeps back, never shuffled."""
    mnist = MNIST(find_mnist(root), train=True)
    held_out: Subset[tuple[Tensor, Tensor]] = Subset(mnist, split(len(mnist), hold_out)[1])
    return DataLoader(held_out, batch_size=1000, collate_fn=as_is)


class MNIST(torchvision.datasets.MNIST):
    """torchvision's MNIST, which here can also give a whole batch at once.

    The usual training script is slow because it turns 60,000 small images into tensors one by one. DataLoader calls
    `__getitems__` if it is there, and the same transform works on a batch and on one image.
    """

    def __init__(self, root: str | Path, train: bool) -> None:
        to_unit_range = v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.ToPureTensor()])
        super().__init__(root, train=train, transform=to_unit_range)

    def __getitems__(self, indices: list[int]) -> tuple[Tensor, Tensor]:
        """Images (N, 1, 28, 28) in [0, 1] and labels (N,) at `indices`."""
        images = self.data[indices].unsqueeze(1)  # (N, 1, 28, 28), uint8
        return self.transform(images), self.targets[indices]


class ShuffledBatches(Sampler[list[int]]):
    """Batches of indices. Their order depends only on `seed` and `epoch`, so a stopped run can go on in the same order.

    Attributes:
        epoch: the epoch of the next iteration; it counts up at the end of each iteration.
        first_batch: the batch where the next iteration begins, for a run that was stopped in the middle of an epoch.
        share: which indices of each batch to give, where several processes share a batch; usually all.
    """

    def __init__(self, length: int, batch_size: int, seed: int) -> None:
        self.length = length
        self.batch_size = batch_size
        self.seed = seed
        self.epoch = 0
        self.first_batch = 0
        self.share = slice(None)

    def __len__(self) -> int:
        """Batches in a whole epoch."""
        return -(-self.length // self.batch_size)

    def order(self) -> list[int]:
        """The indices of a whole epoch, in their order."""
        # The factor is a large prime, so that each pair of a small seed and an epoch has its own generator seed.
        generator = torch.Generator().manual_seed(self.seed * 1_000_000_007 + self.epoch)
        return torch.randperm(self.length, generator=generator).tolist()

    def __iter__(self) -> Iterator[list[int]]:
        order, begin = self.order(), self.first_batch * self.batch_size
        for start in range(begin, self.length, self.batch_size):
            yield order[start : start + self.batch_size][self.share]
        self.epoch += 1
        self.first_batch = 0


def find_mnist(root: str | Path | None = None, *, download: bool = False) -> Path:
    """The folder whose `MNIST/raw` holds the four unpacked files, each checked against its MD5.

    Packed files (.gz) are unpacked first, beside themselves or, in a read-only folder, into the user's cache folder.

    Args:
        root: the only folder to look in. Without it: the repository's `data`, the `data` of the folder that the program
            runs in (an installed package is no part of a clone), and the user's cache folder.
        download: whether torchvision may download MNIST into the cache folder where none of these has it.

    Raises:
        DataError: a file is missing or damaged, or could not be downloaded.
    """
    cache = Path(platformdirs.user_cache_dir("digitnet"))
    places = (CHECKOUT_ROOT, Path("data").resolve(), cache) if root is None else (Path(root),)
    has_files = (place for place in places if any((place / "MNIST" / "raw").glob("*-ubyte*")))
    source = next(has_files, cache if download and root is None else None)
    if source is None:
        if root is not None:
            raise DataError(
                f"{places[0] / 'MNIST' / 'raw'}: no MNIST here; put its four files there, or give no folder"
            )
        raise DataError(f"no MNIST in {' or '.join(map(str, places))}; download it with: digitnet test --download")
    if source == cache and download:
        try:
            torchvision.datasets.MNIST(cache, download=True)  # does nothing where its files are there already
        except (RuntimeError, OSError) as error:
            reason = " ".join(str(error).split())
            raise DataError(
                f"{cache}: MNIST could not be downloaded ({reason}); give a folder that holds it"
            ) from error
    for target in (source, cache):
        try:
            for name in FILES:
                _unpack(name, source / "MNIST" / "raw", target / "MNIST" / "raw")
        except (SaveError, OSError):
            continue  # a read-only folder
        return target
    raise DataError(f"{cache}: cannot be written; give a folder that holds the unpacked files of MNIST")


def _unpack(name: str, source: Path, target: Path) -> None:
    """Unpacks a file from `source` into `target`, unless it is there and whole.

    torchvision would use any file with the right name. A crash while it unpacks would leave such a file cut off.
    """
    packed, unpacked = source / f"{name}.gz", target / name
    if check_integrity(unpacked, FILES[name]):
        return
    try:
        content = gzip.decompress(packed.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        found = unpacked if unpacked.is_file() else packed
        raise DataError(
            f"{found}: missing or damaged ({error}); restore it, or delete it to have it made again"
        ) from error
    if md5(content) != FILES[name]:
        raise DataError(f"{packed}: its content is not MNIST's (MD5 {md5(content)}); restore or delete it")
    target.mkdir(parents=True, exist_ok=True)
    write_atomically(unpacked, content)


def split(total: int, hold_out: int) -> tuple[list[int], list[int]]:
    """Indices (training, validation) of the training images."""
    order = torch.randperm(total, generator=torch.Generator().manual_seed(HOLD_OUT_SEED))
    return order[hold_out:].sort().values.tolist(), order[:hold_out].sort().values.tolist()


def as_is(batch: Any) -> Any:
    """MNIST gives whole batches already, so the loader has nothing to put together."""
    return batch
