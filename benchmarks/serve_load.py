"""How many pictures `digitnet serve` reads a second, alone and beside hostile requests, and how soon it is ready.

python benchmarks/serve_load.py [--seconds 60] [--hostile-seconds 300]

The server and the hostile client each have a process. They talk over 127.0.0.1 and share the cores of the machine.
"""

import argparse
import asyncio
import io
import json
import statistics
import struct
import subprocess
import sys
import time
import urllib.request
import zlib
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import record
import uvloop
from PIL import Image

CONNECTIONS = 16
HOSTILE_A_SECOND = 200
STARTS = 9
WARM_SECONDS = 5.0
TOO_LARGE = 32 * 2**20 + 1
CHUNK = b"10000\r\n" + bytes(2**16) + b"\r\n"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--hostile-seconds", type=float, default=300)
    parser.add_argument("--hostile-to", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.hostile_to:
        print(json.dumps(uvloop.run(hostile(options.hostile_to, options.hostile_seconds))))
        return
    figures: dict[str, Any] = {"connections": CONNECTIONS, "picture": "28x28 PNG"}
    figures["cold_start_seconds"] = record.spread([cold_start() for _ in range(STARTS + 1)][1:])
    if options.seconds:
        with served() as (port, _):
            uvloop.run(friendly(port, WARM_SECONDS))
            figures["alone"] = uvloop.run(friendly(port, options.seconds))
    if options.hostile_seconds:
        figures["beside_hostile"] = beside_hostile(options.hostile_seconds)
    record.write("serve_load", figures)


def beside_hostile(seconds: float) -> dict[str, Any]:
    with served() as (port, pid):
        uvloop.run(friendly(port, WARM_SECONDS))
        before = memory_mb(pid)
        command = [sys.executable, __file__, "--hostile-to", str(port), "--hostile-seconds", str(seconds)]
        enemy = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        memory: list[float] = []
        figures = uvloop.run(friendly(port, seconds, lambda: memory.append(memory_mb(pid))))
        told = json.loads(enemy.communicate()[0])
        time.sleep(1)
        figures["server_memory_mb"] = {
            "before": before,
            "median": statistics.median(memory),
            "max": max(memory),
            "after": memory_mb(pid),
        }
        return {**figures, "hostile": told}


@contextmanager
def served() -> Iterator[tuple[int, int]]:
    """A server's port and process."""
    command = [sys.executable, "-m", "digitnet", "serve", "--port", "0"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=record.ROOT)
    try:
        assert server.stdout is not None
        yield int(server.stdout.readline().rstrip("/\n").rpartition(":")[2]), server.pid
    finally:
        server.terminate()
        server.wait(20)


def cold_start() -> float:
    """Seconds from the start of the process until it says that it is ready, over HTTP."""
    started = time.perf_counter()
    with served() as (port, _), urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=10) as answer:
        assert answer.status == 200
        return time.perf_counter() - started


def memory_mb(pid: int) -> float:
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.partition("VmRSS:")[2].split()[0]) / 1024


def digits() -> list[tuple[bytes, int]]:
    """28x28 PNG files, each with the digit that the reader answers for it."""
    from digitnet import Reader

    with np.load(record.ROOT / "digitnet" / "weights" / "digits.npz") as file:
        images = file["images"]
    files = []
    for image in images[:100]:
        content = io.BytesIO()
        Image.fromarray(255 - image).save(content, "PNG")
        files.append(content.getvalue())
    reader = Reader()
    return [(content, reader.predict(content).digit) for content in files]  # type: ignore[misc]


