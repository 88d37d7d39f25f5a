"""How soon after the end of a stroke the page of `digitnet serve` shows its reading, in headless Chromium.

python benchmarks/stroke_to_reading.py

The time from the pointerup event to the frame that shows the reading of the finished stroke. The stroke is drawn at
the pace of a hand, so that the page also reads the unfinished stroke, as it does for a user.
"""

import contextlib
import itertools
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator

import record
from playwright.sync_api import Page, sync_playwright

REPEATS = 60
WARM_UP = 5
STEPS = 10  # pointer events a line
PACE = 8  # milliseconds between two of them
DIGITS = {  # points of strokes, in fractions of the sheet's width
    "1": [(0.50, 0.12), (0.47, 0.56)],
    "2": [(0.38, 0.22), (0.47, 0.12), (0.60, 0.20), (0.38, 0.55), (0.63, 0.54)],
    "7": [(0.36, 0.14), (0.62, 0.13), (0.46, 0.56)],
}
NUMBER = [[(left, 0.20), (left + 0.15, 0.19), (left + 0.06, 0.46)] for left in (0.06, 0.38)]
LAST = [(0.70, 0.20), (0.85, 0.19), (0.76, 0.46)]
# The page writes only readings of finished strokes into the element #status, in the same task as it shows them.
WATCH = """() => {
    let ended = null;
    addEventListener("pointerup", (event) => { ended = event.timeStamp; }, true);
    new MutationObserver(() => {
        if (ended === null) return;
        const since = ended;
        ended = null;
        requestAnimationFrame(() => {
            const painted = new MessageChannel();
            painted.port1.onmessage = () => { window.shownAfter = performance.now() - since; };
            painted.port2.postMessage(null);
        });
    }).observe(document.getElementById("status"), { childList: true });
}"""


def main() -> None:
    with served_page() as page:
        strokes = [stroke for _, stroke in zip(range(WARM_UP + REPEATS), list(DIGITS.values()) * REPEATS, strict=False)]
        digit = [milliseconds(page, [], stroke) for stroke in strokes]
        number = [milliseconds(page, NUMBER, LAST) for _ in range(WARM_UP + REPEATS)]
        figures = {
            "browser": browser_of(page),
            "one_digit_milliseconds": record.spread(digit[WARM_UP:]),
            "number_of_three_milliseconds": record.spread(number[WARM_UP:]),
        }
    record.write("stroke_to_reading", figures)


@contextlib.contextmanager
def served_page(*options: str) -> Iterator[Page]:
    """The page of a `digitnet serve` of its own, watched for readings; `options` are those of the command."""
    command = [sys.executable, "-m", "digitnet", "serve", "--port", "0", *options]
    environment = {**os.environ, "PYTHONPATH": str(record.ROOT)}
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as server,
        sync_playwright() as playwright,
    ):
        assert server.stdout is not None
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(server.stdout.readline().strip())
        page.evaluate(WATCH)
        yield page
        browser.close()
        server.terminate()


def browser_of(page: Page) -> str:
    browser = page.context.browser
    assert browser is not None
    return f"Chromium {browser.version}, headless"


def milliseconds(page: Page, before: list[list[tuple[float, float]]], stroke: list[tuple[float, float]]) -> float:
    """The time from the end of `stroke` to its reading, on a sheet with only the strokes in `before`."""
    if page.locator("#clear").is_enabled():
        page.locator("#clear").click()
    for points in [*before, stroke]:
        page.evaluate("() => { window.shownAfter = null; }")
        write(page, points)
        page.wait_for_function("() => window.shownAfter !== null")
    return float(page.evaluate("() => window.shownAfter"))


def write(page: Page, points: list[tuple[float, float]]) -> None:
    box = page.locator("#sheet").bounding_box()
    assert box is not None
    places = [(box["x"] + x * box["width"], box["y"] + y * box["width"]) for x, y in points]
    page.mouse.move(*places[0])
    page.mouse.down()
    for (x0, y0), (x1, y1) in itertools.pairwise(places):
        for step in range(1, STEPS + 1):
            page.mouse.move(x0 + (x1 - x0) * step / STEPS, y0 + (y1 - y0) * step / STEPS)
            page.wait_for_timeout(PACE)
    page.mouse.up()


if __name__ == "__main__":
    main()
