import functools
import gc
import gzip
import http.server
import shutil
import threading
import warnings

import platformdirs
import pytest
import torch
import torchvision
from helpers import ROOT
from torch.utils.data import DataLoader

from digitnet import Reader, cli, dataset
from digitnet.dataset import FILES, find_mnist, get_data_loaders, get_validation_loader
from digitnet.errors import DataError, SaveError
from digitnet.files import md5
from digitnet.training.detector_run import page_maker

PACKED = ROOT / "data" / "MNIST" / "raw"


@pytest.fixture
def copy(tmp_path):
    """A folder of one's own with the packed files."""
    raw = tmp_path / "copy" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for path in PACKED.glob("*.gz"):
        shutil.copy(path, raw)
    return tmp_path / "copy"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache folder, and a checkout that carries no data."""
    monkeypatch.setattr(platformdirs, "user_cache_dir", lambda name: str(tmp_path / "cache" / name))
    return tmp_path / "cache" / "digitnet"


def test_loaders_give_batches_of_images_in_the_unit_range_and_labels():
    train_loader, test_loader = get_data_loaders(batch_size=100)
    for loader, total in ((train_loader, 60_000), (test_loader, 10_000)):
        assert isinstance(loader, DataLoader)
        assert isinstance(getattr(loader.dataset, "dataset", loader.dataset), torchvision.datasets.MNIST)
        assert len(loader.dataset) == total
        images, labels = next(iter(loader))
        assert images.shape == (len(labels), 1, 28, 28)
        assert images.dtype == torch.float32
        assert (float(images.min()), float(images.max())) == (0, 1)
        assert labels.dtype == torch.int64


def test_a_single_item_is_the_same_image_as_in_a_batch():
    mnist = dataset.MNIST(find_mnist(), train=False)
    image, label = mnist[7]
    images, labels = mnist.__getitems__([3, 7])
    assert torch.equal(image, images[1])
    assert label == labels[1]


def test_training_order_is_shuffled_anew_each_epoch_and_complete():
    loader, _ = get_data_loaders()
    orders = [[index for batch in loader.batch_sampler for index in batch] for _ in range(2)]
    assert orders[0] != orders[1]
    assert orders[0][:100] != sorted(orders[0][:100])
    assert [sorted(order) for order in orders] == [list(range(60_000))] * 2


def test_the_order_of_an_epoch_can_be_made_again_from_any_batch_on():
    sampler = dataset.ShuffledBatches(1000, batch_size=64, seed=3)
    sampler.epoch = 5
    whole = list(sampler)
    sampler.epoch, sampler.first_batch = 5, 4
    assert list(sampler) == whole[4:]
    assert len(sampler) == len(whole) == 16


def test_test_images_are_never_shuffled():
    _, loader = get_data_loaders()
    labels = torch.cat([labels for _, labels in loader])
    assert torch.equal(labels, loader.dataset.targets)


def test_held_out_images_are_never_trained_on():
    train_loader, _ = get_data_loaders(hold_out=5000)
    validation_loader = get_validation_loader(hold_out=5000)
    training, validation = set(train_loader.dataset.indices), set(validation_loader.dataset.indices)
    assert (len(training), len(validation)) == (55_000, 5_000)
    assert training | validation == set(range(60_000))


def test_packed_files_are_unpacked_and_checked(copy):
    assert find_mnist(copy) == copy
    for name in FILES:
        unpacked = copy / "MNIST" / "raw" / name
        assert unpacked.read_bytes() == gzip.decompress((PACKED / f"{name}.gz").read_bytes())


def test_a_damaged_unpacked_file_is_made_anew(copy):
    find_mnist(copy)
    labels = copy / "MNIST" / "raw" / "t10k-labels-idx1-ubyte"
    whole = labels.read_bytes()
    for damage in (whole[:-1], b"\0" + whole[1:], b""):
        labels.write_bytes(damage)
        find_mnist(copy)
        assert labels.read_bytes() == whole


def test_a_damaged_packed_file_is_refused_by_name(copy):
    packed = copy / "MNIST" / "raw" / "train-labels-idx1-ubyte.gz"
    content = packed.read_bytes()
    middle = len(content) // 2
    flipped = content[:middle] + bytes(8) + content[middle + 8 :]
    for damage in (content[:1000], flipped, gzip.compress(b"other"), b""):
        packed.write_bytes(damage)
        with pytest.raises(DataError, match=r"train-labels-idx1-ubyte\.gz"):
            find_mnist(copy)


def test_a_folder_without_mnist_is_refused_by_name(tmp_path):
    with pytest.raises(DataError, match="no MNIST here"):
        get_data_loaders(tmp_path)


def test_where_the_folder_cannot_be_written_the_cache_takes_the_unpacked_files(copy, cache, monkeypatch):
    write = dataset.write_atomically

    def refuse(path, content):
        if copy in path.parents:
            raise SaveError(f"{path}: cannot be saved (Read-only file system)")
        write(path, content)

    monkeypatch.setattr(dataset, "write_atomically", refuse)
    assert find_mnist(copy) == cache
    assert sorted(path.name for path in (cache / "MNIST" / "raw").iterdir()) == sorted(FILES)


def test_an_unpacked_copy_in_a_folder_that_cannot_be_written_is_used_as_it_is(copy, cache, monkeypatch):
    find_mnist(copy)
    monkeypatch.setattr(dataset, "write_atomically", None)
    assert find_mnist(copy) == copy


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def mirror(monkeypatch, tmp_path, cache):
    """A server on loopback with the packed files, in the place of MNIST's own hosts, and no copy in the checkout."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(PACKED)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setattr(dataset, "CHECKOUT_ROOT", tmp_path / "none")
    monkeypatch.chdir(tmp_path)  # away from the repository's data
    monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", [f"http://127.0.0.1:{server.server_port}/"])
    # gzip writes what it likes around the same content, so our packed files have checksums of their own
    served = [(f"{name}.gz", md5((PACKED / f"{name}.gz").read_bytes())) for name in FILES]
    monkeypatch.setattr(torchvision.datasets.MNIST, "resources", served)
    yield server
    server.shutdown()
    thread.join()
    server.server_close()
    # torchvision leaves the answer of a failed download open, which Python would report in whichever test comes next.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


