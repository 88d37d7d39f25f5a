"""The page of `digitnet serve`, as its users meet it: in a browser, on a real server."""

import csv
import io
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from helpers import ROOT, encoded, environment
from PIL import Image

from digitnet import spreadsheet
from digitnet.serving.corrections import Corrections

SCREENSHOTS = os.environ.get("DIGITNET_SCREENSHOTS")  # a folder for the README's pictures of the page
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PAGES = ROOT / "sample_pages"
TABS = ("draw", "picture", "batch", "corrections")
# A usual screen, a phone, and a screen of 1280 x 800 at 400 %.
SIZES = [{"width": width, "height": height} for width, height in ((1280, 720), (320, 640), (320, 200))]
TOKEN = "a token of the tests"

NOTHING_SEEN = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
)

# Where its stroke goes, in parts of the sheet's width.
SEVEN = [(0.36, 0.14), (0.62, 0.13), (0.46, 0.56)]


def missing():
    """Why there can be no browser, or None."""
    if CHROMIUM is None:
        return "no Chromium here; install it with apt-get install chromium"
    try:
        import axe_playwright_python  # noqa: F401
        import fastapi  # noqa: F401
        import playwright  # noqa: F401
    except ImportError as error:
        return f"{error}; install it with pip install --requirement requirements-dev.txt"
    return None


if missing():
    if os.environ.get("DIGITNET_REQUIRE_BROWSER"):
        raise RuntimeError(f"DIGITNET_REQUIRE_BROWSER is set, but there is {missing()}")
    pytest.skip(missing(), allow_module_level=True)

from axe_playwright_python.sync_playwright import Axe  # noqa: E402
from playwright.sync_api import expect, sync_playwright  # noqa: E402

expect.set_options(timeout=30_000)  # milliseconds; other work may keep the machine busy


@contextmanager
def serving(*arguments, **variables):
    """A server on a free port; gives the address that it prints."""
    command = [sys.executable, "-m", "digitnet", "serve", "--port", "0", *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**environment(), **variables}) as server:
        try:
            yield server.stdout.readline().strip()
        finally:
            server.terminate()


@pytest.fixture(scope="module")
def corrections(tmp_path_factory):
    return tmp_path_factory.mktemp("corrections")


@pytest.fixture(scope="module")
def address(corrections):
    with serving("--corrections", corrections, "--max-error", 0.01) as address:
        yield address


@pytest.fixture(scope="module")
def browser():
    # One browser for all: each visitor has a context of its own, as a new profile would be.
    with sync_playwright() as playwright:
        camera = ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", *camera])
        yield browser
        browser.close()


class Visitor:
    """A page in a browser, with what its user does."""

    def __init__(self, browser, **settings):
        self.context = browser.new_context(**settings)
        self.page = self.context.new_page()
        self.page.set_default_timeout(30_000)
        self.errors, self.requests = [], []
        self.page.on("console", lambda message: message.type == "error" and self.errors.append(message.text))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))

    def open(self, address, tab="draw"):
        self.page.goto(address)
        expect(self.page.locator("#about")).to_contain_text("DigitNet")
        self.page.locator(f"#tab-{tab}").click()
        return self.page

    def stroke(self, points, *, lift=True):
        box = self.page.locator("#sheet").bounding_box()
        (x, y), *others = [(box["x"] + x * box["width"], box["y"] + y * box["width"]) for x, y in points]
        self.page.mouse.move(x, y)
        self.page.mouse.down()
        for x, y in others:
            self.page.mouse.move(x, y, steps=8)
        if lift:
            self.page.mouse.up()

    def show(self, path):
        """Gives a picture to the Picture tab, and waits until it is read."""
        self.page.locator("#picture-file").set_input_files(path)
        self.page.locator("#picture-result").wait_for()


@pytest.fixture
def visit(browser, address):
    """Makes visitors, and afterwards sees that none met an error or was sent anywhere else."""
    visitors = []

    def visit(**settings):
        visitors.append(Visitor(browser, **settings))
        return visitors[-1]

    yield visit
    for visitor in visitors:
        visitor.context.close()
        # What the browser itself notes of an answer that the page expects and shows.
        unexpected = [error for error in visitor.errors if not error.startswith("Failed to load resource: the server")]
        assert unexpected == []
        elsewhere = [url for url in visitor.requests if not url.startswith(("data:", "blob:", "http://127.0.0.1:"))]
        assert elsewhere == []


@pytest.fixture
def visitor(visit):
    return visit()


def value(page, answer="draw"):
    return page.locator(f"#{answer}-answer .value")


def said(page):
    """What those hear who do not see the page; of a drawing only its last reading, while `value` shows each."""
    return page.locator("#status")


def test_a_seven_that_is_drawn_is_read_with_its_probabilities_and_what_was_seen(visitor, address):
    page = visitor.open(address)
    visitor.stroke(SEVEN)
    expect(value(page)).to_have_text("7")
    expect(page.locator("#draw-answer .said")).to_contain_text("% sure")
    expect(page.locator("#draw-answer .bars .best")).to_contain_text("7")
    assert page.locator("#draw-answer .seen").evaluate("image => image.decode().then(() => image.naturalWidth)") == 28
    expect(said(page)).to_contain_text("7, ")


def test_several_digits_that_are_drawn_are_read_as_a_number(visitor, address):
    page = visitor.open(address)
    for left in (0.04, 0.28, 0.52, 0.76):
        visitor.stroke([(left, 0.2), (left + 0.15, 0.19), (left + 0.06, 0.46)])
    expect(said(page)).to_have_text("7777")
    expect(value(page)).to_have_text("7777")
    page.locator("#draw-answer .glyph").nth(2).click()
    page.keyboard.press("1")
    page.keyboard.press("1")  # the answer is sure, so the page has asked
    expect(value(page)).to_have_text("7717")


