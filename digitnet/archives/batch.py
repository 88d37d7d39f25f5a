"""`batch`: sources in, a folder of Parquet out; interrupted at any moment, the same call goes on."""

import contextlib
import os
import re
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from tqdm import tqdm

from digitnet.archives.parts import (
    TABLE_SUFFIXES,
    Parts,
    part_name,
    remove_half_parts,
    write_small_table,
)
from digitnet.archives.rows import task as task_of
from digitnet.archives.sources import Unit, expanded, is_url, planned
from digitnet.archives.workers import Pool, Progress, Work
from digitnet.errors import MissingExtraError, UsageError
from digitnet.files import locked
from digitnet.interruption import handled_by
from digitnet.reader import Reader
from digitnet.reading.answer import DEFAULT_MAX_ERROR
from digitnet.version import __version__

FORMAT = 1  # of the output; raise it when units or rows change
MOST = {"predict": 4096, "read": 32}  # pictures in a part
LINE_SECONDS = 10  # between two lines of progress where there is no terminal
# An output of such a name is meant to be one file, such as a workbook. But folders of parts are often called .parquet.
FILE_NAME = re.compile(r"\.(?!parquet$)[a-z]\w{2,5}$", re.IGNORECASE)
PACKAGES = ("numpy", "onnxruntime", "opencv-python-headless", "pillow", "pyarrow")


@dataclass(frozen=True)
class Summary:
    """What a run has done.

    Attributes:
        pictures: in all parts, those of earlier runs included.
        errors: pictures among them that could not be read.
        seconds: of this run.
        is_complete: False where it was interrupted; the same call goes on.
    """

    pictures: int
    errors: int
    seconds: float
    is_complete: bool


def batch(
    sources: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    *,
    task: str = "predict",
    workers: int | None = None,
    ray: str | None = None,
    model: str | os.PathLike[str] | None = None,
    max_error: float | None = DEFAULT_MAX_ERROR,
    detector: str | os.PathLike[str] | None = None,
    line_reader: str | os.PathLike[str] | None = None,
    column: str | None = None,
    **constraints: Any,
) -> Summary:
    """Reads all pictures of some sources into Parquet. Progress goes to standard error.

    Processes are started with "spawn". So a script that calls this needs the usual `if __name__ == "__main__":`.

    Args:
        sources: folders, patterns, pictures, .tar and .zip archives, lists (.txt, .csv) of paths or URLs, .parquet
            files with a column of pictures or of paths; each as a path or as a URL of fsspec.
        output: a new folder for the parts, or one that was begun with the same arguments; or a .csv or .jsonl file.
        task: "predict" (a row a picture) or "read" (a row a line of digits).
        workers: processes; None for as many as there are cores, on a cluster for as many as it has.
        ray: None for this machine; "" for a Ray that runs here or is started here; or an address such as
            "ray://HOST:10001".
        model, max_error, detector, line_reader: as for `Reader`.
        column: what holds the paths or the pictures in tables.
        constraints: as for `Reader.read`.

    Raises:
        UsageError: a source is missing or empty; the output holds other things or was begun otherwise.
        SaveError: the output cannot be written, or the disk is full.
        BusyError: another run is writing to the same output.
        ModelError: the model is refused.
    """
    given = [sources] if isinstance(sources, str | os.PathLike) else list(sources)
    names = [name for source in given for name in expanded(os.fspath(source))]
    wanted = task_of(task, constraints)
    if workers is not None and workers < 1:
        raise UsageError(f"{workers} workers cannot work; give 1 or more")
    target = os.fspath(output)
    is_table = target.endswith(TABLE_SUFFIXES)
    if is_table and (is_url(target) or os.path.exists(target)):
        raise UsageError(f"{target}: exists already, or is a URL; name a new file")
    if not is_table and FILE_NAME.search(target) and not (is_url(target) or os.path.isdir(target)):
        raise UsageError(f"{target}: cannot be written in this form; name a folder, or a file .csv or .jsonl")
    path = Path(target)
    parts = Parts(str(path.with_name(f".{path.name}.parts")) if is_table else target)
    reader = Reader(model, max_error=max_error, detector=detector, line_reader=line_reader, threads=1)
    settings = {
        "format": FORMAT,
        "task": task,
        **reader.checksums,
        "sources": names,
        "column": column,
        "max_error": max_error,
        "constraints": dict(wanted.constraints),
        "versions": _versions(),
    }
    units = [unit for name in names for unit in planned(name, MOST[task], column)]
    with _locked(parts.folder):
        parts.begin(settings)
        jobs = {part_name(number, unit): unit for number, unit in enumerate(units)}
        summary = _worked(Work(reader, wanted, parts, settings), jobs, workers, ray)
        if is_table and summary.is_complete:
            write_small_table(path, parts.tables(jobs))
            shutil.rmtree(parts.folder)
    return summary


