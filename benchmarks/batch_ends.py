"""Whether `batch` ends, with a row for each picture, when workers are killed and when its source vanishes.

For each kind of source: runs in which a worker gets SIGKILL after a random number of parts, and runs in which the
source is deleted then. Each is compared with a run that nobody disturbs. On this machine's processes, and on a Ray
cluster, where an actor or the process that reads for it is killed.

    python benchmarks/batch_ends.py --times 50
"""

import argparse
import contextlib
import io
import logging
import os
import random
import shutil
import signal
import tarfile
import tempfile
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import record
from PIL import Image

from digitnet.archives import batch as module
from digitnet.archives.batch import batch
from digitnet.errors import DigitNetError

KINDS = ("folder", "zip", "tar", "parquet")
ENGINES = ("processes", "ray")
PART = 128  # pictures
READING = (b"spawn_main", b"UnitReader")  # in the command lines of the processes that read


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=50, help="runs of each kind")
    parser.add_argument("--pictures", type=int, default=20_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=ENGINES)
    arguments = parser.parse_args()
    module.MOST["predict"] = PART
    figures: dict[str, Any] = {"pictures": arguments.pictures, "times": arguments.times}
    with tempfile.TemporaryDirectory() as folder:
        for engine in arguments.engines:
            figures[engine] = {}
            with cluster() if engine == "ray" else contextlib.nullcontext():
                for kind in arguments.kinds:
                    options = {"workers": arguments.workers, "ray": "" if engine == "ray" else None}
                    of_kind = ends(kind, Path(folder) / f"a.{kind}", arguments.pictures, arguments.times, options)
                    print(engine, kind, of_kind, flush=True)
                    figures[engine][kind] = of_kind
    record.write("batch_ends", figures)


@contextlib.contextmanager
def cluster() -> Iterator[None]:
    import ray

    ray.init("local", include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    yield
    ray.shutdown()


def ends(kind: str, source: Path, count: int, times: int, options: dict[str, Any]) -> dict[str, Any]:
    """How the runs of a kind of source end."""
    rng = random.Random(0)
    if not source.exists():
        make(kind, source, count)
    run(source, count, options)  # the first one loads the programs from the disk
    quiet = run(source, count, options)["seconds"]
    figures: dict[str, Any] = {"quiet_seconds": quiet}
    for disturb in (kill, vanish):
        runs = []
        for _ in range(times):
            if not source.exists():
                make(kind, source, count)
            runs.append(run(source, count, options, disturb, rng.randrange(count // PART)))
        figures[disturb.__name__] = {
            "disturbed": sum(one["is_disturbed"] for one in runs),
            "most_seconds_over_quiet": max(one["seconds"] for one in runs) - quiet,
            "ended_with_an_error": [one["ended"] for one in runs if one["ended"]],
            "wrong_rows": sum(bool(one["missing"] or one["double"]) for one in runs if not one["ended"]),
            "error_rows": [one["errors"] for one in runs],
        }
    return figures


def run(source: Path, count: int, options: dict[str, Any], disturb: Any = None, after: int = 0) -> dict[str, Any]:
    """A run that is disturbed after some parts: its seconds, its rows, and the error that ended it."""
    output = source.with_name("out")
    shutil.rmtree(output, ignore_errors=True)
    is_over = threading.Event()
    disturbed = []

    def wait_and_disturb() -> None:
        while not is_over.wait(0.01):
            if reading() and len(list(output.glob("part-*"))) >= after:
                disturb(source)
                disturbed.append(True)
                return

    watcher = threading.Thread(target=wait_and_disturb)
    started, ended = time.monotonic(), ""
    if disturb:
        watcher.start()
    try:
        batch(source, output, **options)
    except DigitNetError as error:
        ended = str(error)
    seconds = time.monotonic() - started
    is_over.set()
    if disturb:
        watcher.join()
    parts = sorted(output.glob("part-*.parquet"))
    rows = pyarrow.dataset.dataset(parts, format="parquet").to_table().to_pylist() if parts else []
    places = [row["index"] if row["index"] is not None else row["file"] for row in rows]
    return {
        "seconds": seconds,
        "ended": ended,
        "is_disturbed": bool(disturbed),
        "missing": count - len(set(places)),
        "double": len(places) - len(set(places)),
        "errors": sum(row["error"] is not None for row in rows),
    }


def kill(source: Path) -> None:
    """Kills one of the worker processes."""
    with contextlib.suppress(OSError, IndexError):  # it has just ended
        os.kill(random.choice(reading()), signal.SIGKILL)


def reading() -> list[int]:
    """The numbers of the processes below this one that read pictures."""
    parents, commands = {}, {}
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            number = int(path.name)
            commands[number] = (path / "cmdline").read_bytes()
            parents[number] = int((path / "stat").read_text().rpartition(")")[2].split()[1])

    def is_below(number: int) -> bool:
        parent = parents.get(number, 0)
        return parent == os.getpid() or (parent > 1 and is_below(parent))

    return [number for number, command in commands.items() if any(w in command for w in READING) and is_below(number)]


def vanish(source: Path) -> None:
    if source.is_dir():
        shutil.rmtree(source)
    else:
        source.unlink()


def make(kind: str, path: Path, count: int) -> None:
    with np.load(record.ROOT / "digitnet" / "weights" / "digits.npz") as file:
        images = file["images"]
    pictures = []
    for image in images:
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "PNG")
        pictures.append(buffer.getvalue())
    contents = {f"{place:06}.png": pictures[place % len(pictures)] for place in range(count)}
    if kind == "folder":
        path.mkdir()
        for name, content in contents.items():
            (path / name).write_bytes(content)
    elif kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in contents.items():
                archive.writestr(name, content)
    elif kind == "tar":
        with tarfile.open(path, "w") as archive:
            for name, content in contents.items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    else:
        pq.write_table(pa.table({"image": list(contents.values())}), path, row_group_size=PART)


if __name__ == "__main__":
    main()