def test_undo_takes_back_a_stroke_and_clear_all_of_them(visitor, address):
    page = visitor.open(address)
    visitor.stroke(SEVEN)
    expect(value(page)).to_have_text("7")
    visitor.stroke([(0.1, 0.6), (0.9, 0.62)])
    visitor.stroke([(0.1, 0.1), (0.9, 0.12)])
    page.locator("#undo").click()
    page.keyboard.press("Control+z")  # the button has the focus now, so this must do nothing
    page.locator("#sheet").focus()
    page.keyboard.press("Control+z")
    expect(value(page)).to_have_text("7")
    page.locator("#clear").click()
    expect(value(page)).to_have_text("")
    page.locator("#undo").click()
    expect(value(page)).to_have_text("7")
    page.locator("#redo").click()
    expect(value(page)).to_have_text("")
    expect(page.locator("#redo")).to_be_disabled()


def test_a_drawing_is_still_read_when_its_tab_is_left_in_the_middle_of_a_stroke(visitor, address):
    page = visitor.open(address)
    visitor.stroke(SEVEN[:2])
    visitor.stroke(SEVEN[1:], lift=False)
    page.evaluate("document.getElementById('tab-picture').click()")
    expect(said(page)).to_contain_text("7, ")
    page.locator("#tab-draw").click()
    expect(value(page)).to_have_text("7")


def test_what_is_no_digit_is_called_so_in_plain_words(visitor, address):
    page = visitor.open(address)
    visitor.stroke([(0.3 + 0.3 * (step % 2), 0.1 + 0.04 * step) for step in range(12)])
    expect(value(page)).to_have_text("?")
    expect(page.locator("#draw-answer .said")).to_have_text("This does not look like a digit")


def test_a_dash_is_not_called_a_sheet_without_ink(visitor, address):
    page = visitor.open(address)
    visitor.stroke([(0.45, 0.3), (0.55, 0.3)])
    expect(page.locator("#draw-answer .said")).to_have_text(re.compile("digit"))
    expect(said(page)).to_have_text(re.compile("digit"))
    expect(page.locator("#draw-answer .said")).not_to_contain_text("ink")


def test_what_was_said_of_a_drawing_is_gone_and_grey_while_the_next_one_is_read(visitor, address):
    page = visitor.open(address)
    visitor.stroke(SEVEN)
    expect(said(page)).to_contain_text("7, ")
    held, is_held = [], True
    page.route("**/v1/*", lambda route: held.append(route) if is_held else route.continue_())
    visitor.stroke([(0.7, 0.14), (0.69, 0.56)])
    expect(said(page)).to_have_text("")
    expect(page.locator("#draw-answer")).to_have_class(re.compile("stale"))
    expect(page.locator("#draw-answer")).to_have_attribute("aria-busy", "true")
    is_held = False
    for route in held:
        route.continue_()
    expect(said(page)).not_to_have_text("")
    expect(page.locator("#draw-answer")).not_to_have_class(re.compile("stale"))


def answers_with(page, address, **answer):
    """Makes the server answer each reading with this digit, three times in a line where a number is asked for."""
    digit = {"box": [10, 10, 20, 30], "seen": NOTHING_SEEN, **answer}
    line = {"text": "???", "confidence": 0.1, "box": [10, 10, 80, 30], "note": None, "digits": [digit] * 3}
    found = {"predict": digit, "read": {"width": 100, "height": 50, "note": None, "lines": [line]}}
    page.route("**/v1/predict?*", lambda route: route.fulfill(json=found["predict"]))
    page.route("**/v1/read?*", lambda route: route.fulfill(json=found["read"]))


UNSURE = {
    "digit": None,
    "confidence": 0.3,
    "reason": "unsure: 7 or no digit",
    "best_guess": 7,
    "probabilities": [0, 0, 0, 0, 0, 0, 0, 1, 0, 0],
}


def test_the_bars_say_how_likely_there_is_no_digit(visitor, address):
    page = visitor.open(address)
    answers_with(page, address, **UNSURE)
    visitor.stroke(SEVEN)
    expect(value(page)).to_have_text("7?")
    bars = page.locator("#draw-answer .bars li")
    expect(bars).to_have_count(11)
    expect(bars.nth(7)).to_have_text("730.0%")
    expect(bars.nth(10)).to_have_text("none70.0%")
    expect(page.locator("#draw-answer .bars .best")).to_contain_text("none")


def test_a_doubtful_digit_of_a_drawn_number_shows_its_guess(visitor, address):
    page = visitor.open(address)
    answers_with(page, address, **UNSURE)
    visitor.stroke([(0.1, 0.3), (0.9, 0.3)])
    expect(page.locator("#draw-answer .glyph")).to_have_text(["7?", "7?", "7?"])


def test_strokes_are_redone_erased_and_drawn_with_another_pen(visitor, address):
    page = visitor.open(address)
    width = "() => document.getElementById('sheet').getContext('2d').lineWidth"
    visitor.stroke(SEVEN)
    medium = page.evaluate(width)
    expect(value(page)).to_have_text("7")
    page.locator("#pen").select_option("Thin")
    visitor.stroke([(0.06, 0.14), (0.24, 0.13), (0.12, 0.56)])
    page.wait_for_function(f"({width})() < {medium} * 0.75")
    expect(said(page)).to_contain_text("7")
    page.locator("#eraser").click()
    visitor.stroke([(0.05, 0.35), (0.3, 0.35)])
    expect(said(page)).to_contain_text("7, ")
    page.locator("#undo").click()
    expect(page.locator("#draw-answer .glyph")).to_have_count(2)
    page.locator("#sheet").focus()
    page.keyboard.press("Control+y")
    expect(said(page)).to_contain_text("7, ")
    expect(page.locator("#redo")).to_be_disabled()
    visitor.stroke([(0.9, 0.6), (0.95, 0.6)])  # meets nothing
    page.locator("#undo").click()
    expect(page.locator("#draw-answer .glyph")).to_have_count(2)


def test_a_picture_shows_its_numbers_with_a_box_for_each_digit(visitor, address):
    page = visitor.open(address, "picture")
    visitor.show(PAGES / "sums.jpg")
    lines = page.locator("#lines li").all_inner_texts()
    assert [len(line) for line in lines] == [3, 4, 2, 4]
    assert lines[3] == "4281"
    assert page.locator("#picture-figure .box").count() == 13
    abstained = "".join(lines).count("?")
    assert page.locator("#picture-figure .box.abstained").count() == page.locator("#lines mark").count() == abstained
    picture, overlay = (page.locator(f"#picture-figure {name}").bounding_box() for name in ("img", "svg"))
    assert picture == overlay


