"""The same work on a Ray cluster: Ray Data hands the units to actors, and each actor has a worker process.

Ray Data runs in the program that asks for the rows, and this program must be a part of the cluster. One that only talks
to a cluster (`ray://`, the Ray Client) is none. So there an actor on the head node asks, and tells the program.

Ray starts the actors, spreads the units, and repeats what a dead actor or machine has left. The worker process below
the actor is what a picture may kill, as on one machine. Parts are written by the workers, not by `write_parquet`: so
they appear whole, have the names that a later run looks for, and are the same as those of one machine.
"""

import contextlib
import logging
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import ray
import ray.data
import ray.util.client

from digitnet.archives.sources import Unit
from digitnet.archives.workers import Pool, Progress, Work
from digitnet.errors import DigitNetError, UsageError

MOST_BLOCKS = 10_000  # of units; Ray keeps a record of each
# To connect. The head node forks a server for each client while gRPC runs, and about one of 15 of these dies at once:
# https://github.com/ray-project/ray/issues/63202
TRIES = 3
ON_HEAD = {"node:__internal_head__": 0.001}  # Ray's own name for the head node, where a client is connected


@contextlib.contextmanager
def cluster(address: str) -> Iterator[None]:
    """Connects to a cluster while the block runs, unless the program is connected already.

    Args:
        address: such as "ray://HOST:10001"; "" for a cluster that runs on this machine, or else is started here.

    Raises UsageError where nothing answers there.
    """
    if ray.is_initialized():
        yield
        return
    options: dict[str, Any] = {"include_dashboard": False, "logging_level": logging.WARNING, "log_to_driver": False}
    try:
        _connect(address or None, options)
    except Exception as error:  # Ray raises plain exceptions, too
        if address:
            raise UsageError(
                f"--ray {address}: no cluster answers ({error}); check the address, and whether the cluster asks for a "
                "token: then set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN"
            ) from error
        ray.init("local", **options)  # the cluster that Ray remembers on this machine has gone
    try:
        yield
    finally:
        ray.shutdown()


def _connect(address: str | None, options: dict[str, Any]) -> None:
    for left in reversed(range(TRIES)):
        try:
            ray.init(address, **options)
            return
        except ConnectionAbortedError:  # the head node answered, but the server died; Ray does not try again itself
            if not left:
                raise


def run(work: Work, jobs: list[tuple[str, Unit]], count: int | None) -> Iterator[Progress]:
    """Works on units with up to `count` actors, by default one for each core of the cluster, and tells how it goes.

    Raises:
        DigitNetError: what stopped a worker, such as a full disk.
    """
    if ray.util.client.ray.is_connected():
        reporter: Any = ray.remote(num_cpus=0, resources=ON_HEAD)(Reporter).remote(work, jobs, count, os.getcwd())
        rows = iter(lambda: ray.get(reporter.following.remote()), None)
    else:
        rows = _rows(work, jobs, count, os.getcwd())
    for row in rows:
        news = row["news"]
        if isinstance(news, DigitNetError):
            raise news
        yield news


class Reporter:
    """The actor on the head node: gives one row of news after another."""

    def __init__(self, work: Work, jobs: list[tuple[str, Unit]], count: int | None, folder: str) -> None:
        self._rows = _rows(work, jobs, count, folder)

    def following(self) -> dict[str, Any] | None:
        """The next row; None at the end. The first call starts the work."""
        return next(self._rows, None)


def _rows(work: Work, jobs: list[tuple[str, Unit]], count: int | None, folder: str) -> Iterator[dict[str, Any]]:
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.WARNING)
    actors = min(count or int(ray.cluster_resources().get("CPU", 1)), len(jobs))
    units = [{"name": name, "unit": unit} for name, unit in jobs]
    told = ray.data.from_items(units, override_num_blocks=min(len(units), MOST_BLOCKS)).map_batches(
        UnitReader,
        fn_constructor_args=(work, folder),
        batch_size=1,
        num_cpus=1,
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=actors),
    )
    yield from told.iter_rows()


class UnitReader:
    """The actor: writes the parts of units, and gives a row of news for each."""

    def __init__(self, work: Work, folder: str) -> None:
        if os.path.isdir(folder):  # paths are relative to where the command was given
            os.chdir(folder)
        self._pool = Pool(work, 1)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        news = np.empty(len(batch["name"]), object)
        for place, (name, unit) in enumerate(zip(batch["name"], batch["unit"], strict=True)):
            try:
                told = list(self._pool.run([(str(name), unit)]))
                news[place] = Progress(sum(one.pictures for one in told), sum(one.errors for one in told), True)
            except DigitNetError as error:
                news[place] = error
        return {"news": news}
