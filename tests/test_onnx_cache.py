import hashlib

import platformdirs
import pytest
import torch
from helpers import run_python

from digitnet import onnx_cache
from digitnet.errors import ModelError, SaveError
from digitnet.onnx_cache import cached_onnx
from digitnet.training import export as exporting
from digitnet.training.detector import Detector
from digitnet.training.line_reader import LineReader


@pytest.fixture
def own(weights_path, tmp_path, monkeypatch):
    """A model.pth in a folder of its own. The user's cache folder is a new one too."""
    monkeypatch.setattr(platformdirs, "user_cache_dir", lambda name: str(tmp_path / "cache" / name))
    path = tmp_path / "models" / "mine.pth"
    path.parent.mkdir()
    path.write_bytes(weights_path.read_bytes())
    return path


@pytest.fixture
def exports(exported, monkeypatch):
    """The paths that were exported; each export is the same."""
    paths = []
    monkeypatch.setattr(exporting, "to_onnx", lambda path, **_: paths.append(path) or exported)
    return paths


def cached_files(folder):
    return sorted(path.name for path in folder.glob(".*.onnx"))


def test_weights_are_exported_once_and_the_export_is_kept_beside_them(own, exports, exported):
    assert [cached_onnx(own), cached_onnx(str(own))] == [exported, exported]
    assert exports == [own]
    assert cached_files(own.parent) == [f".mine.pth.{hashlib.sha256(own.read_bytes()).hexdigest()[:16]}.onnx"]


@pytest.mark.parametrize("damage", [lambda content: content[: len(content) // 2], lambda content: b""])
def test_a_damaged_export_is_made_anew(own, exports, exported, damage):
    cached_onnx(own)
    (cached,) = own.parent.glob(".*.onnx")
    cached.write_bytes(damage(exported))
    assert cached_onnx(own) == exported
    assert len(exports) == 2
    assert cached.read_bytes() == exported


def test_an_export_of_other_weights_under_this_name_is_made_anew(own, exports, exported):
    own.write_bytes(own.read_bytes() + b" ")  # the stored export names the weights without this byte
    for _ in range(2):
        assert cached_onnx(own) == exported
    assert len(exports) == 2


def test_the_export_of_another_calibration_is_made_anew(own, exports, monkeypatch):
    cached_onnx(own)
    monkeypatch.setattr(onnx_cache, "CALIBRATION_VERSION", onnx_cache.CALIBRATION_VERSION + 1)
    cached_onnx(own)
    assert len(exports) == 2


def test_the_export_of_another_normalisation_is_made_anew(own, exports, monkeypatch):
    cached_onnx(own)
    monkeypatch.setattr("digitnet.reading.networks.NORMALISATION_VERSION", 99)
    cached_onnx(own)
    assert len(exports) == 2


def test_only_the_newest_export_of_a_file_is_kept(own, exports):
    neighbour = own.with_name(".mine.pth.extra.onnx")
    neighbour.write_bytes(b"not ours")
    cached_onnx(own)
    (first,) = set(own.parent.glob(".mine.pth.*.onnx")) - {neighbour}
    own.write_bytes(own.read_bytes() + b" ")
    cached_onnx(own)
    assert len(exports) == 2
    assert neighbour.exists()
    assert not first.exists()
    assert len(cached_files(own.parent)) == 2


@pytest.mark.parametrize("second_works", [True, False])
def test_where_the_folder_cannot_be_written_the_users_cache_folder_is_used(
    own, exports, exported, tmp_path, monkeypatch, second_works
):
    write = onnx_cache.write_atomically

    def write_elsewhere(path, content):
        if path.parent == own.parent or not second_works:
            raise SaveError("read-only")
        write(path, content)

    monkeypatch.setattr(onnx_cache, "write_atomically", write_elsewhere)
    assert [cached_onnx(own), cached_onnx(own)] == [exported, exported]
    assert len(exports) == (1 if second_works else 2)
    assert cached_files(own.parent) == []
    assert len(list((tmp_path / "cache" / "digitnet").rglob(".mine.pth.*.onnx"))) == second_works


def test_a_kept_export_is_read_without_torch_and_without_it_a_new_one_says_what_to_do(own, exports):
    cached_onnx(own)
    script = (
        "import sys; sys.modules['torch'] = None\n"
        "from pathlib import Path\n"
        "from digitnet.errors import MissingExtraError\n"
        "from digitnet.onnx_cache import cached_onnx\n"
        f"path = Path({str(own)!r})\n"
        "assert len(cached_onnx(path)) > 100_000\n"
        "path.write_bytes(b'other weights')\n"
        "try: cached_onnx(path)\n"
        "except MissingExtraError as error: print(error)\n"
    )
    finished = run_python("-c", script)
    assert finished.returncode == 0, finished.stderr
    assert "pip install '.[train]'" in finished.stdout


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ModelError, match="cannot be read"):
        cached_onnx(tmp_path / "missing.pth")


@pytest.mark.parametrize(("network", "name"), [(Detector, "detector"), (LineReader, "line reader")])
def test_the_weights_of_another_network_are_refused_and_nothing_is_kept(tmp_path, network, name):
    torch.save(network().state_dict(), tmp_path / "other.pth")
    with pytest.raises(ModelError, match=f"the weights of a {name}"):
        cached_onnx(tmp_path / "other.pth")
    assert cached_files(tmp_path) == []