def drag(page, box, place):
    """Drags from one corner of a box [x, y, w, h] in pixels of the shown picture to the other."""
    shown = page.locator("#picture-figure svg").bounding_box()
    scale = shown["width"] / place
    left, top, width, height = (part * scale for part in box)
    page.mouse.move(shown["x"] + left, shown["y"] + top)
    page.mouse.down()
    page.mouse.move(shown["x"] + left + width, shown["y"] + top + height, steps=4)
    page.mouse.up()


def test_a_missed_number_is_read_in_a_box_that_the_user_draws_and_a_wrong_box_is_removed(visitor, address):
    page = visitor.open(address, "picture")
    visitor.show(PAGES / "sums.jpg")
    lines = page.locator("#lines li")
    expect(lines.nth(3)).to_have_text("4281")
    boxes = page.locator("#picture-figure .box")
    places = (
        boxes.nth(12).locator("rect").evaluate("rect => ['x', 'y', 'width', 'height'].map(n => +rect.getAttribute(n))")
    )
    boxes.nth(12).click()
    page.keyboard.press("Delete")
    expect(lines.nth(3)).to_have_text("428")
    expect(boxes).to_have_count(12)
    page.locator("#box-undo").click()
    expect(lines.nth(3)).to_have_text("4281")
    boxes.nth(12).click()
    page.locator("#box-remove").click()
    expect(lines.nth(3)).to_have_text("428")
    page.locator("#box-add").click()
    x, y, width, height = places
    drag(page, [x - 4, y - 4, width + 8, height + 8], size_of(PAGES / "sums.jpg")[0])
    expect(lines.nth(3)).to_have_text(re.compile("428[1?]"))  # alone it may be less sure
    after = (
        boxes.nth(12).locator("rect").evaluate("rect => ['x', 'y', 'width', 'height'].map(n => +rect.getAttribute(n))")
    )
    assert np.abs(np.subtract(places, after)).max() <= 0.25 * height  # it is read again in a picture of another size
    expect(page.locator("#picture-answer .seen")).to_be_visible()
    choose(page, 1, "picture")
    is_kept(page.locator("#picture-answer .told"))


def test_a_box_is_drawn_with_keys_and_an_empty_one_is_told(visitor, address, seven, tmp_path):
    picture = Image.new("L", (600, 400), 255)
    picture.paste(seven, (440, 240))
    picture.save(tmp_path / "7.png")
    page = visitor.open(address, "picture")
    visitor.show(tmp_path / "7.png")
    boxes = page.locator("#picture-figure .box")
    expect(boxes).to_have_count(1)
    page.locator("#box-add").press("Enter")
    for key in ["ArrowLeft"] * 20 + ["ArrowUp"] * 20 + ["Enter"]:
        page.keyboard.press(key)
    expect(page.locator("#picture-problem")).to_contain_text("No digit found in this box")
    page.locator("#box-remove").click()
    expect(boxes).to_have_count(0)
    page.locator("#box-add").press("Enter")
    for key in (
        ["Shift+ArrowRight"] * 5 + ["Shift+ArrowDown"] * 5 + ["ArrowRight"] * 30 + ["ArrowDown"] * 30 + ["Enter"]
    ):
        page.keyboard.press(key)
    expect(boxes).to_have_count(1)
    expect(page.locator("#lines")).to_have_text(re.compile("[7?]"))
    page.locator("#box-add").press("Enter")
    page.keyboard.press("Escape")
    expect(page.locator("#box-add")).to_have_attribute("aria-pressed", "false")


def test_a_picture_is_turned_zoomed_and_read_again(visitor, address, tmp_path):
    with Image.open(PAGES / "sums.jpg") as upright:
        upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "side.jpg", quality=95)
        width, height = upright.size
    page = visitor.open(address, "picture")
    visitor.show(tmp_path / "side.jpg")
    page.locator("#picture-turn").click()
    expect(page.locator("#picture-name")).to_contain_text(f"side.jpg, {width} \u00d7 {height}")
    expect(page.locator("#lines li").nth(3)).to_have_text("4281")
    before = page.locator("#picture-figure svg").bounding_box()["width"]
    page.locator("#zoom-in").click()
    assert page.locator("#picture-figure svg").bounding_box()["width"] == pytest.approx(1.5 * before, rel=0.02)
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280
    page.locator("#zoom-out").click()
    page.locator("#picture-figure .box").nth(12).click()
    page.locator("#box-remove").click()
    expect(page.locator("#lines li").nth(3)).to_have_text("428")
    page.locator("#picture-again").click()
    expect(page.locator("#lines li").nth(3)).to_have_text("4281")


def test_a_picture_that_the_browser_cannot_show_is_read_and_not_shown_as_broken(visitor, address, tmp_path):
    with Image.open(PAGES / "sums.jpg") as picture:
        picture.save(tmp_path / "sums.tiff")
    page = visitor.open(address, "picture")
    visitor.show(tmp_path / "sums.tiff")
    expect(page.locator("#lines li").nth(3)).to_have_text("4281")
    expect(page.locator("#picture-unshown")).to_contain_text("cannot show")
    expect(page.locator("#picture-figure img")).not_to_have_attribute("src", re.compile("."))
    shown = page.locator("#picture-figure svg").bounding_box()
    width, height = size_of(PAGES / "sums.jpg")
    assert shown["width"] / shown["height"] == pytest.approx(width / height, rel=0.01)
    expect(page.locator("#box-add")).to_be_disabled()


def size_of(path):
    with Image.open(path) as image:
        return image.size


