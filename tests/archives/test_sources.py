"""What sources hold, whole and damaged. No process is started here."""

import io
import os
import tarfile
import zipfile

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from digitnet.archives import sources
from digitnet.archives.sources import expanded, items_or_errors, planned
from digitnet.errors import ImageError, UsageError

MEMBERS = {f"a/{number:02}.png": bytes([number]) * (100 * number) for number in range(12)}


def items(source, most=5, column=None):
    return [item for unit in planned(str(source), most, column) for item in unit.items()]


def contents(source, **options):
    """The contents by the names of the members or files, in order."""
    return {item.member or os.path.basename(item.file): item.content for item in items(source, **options)}


def write_zip(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_a_tar_of_every_format_gives_its_members_in_order(tmp_path, write_tar, form):
    members = MEMBERS | {f"{'long/' * 30}{number}.png": b"far" for number in range(3)}
    write_tar(tmp_path / "a.tar", members, format=form)
    assert list(contents(tmp_path / "a.tar").items()) == list(members.items())


def test_a_tar_of_real_files_is_read_without_its_folders(tmp_path):
    (tmp_path / "scans").mkdir()
    for name, content in MEMBERS.items():
        (tmp_path / "scans" / os.path.basename(name)).write_bytes(content)
    with tarfile.open(tmp_path / "a.tar", "w") as archive:  # it notes times in headers of their own
        archive.add(tmp_path / "scans", "scans")
    assert sorted(contents(tmp_path / "a.tar").values()) == sorted(MEMBERS.values())


def test_a_zip_gives_its_members_in_order(tmp_path):
    write_zip(tmp_path / "a.zip", MEMBERS)
    assert list(contents(tmp_path / "a.zip").items()) == list(MEMBERS.items())


def test_a_folder_gives_its_pictures_and_a_pattern_what_it_matches(tmp_path):
    for name in ("b.png", "a.JPG", "notes.txt", "deep/c.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    assert contents(tmp_path) == {"a.JPG": b"a.JPG", "b.png": b"b.png", "c.png": b"deep/c.png"}
    assert contents(tmp_path / "*.png") == {"b.png": b"b.png"}


def test_a_pattern_names_each_archive_by_itself(tmp_path, write_tar):
    for name in ("b.tar", "a.tar"):
        write_tar(tmp_path / name, MEMBERS)
    assert expanded(str(tmp_path / "*.tar")) == [str(tmp_path / "a.tar"), str(tmp_path / "b.tar")]


@pytest.mark.parametrize(("suffix", "text"), [("txt", "{}\n\n{}\n"), ("csv", "label,path\n7,{}\n8,{}\n")])
def test_a_list_names_files_beside_it_and_urls(tmp_path, suffix, text):
    (tmp_path / "a.png").write_bytes(b"first")
    fsspec.filesystem("memory").pipe("/list/b.png", b"second")
    (tmp_path / f"list.{suffix}").write_text(text.format("a.png", "memory://list/b.png"))
    assert [item.content for item in items(tmp_path / f"list.{suffix}")] == [b"first", b"second"]


def test_a_table_may_hold_pictures_or_paths(tmp_path):
    (tmp_path / "a.png").write_bytes(b"first")
    pq.write_table(pa.table({"id": [1], "image": [b"first"]}), tmp_path / "bytes.parquet")
    pq.write_table(pa.table({"id": [1], "image": [{"bytes": b"first", "path": "a"}]}), tmp_path / "structs.parquet")
    pq.write_table(pa.table({"path": ["a.png"], "other": ["x"]}), tmp_path / "paths.parquet")
    for name in ("bytes", "structs", "paths"):
        assert [item.content for item in items(tmp_path / f"{name}.parquet")] == [b"first"]


@settings(max_examples=15, deadline=None)
@given(rows=st.integers(1, 300), group=st.integers(1, 300), most=st.integers(1, 50))
def test_the_slices_of_a_table_hold_each_row_once(tmp_path_factory, rows, group, most):
    path = tmp_path_factory.mktemp("table") / "a.parquet"
    pq.write_table(pa.table({"image": [b"%d" % row for row in range(rows)]}), path, row_group_size=group)
    found = items(path, most=most)
    assert [(item.place, item.content) for item in found] == [(row, b"%d" % row) for row in range(rows)]


def test_sources_elsewhere_are_read_by_their_urls(write_tar, tmp_path):
    memory = fsspec.filesystem("memory")
    write_tar(tmp_path / "a.tar", MEMBERS)
    memory.pipe("/far/a.tar", (tmp_path / "a.tar").read_bytes())
    memory.pipe("/far/scans/b.png", b"scan")
    assert contents("memory://far/a.tar") == MEMBERS
    assert [(item.file, item.content) for item in items("memory://far/scans")] == [
        ("memory:///far/scans/b.png", b"scan")
    ]


def test_a_unit_is_known_by_what_it_holds(tmp_path, write_tar):
    def keys():
        return [unit.key for unit in planned(str(tmp_path / "a.tar"), 5)]

    write_tar(tmp_path / "a.tar", MEMBERS)
    before = keys()
    assert keys() == before
    write_tar(tmp_path / "a.tar", MEMBERS | {"a/11.png": b"another"})
    assert keys()[:2] == before[:2]
    assert keys()[2] != before[2]


@pytest.mark.parametrize("cut", [1, 511, 512, 700, 5_000, 9_216])
def test_a_tar_cut_off_gives_what_is_whole_and_one_error_that_names_it(tmp_path, write_tar, cut):
    write_tar(tmp_path / "a.tar", MEMBERS, format=tarfile.USTAR_FORMAT)
    whole = (tmp_path / "a.tar").read_bytes().rstrip(b"\0")
    (tmp_path / "a.tar").write_bytes(whole[: len(whole) - cut])
    *before, last = items(tmp_path / "a.tar")
    assert isinstance(last.content, ImageError)
    assert "a.tar" in str(last.content)
    assert "cut off" in str(last.content)
    expected = list(MEMBERS.items())[: len(before)]
    assert [(item.member, item.content) for item in before] == expected
    assert sum(512 + -(-len(content) // 512) * 512 for _, content in expected) <= len(whole) - cut


def test_members_that_are_no_files_are_errors_and_no_path_leaves_the_archive(tmp_path):
    (tmp_path / "secret.png").write_bytes(b"secret")
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        link = tarfile.TarInfo("link.png")
        link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path / "secret.png")
        archive.addfile(link)
        outside = tarfile.TarInfo("../../outside.png")
        outside.size = 5
        archive.addfile(outside, io.BytesIO(b"12345"))
    found = contents(tmp_path / "a.tar")
    assert "link" in str(found["link.png"])
    assert found["../../outside.png"] == b"12345"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tar", "secret.png"]


def test_bombs_and_damaged_members_of_a_zip_are_errors(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "MAX_BYTES", 1000)
    write_zip(tmp_path / "a.zip", {"bomb.png": bytes(10**6), "good.png": b"good", "damaged.png": b"flipped" * 9})
    content = bytearray((tmp_path / "a.zip").read_bytes())
    content[content.index(b"damaged.png") + len("damaged.png") + 3] ^= 255
    (tmp_path / "a.zip").write_bytes(content)
    found = contents(tmp_path / "a.zip")
    assert found["good.png"] == b"good"
    assert "bomb.png" in str(found["bomb.png"])
    assert "damaged.png" in str(found["damaged.png"])


@pytest.mark.parametrize("name", ["a.zip", "a.parquet"])
def test_an_archive_without_its_end_is_one_error(tmp_path, name):
    write_zip(tmp_path / "a.zip", MEMBERS)
    pq.write_table(pa.table({"image": list(MEMBERS.values())}), tmp_path / "a.parquet")
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:-30])
    (only,) = items(tmp_path / name)
    assert name in str(only.content)


def test_a_table_that_is_damaged_in_the_middle_gives_a_row_for_each_picture(tmp_path):
    path = tmp_path / "a.parquet"
    pictures = [os.urandom(2000) for _ in range(200)]
    pq.write_table(pa.table({"image": pictures}), path, compression="zstd", row_group_size=50, use_dictionary=False)
    content = bytearray(path.read_bytes())
    page = pq.read_metadata(path).row_group(2).column(0).data_page_offset
    content[page : page + 400] = bytes(400)
    path.write_bytes(content)
    found = [item for unit in planned(str(path), 64) for item in items_or_errors(unit)]
    assert [item.place for item in found] == list(range(200))
    for item in found:
        if 100 <= item.place < 150:
            assert "a.parquet" in str(item.content)
        else:
            assert item.content == pictures[item.place]


@pytest.mark.parametrize("suffix", ["tar", "zip"])
def test_an_archive_that_became_shorter_gives_a_row_for_each_picture(tmp_path, write_tar, suffix):
    write = write_tar if suffix == "tar" else write_zip
    path = tmp_path / f"a.{suffix}"
    write(path, MEMBERS)
    units = planned(str(path), 5)
    write(path, dict(list(MEMBERS.items())[:7]))
    found = [item for unit in units for item in items_or_errors(unit)]
    assert [item.place for item in found] == list(range(12))
    assert [isinstance(item.content, ImageError) for item in found] == [False] * 7 + [True] * 5


def test_files_that_cannot_be_opened_are_errors(tmp_path):
    (tmp_path / "list.txt").write_text("missing.png\nmemory://none/x.png\nnothing://x.png\n")
    for item, name in zip(items(tmp_path / "list.txt"), ("missing.png", "none/x.png", "nothing://"), strict=True):
        assert isinstance(item.content, ImageError)
        assert name in str(item.content)


def test_a_pattern_at_a_place_that_nobody_knows_is_refused_by_its_name():
    with pytest.raises(UsageError, match=r"nothing://bucket/\*\.tar: cannot be opened"):
        expanded("nothing://bucket/*.tar")


def test_a_source_that_holds_nothing_is_refused_by_its_name(tmp_path):
    (tmp_path / "empty").mkdir()
    pq.write_table(pa.table({"number": [1]}), tmp_path / "numbers.parquet")
    pq.write_table(pa.table({"image": [b"x"]}), tmp_path / "bytes.parquet")
    (tmp_path / "list.csv").write_text("a,b\n1,2\n")
    (tmp_path / "long.csv").write_text("x" * 200_000 + ",path\n1,2\n")  # csv has a limit of 131,072 characters
    (tmp_path / "long-later.csv").write_text("path\n" + "x" * 200_000 + "\n")
    (tmp_path / "latin.csv").write_bytes(b"path,\xe9\n1,2\n")
    for source, column, said in [
        ("empty", None, "no pictures"),
        ("missing", None, "cannot be opened"),
        ("missing.tar", None, "cannot be opened"),
        ("nowhere-*.png", None, "cannot be opened"),
        ("a.tar.gz", None, "uncompress"),
        ("numbers.parquet", None, "--column"),
        ("bytes.parquet", "scan", "no column 'scan'"),
        ("list.csv", None, "--column"),
        ("nothing://bucket", None, "cannot be opened"),
        ("long.csv", None, "not a table"),
        ("long-later.csv", None, "not a table"),
        ("latin.csv", None, "UTF-8"),
    ]:
        path = source if ":" in source else str(tmp_path / source)
        with pytest.raises(UsageError, match=said) as error:
            planned(path, 5, column)
        assert path in str(error.value)
