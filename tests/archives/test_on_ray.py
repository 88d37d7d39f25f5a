"""A real Ray cluster on this machine: the same parts, and no row lost when an actor dies."""

import os
import signal
import threading
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


def rows(output):
    parts = Parts(str(output))
    return [row for table in parts.tables(sorted(parts.done())) for row in table.to_pylist()]


def test_a_cluster_gives_the_rows_of_one_machine_also_when_an_actor_dies(local_cluster, shards, tmp_path, monkeypatch):
    monkeypatch.setitem(module.MOST, "predict", 5)
    batch(shards, tmp_path / "here", workers=1)
    output, killed = tmp_path / "there", []

    def kill_the_actor_after_the_first_part():
        while not list(output.glob("part-*")):
            os.sched_yield()
        for process in Path("/proc").glob("[0-9]*"):
            if b"UnitReader" in (process / "cmdline").read_bytes():
                os.kill(int(process.name), signal.SIGKILL)
                killed.append(process.name)
                return

    killer = threading.Thread(target=kill_the_actor_after_the_first_part, daemon=True)
    killer.start()
    summary = batch(shards, output, ray="", workers=1)
    killer.join()
    assert killed
    assert (summary.pictures, summary.errors, summary.is_complete) == (61, 1, True)
    assert rows(output) == rows(tmp_path / "here")
    # One machine finishes what a cluster has begun.
    min(output.glob("part-*")).unlink()
    batch(shards, output, workers=1)
    assert rows(output) == rows(tmp_path / "here")


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