def _worked(work: Work, jobs: dict[str, Unit], count: int | None, ray: str | None) -> Summary:
    """Does the jobs that have no part yet."""
    started = time.monotonic()
    done = work.parts.done()
    if unknown := sorted(done - set(jobs)):
        raise UsageError(
            f"{work.parts.folder}: {unknown[0]} holds pictures that the sources do not have any more, so they have "
            "changed since this was begun; choose another output"
        )
    left = [(name, unit) for name, unit in jobs.items() if name not in done]
    total, before = sum(map(len, jobs.values())), sum(len(jobs[name]) for name in done)
    pictures, errors = before, work.parts.errors(sorted(done))
    unwritten = len(left)
    with _Display(total, before) as display, _news(work, left, count, ray) as news:
        for progress in news:
            pictures, errors = pictures + progress.pictures, errors + progress.errors
            unwritten -= progress.is_written
            display.show(pictures, errors)
    return Summary(pictures, errors, time.monotonic() - started, unwritten == 0)


@contextlib.contextmanager
def _news(work: Work, jobs: list[tuple[str, Unit]], count: int | None, ray: str | None) -> Iterator[Iterable[Progress]]:
    """What the workers tell, on this machine or on a cluster."""
    if not jobs:
        yield ()
    elif ray is None:
        with _stopping() as is_stopped, Pool(work, min(count or _cores(), len(jobs))) as pool:
            yield pool.run(jobs, is_stopped)
    else:
        try:
            from digitnet.archives import on_ray
        except ModuleNotFoundError as error:
            raise MissingExtraError.of(error, "--ray", "ray") from error
        with on_ray.cluster(ray):
            yield on_ray.run(work, jobs, count)


@contextlib.contextmanager
def _stopping() -> Iterator[Callable[[], bool]]:
    """Whether Ctrl-C has asked to stop. A second one ends at once, and so does SIGTERM, since SIGKILL often follows."""
    asked = False

    def ask(number: int, frame: object) -> None:
        nonlocal asked
        if asked or number == signal.SIGTERM:
            print("\ndigitnet: ending at once; the same command goes on", file=sys.stderr, flush=True)
            raise KeyboardInterrupt
        asked = True
        print("\ndigitnet: finishing the parts under way; once more ends at once", file=sys.stderr, flush=True)

    with handled_by(ask):
        yield lambda: asked


class _Display:
    """Rate, time left and errors: a bar on a terminal, elsewhere a line now and then."""

    def __init__(self, total: int, before: int) -> None:
        self._total, self._before = total, before
        self._started = self._told = time.monotonic()
        self._shown = (before, 0)
        is_terminal = sys.stderr.isatty()
        self._bar = tqdm(total=total, initial=before, unit=" pictures", dynamic_ncols=True) if is_terminal else None

    def __enter__(self) -> "_Display":
        return self

    def show(self, pictures: int, errors: int) -> None:
        self._shown = pictures, errors
        if self._bar is not None:
            self._bar.set_postfix(errors=errors, refresh=False)
            self._bar.update(pictures - self._bar.n)
        elif time.monotonic() - self._told > LINE_SECONDS:
            self._tell()

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()
        elif self._total > self._before:
            self._tell()

    def _tell(self) -> None:
        self._told = time.monotonic()
        pictures, errors = self._shown
        seconds = self._told - self._started
        line = tqdm.format_meter(
            pictures, self._total, seconds, ncols=0, initial=self._before, unit=" pictures", postfix=f"errors={errors}"
        )
        print(f"digitnet: {line.strip()}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def _locked(folder: str) -> Iterator[None]:
    """The lock of a folder on this machine, without the half-written parts of killed runs."""
    if is_url(folder):
        yield
        return
    here = Path(os.path.abspath(folder))
    with locked(here):
        remove_half_parts(here)
        yield


def _cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _versions() -> dict[str, str]:
    return {"digitnet": __version__, **{package: metadata.version(package) for package in PACKAGES}}
