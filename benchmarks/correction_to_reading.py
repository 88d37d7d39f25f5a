"""How soon a correction in the page of `digitnet serve --learn` is learnt and changes a reading, in headless Chromium.

python benchmarks/correction_to_reading.py

A child draws mirrored 2s, and corrects those that are not read as a 2. Each time: from the click on the correction
until the page says that it was learnt, then from the end of the same stroke, drawn again, until its reading is shown.
"""

import os
import random
import shutil
import subprocess
import sys
import tempfile
from typing import Any

import record
from playwright.sync_api import Page, sync_playwright
from stroke_to_reading import DIGITS, WATCH, milliseconds

CORRECTIONS = 20
MOST_DRAWN = 200
SHAKE = 0.02  # standard deviation of each point, in widths of the sheet
MIRRORED = [(1 - x, y) for x, y in DIGITS["2"]]
# The page writes into .told what became of a correction.
WATCH_CORRECTIONS = """() => {
    let clicked = null;
    addEventListener("click", (event) => {
        if (event.target.getAttribute("aria-label")?.startsWith("It is a")) clicked = event.timeStamp;
    }, true);
    new MutationObserver(() => {
        const told = document.querySelector("#draw-answer .told")?.textContent;
        if (clicked === null || !/Learned|Kept/.test(told ?? "")) return;
        window.learntAfter = performance.now() - clicked;
        window.told = told;
        clicked = null;
    }).observe(document.getElementById("draw-answer"), { childList: true, subtree: true, characterData: true });
}"""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "digitnet", "serve", "--port", "0", "--corrections", folder, "--learn"]
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
            page.evaluate(WATCH_CORRECTIONS)
            figures = {"browser": f"Chromium {browser.version}, headless", **corrected(page)}
            browser.close()
            server.terminate()
    record.write("correction_to_reading", figures)


def corrected(page: Page) -> dict[str, Any]:
    rng = random.Random(0)
    learnt: list[float] = []
    total: list[float] = []
    changed = drawn = 0
    while len(total) < CORRECTIONS and drawn < MOST_DRAWN:
        drawn += 1
        stroke = [(x + rng.gauss(0, SHAKE), y + rng.gauss(0, SHAKE)) for x, y in MIRRORED]
        milliseconds(page, [], stroke)
        if reading(page) == "2":
            continue
        page.evaluate("() => { window.learntAfter = null; }")
        page.locator("#draw-answer").get_by_role("button", name="It is a 2").click()
        page.wait_for_function("() => window.learntAfter !== null")
        learnt.append(page.evaluate("() => window.learntAfter"))
        total.append(learnt[-1] + milliseconds(page, [], stroke))
        changed += reading(page) == "2"
    return {
        "drawn": drawn,
        "read_as_corrected_afterwards": changed,
        "correction_to_learnt_milliseconds": record.spread(learnt),
        "correction_to_reading_milliseconds": record.spread(total),
        "longest_milliseconds": max(total),
    }


def reading(page: Page) -> str:
    return page.locator("#draw-answer .value").inner_text().strip().rstrip("?")  # the best guess


if __name__ == "__main__":
    main()
