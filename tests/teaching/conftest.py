import pytest

from digitnet import Reader


@pytest.fixture(scope="session")
def lesson(reader, odd_hand):
    return reader.teach(*odd_hand)


@pytest.fixture(scope="session")
def taught_path(lesson, tmp_path_factory):
    path = tmp_path_factory.mktemp("taught") / "mine.onnx"
    path.write_bytes(lesson.model)
    return path


@pytest.fixture(scope="session")
def taught(taught_path):
    return Reader(taught_path)
