"""A real Ray cluster on this machine: the same parts, and no row lost when an actor dies."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

from digitnet.archives import batch as module
from digitnet.archives import on_ray
from digitnet.archives.batch import batch
from digitnet.archives.parts import Parts
from digitnet.errors import UsageError

pytestmark = pytest.mark.filterwarnings("ignore")  # Ray's own


@pytest.fixture(scope="module")
def local_cluster():
    import ray

    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="WARNING")
    yield
    ray.shutdown()


@pytest.fixture
def address_for_clients(monkeypatch):
    """The address of a cluster of its own, for programs that are no part of it."""
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")  # else Ray writes a token into the home folder
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        ports = [one.getsockname()[1], other.getsockname()[1]]
    folder = tempfile.mkdtemp(prefix="ray")  # pytest's own are too long for Ray's sockets
    ray = str(Path(sys.executable).with_name("ray"))
    options = ["--head", "--num-cpus=2", "--include-dashboard=false", f"--temp-dir={folder}"]
    options += ["--node-ip-address=127.0.0.1", f"--port={ports[0]}", f"--ray-client-server-port={ports[1]}"]
    subprocess.run([ray, "start", *options], check=True, stdout=subprocess.DEVNULL)
    while socket.socket().connect_ex(("127.0.0.1", ports[1])):
        time.sleep(0.1)
    yield f"ray://127.0.0.1:{ports[1]}"
    # `ray stop` would stop all clusters of the machine. The servers of clients know the head's port, not its folder.
    for process in {*processes(folder), *processes(f":{ports[0]}")}:
        with contextlib.suppress(ProcessLookupError):  # it ended with another one
            os.kill(process, signal.SIGKILL)
    shutil.rmtree(folder, ignore_errors=True)


def processes(word):
    """The numbers of the processes with a word in their command line."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # the process has ended
            if word.encode() in path.read_bytes():
                found.append(int(path.parent.name))
    return found


def rows(output):
    parts = Parts(str(output))
    return [row for table in parts.tables(sorted(parts.done())) for row in table.to_pylist()]


def test_a_cluster_gives_the_rows_of_one_machine_also_when_an_actor_dies(
    local_cluster, shards, tmp_path, read_once, monkeypatch
):
    monkeypatch.setitem(module.MOST, "predict", 5)
    output, killed = tmp_path / "there", []

    def kill_the_actor_after_the_first_part():
        while not list(output.glob("part-*")):
            os.sched_yield()
        process = processes("UnitReader")[0]
        os.kill(process, signal.SIGKILL)
        killed.append(process)

    killer = threading.Thread(target=kill_the_actor_after_the_first_part, daemon=True)
    killer.start()
    summary = batch(shards, output, ray="", workers=1)
    killer.join()
    assert killed
    assert (summary.pictures, summary.errors, summary.is_complete) == (61, 1, True)
    assert rows(output) == rows(read_once[0])
    # One machine finishes what a cluster has begun.
    min(output.glob("part-*")).unlink()
    batch(shards, output, workers=1)
    assert rows(output) == rows(read_once[0])


def test_a_program_that_is_no_part_of_the_cluster_gets_the_same_rows(address_for_clients, shards, tmp_path, read_once):
    command = [sys.executable, "-m", "digitnet", "batch", str(shards), "--output", str(tmp_path / "there")]
    told = subprocess.run([*command, "--ray", address_for_clients], capture_output=True, text=True, check=False)
    assert told.returncode == 1, told.stderr  # one of them is no picture
    assert rows(tmp_path / "there") == rows(read_once[0])


def test_a_cluster_that_ray_remembers_but_that_has_gone_is_replaced_and_one_that_was_named_is_not(monkeypatch):
    asked = []

    def init(address, **options):
        asked.append(address)
        if address != "local":
            raise ConnectionError("nobody there")

    monkeypatch.setattr("ray.is_initialized", lambda: False)
    monkeypatch.setattr("ray.init", init)
    monkeypatch.setattr("ray.shutdown", lambda: None)
    with on_ray.cluster(""):
        pass
    assert asked == [None, "local"]
    with (
        pytest.raises(UsageError, match="ray://nowhere:10001: no cluster answers"),
        on_ray.cluster("ray://nowhere:10001"),
    ):
        pass


def test_a_head_node_whose_server_for_the_client_has_died_is_asked_again_but_not_for_ever(monkeypatch):
    asked = []

    def init(address, **options):
        asked.append(address)
        if len(asked) <= dying:
            raise ConnectionAbortedError("Starting Ray client server failed")

    monkeypatch.setattr("ray.is_initialized", lambda: False)
    monkeypatch.setattr("ray.init", init)
    monkeypatch.setattr("ray.shutdown", lambda: None)
    dying = 2
    with on_ray.cluster("ray://head:10001"):
        pass
    assert len(asked) == 3
    asked.clear()
    dying = 100
    with pytest.raises(UsageError, match="client server failed"), on_ray.cluster("ray://head:10001"):
        pass
    assert len(asked) == 3
