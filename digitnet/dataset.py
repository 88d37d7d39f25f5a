"""MNIST through torchvision: loaders for training, validation and test."""

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import platformdirs
import torch
import torchvision
from torch import Tensor
from torch.utils.data import DataLoader, Sampler, Subset
from torchvision.transforms import v2

from digitnet.errors import DataError, SaveError
from digitnet.files import md5, write_atomically

HOLD_OUT = 5000  # training images that choose everything; the test set chooses nothing
HOLD_OUT_SEED = 20261122  # fixed for good: a changed split would leak validation images into training

# The MD5 of each unpacked file, as published with MNIST.
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
    """The training loader (shuffled anew each epoch, on every device) and the test loader (never shuffled).

    Batches are images (N, 1, 28, 28), float in [0, 1], ink bright on dark, and labels (N,), int64.

    Args:
        root: the folder that holds `MNIST/raw`. Without one: the copy that the repository carries, else the user's
            cache folder, where torchvision downloads MNIST once.
        batch_size: images a training batch.
        hold_out: how many training images to keep back for `get_validation_loader`, which are then never trained on.
        seed: fixes the order of the training images for every epoch.

    Raises:
        DataError: MNIST is not there or is damaged, and the message says where and what to do.
    """
    folder = find_mnist(root)
    mnist = MNIST(folder, train=True)
    train_set: Subset[tuple[Tensor, Tensor]] = Subset(mnist, split(len(mnist), hold_out)[0])
    test_set = MNIST(folder, train=False)
    order = ShuffledBatches(len(train_set), batch_size, seed)
    return (
        DataLoader(train_set, batch_sampler=order, collate_fn=_as_is),
        DataLoader(test_set, batch_size=1000, collate_fn=_as_is),
    )


def get_validation_loader(root: str | Path | None = None, *, hold_out: int = HOLD_OUT) -> Batches:
    """The `hold_out` training images that `get_data_loaders(hold_out=...)` keeps back, never shuffled."""
    mnist = MNIST(find_mnist(root), train=True)
    held_out: Subset[tuple[Tensor, Tensor]] = Subset(mnist, split(len(mnist), hold_out)[1])
    return DataLoader(held_out, batch_size=1000, collate_fn=_as_is)


class MNIST(torchvision.datasets.MNIST):
    """torchvision's MNIST that can also give a whole batch at once.

    Turning 60,000 small images into tensors one by one is what makes the usual training script slow; DataLoader
    asks for `__getitems__` first, and the same transform serves a batch as well as an image.
    """

    def __init__(self, root: str | Path, train: bool) -> None:
        to_unit_range = v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.ToPureTensor()])
        super().__init__(root, train=train, transform=to_unit_range)

    def __getitems__(self, indices: list[int]) -> tuple[Tensor, Tensor]:
        """Images (N, 1, 28, 28) in [0, 1] and labels (N,) at `indices`."""
        images = self.data[indices].unsqueeze(1)  # (N, 1, 28, 28), uint8
        return self.transform(images), self.targets[indices]


class ShuffledBatches(Sampler[list[int]]):
    """Batches of indices in an order that depends on `seed` and `epoch` alone, so that any of it can be made again.

    Attributes:
        epoch: the epoch that the next iteration goes through; it counts up by itself at the end of each.
        first_batch: where in that epoch the next iteration begins, for a run that was stopped half-way.
    """

    def __init__(self, length: int, batch_size: int, seed: int) -> None:
        self.length = length
        self.batch_size = batch_size
        self.seed = seed
        self.epoch = 0
        self.first_batch = 0

    def __len__(self) -> int:
        """Batches in a whole epoch."""
        return -(-self.length // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        # The multiplier is a large prime, so that no two pairs of a small seed and an epoch share a generator seed.
        generator = torch.Generator().manual_seed(self.seed * 1_000_000_007 + self.epoch)
        order = torch.randperm(self.length, generator=generator).tolist()
        begin = self.first_batch * self.batch_size
        for start in range(begin, self.length, self.batch_size):
            yield order[start : start + self.batch_size]
        self.epoch += 1
        self.first_batch = 0


def find_mnist(root: str | Path | None = None) -> Path:
    """The folder whose `MNIST/raw` holds the four unpacked files, each checked against its MD5.

    Packed files (.gz) are unpacked first: beside themselves or, where that folder cannot be written, in the user's
    cache folder.

    Raises:
        DataError: a file is missing or damaged, or could not be downloaded.
    """
    cache = Path(platformdirs.user_cache_dir("digitnet"))
    if root is not None:
        source = Path(root)
        if not any(_candidates(source, name) for name in FILES):
            raise DataError(f"{source / 'MNIST' / 'raw'}: no MNIST here; put its four files there, or give no folder")
    elif any(_candidates(CHECKOUT_ROOT, name) for name in FILES):
        source = CHECKOUT_ROOT
    else:
        source = cache
        _download(cache)
    if not [name for name in FILES if not _unpack(source, source, name)]:
        return source
    for name in FILES:
        if not _unpack(source, cache, name):
            raise DataError(f"{cache}: cannot be written; give a folder that holds the unpacked files of MNIST")
    return cache


def _raw(root: Path, name: str) -> Path:
    return root / "MNIST" / "raw" / name


def _candidates(root: Path, name: str) -> list[Path]:
    unpacked = _raw(root, name)
    return [path for path in (unpacked, unpacked.with_name(f"{name}.gz")) if path.is_file()]


def _unpack(source: Path, target: Path, name: str) -> bool:
    """Makes sure that the unpacked file stands in `target`, whole; False where `target` cannot be written."""
    unpacked = _raw(target, name)
    if unpacked.is_file() and md5(unpacked.read_bytes()) == FILES[name]:
        return True
    packed = _raw(source, f"{name}.gz")
    try:
        content = gzip.decompress(packed.read_bytes())
    except (OSError, EOFError) as error:
        found = unpacked if unpacked.is_file() else packed
        raise DataError(
            f"{found}: missing or damaged ({error}); restore it, or delete it to have it made anew"
        ) from error
    if md5(content) != FILES[name]:
        raise DataError(f"{packed}: its content is not MNIST's (MD5 {md5(content)}); restore or delete it")
    try:
        unpacked.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(unpacked, content)
    except (OSError, SaveError):
        return False
    return True


def _download(cache: Path) -> None:
    """Downloads MNIST into `cache` with torchvision, which verifies it, unless it is there already."""
    if all(_candidates(cache, name) for name in FILES):
        return
    try:
        torchvision.datasets.MNIST(cache, download=True)
    except (RuntimeError, OSError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{cache}: MNIST could not be downloaded ({reason}); give a folder that holds it") from error


def split(total: int, hold_out: int) -> tuple[list[int], list[int]]:
    """Indices (training, validation) of the training images."""
    order = torch.randperm(total, generator=torch.Generator().manual_seed(HOLD_OUT_SEED))
    return order[hold_out:].sort().values.tolist(), order[:hold_out].sort().values.tolist()


def _as_is(batch: Any) -> Any:
    """MNIST gives whole batches already."""
    return batch
