"""The accuracy that main.py reaches in five minutes from the start of the process: that of the last saved cycle.

python benchmarks/five_minutes.py
"""

import json
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import record

SECONDS = 300


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model.pth"
        with subprocess.Popen([sys.executable, "main.py", "--model", str(model)], cwd=record.ROOT) as process:
            try:
                process.wait(SECONDS)
            except subprocess.TimeoutExpired:
                lines = (Path(folder) / "model.history.jsonl").read_text().splitlines()
            process.send_signal(signal.SIGINT)
    cycles = [json.loads(line) for line in lines]
    record.write(
        "five_minutes",
        {
            "seconds": SECONDS,
            "cycles": len(cycles),
            "test_percent": 100 * cycles[-1]["test_accuracy"],
            "validation_percent": 100 * cycles[-1]["validation_accuracy"],
            "test_percent_by_cycle": [round(100 * cycle["test_accuracy"], 2) for cycle in cycles],
        },
    )


if __name__ == "__main__":
    main()
