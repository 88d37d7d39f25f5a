import pytest


@pytest.fixture(scope="session")
def exported(weights_path):
    """The ONNX form of the DigitNet in `weights_path`; made once, since calibration takes seconds."""
    from digitnet.training.export import to_onnx

    return to_onnx(weights_path)
