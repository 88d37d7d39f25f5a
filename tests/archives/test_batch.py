"""Whole runs with worker processes: resumed, killed, interrupted, refused."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import duckdb
import numpy as np
import pandas
import polars
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest
from deadly_task import DEADLY, DeadlyParts, DeadlyTask, DeadlyUnit
from helpers import encoded, environment, page_of
from PIL import Image

from digitnet.archives import batch as module
from digitnet.archives import workers
from digitnet.archives.batch import batch
from digitnet.archives.parts import Parts, part_name
from digitnet.archives.rows import Task
from digitnet.archives.sources import planned
from digitnet.archives.workers import Pool, Work
from digitnet.errors import BusyError, SaveError, UsageError
from digitnet.files import locked
from digitnet.reader import Reader
from digitnet.reading.adaptation import Adaptation
from digitnet.reading.networks import PACKAGED_MODEL, OnnxDigitNet

SMALL_PARTS = "from digitnet.archives import batch; batch.MOST['predict'] = 5\n"
COMMAND = SMALL_PARTS + "import sys; from digitnet import cli; sys.exit(cli.main(['batch', *sys.argv[1:]]))"


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setitem(module.MOST, "predict", 5)


@pytest.fixture
def few_starts(monkeypatch):
    """Workers cannot be started more than five times: a run without an end fails."""
    left = iter(range(5))

    class Counted(workers._Worker):
        def __init__(self, work):
            assert next(left, None) is not None, "workers are started for ever"
            super().__init__(work)

    monkeypatch.setattr(workers, "_Worker", Counted)


def rows(output):
    return pyarrow.dataset.dataset(output, format="parquet").to_table().to_pylist()


def state(output):
    """The content and time of each part."""
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in output.glob("part-*")}


def started(*arguments, command=COMMAND, **options):
    process = [sys.executable, "-c", command, *map(str, arguments)]
    return subprocess.Popen(process, env=environment(), stderr=subprocess.PIPE, text=True, **options)


def wait_for_parts(process, output, count):
    while len(state(output)) < count and process.poll() is None:
        os.sched_yield()


def assert_whole(output, expected=61):
    found = rows(output)
    assert len(found) == expected
    assert len({(row["file"], row["index"]) for row in found}) == expected


def test_archives_become_parquet_with_a_row_for_each_picture(read_once, reader, pngs):
    output, summary = read_once
    assert (summary.pictures, summary.errors, summary.is_complete) == (61, 1, True)
    found = rows(output)
    assert [(row["member"], row["index"]) for row in found[:3]] == [("0/00.png", 0), ("0/01.png", 1), ("0/02.png", 2)]
    assert [row["digit"] for row in found[:60]] == [digit.digit for digit in reader.predict_many(pngs)]
    assert "notes.txt" in found[60]["error"]
    metadata = pq.read_schema(next(output.glob("part-*"))).metadata
    assert json.loads(metadata[b"digitnet.model"]) == reader.checksums["model"]
    assert "onnxruntime" in json.loads(metadata[b"digitnet.versions"])
    # pandas, Polars and DuckDB see the same.
    parts = str(output / "*.parquet")
    assert len(pandas.read_parquet(output)) == 61
    assert polars.read_parquet(parts)["digit"].to_list() == [row["digit"] for row in found]
    assert duckdb.sql(f"select count(*), count(error) from '{parts}'").fetchall() == [(61, 1)]


def test_a_complete_run_has_nothing_to_do_again(shards, finished):
    before = state(finished)
    summary = batch(shards, finished, workers=1)
    assert (summary.pictures, summary.errors) == (61, 1)
    assert state(finished) == before


def test_a_run_that_was_killed_goes_on_and_leaves_no_process(shards, tmp_path):
    output = tmp_path / "out"
    process = started(shards, "--output", output, "--workers", 2)
    wait_for_parts(process, output, 2)
    workers = children(process.pid)
    process.kill()
    process.wait()
    process.stderr.close()
    before = state(output)
    assert len(before) >= 2
    while any(Path(f"/proc/{worker}/cmdline").exists() for worker in workers):
        os.sched_yield()
    batch(shards, output, workers=1)
    assert before.items() <= state(output).items()
    assert_whole(output)
    assert not list(output.glob(".*.partial"))


def children(pid):
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_ctrl_c_finishes_the_parts_under_way_and_the_same_command_goes_on(shards, tmp_path):
    output = tmp_path / "out"
    process = started(shards, "--output", output, "--workers", 1, start_new_session=True)
    wait_for_parts(process, output, 1)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers, too
    _, said = process.communicate()
    assert process.returncode == 130
    assert "the same command goes on" in said
    assert "Traceback" not in said
    assert 1 <= len(state(output)) < 13
    finished = started(shards, "--output", output, "--workers", 1)
    _, said = finished.communicate()
    assert finished.returncode == 1  # one picture could not be read
    assert "61 pictures" in said
    assert_whole(output)


def test_a_picture_that_kills_its_worker_costs_only_itself(tmp_path, write_tar, pngs, reader):
    members = {f"{place}.png": DEADLY if place in (3, 4) else pngs[place] for place in range(10)}
    write_tar(tmp_path / "a.tar", members)
    parts = Parts(str(tmp_path / "out"))
    parts.begin({})
    jobs = {part_name(number, unit): unit for number, unit in enumerate(planned(str(tmp_path / "a.tar"), 5))}
    with Pool(Work(Reader(threads=1), DeadlyTask("predict", {}), parts, {}), 1) as pool:
        news = list(pool.run(jobs.items()))
    assert (sum(one.pictures for one in news), sum(one.errors for one in news)) == (10, 2)
    found = rows(tmp_path / "out")
    assert [row["index"] for row in found if row["error"]] == [3, 4]
    assert "ends the process" in found[3]["error"]
    assert found[2]["digit"] == reader.predict(pngs[2]).digit


def test_sources_that_vanish_after_they_were_looked_through_give_an_error_row_for_each_picture(
    tmp_path, write_tar, pngs, monkeypatch, few_starts
):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a.png").write_bytes(pngs[0])
    write_tar(tmp_path / "a.tar", {f"{place}.png": pngs[place] for place in range(3)})
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for place in range(4):
            archive.writestr(f"{place}.png", pngs[place])
    pq.write_table(pa.table({"image": pngs[:5]}), tmp_path / "a.parquet")

    def planned_and_gone(source, *options):
        units = planned(source, *options)
        path = Path(source)
        (path / "a.png" if path.is_dir() else path).unlink()
        return units

    monkeypatch.setattr(module, "planned", planned_and_gone)
    sources = [tmp_path / name for name in ("folder", "a.tar", "a.zip", "a.parquet")]
    summary = batch(sources, tmp_path / "out", workers=1)
    assert (summary.pictures, summary.errors, summary.is_complete) == (13, 13, True)
    found = rows(tmp_path / "out")
    assert [row["index"] for row in found] == [None, 0, 1, 2, 0, 1, 2, 3, 0, 1, 2, 3, 4]
    for row in found:
        assert row["file"] in row["error"]
        assert "No such file" in row["error"]


def test_a_source_that_ends_its_process_costs_the_rest_of_its_unit_only(tmp_path, pngs, few_starts):
    parts = Parts(str(tmp_path / "out"))
    parts.begin({})
    jobs = [
        (f"part-{number}.parquet", DeadlyUnit("a.zip", 0, 4, pngs[0], deadly)) for number, deadly in enumerate((2, 9))
    ]
    with Pool(Work(Reader(threads=1), Task("predict", {}), parts, {}), 1) as pool:
        news = list(pool.run(jobs))
    assert (sum(one.pictures for one in news), sum(one.errors for one in news)) == (8, 2)
    found = rows(tmp_path / "out")
    assert [row["index"] for row in found if row["error"]] == [2, 3]
    assert "a.zip" in found[2]["error"]
    assert "ends the process" in found[3]["error"]


def test_a_process_that_always_dies_while_it_writes_ends_the_run_with_an_error(tmp_path, pngs, few_starts):
    parts = DeadlyParts(str(tmp_path / "out"))
    parts.begin({})
    jobs = [("part-0.parquet", DeadlyUnit("a.zip", 0, 2, pngs[0], 9))]
    with (
        Pool(Work(Reader(threads=1), Task("predict", {}), parts, {}), 1) as pool,
        pytest.raises(SaveError, match=r"part-0\.parquet: cannot be made from a\.zip"),
    ):
        list(pool.run(jobs))


def test_sigterm_is_heard_also_while_a_source_gives_nothing(tmp_path):
    (tmp_path / "scans").mkdir()
    os.mkfifo(tmp_path / "scans" / "a.png")  # to open it takes for ever
    process = started(tmp_path / "scans", "--output", tmp_path / "out", "--workers", 1)
    while not children(process.pid):
        os.sched_yield()
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=100)
    assert process.returncode == 130
    assert "the same command goes on" in said


def test_a_damaged_part_is_an_error_that_names_it(shards, finished):
    part = min(finished.glob("part-*"))
    part.write_bytes(part.read_bytes()[:-20])
    with pytest.raises(SaveError, match=rf"{part.name}: cannot be read.*delete it"):
        batch(shards, finished, workers=1)
    part.unlink()
    assert batch(shards, finished, workers=1).pictures == 61


@pytest.mark.parametrize("name", ["out.xlsx", "out.json", "out.TSV"])
def test_an_output_that_is_named_like_a_file_of_another_kind_is_refused(shards, tmp_path, name):
    with pytest.raises(UsageError, match=r"name a folder, or a file \.csv or \.jsonl"):
        batch(shards, tmp_path / name, workers=1)
    assert not (tmp_path / name).exists()


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_a_small_result_may_be_one_file(tmp_path, write_tar, pngs, suffix):
    write_tar(tmp_path / "a.tar", {f"{place}.png": pngs[place] for place in range(7)})
    output = tmp_path / f"out.{suffix}"
    batch(tmp_path / "a.tar", output, workers=1)
    with open(output, newline="", encoding="utf-8-sig") as file:
        found = list(csv.DictReader(file) if suffix == "csv" else map(json.loads, file))
    assert [row["member"] for row in found] == [f"{place}.png" for place in range(7)]
    box = found[0]["box"]
    assert set(json.loads(box) if suffix == "csv" else box) == {"x", "y", "width", "height"}
    assert not list(tmp_path.glob(".out*.parts"))
    with pytest.raises(UsageError, match="exists already"):
        batch(tmp_path / "a.tar", output, workers=1)


def test_a_table_of_numbers_is_for_spreadsheets(tmp_path, write_tar, mnist_digits):
    grey, _ = page_of(mnist_digits, ["0271"])
    page = encoded(Image.fromarray((255 * grey).astype(np.uint8)), "PNG")
    write_tar(tmp_path / "a.tar", {"=1+1.png": page, "sept é.png": page})
    batch(tmp_path / "a.tar", tmp_path / "out.csv", task="read", workers=1, max_error=None)
    content = (tmp_path / "out.csv").read_bytes()
    assert content.startswith(b"\xef\xbb\xbf")
    rows = list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline="")))
    assert [(row["member"], row["text"]) for row in rows] == [("'=1+1.png", "'0271"), ("sept é.png", "'0271")]


def test_other_settings_are_refused_and_named(shards, finished, tmp_path):
    other = tmp_path / "mine.onnx"
    content = PACKAGED_MODEL.read_bytes()
    _, features = OnnxDigitNet(content, "packaged").logits_and_features(np.zeros((1, 28, 28), np.float32))
    other.write_bytes(Adaptation(np.zeros((features.shape[1] + 1, 10), np.float32), 1).adapted(content))
    for options in ({"max_error": 0.01}, {"task": "read"}, {"model": other}):
        with pytest.raises(UsageError, match=f"begun with {next(iter(options))} = "):
            batch(shards, finished, **options)


def test_a_source_that_has_changed_is_refused(tmp_path, write_tar, pngs):
    write_tar(tmp_path / "a.tar", {"a.png": pngs[0]})
    batch(tmp_path / "a.tar", tmp_path / "out", workers=1)
    write_tar(tmp_path / "a.tar", {"another.png": pngs[1]})
    with pytest.raises(UsageError, match="changed"):
        batch(tmp_path / "a.tar", tmp_path / "out", workers=1)


def test_an_output_that_holds_other_things_is_refused_and_untouched(shards, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years")
    with pytest.raises(UsageError, match=r"thesis\.txt"):
        batch(shards, tmp_path / "mine", workers=1)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]
    with pytest.raises(SaveError, match="cannot be"):
        batch(shards, tmp_path / "mine" / "thesis.txt" / "out", workers=1)


def test_two_runs_cannot_write_to_one_output(shards, tmp_path):
    with locked(tmp_path / "out"), pytest.raises(BusyError):
        batch(shards, tmp_path / "out", workers=1)


def test_a_full_disk_is_an_error_that_says_so(shards, tmp_path):
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))\n"
    process = started(shards, "--output", tmp_path / "out", "--workers", 1, command=limit + COMMAND)
    _, said = process.communicate()
    assert process.returncode == 1
    assert "cannot be saved" in said
    assert "Traceback" not in said
    assert state(tmp_path / "out") == {}


def test_no_workers_and_missing_sources_are_refused(shards, tmp_path):
    with pytest.raises(UsageError, match="0 workers"):
        batch(shards, tmp_path / "out", workers=0)
    with pytest.raises(UsageError, match="missing"):
        batch(tmp_path / "missing", tmp_path / "out")
    assert not (tmp_path / "out").exists()
