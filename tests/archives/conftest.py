import io
import tarfile

import numpy as np
import pytest
from helpers import encoded
from PIL import Image


@pytest.fixture(scope="session")
def pngs(mnist_digits):
    """The files of 60 small pictures."""
    images, _ = mnist_digits
    return [encoded(Image.fromarray((255 * image).astype(np.uint8)), "PNG") for image in images[:60]]


@pytest.fixture
def shards(tmp_path, pngs):
    """Three tars with 20 pictures each, and a text among the pictures of the last one."""
    for number in range(3):
        members = {f"{number}/{place:02}.png": pngs[20 * number + place] for place in range(20)}
        if number == 2:
            members["2/notes.txt"] = b"no picture"
        write_tar(tmp_path / f"shard-{number}.tar", members)
    return tmp_path / "shard-*.tar"


def write_tar(path, members, **options):
    with tarfile.open(path, "w", **options) as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


@pytest.fixture(scope="session", name="write_tar")
def write_tar_fixture():
    return write_tar
