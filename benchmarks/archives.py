"""How fast archives are read, whether memory stays flat, and whether killed runs lose a row.

The pictures are MNIST's test images as PNGs, in tars of 10,000. Pages are made by `digitnet synth`.

    python benchmarks/archives.py --count 1000000 --pages 5000 --kills 20 --ray
"""

import argparse
import contextlib
import io
import os
import random
import signal
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import record
from PIL import Image
from ray.cluster_utils import Cluster

from digitnet.dataset import MNIST, find_mnist

SHARD = 10_000  # pictures in a tar
FEW = 100  # pictures; what a run on them takes is its start
DIGITNET = [sys.executable, "-m", "digitnet"]
HUNDRED_MILLION = 100_000_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100_000, help="pictures of 28 pixels")
    parser.add_argument("--pages", type=int, default=0, help="pages, read with one worker and with two")
    parser.add_argument("--kills", type=int, default=0, help="kills of a run at random moments")
    parser.add_argument("--ray", action="store_true", help="also on Ray clusters that are started here")
    arguments = parser.parse_args()
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        make_shards(root / "shards", arguments.count)
        sizes = [size for size in (10_000, 100_000) if size < arguments.count] + [arguments.count]
        for size in sizes:
            shards = sorted((root / "shards").iterdir())[: -(-size // SHARD)]
            figures[f"predict_{size}"] = measured(shards, root / f"out-{size}")
        rate = figures[f"predict_{arguments.count}"]["pictures_per_second"] / (os.cpu_count() or 1)
        figures["pictures_per_second_and_core"] = rate
        figures["core_hours_of_a_hundred_million"] = HUNDRED_MILLION / rate / 3600
        record.write("archives", figures)  # after each part, because the whole takes long
        if arguments.kills:
            figures["kills"] = killed(root / "shards", root / "killed", arguments.kills, arguments.count)
            record.write("archives", figures)
        if arguments.pages:
            subprocess.run([*DIGITNET, "synth", root / "pages", "--pages", str(arguments.pages)], check=True)
            one, two = (
                measured([root / "pages"], root / f"read-{workers}", "--task", "read", "--workers", str(workers))
                for workers in (1, 2)
            )
            figures["pages"] = {"one_worker": one, "two_workers": two}
            figures["pages"]["times_as_fast"] = one["seconds"] / two["seconds"]
            record.write("archives", figures)
        if arguments.ray:
            figures["ray"] = on_ray(root)
            record.write("archives", figures)


def on_ray(root: Path) -> dict[str, Any]:
    """At most 100,000 pictures on Ray and without it, the start alone, and what a cluster does when a node dies."""
    shards = sorted((root / "shards").iterdir())[: 100_000 // SHARD]
    make_shards(root / "few", FEW)
    few = sorted((root / "few").iterdir())
    figures: dict[str, Any] = {}
    for name, options in (("local", ()), ("ray", ("--ray",))):
        figures[name] = measured(shards, root / f"{name}-many", *options)
        figures[f"{name}_start_seconds"] = measured(few, root / f"{name}-few", *options)["seconds"]
    figures["ray_over_local"] = figures["ray"]["seconds"] / figures["local"]["seconds"]
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    node = cluster.add_node(num_cpus=1)
    output = root / "two-nodes"
    process = subprocess.Popen(
        [*DIGITNET, "batch", *map(str, shards), "--output", str(output), "--ray", cluster.address]
    )
    planned = len(list((root / "local-many").glob("part-*")))
    while process.poll() is None and len(list(output.glob("part-*"))) < planned // 3:
        time.sleep(0.1)
    written = len(list(output.glob("part-*")))
    cluster.remove_node(node, allow_graceful=False)
    code = process.wait()
    cluster.shutdown()
    figures["two_nodes_one_killed"] = {
        "exit_code": code,
        "parts_when_killed": written,
        "parts": planned,
        "equal_to_local": answers(output) == answers(root / "local-many"),
    }
    return figures


def answers(output: Path) -> dict[str, Any]:
    """All rows of each part, by the part's name."""
    return {part.name: pq.read_table(part).to_pylist() for part in output.glob("part-*.parquet")}


def make_shards(folder: Path, count: int) -> None:
    folder.mkdir()
    files = []
    for image in MNIST(find_mnist(), train=False).data.numpy():
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "PNG")
        files.append(buffer.getvalue())
    for start in range(0, count, SHARD):
        with tarfile.open(folder / f"{start:09d}.tar", "w") as archive:
            for number in range(start, min(start + SHARD, count)):
                member = tarfile.TarInfo(f"{number:09d}.png")
                member.size = len(files[number % len(files)])
                archive.addfile(member, io.BytesIO(files[number % len(files)]))


def measured(sources: list[Path], output: Path, *options: str) -> dict[str, Any]:
    """Seconds, rate and memory of a run, in MB of all its processes: its first and last tenth, and the most."""
    started = time.monotonic()
    process = subprocess.Popen([*DIGITNET, "batch", *map(str, sources), "--output", str(output), *options])
    samples: list[float] = []

    def watch() -> None:
        while process.poll() is None:
            samples.append(megabytes(process.pid))
            time.sleep(0.5)

    watcher = threading.Thread(target=watch)
    watcher.start()
    code = process.wait()
    watcher.join()
    seconds = time.monotonic() - started
    if code:
        sys.exit(f"digitnet batch ended with exit code {code}")
    pictures = len(rows(output))
    tenth = max(1, len(samples) // 10)
    early = samples[tenth : 2 * tenth] or samples  # the very first tenth starts the processes
    return {
        "pictures": pictures,
        "seconds": seconds,
        "pictures_per_second": pictures / seconds,
        "megabytes_first": sum(early) / len(early),
        "megabytes_last": sum(samples[-tenth:]) / tenth,
        "megabytes_most": max(samples),
    }


def megabytes(pid: int) -> float:
    """Resident memory of a process and of all below it (Linux). Pages that they share are counted once for each."""
    total = 0.0
    with contextlib.suppress(OSError):
        total = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            total += megabytes(int(child))
    return total


def rows(output: Path) -> list[tuple[str, int]]:
    """The place of each row's picture: file, index."""
    places: list[tuple[str, int]] = []
    for part in output.glob("part-*.parquet"):
        table = pq.read_table(part, columns=["file", "index"])
        places += zip(*(column.to_pylist() for column in table.columns), strict=True)
    return list(dict.fromkeys(places)) if "read-" in output.name else places


def killed(shards: Path, output: Path, kills: int, count: int) -> dict[str, Any]:
    """A run that is killed with SIGKILL at random moments, then finished: rows that are missing, double, rewritten."""
    random_moments = random.Random(0)
    command = [*DIGITNET, "batch", str(shards / "*.tar"), "--output", str(output)]
    rewritten = 0
    before: dict[Path, int] = {}
    for _ in range(kills):
        process = subprocess.Popen(command, start_new_session=True)
        time.sleep(random_moments.uniform(1, 10))
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        now = {part: part.stat().st_mtime_ns for part in output.glob("part-*.parquet")}
        rewritten += sum(now.get(part) != moment for part, moment in before.items())
        before = now
    subprocess.run(command, check=True)
    places = rows(output)
    return {
        "kills": kills,
        "missing": count - len(set(places)),
        "double": len(places) - len(set(places)),
        "rewritten_parts": rewritten,
    }


if __name__ == "__main__":
    main()