def post(body: bytes, kind: str = "image/png", path: str = "/v1/predict", host: str = "127.0.0.1") -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def answer_of(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    return int(head[9:12]), await reader.readexactly(length)


async def friendly(port: int, seconds: float, every_second: Callable[[], object] = lambda: None) -> dict[str, Any]:
    """Sends pictures of digits over `CONNECTIONS` connections; each sends the next one after the answer."""
    requests = [(post(content), digit) for content, digit in digits()]
    took: list[float] = []
    counts: Counter[str] = Counter()
    end = time.perf_counter() + seconds

    async def one(start: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        number = start
        while (started := time.perf_counter()) < end:
            number += 1
            request, digit = requests[number % len(requests)]
            writer.write(request)
            try:
                status, body = await answer_of(reader)
            except (OSError, asyncio.IncompleteReadError):
                counts["cut"] += 1
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                continue
            took.append(time.perf_counter() - started)
            counts[str(status)] += 1
            if status == 200 and json.loads(body)["digit"] != digit:
                counts["wrong"] += 1
        writer.close()

    async def watch() -> None:
        while True:
            every_second()
            await asyncio.sleep(1)

    watching = asyncio.create_task(watch())
    started = time.perf_counter()
    await asyncio.gather(*(one(7 * number) for number in range(CONNECTIONS)))
    elapsed = time.perf_counter() - started
    watching.cancel()
    milliseconds = np.array(took) * 1000
    return {
        "seconds": elapsed,
        "requests": len(took),
        "requests_per_second": len(took) / elapsed,
        "median_ms": float(np.median(milliseconds)),
        "p99_ms": float(np.quantile(milliseconds, 0.99)),
        "max_ms": float(milliseconds.max()),
        "statuses": dict(counts - Counter({"wrong": counts["wrong"]})),
        "wrong": counts["wrong"],
    }


def bomb(side: int) -> bytes:
    """A black PNG of `side` x `side` pixels, in few bytes."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    packer = zlib.compressobj(9)
    rows = b"".join(packer.compress(bytes(side + 1)) for _ in range(side)) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


async def hostile(port: int, seconds: float) -> dict[str, Any]:
    """Opens `HOSTILE_A_SECOND` connections a second; each sends something harmful."""
    rng = np.random.default_rng(5)
    too_many_pixels, all_that_may_be = bomb(20_000), bomb(7_900)
    garbage = rng.bytes(4000)
    statuses: dict[str, Counter[str]] = {}
    head = b"POST /v1/predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: image/png\r\n"

    async def sends(writer: asyncio.StreamWriter, content: bytes) -> None:
        writer.write(content)
        await writer.drain()

    async def slowly(writer: asyncio.StreamWriter, start: bytes) -> None:
        await sends(writer, start)
        for _ in range(60):
            await asyncio.sleep(1)
            await sends(writer, b"x")

    async def without_end(writer: asyncio.StreamWriter) -> None:
        await sends(writer, head + b"Transfer-Encoding: chunked\r\n\r\n")
        for _ in range(TOO_LARGE // 2**16 + 2):
            await sends(writer, CHUNK)

    async def cut(writer: asyncio.StreamWriter) -> None:
        await sends(writer, head + b"Content-Length: 5000\r\n\r\n" + garbage)
        writer.close()

    form = b"--b\r\nContent-Disposition: form-data; name=f; filename=f\r\n\r\nx\r\n"
    kinds: dict[str, tuple[int, Callable[[asyncio.StreamWriter], Awaitable[None]]]] = {
        "bomb": (40, lambda writer: sends(writer, post(too_many_pixels))),
        "garbage": (50, lambda writer: sends(writer, post(garbage))),
        "not HTTP": (10, lambda writer: sends(writer, garbage + b"\r\n\r\n")),
        "oversized": (25, lambda writer: sends(writer, head + b"Content-Length: %d\r\n\r\n" % TOO_LARGE)),
        "oversized, unannounced": (1, without_end),
        "slow body": (15, lambda writer: slowly(writer, head + b"Content-Length: 500\r\n\r\n")),
        "slow head": (10, lambda writer: slowly(writer, head)),
        "cut": (20, cut),
        "wrong type": (10, lambda writer: sends(writer, post(garbage, "text/plain"))),
        "wrong host": (10, lambda writer: sends(writer, post(garbage, host="evil.example"))),
        "many files": (7, lambda writer: sends(writer, post(form * 100, "multipart/form-data; boundary=b"))),
        "as large as may be": (2, lambda writer: sends(writer, post(all_that_may_be))),
    }
    shares = [share / HOSTILE_A_SECOND for share, _ in kinds.values()]

    async def attack(kind: str) -> None:
        writer = None
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            sending = asyncio.create_task(_quietly(kinds[kind][1](writer)))
            status, _ = await asyncio.wait_for(answer_of(reader), 70)
            sending.cancel()
            told = str(status)
        except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
            told = "cut" if not isinstance(error, TimeoutError) else "no answer"
        if writer is not None:
            writer.close()
        statuses.setdefault(kind, Counter())[told] += 1

    tasks = set()
    started = time.perf_counter()
    sent = 0
    while (now := time.perf_counter() - started) < seconds:
        while sent < now * HOSTILE_A_SECOND:
            task = asyncio.create_task(attack(str(rng.choice(list(kinds), p=shares))))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            sent += 1
        await asyncio.sleep(0.005)
    for task in tasks:
        task.cancel()
    return {
        "requests": sent,
        "requests_per_second": sent / (time.perf_counter() - started),
        "open_at_the_end": len(tasks),
        "statuses": {kind: dict(counts) for kind, counts in sorted(statuses.items())},
    }


async def _quietly(sending: Awaitable[None]) -> None:
    with suppress(OSError, RuntimeError):  # uvloop raises the latter where the server has closed the connection
        await sending


if __name__ == "__main__":
    main()
