import pytest
from small_main import SmallMNIST


@pytest.fixture(scope="module")
def few_digits():
    """A MonkeyPatch for the module, with which made pages and strips are written with the first images of MNIST."""
    from digitnet import dataset
    from digitnet.training import detector_run

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(dataset, "MNIST", SmallMNIST)
        monkeypatch.setattr(detector_run, "MNIST", SmallMNIST)
        monkeypatch.setattr(detector_run, "HOLD_OUT", 500)
        detector_run.page_maker.cache_clear()
        yield monkeypatch
    detector_run.page_maker.cache_clear()
