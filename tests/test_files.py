import signal
import subprocess
import sys

import pytest
from helpers import environment

from digitnet import files
from digitnet.errors import BusyError, SaveError
from digitnet.files import locked, remove_leftovers, write_atomically


def test_a_written_file_holds_the_new_content_and_nothing_lies_beside_it(tmp_path):
    path = tmp_path / "model.pth"
    write_atomically(path, b"old")
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_write_leaves_the_old_file_whole(tmp_path, monkeypatch):
    path = tmp_path / "model.pth"
    path.write_bytes(b"old")

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", fail)
    with pytest.raises(SaveError, match="No space left on device"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_content_is_on_the_disk_before_it_replaces_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "model.pth"
    path.write_bytes(b"old")
    steps = []
    fsync, replace = files.os.fsync, files.os.replace
    monkeypatch.setattr(files.os, "fsync", lambda fd: (steps.append("flush"), fsync(fd))[1])
    monkeypatch.setattr(files.os, "replace", lambda a, b: (steps.append("replace"), replace(a, b))[1])
    write_atomically(path, b"new")
    assert steps[:2] == ["flush", "replace"]


def test_leftovers_of_killed_runs_are_removed_and_other_files_are_not(tmp_path):
    path = tmp_path / "model.pth"
    (tmp_path / ".model.pth.123.partial").write_bytes(b"half")
    (tmp_path / "mine.partial").write_bytes(b"mine")
    remove_leftovers(path)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.partial"]


HOLD = "import sys; from digitnet.files import locked; from pathlib import Path\n\
with locked(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"


def test_a_lock_keeps_others_out_and_ends_with_its_process_however_that_ends(tmp_path):
    path = tmp_path / "model.pth"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment()
    )
    with holder:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(BusyError, match=r"model\.pth.*another run"), locked(path):
            pass
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    with locked(path):
        pass


@pytest.mark.skipif(sys.platform == "win32", reason="Windows locks in another way")
def test_a_lock_on_a_file_system_without_locks_says_so(tmp_path, monkeypatch):
    import errno
    import fcntl

    def no_locks(*_):
        raise OSError(errno.ENOLCK, "No locks available")  # NFS without its lock service

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with (
        pytest.raises(SaveError, match=r"cannot be locked \(No locks available\).*local disk"),
        locked(tmp_path / "a"),
    ):
        pass


def test_a_lock_in_a_folder_that_is_not_there_says_so(tmp_path):
    with pytest.raises(SaveError, match="cannot be written"), locked(tmp_path / "missing" / "model.pth"):
        pass