def test_without_a_copy_mnist_is_downloaded_once_into_the_cache(mirror, cache, monkeypatch, capsys):
    assert find_mnist(download=True) == cache
    monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", [])
    assert find_mnist() == cache
    assert len(get_data_loaders()[1].dataset) == 10_000


def test_a_download_with_another_content_is_refused(mirror, monkeypatch, capsys):
    resources = [(name, "0" * 32) for name, _ in torchvision.datasets.MNIST.resources]
    monkeypatch.setattr(torchvision.datasets.MNIST, "resources", resources)
    with pytest.raises(DataError, match="corrupted"):
        find_mnist(download=True)


def test_a_download_that_fails_says_what_to_do(mirror, monkeypatch, capsys):
    monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", [f"http://127.0.0.1:{mirror.server_port}/nothing/"])
    with pytest.raises(DataError, match=r"could not be downloaded.*give a folder"):
        find_mnist(download=True)


def test_training_may_download(mirror, cache, capsys):
    assert len(get_data_loaders()[0].dataset) == 60_000
    assert any((cache / "MNIST" / "raw").iterdir())


def test_the_loaders_of_the_other_recipes_may_download(mirror, monkeypatch):
    from digitnet.training import detector_run, line_reader_run

    asked = []

    def find(root, *, download=False):
        asked.append(download)
        raise DataError("none")

    for module, loaders in (
        (detector_run, detector_run.get_page_loaders),
        (line_reader_run, line_reader_run.get_strip_loaders),
    ):
        monkeypatch.setattr(module, "find_mnist", find)
        with pytest.raises(DataError):
            loaders()
    assert asked == [True, True]


@pytest.mark.parametrize(
    "command",
    [
        ["predict", "--model", "mine.pth", str(ROOT / "samples" / "pen-0.jpg")],
        ["read", "--model", "mine.pth", str(ROOT / "sample_pages" / "sums.jpg")],
        ["export", "mine.pth"],
        ["synth", "pages", "--pages", "1"],
        ["test"],
        ["compare", "packaged.onnx", "packaged.onnx"],
    ],
    ids=lambda command: command[0],
)
def test_no_command_but_training_downloads_unasked_and_each_says_how_to_ask(
    mirror, tmp_path, weights_path, capsys, monkeypatch, command
):
    page_maker.cache_clear()
    monkeypatch.setattr(torchvision.datasets.MNIST, "download", lambda self: pytest.fail("a download"))
    shutil.copy(weights_path, tmp_path / "mine.pth")
    shutil.copy(ROOT / "digitnet" / "weights" / "digitnet.onnx", tmp_path / "packaged.onnx")
    assert cli.main(command) == 1
    assert "download it with: digitnet test --download" in capsys.readouterr().err


def test_a_model_that_cannot_be_calibrated_says_how_to_give_the_data(mirror, tmp_path, weights_path):
    shutil.copy(weights_path, tmp_path / "mine.pth")
    with pytest.raises(DataError, match=r"mine\.pth: MNIST calibrates it.*digitnet export .*mine\.pth --data DIR"):
        Reader(tmp_path / "mine.pth")


def test_the_option_to_download_gets_mnist_before_the_command_runs(mirror, cache, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(cli, "_export", lambda options: find_mnist() != cache)
    assert cli.main(["export", "mine.pth", "--download"]) == 0


def test_an_installed_package_finds_the_data_of_the_clone_that_it_runs_in(mirror, copy, monkeypatch):
    monkeypatch.chdir(copy.parent)
    copy.rename(copy.with_name("data"))
    assert find_mnist() == copy.with_name("data")
