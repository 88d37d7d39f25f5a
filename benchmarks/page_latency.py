"""Time to read a page in a 12-megapixel photo, and an empty photo, after the first read; and the peak memory.

python benchmarks/page_latency.py
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import record

from digitnet.training.detector_run import page_maker

WIDTH, HEIGHT = 4000, 3000  # pixels
ENLARGED = 5  # the page is made small and enlarged this many times
REPEATS = 15
SCRIPT = """
import json, sys, time
from digitnet import Reader
reader = Reader()
seconds = []
for _ in range(int(sys.argv[2])):
    started = time.perf_counter()
    page = reader.read(sys.argv[1])
    seconds.append(time.perf_counter() - started)
status = dict(line.split(":", 1) for line in open("/proc/self/status") if ":" in line)
peak = int(status["VmHWM"].split()[0]) / 1024  # not ru_maxrss, which includes the parent process
print(json.dumps({"digits": len(page.digits), "seconds": seconds[1:], "peak_mb": peak}))
"""


def main() -> None:
    figures = {}
    made = a_note()
    with tempfile.TemporaryDirectory() as folder:
        for name, picture in (("written", made), ("empty", np.full_like(made, 200))):
            path = Path(folder) / f"{name}.jpg"
            photo = cv2.resize(picture, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
            cv2.imwrite(str(path), photo, [cv2.IMWRITE_JPEG_QUALITY, 90])
            command = [sys.executable, "-c", SCRIPT, str(path), str(REPEATS + 1)]
            told = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
            figures[name] = {
                "digits": told["digits"],
                "warm_read_seconds": record.spread(told["seconds"]),
                "peak_memory_mb": told["peak_mb"],
            }
    record.write("page_latency", {"pixels": [WIDTH, HEIGHT], **figures})


def a_note() -> npt.NDArray[np.uint8]:
    """A page of five lines of eight digits, `ENLARGED` times smaller than the photo."""
    rng = np.random.default_rng(7)
    note = page_maker().text(rng, "\n".join("".join(map(str, rng.integers(0, 10, 8))) for _ in range(5))).picture
    return np.asarray(cv2.resize(note, (WIDTH // ENLARGED, HEIGHT // ENLARGED), interpolation=cv2.INTER_CUBIC))


if __name__ == "__main__":
    main()
