import io
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def encoded(image, image_format, **options):
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


def run_python(*arguments, **options):
    """Runs this Python with the project importable, and gives the finished process with its output as text."""
    return subprocess.run(
        [sys.executable, *map(str, arguments)], capture_output=True, text=True, env=environment(), **options
    )


def environment():
    return {**os.environ, "PYTHONPATH": str(ROOT)}
