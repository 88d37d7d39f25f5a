"""The page of `digitnet serve`, as its users meet it: in a browser, on a real server."""

import csv
import io
import itertools
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

from digitnet.evaluation.labelled import labels
from digitnet.serving.corrections import Corrections

SCREENSHOTS = os.environ.get("DIGITNET_SCREENSHOTS")  # a folder for the README's pictures of the page
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PAGES = ROOT / "sample_pages"
TABS = ("draw", "picture", "batch", "corrections")
TOKEN = "a token of the tests"

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
        return f"{error}; install it with pip install --requirement requirements.txt"
    return None


if missing():
    if os.environ.get("DIGITNET_REQUIRE_BROWSER"):
        raise RuntimeError(f"DIGITNET_REQUIRE_BROWSER is set, but there is {missing()}")
    pytest.skip(missing(), allow_module_level=True)

from axe_playwright_python.sync_playwright import Axe  # noqa: E402
from playwright.sync_api import expect, sync_playwright  # noqa: E402


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
    assert dict(labels(corrections))[file] == 7


def test_a_second_label_replaces_the_first_and_undo_takes_each_back(visitor, address, corrections):
    page = visitor.open(address)
    visitor.stroke(SEVEN)
    expect(said(page)).to_contain_text("7, ")
    before = labels(corrections) if (corrections / "labels.csv").exists() else []
    told, undo = (page.locator(f"#draw-answer .{name}") for name in ("told", "undo"))
    for digit in (7, 1):
        choose(page, digit)
        expect(told).to_contain_text(f"Kept as a {digit}")
    file = is_kept(told)
    assert labels(corrections) == [*before, (file, 1)]
    undo.click()
    expect(told).to_contain_text("Kept as a 7")
    assert labels(corrections) == [*before, (file, 7)]
    expect(undo).to_be_visible()
    undo.click()
    expect(told).to_have_text("Taken back")
    assert labels(corrections) == before
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
    rows = list(csv.DictReader(io.StringIO(download.value.path().read_text())))
    assert [row["file"] for row in rows] == ["amount.jpg", "'=broken.png", *["sums.jpg"] * 4]
    assert rows[1]["error"]
    assert rows[5]["text"] == "4281"
    assert float(rows[5]["confidence"]) > 0.5

    page.locator("#batch-rows button").nth(2).click()
    expect(page.locator("#lines li").nth(3)).to_have_text("4281")


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


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_serious_barrier_in_any_tab(visit, address, scheme):
    visitor = visit(color_scheme=scheme, reduced_motion="reduce")
    page = visitor.open(address)
    assert_no_barrier(page)
    visitor.stroke(SEVEN)
    expect(value(page)).to_have_text("7")
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(16, 16, 19)"
    assert dark == (scheme == "dark")
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
    assert_no_barrier(page)


def assert_no_barrier(page):
    violations = Axe().run(page).response["violations"]
    serious = [violation for violation in violations if violation["impact"] in ("serious", "critical")]
    assert [(violation["id"], violation["nodes"][0]["html"]) for violation in serious] == []


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
