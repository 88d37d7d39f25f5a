"""How fast pictures are read: warm, in bulk, and by a new process, compared with a script that loads PyTorch.

python benchmarks/latency.py
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import record
import torch
from PIL import Image

from digitnet import Reader
from digitnet.dataset import MNIST, find_mnist
from digitnet.model import DigitNet

sys.path.insert(0, str(record.ROOT / "samples"))
from scenes import Scene, render

BULK = 10_000  # pictures
PROCESSES = 9  # of each kind
TORCH_SCRIPT = """
import sys, torch
from PIL import Image
from torchvision.transforms import functional
from digitnet.model import DigitNet
model = DigitNet().eval()
model.load_state_dict(torch.load(sys.argv[1]))
image = functional.to_tensor(Image.open(sys.argv[2]).convert("L").resize((28, 28)))[None]
print(int(model(image).argmax()))
"""


def main() -> None:
    mnist = MNIST(find_mnist(), train=False)
    digits = mnist.data.numpy()[:BULK]  # (10000, 28, 28) uint8
    reader = Reader()
    with tempfile.TemporaryDirectory() as folder:
        small, large, weights = (Path(folder) / name for name in ("small.png", "large.jpg", "model.pth"))
        Image.fromarray(digits[0]).save(small)
        scene = Scene(width=4000, height=3000, digit_height=0.3)
        photo = render(digits[0].astype(np.float32) / 255, scene, np.random.default_rng(0))
        Image.fromarray(photo).save(large, quality=90)
        torch.save(DigitNet().state_dict(), weights)
        figures = {
            "warm_predict_ms": record.spread([1000 * seconds for seconds in warm(reader, digits[:2000])]),
            "warm_predict_12_megapixels_ms": record.spread([1000 * s for s in warm(reader, [str(large)] * 10)]),
            "bulk_images_per_second": record.spread([BULK / bulk(reader, digits) for _ in range(5)]),
            **cold(small, large, weights),
        }
    record.write("latency", figures)


def warm(reader: Reader, pictures: Iterable[Any]) -> list[float]:
    """Seconds for each picture."""
    seconds = []
    for picture in pictures:
        started = time.perf_counter()
        reader.predict(picture)
        seconds.append(time.perf_counter() - started)
    return seconds


def bulk(reader: Reader, digits: Iterable[Any]) -> float:
    """Seconds for all digits (N, 28, 28) together."""
    started = time.perf_counter()
    reader.predict_many(digits)
    return time.perf_counter() - started


def cold(small: Path, large: Path, weights: Path) -> dict[str, object]:
    """Seconds of whole processes. The kinds take turns, so that a slow moment of the machine slows all of them."""
    digitnet = str(Path(sys.executable).with_name("digitnet"))
    commands = {
        "small": [digitnet, "predict", str(small)],
        "large": [digitnet, "predict", str(large)],
        "torch": [sys.executable, "-c", TORCH_SCRIPT, str(weights), str(small)],
    }
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for turn in range(PROCESSES + 1):
        for name, command in commands.items():
            started = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True, cwd=record.ROOT)
            if turn:  # the first turn only fills the disk's cache
                seconds[name].append(time.perf_counter() - started)
    ratios = [torch_s / small_s for torch_s, small_s in zip(seconds["torch"], seconds["small"], strict=True)]
    return {
        "cold_28_pixels_seconds": record.spread(seconds["small"]),
        "cold_12_megapixels_seconds": record.spread(seconds["large"]),
        "torch_script_seconds": record.spread(seconds["torch"]),
        "torch_script_over_cold": record.spread(ratios),
    }


if __name__ == "__main__":
    main()
