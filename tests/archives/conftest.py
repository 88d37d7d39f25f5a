import io
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
from helpers import encoded
from PIL import Image

from digitnet.archives import batch as module


@pytest.fixture(scope="session")
def pngs(mnist_digits):
    """The files of 60 small pictures."""
    images, _ = mnist_digits
    return [encoded(Image.fromarray((255 * image).astype(np.uint8)), "PNG") for image in images[:60]]


@pytest.fixture(scope="session")
def shards(tmp_path_factory, pngs):
    """Three tars with 20 pictures each, and a text among the pictures of the last one. No test changes them."""
    folder = tmp_path_factory.mktemp("shards")
    for number in range(3):
        members = {f"{number}/{place:02}.png": pngs[20 * number + place] for place in range(20)}
        if number == 2:
            members["2/notes.txt"] = b"no picture"
        write_tar(folder / f"shard-{number}.tar", members)
    return folder / "shard-*.tar"


@pytest.fixture(scope="session")
def read_once(tmp_path_factory, shards):
    """The output of a run over the shards in parts of five pictures, and its summary."""
    output = tmp_path_factory.mktemp("read") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(module.MOST, "predict", 5)
        return output, module.batch(shards, output, workers=1)


@pytest.fixture
def finished(tmp_path, read_once):
    """A copy of that output, which a test may change."""
    return Path(shutil.copytree(read_once[0], tmp_path / "out"))


def write_tar(path, members, **options):
    with tarfile.open(path, "w", **options) as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


@pytest.fixture(scope="session", name="write_tar")
def write_tar_fixture():
    return write_tar
