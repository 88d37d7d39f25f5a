"""How soon a correction in the page of `digitnet serve --learn` is learnt and changes a reading, in headless Chromium.

python benchmarks/correction_to_reading.py

A child draws mirrored digits, one kind after the other, and corrects those that are misread. Each time: from the click
on the correction until the page says what it has learnt from it, if anything, then from the end of the same stroke,
drawn again, until its reading is shown.
"""

import random
import tempfile
from typing import Any

import record
from playwright.sync_api import Page
from stroke_to_reading import DIGITS, browser_of, milliseconds, served_page

DRAWN = 12  # of each kind of digit
SHAKE = 0.02  # standard deviation of each point, in widths of the sheet
KINDS = {
    **DIGITS,
    "3": [(0.38, 0.16), (0.52, 0.12), (0.60, 0.22), (0.48, 0.32), (0.62, 0.44), (0.50, 0.56), (0.36, 0.50)],
    "6": [(0.60, 0.14), (0.44, 0.28), (0.40, 0.46), (0.50, 0.56), (0.60, 0.46), (0.50, 0.38), (0.41, 0.46)],
}
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
        clicked = null;
    }).observe(document.getElementById("draw-answer"), { childList: true, subtree: true, characterData: true });
}"""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, served_page("--corrections", folder, "--learn") as page:
        page.evaluate(WATCH_CORRECTIONS)
        figures = {"browser": browser_of(page), **corrected(page)}
    record.write("correction_to_reading", figures)


def corrected(page: Page) -> dict[str, Any]:
    rng = random.Random(0)
    learnt: list[float] = []
    total: list[float] = []
    changed = 0
    for digit, points in KINDS.items():
        for _ in range(DRAWN):
            stroke = [(1 - x + rng.gauss(0, SHAKE), y + rng.gauss(0, SHAKE)) for x, y in points]
            milliseconds(page, [], stroke)
            if reading(page) == digit:
                continue
            page.evaluate("() => { window.learntAfter = null; }")
            button = page.locator("#draw-answer").get_by_role("button", name=f"It is a {digit}")
            button.click()
            if "choose" in page.locator("#draw-answer .told").inner_text():  # the answer was sure, so the page asks
                button.click()
            page.wait_for_function("() => window.learntAfter !== null")
            learnt.append(page.evaluate("() => window.learntAfter"))
            total.append(learnt[-1] + milliseconds(page, [], stroke))
            changed += reading(page) == digit
    return {
        "drawn": DRAWN * len(KINDS),
        "read_as_corrected_afterwards": changed,
        "correction_to_learnt_milliseconds": record.spread(learnt),
        "correction_to_reading_milliseconds": record.spread(total),
    }


def reading(page: Page) -> str:
    return page.locator("#draw-answer .value").inner_text().strip().rstrip("?")  # the best guess


if __name__ == "__main__":
    main()
