"""Whether `batch` ends, with a row for each picture, when workers are killed and when its source vanishes.

For each kind of source: runs in which a worker gets SIGKILL after a random number of parts, and runs in which the
source is deleted then. Each is compared with a run that nobody disturbs.

    python benchmarks/batch_ends.py --times 50
"""

import argparse
import contextlib
import io
import multiprocessing
import random
import shutil
import tarfile
import tempfile
import threading
import time
import zipfile
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
PART = 128  # pictures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=50, help="runs of each kind")
    parser.add_argument("--pictures", type=int, default=20_000)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    module.MOST["predict"] = PART
    rng = random.Random(0)
    figures: dict[str, Any] = {"pictures": arguments.pictures, "times": arguments.times}
    with tempfile.TemporaryDirectory() as folder:
        for kind in KINDS:
            source = Path(folder) / f"a.{kind}"
            make(kind, source, arguments.pictures)
            run(source, arguments.pictures, arguments.workers)  # the first one loads the programs from the disk
            quiet = run(source, arguments.pictures, arguments.workers)["seconds"]
            figures[kind] = {"quiet_seconds": quiet}
            for disturb in (kill, vanish):
                runs = []
                for _ in range(arguments.times):
                    if not source.exists():
                        make(kind, source, arguments.pictures)
                    parts = rng.randrange(arguments.pictures // PART)
                    runs.append(run(source, arguments.pictures, arguments.workers, disturb, parts))
                figures[kind][disturb.__name__] = {
                    "disturbed": sum(one["is_disturbed"] for one in runs),
                    "most_seconds_over_quiet": max(one["seconds"] for one in runs) - quiet,
                    "ended_with_an_error": [one["ended"] for one in runs if one["ended"]],
                    "wrong_rows": sum(one["missing"] or one["double"] for one in runs if not one["ended"]),
                    "error_rows": [one["errors"] for one in runs],
                }
            print(kind, figures[kind], flush=True)
    record.write("batch_ends", figures)


def run(source: Path, count: int, workers: int, disturb: Any = None, after: int = 0) -> dict[str, Any]:
    """A run that is disturbed after some parts: its seconds, its rows, and the error that ended it."""
    output = source.with_name("out")
    shutil.rmtree(output, ignore_errors=True)
    is_over = threading.Event()
    disturbed = []

    def wait_and_disturb() -> None:
        while not is_over.wait(0.01):
            if multiprocessing.active_children() and len(list(output.glob("part-*"))) >= after:
                disturb(source)
                disturbed.append(True)
                return

    watcher = threading.Thread(target=wait_and_disturb)
    started, ended = time.monotonic(), ""
    if disturb:
        watcher.start()
    try:
        batch(source, output, workers=workers)
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
    if children := multiprocessing.active_children():
        with contextlib.suppress(OSError):
            random.choice(children).kill()


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