def test_an_example_is_read_and_saved_as_csv_json_and_picture(visitor, address):
    page = visitor.open(address, "picture")
    page.get_by_role("button", name="sums on a sheet").click()
    expect(page.locator("#lines li").nth(3)).to_have_text("4281")

    def saved(name):
        with page.expect_download() as download:
            page.locator(f"#picture-{name}").click()
        return download.value.path()

    rows = list(csv.DictReader(io.StringIO(saved("csv").read_text("utf-8-sig"))))
    assert rows[3]["text"] == "4281"
    told = json.loads(saved("json").read_text())
    assert (told["file"], told["lines"][3]["text"]) == ("example-sums.jpg", "4281")
    assert set(told["lines"][3]["digits"][0]) == {
        *("digit", "confidence", "reason", "best_guess", "probabilities", "box"),
    }
    assert size_of(saved("jpeg")) == (told["width"], told["height"])


def test_a_drawing_is_copied(visit, address):
    visitor = visit(permissions=["clipboard-read", "clipboard-write"])
    page = visitor.open(address)
    expect(page.locator("#draw-copy")).to_be_disabled()
    visitor.stroke(SEVEN)
    expect(said(page)).to_contain_text("7, ")
    page.locator("#draw-copy").click()
    expect(page.locator("#draw-copy")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == "7"


def test_settings_hold_for_each_reading(visitor, address):
    page = visitor.open(address, "picture")
    visitor.show(PAGES / "sums.jpg")

    def set_(**settings):
        page.locator("#settings-open").click()
        for name, wanted in settings.items():
            field = page.locator(f"#settings-{name}")
            field.fill(wanted) if name in ("length", "pattern") else field.select_option(wanted)
        page.locator("#settings-close").click()
        page.locator("#picture-result").wait_for()

    with page.expect_request("**/v1/read?*") as request:
        set_(careful="always", length="4")
    assert {"always=true", "length=4"} <= set(request.value.url.partition("?")[2].split("&"))
    expect(page.locator("#settings-open")).to_have_class(re.compile("active"))
    page.locator("#tab-draw").click()
    page.locator("#settings-open").click()
    page.locator("#settings-reset").click()
    page.locator("#settings-close").click()
    expect(page.locator("#settings-open")).not_to_have_class(re.compile("active"))
    with page.expect_request("**/v1/predict?*") as request:
        visitor.stroke(SEVEN)
    assert "max_error" not in request.value.url


def test_the_address_says_which_tab_is_open_and_back_goes_back(visitor, address):
    page = visitor.open(address)
    page.locator("#tab-picture").click()
    assert page.url.endswith("/#picture")
    page.locator("#tab-corrections").click()
    page.go_back()
    expect(page.locator("#picture")).to_be_visible()
    page.go_back()
    expect(page.locator("#draw")).to_be_visible()
    page.goto(f"{address}#corrections")
    page.reload()
    expect(page.locator("#corrections")).to_be_visible()
    expect(page.locator("#tab-corrections")).to_have_attribute("aria-selected", "true")


def test_what_was_drawn_and_read_in_this_session_is_listed_and_shown_again(visitor, address):
    page = visitor.open(address)
    expect(page.locator("#session")).to_be_hidden()
    visitor.stroke(SEVEN[:2])
    visitor.stroke(SEVEN[1:])
    expect(said(page)).to_contain_text("7, ")
    page.locator("#clear").click()
    page.locator("#tab-picture").click()
    visitor.show(PAGES / "sums.jpg")
    page.locator("#session summary").click()
    expect(page.locator("#session li")).to_have_count(2)
    expect(page.locator("#session li").nth(0)).to_contain_text("4281")
    page.locator("#session li button").nth(1).click()
    expect(page.locator("#draw")).to_be_visible()
    expect(value(page)).to_have_text("7")
    expect(page.locator("#session li")).to_have_count(3)
    page.locator("#session li button").nth(1).click()
    expect(page.locator("#lines li").nth(3)).to_have_text("4281")


def test_a_dropped_and_a_pasted_picture_are_read(visitor, address):
    page = visitor.open(address)
    for event in ("drop", "paste"):
        content = list((PAGES / "sums.jpg").read_bytes())
        page.evaluate(
            """([event, content]) => {
                const files = new DataTransfer();
                files.items.add(new File([new Uint8Array(content)], `${event}.jpg`, { type: "image/jpeg" }));
                const init = { bubbles: true, cancelable: true, dataTransfer: files, clipboardData: files };
                const Event = { drop: DragEvent, paste: ClipboardEvent }[event];
                document.getElementById("sheet").dispatchEvent(new Event(event, init));
            }""",
            [event, content],
        )
        expect(page.locator("#picture-name")).to_contain_text(f"{event}.jpg")
        expect(page.locator("#lines")).to_contain_text("4281")


def test_a_photo_from_the_camera_is_read(visitor, address):
    page = visitor.open(address, "picture")
    page.locator("#picture-camera").click()
    page.locator("#camera-shoot:enabled").click()
    expect(page.locator("#picture-name")).to_contain_text("photo.jpg")


def test_the_lines_are_copied(visit, address):
    visitor = visit(permissions=["clipboard-read", "clipboard-write"])
    page = visitor.open(address, "picture")
    visitor.show(PAGES / "sums.jpg")
    page.locator("#copy").click()
    expect(page.locator("#copy")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()").split("\n")[3] == "4281"


def test_a_corrected_digit_is_kept_in_the_folder_of_corrections(visitor, address, corrections):
    page = visitor.open(address, "picture")
    visitor.show(PAGES / "sums.jpg")
    page.locator("#picture-figure .box").nth(12).click()
    choose(page, 8, "picture")
    name = is_kept(page.locator("#picture-answer .told"))
    expect(page.locator("#lines li").nth(3)).to_have_text("4288")
    with open(corrections / "labels.csv", newline="") as file:
        kept = {row["file"]: row for row in csv.DictReader(file)}
    assert kept[name]["label"] == "8"
    assert (corrections / name).exists()
    assert (corrections / kept[name]["seen"]).exists()


def kept_in(folder):
    """File and label of each correction."""
    return [(one.file, one.label) for one in Corrections(folder).all()]


def is_kept(told):
    """The name of the file in which a correction is kept, by what the page told."""
    expect(told).to_contain_text(re.compile(r"Kept as an? \d in"))
    return told.inner_text().split()[-1]


def choose(page, digit, answer="draw"):
    """Corrects the shown digit; a second time if the page asks."""
    for told in ("", "choose"):
        if told in page.locator(f"#{answer}-answer .told").inner_text():
            name = f"It is a{'n' if digit == 8 else ''} {digit}"
            page.locator(f"#{answer}-answer").get_by_role("button", name=name).click()


def test_a_correction_that_the_server_refused_can_be_repeated(visitor, address, corrections):
    page = visitor.open(address)
    visitor.stroke(SEVEN)
    expect(said(page)).to_contain_text("7, ")
    told = page.locator("#draw-answer .told")
    page.route("**/v1/corrections?*", lambda route: route.fulfill(status=500, json={"detail": "the disk is full"}))
    choose(page, 7)
    expect(told).to_have_text("Not kept, try again: the disk is full")
    page.unroute("**/v1/corrections?*")
    choose(page, 7)
    file = is_kept(told)
    assert dict(kept_in(corrections))[file] == 7


def test_a_second_label_replaces_the_first_and_undo_takes_each_back(visitor, address, corrections):
    page = visitor.open(address)
    visitor.stroke(SEVEN)
    expect(said(page)).to_contain_text("7, ")
    before = kept_in(corrections)
    told, undo = (page.locator(f"#draw-answer .{name}") for name in ("told", "undo"))
    for digit in (7, 1):
        choose(page, digit)
        expect(told).to_contain_text(f"Kept as a {digit}")
    file = is_kept(told)
    assert kept_in(corrections) == [*before, (file, 1)]
    undo.click()
    expect(told).to_contain_text("Kept as a 7")
    assert kept_in(corrections) == [*before, (file, 7)]
    expect(undo).to_be_visible()
    undo.click()
    expect(told).to_have_text("Taken back")
    assert kept_in(corrections) == before
    expect(undo).to_be_hidden()
    expect(value(page)).to_have_text("7")
    expect(page.locator("#draw-answer .said")).to_contain_text("% sure")


def test_a_slip_of_the_key_against_a_sure_answer_is_asked_about_and_not_kept(visitor, address, corrections):
    page = visitor.open(address)
    visitor.stroke(SEVEN)
    expect(said(page)).to_contain_text("7, over 99.9%")
    page.locator("#sheet").focus()
    page.keyboard.press("8")
    told = page.locator("#draw-answer .told")
    expect(told).to_have_text("over 99.9% sure that it is a 7. Is it an 8? Then choose 8 again.")
    expect(value(page)).to_have_text("7")
    assert not any("/v1/corrections?" in url for url in visitor.requests)
    page.keyboard.press("1")  # another slip
    expect(told).to_contain_text("Is it a 1?")
    page.keyboard.press("1")
    expect(told).to_contain_text("Kept as a 1")


def test_of_a_drawn_number_the_corrected_digit_is_kept_alone(visitor, address, corrections, reader):
    page = visitor.open(address)
    visitor.stroke([(0.16, 0.14), (0.15, 0.56)])
    visitor.stroke(SEVEN)
    expect(said(page)).to_have_text(re.compile(r"^.7$"))  # the whole of it is read
    page.locator(".glyph").nth(1).click()
    choose(page, 2)
    kept = reader.predict(corrections / is_kept(page.locator("#draw-answer .told")))
    expect(page.locator(".glyph").nth(1)).to_have_text("2")
    assert kept.best_guess == 7
    assert kept.box.height == pytest.approx(0.45 * 140, rel=0.1)  # the 7's part of a sheet 140 pixels wide


@pytest.fixture
def learning(tmp_path, seven):
    """A server that learns, and its folder, which holds a 1, a 2 and a 3."""
    corrections = Corrections(tmp_path)
    for label in (1, 2, 3):
        corrections.keep(encoded(seven, "PNG"), np.zeros((28, 28), np.float32), label)
    with serving("--corrections", tmp_path, "--learn", OMP_NUM_THREADS="1") as address:
        yield address, corrections


def kept_labels(page):
    return page.locator("#corrections-list button")


def test_corrections_are_relabelled_deleted_and_restored_with_keys(visitor, learning):
    address, corrections = learning
    page = visitor.open(address)
    page.locator("#tab-draw").focus()
    page.keyboard.press("ArrowLeft")
    expect(kept_labels(page)).to_have_text(["3", "2", "1"])
    picture = page.locator("#corrections-list img").first
    expect(picture).to_have_js_property("naturalWidth", 120)
    page.keyboard.press("Tab")  # "Undo last"
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("8")
    expect(kept_labels(page)).to_have_text(["3", "8", "1"])
    expect(page.locator("#corrections-told")).to_contain_text("Changed to an 8")
    expect(kept_labels(page).nth(1)).to_be_focused()
    page.locator("#corrections-restore").press("Enter")
    expect(kept_labels(page)).to_have_text(["3", "2", "1"])
    expect(page.locator("#corrections-told")).to_contain_text("Changed back to a 2")
    expect(kept_labels(page).nth(1)).to_be_focused()
    page.keyboard.press("8")
    expect(kept_labels(page)).to_have_text(["3", "8", "1"])
    page.keyboard.press("Delete")
    expect(kept_labels(page)).to_have_text(["3", "1"])
    expect(kept_labels(page).nth(1)).to_be_focused()
    assert [correction.label for correction in corrections.all()] == [1, 3]
    page.locator("#corrections-restore").press("Enter")
    expect(kept_labels(page)).to_have_text(["8", "3", "1"])
    expect(page.locator("#corrections-restore")).to_be_hidden()
    page.locator("#corrections-undo").press("Enter")
    expect(kept_labels(page)).to_have_text(["3", "1"])
    assert_no_barrier(page)


def test_a_correction_says_what_was_learnt_and_a_phone_can_take_it_back(visit, learning):
    address, corrections = learning
    visitor = visit(viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True, device_scale_factor=2)
    page = visitor.open(address)
    visitor.stroke(SEVEN)
    expect(value(page)).to_have_text("7")
    page.locator("#draw-answer").get_by_role("button", name="It is a 7").tap()
    told = page.locator("#draw-answer .told")
    expect(told).to_have_text(re.compile("^(Learned from 4 corrections|Kept; not learnt yet: .+)$"))
    page.locator("#tab-corrections").tap()
    expect(kept_labels(page)).to_have_text(["7", "3", "2", "1"])
    kept_labels(page).nth(2).tap()
    page.locator("#corrections-digits").get_by_role("button", name="It is a 7").tap()
    expect(kept_labels(page)).to_have_text(["7", "3", "7", "1"])
    page.locator("#corrections-delete").tap()
    expect(kept_labels(page)).to_have_text(["7", "3", "1"])
    assert [correction.label for correction in corrections.all()] == [1, 3, 7]
    assert page.evaluate("document.documentElement.scrollWidth") == 360


def test_without_a_folder_for_corrections_the_page_says_that_nothing_is_kept(visit):
    with serving() as address:
        visitor = visit()
        page = visitor.open(address)
        host = address.removeprefix("http://").rstrip("/")
        expect(page.locator("#privacy")).to_contain_text(f"only to the DigitNet server at {host}, and to nobody else")
        expect(page.locator("#privacy")).to_contain_text("The server keeps nothing")
        visitor.stroke(SEVEN)
        expect(said(page)).to_contain_text("7, ")
        choose(page, 1)
        expect(value(page)).to_have_text("1")
        expect(page.locator("#draw-answer .told")).to_contain_text("--corrections DIR")
        assert not any("/v1/corrections" in url for url in visitor.requests)
        expect(page.locator("#tab-corrections")).to_be_hidden()


def test_the_token_leaves_the_address_bar_and_is_asked_for_where_it_is_missing(visit):
    with serving(DIGITNET_TOKEN=TOKEN.replace(" ", "-")) as address:
        page = visit().open(address)  # with #token=...
        assert "token" not in page.url
        visitor = visit()
        page = visitor.page
        page.goto(address.split("#")[0])
        for given in ("wrong", TOKEN.replace(" ", "-")):
            page.get_by_label("Token", exact=True).fill(given)
            page.get_by_role("button", name="Continue").click()
            if given == "wrong":
                expect(page.locator("#token-problem")).to_contain_text("not the token")
        expect(page.locator("#about")).to_contain_text("DigitNet")
        visitor.stroke(SEVEN)
        expect(value(page)).to_have_text("7")


def test_a_token_with_a_percent_sign_is_taken_as_it_is(visit):
    with serving(DIGITNET_TOKEN="100%") as address:
        page = visit().page
        page.goto(address.split("#")[0] + "#token=100%")
        expect(page.locator("#about")).to_contain_text("DigitNet")
        assert "token" not in page.url


def test_all_of_it_can_be_done_with_the_keyboard(visitor, address):
    page = visitor.open(address)
    page.locator("#tab-draw").focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    for key in ["ArrowRight"] * 12 + ["ArrowDown", "ArrowDown", "ArrowLeft"] * 8:
        page.keyboard.press(key)
    page.keyboard.press("Space")
    expect(said(page)).to_contain_text("7, ")
    expect(value(page)).to_have_text("7")
    page.keyboard.press("1")
    page.keyboard.press("1")
    expect(value(page)).to_have_text("1")
    page.keyboard.press("Delete")
    expect(value(page)).to_have_text("")

    page.locator("#tab-draw").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#picture")).to_be_visible()
    visitor.show(PAGES / "sums.jpg")
    page.locator("#picture-figure .box[tabindex='0']").focus()
    page.keyboard.press("End")
    page.keyboard.press("Enter")
    expect(value(page, "picture")).to_have_text("1")
    page.keyboard.press("3")
    page.keyboard.press("3")
    expect(page.locator("#lines li").nth(3)).to_have_text("4283")


def test_a_batch_goes_on_after_a_broken_file_and_is_saved_as_csv(visitor, address, tmp_path):
    page = visitor.open(address, "batch")
    broken = tmp_path / "=broken.png"
    broken.write_text("no picture")
    page.locator("#batch-files").set_input_files([PAGES / "amount.jpg", broken, PAGES / "sums.jpg"])
    expect(page.locator("#batch-count")).to_contain_text("3 of 3 done")
    expect(page.locator("#batch-count")).to_contain_text("1 could not be read")
    expect(page.locator("#batch-cancel")).to_be_hidden()
    expect(page.locator("#batch-rows tr").nth(1)).to_contain_text("not a picture")
    with page.expect_download() as download:
        page.locator("#batch-csv").click()
    rows = list(csv.DictReader(io.StringIO(download.value.path().read_text("utf-8-sig"))))
    files = [row["file"] for row in rows]
    assert list(dict.fromkeys(files)) == ["amount.jpg", "'=broken.png", "sums.jpg"]
    assert files[-4:] == ["sums.jpg"] * 4
    assert rows[files.index("'=broken.png")]["error"]
    assert rows[-1]["text"] == "4281"
    assert float(rows[-1]["confidence"]) > 0.5

    expect(page.locator("#batch-rows tr:visible")).to_have_count(3)
    page.locator("#batch-doubtful").check()
    doubtful = page.locator("#batch-rows tr:has(mark)").count()
    expect(page.locator("#batch-rows tr:visible")).to_have_count(doubtful)
    page.locator("#batch-doubtful").uncheck()

    page.locator("#batch-rows button").nth(2).click()
    expect(page.locator("#lines li").nth(3)).to_have_text("4281")


@pytest.mark.parametrize(
    "name", ["0522", "1234567890123456", "12 34", "=1+1", "\n=1", "a\nb", 'a"b,c', "4096", "0.jpg", "7 é"]
)
def test_the_page_guards_the_cells_of_a_table_as_the_command_line_does(visitor, address, name):
    page = visitor.open(address, "batch")
    table = page.evaluate("(name) => import('/web/table.js').then(({ csv }) => csv([{ name, error: name }]))", name)
    assert table.startswith("\ufefffile,")
    assert table.partition("\r\n")[2] == spreadsheet.row([name, "", "", "", "", name]) + "\r\n"


def test_a_batch_can_be_cancelled_and_waits_where_the_server_is_busy(visitor, address):
    page = visitor.open(address, "batch")
    answers = iter([503, 200])

    def answer(route):
        if next(answers, 200) == 503:
            route.fulfill(status=503, headers={"Retry-After": "1"}, json={"detail": "too many"})
        else:
            route.continue_()

    page.route("**/v1/read?*", answer)
    page.locator("#batch-files").set_input_files([PAGES / "amount.jpg"])
    expect(page.locator("#batch-count")).to_contain_text("1 of 1 done")
    expect(page.locator("#batch-rows .failed")).to_have_count(0)

    page.unroute("**/v1/read?*")
    page.route("**/v1/read?*", lambda route: None)  # no answer ever
    page.locator("#batch-files").set_input_files([PAGES / "amount.jpg", PAGES / "sums.jpg"])
    page.locator("#batch-cancel").click()
    expect(page.locator("#batch-cancel")).to_be_hidden()
    expect(page.locator("#batch-count")).to_contain_text("0 of 2 done")


def test_a_folder_is_read_with_the_pictures_in_it_only(visitor, address, tmp_path):
    inside = tmp_path / "notes" / "older"
    inside.mkdir(parents=True)
    shutil.copy(PAGES / "sums.jpg", inside)
    (inside / "readme.txt").write_text("no picture")
    page = visitor.open(address, "batch")
    page.locator("#batch-folder").set_input_files(tmp_path / "notes")
    expect(page.locator("#batch-count")).to_contain_text("1 of 1 done")
    expect(page.locator("#batch-rows button")).to_have_text("notes/older/sums.jpg")


def test_a_file_name_is_text_whatever_is_in_it(visitor, address, tmp_path):
    hostile = tmp_path / '<img src=x onerror="alert(1)">.jpg'
    shutil.copy(PAGES / "sums.jpg", hostile)
    broken = tmp_path / "<b>broken.png"
    broken.write_text("no picture")
    page = visitor.open(address, "picture")
    visitor.show(hostile)
    expect(page.locator("#picture-name")).to_contain_text(hostile.name)
    page.locator("#picture-file").set_input_files(broken)
    expect(page.locator("#picture-problem")).to_contain_text("<b>broken.png")
    page.locator("#tab-batch").click()
    page.locator("#batch-files").set_input_files([hostile, broken])
    expect(page.locator("#batch-count")).to_contain_text("2 of 2 done")
    expect(page.locator("#batch-rows")).to_contain_text(hostile.name)
    assert page.locator("#picture-name img, #batch-rows img, #batch-rows b").count() == 0


def test_a_phone_shows_all_of_it_and_does_not_scroll_while_one_draws(visit, address):
    visitor = visit(viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True, device_scale_factor=2)
    page = visitor.open(address)
    box = page.locator("#sheet").bounding_box()
    session = visitor.context.new_cdp_session(page)

    def touch(kind, *points):
        places = [{"x": box["x"] + x * box["width"], "y": box["y"] + y * box["width"]} for x, y in points]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": places})

    touch("touchStart", SEVEN[0])
    for start, end in itertools.pairwise(SEVEN):
        for part in range(1, 9):
            touch("touchMove", tuple(a + (b - a) * part / 8 for a, b in zip(start, end, strict=True)))
    touch("touchEnd")
    expect(value(page)).to_have_text("7")
    assert page.evaluate("scrollY") == 0
    for tab in TABS:
        page.locator(f"#tab-{tab}").tap()
        if tab == "picture":
            expect(page.locator("#picture-capture")).to_be_visible()
            visitor.show(PAGES / "phone.jpg")
        if tab == "batch":
            page.locator("#batch-files").set_input_files([PAGES / "phone.jpg", PAGES / "card.jpg"])
            expect(page.locator("#batch-count")).to_contain_text("2 of 2 done")
        assert page.evaluate("document.documentElement.scrollWidth") == 360


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("colours", ["light", "dark", "forced"])
def test_no_barrier_in_any_tab(visit, address, colours, size):
    forced, scheme = ("active", "light") if colours == "forced" else ("none", colours)
    visitor = visit(color_scheme=scheme, forced_colors=forced, reduced_motion="reduce", viewport=size)
    page = visitor.open(address)
    assert_no_barrier(page)
    page.locator("#settings-open").click()
    assert_no_barrier(page)
    page.locator("#settings-close").click()
    page.locator("#sheet").evaluate("sheet => sheet.scrollIntoView()")  # a low screen begins above it
    visitor.stroke(SEVEN)
    expect(value(page)).to_have_text("7")
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(16, 16, 19)"
    assert dark == (colours == "dark")
    assert_no_barrier(page)
    page.locator("#tab-picture").click()
    assert_no_barrier(page)
    visitor.show(PAGES / "phone.jpg")
    assert_no_barrier(page)
    page.locator("#tab-batch").click()
    page.locator("#batch-files").set_input_files([PAGES / "phone.jpg"])
    expect(page.locator("#batch-count")).to_contain_text("1 of 1 done")
    assert_no_barrier(page)
    page.locator("#tab-corrections").click()
    expect(page.locator("#corrections-count")).not_to_be_empty()
    page.locator("#session summary").click()
    assert_no_barrier(page)


def assert_no_barrier(page):
    violations = Axe().run(page).response["violations"]
    assert [(violation["id"], violation["nodes"][0]["html"]) for violation in violations] == []


def is_on_the_screen(locator):
    box, size = locator.bounding_box(), locator.page.viewport_size
    return box["x"] >= 0 and box["x"] + box["width"] <= size["width"] and box["y"] + box["height"] <= size["height"]


@pytest.mark.parametrize("size", SIZES)
def test_nothing_stands_out_of_the_page_on_any_screen(visit, address, size):
    visitor = visit(viewport=size)
    page = visitor.open(address)
    for tab in TABS:
        page.locator(f"#tab-{tab}").click()
        bar, button = (page.locator(one).bounding_box() for one in (".tabs", f"#tab-{tab}"))
        assert bar["x"] <= button["x"]
        assert button["x"] + button["width"] <= bar["x"] + bar["width"]
        if tab == "picture":
            visitor.show(PAGES / "phone.jpg")
        assert page.evaluate("document.documentElement.scrollWidth") == size["width"]


def test_a_correction_is_on_the_screen_beside_the_drawing(visit, address):
    visitor = visit(viewport={"width": 1280, "height": 640})
    page = visitor.open(address)
    visitor.stroke(SEVEN)
    expect(value(page)).to_have_text("7")
    assert is_on_the_screen(page.locator("#draw-answer .correction"))


def test_a_phone_on_its_side_shows_the_whole_sheet(visit, address):
    visitor = visit(viewport={"width": 740, "height": 360}, has_touch=True, is_mobile=True)
    page = visitor.open(address)
    sheet = page.locator("#sheet")
    sheet.evaluate("sheet => sheet.scrollIntoView({ block: 'center' })")
    assert sheet.bounding_box()["y"] >= 0
    assert is_on_the_screen(sheet)


def test_no_panel_covers_the_corrections_on_a_low_screen(visit, address, corrections, seven):
    Corrections(corrections).keep(encoded(seven, "PNG"), np.zeros((28, 28), np.float32), 7)
    visitor = visit(viewport={"width": 320, "height": 200})
    page = visitor.open(address, "corrections")
    page.locator("#corrections-list img").first.scroll_into_view_if_needed()
    picture, panel = (page.locator(name).first.bounding_box() for name in ("#corrections-list img", ".kept-panel"))
    assert picture["y"] + picture["height"] <= panel["y"]


def test_a_pinch_leaves_no_dash(visit, address):
    visitor = visit(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page = visitor.open(address)
    box = page.locator("#sheet").bounding_box()
    session = visitor.context.new_cdp_session(page)
    for apart in (0.05, 0.1, 0.2, 0.3):
        points = [{"x": box["x"] + (0.5 + side * apart) * box["width"], "y": box["y"] + 99} for side in (-1, 1)]
        kind = "touchStart" if apart == 0.05 else "touchMove"
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    expect(page.locator("#clear")).to_be_disabled()
    expect(page.locator("#draw-hint")).to_be_visible()


def test_in_high_contrast_the_chosen_tab_and_the_bars_can_be_seen(visit, address):
    visitor = visit(forced_colors="active", reduced_motion="reduce")
    page = visitor.open(address)
    visitor.stroke(SEVEN)
    expect(value(page)).to_have_text("7")

    def colour(name):
        return page.locator(name).first.evaluate("one => getComputedStyle(one).backgroundColor")

    assert colour("#tab-draw") != colour("#tab-batch")
    assert colour("#draw-answer .best .fill") != colour("#draw-answer .card, #draw-answer")
    assert_no_barrier(page)


def test_a_long_number_stays_in_one_row(visitor, address):
    page = visitor.open(address)
    digit = {**UNSURE, "digit": 7, "box": [10, 10, 20, 30], "seen": NOTHING_SEEN}
    line = {"text": "7" * 20, "confidence": 0.1, "box": [10, 10, 80, 30], "note": None, "digits": [digit] * 20}
    page.route("**/v1/read?*", lambda route: route.fulfill(json={"width": 9, "height": 9, "lines": [line]}))
    visitor.stroke([(0.1, 0.3), (0.9, 0.3)])
    glyphs = page.locator("#draw-answer .glyph")
    expect(glyphs).to_have_count(20)
    tops = {glyph.bounding_box()["y"] for glyph in glyphs.all()}
    assert len(tops) == 1
    assert page.evaluate("document.documentElement.scrollWidth") == 1280


def test_a_file_that_is_dragged_over_any_tab_shows_where_it_goes(visitor, address):
    page = visitor.open(address)
    page.evaluate(
        """() => {
            const files = new DataTransfer();
            files.items.add(new File([""], "7.png"));
            const init = { bubbles: true, cancelable: true, dataTransfer: files };
            document.getElementById("sheet").dispatchEvent(new DragEvent("dragover", init));
        }"""
    )
    sign = page.evaluate("getComputedStyle(document.body, '::after').content")
    assert "Drop" in sign


def test_the_name_of_a_file_is_not_broken_inside_of_a_word(visit, address, tmp_path):
    visitor = visit(viewport={"width": 320, "height": 640})
    page = visitor.open(address, "batch")
    shutil.copy(PAGES / "phone.jpg", tmp_path / "telephone-numbers.jpg")
    page.locator("#batch-files").set_input_files([tmp_path / "telephone-numbers.jpg"])
    expect(page.locator("#batch-count")).to_contain_text("1 of 1 done")
    rows = page.locator("#batch-rows button").evaluate(
        """button => {
            const text = button.firstChild;
            const tops = [...text.data].map((_, index) => {
                const range = document.createRange();
                range.setStart(text, index);
                range.setEnd(text, index + 1);
                return range.getBoundingClientRect().top;
            });
            return text.data.split("").map((letter, index) => (tops[index] !== tops[index - 1] ? "|" : "") + letter);
        }"""
    )
    assert "".join(rows).strip("|") in ("telephone-numbers.jpg", "telephone-|numbers.jpg")


def test_pictures_of_the_page_for_the_readme(visit, address, tmp_path):
    folder = Path(SCREENSHOTS or tmp_path)
    for name, settings in {
        "draw": {"viewport": {"width": 1040, "height": 750}},
        "picture": {"viewport": {"width": 1040, "height": 860}, "color_scheme": "dark"},
        "phone": {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True},
    }.items():
        visitor = visit(**settings, reduced_motion="reduce")
        page = visitor.open(address, "picture" if name == "picture" else "draw")
        if name == "picture":
            visitor.show(PAGES / "phone.jpg")
        elif name == "draw":
            visitor.stroke(SEVEN)
            expect(value(page)).to_have_text("7")
        else:
            for left in (0.06, 0.38, 0.7):
                visitor.stroke([(left, 0.16), (left + 0.2, 0.15), (left + 0.08, 0.52)])
            expect(value(page)).to_have_text("777")
        page.mouse.move(0, 0)
        page.screenshot(path=folder / f"web-{name}.png")
        assert (folder / f"web-{name}.png").stat().st_size > 10_000
