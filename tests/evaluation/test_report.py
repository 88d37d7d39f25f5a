import base64
import io
import itertools
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from digitnet.errors import SaveError
from digitnet.evaluation import report
from digitnet.evaluation.metrics import LabelledPredictions, compute_metrics
from digitnet.evaluation.page_metrics import LabelledPages, compute_page_metrics
from digitnet.results import Digit

UNIFORM = (0.1,) * 10
BLANK = Digit(digit=None, confidence=0.0, reason="blank", best_guess=None, probabilities=UNIFORM)
HOSTILE = "</ul><script>alert(1)</script><img src=//evil onerror='x'>\"&amp;.png"
ABOUT = {"model": "tiny", "weights": "9f86d0", "version": "0.2.0"}
WITHOUT_END = {"meta", "img", "br"}


def read(best_guess, confidence=0.9):
    return Digit(best_guess, confidence, None, best_guess, UNIFORM)


def abstained(best_guess, reason, confidence=0.4):
    return Digit(None, confidence, reason, best_guess, UNIFORM)


@pytest.fixture
def digits(mnist_digits):
    """100 of MNIST's digits: each tenth wrong, each seventh of the rest abstained, one blank."""
    images, labels = mnist_digits[0][:100], mnist_digits[1][:100].astype(int)
    predictions = []
    for place, label in enumerate(labels.tolist()):
        confidence = 0.5 + (place + 1) / 250
        if place % 10 == 0:
            predictions.append(read((label + 1) % 10, confidence))
        elif place % 7 == 0:
            predictions.append(abstained(label, "unsure: 4 or 9", confidence))
        else:
            predictions.append(read(label, confidence))
    predictions[1] = BLANK
    shown = [None if answer is BLANK else image for answer, image in zip(predictions, images, strict=True)]
    return LabelledPredictions("mnist", labels, predictions, shown, [f"digit-{place}.png" for place in range(100)])


@pytest.fixture
def letters(mnist_digits):
    predictions = [read(3, 0.8)] * 2 + [abstained(3, "not a digit")] * 5 + [BLANK]
    return LabelledPredictions("letters", [10] * 8, predictions, mnist_digits[0][:8])


class Page(HTMLParser):
    """What a browser would make of a page: its elements in order, whether they are balanced, its text."""

    def __init__(self, folder):
        super().__init__()
        self.elements, self.open, self.words = [], [], []
        self.feed((folder / "index.html").read_text())
        self.close()
        assert self.open == []
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in WITHOUT_END:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture
def page(tmp_path, digits, letters):
    report.write(tmp_path, [digits, letters], ABOUT)
    return Page(tmp_path)


def test_a_report_is_three_files_in_a_folder_that_is_made(tmp_path, digits):
    report.write(tmp_path / "new" / "report", [digits], ABOUT)
    names = sorted(path.name for path in (tmp_path / "new" / "report").iterdir())
    assert names == ["MODEL_CARD.md", "index.html", "metrics.json"]


def test_the_page_loads_nothing_from_anywhere_and_runs_nothing(tmp_path, page):
    content = (tmp_path / "index.html").read_text()
    assert not re.search(r"https?:|url\(|@import|<script|<link|<iframe", content)
    links = [value for _, attributes in page.elements for name, value in attributes.items() if name in ("href", "src")]
    assert links
    assert all(link.startswith(("#set-", "data:image/png;base64,")) for link in links)
    policy = next(meta["content"] for meta in page.all("meta") if "http-equiv" in meta)
    assert "default-src 'none'" in policy


def test_every_link_on_the_page_leads_to_a_place_on_it(page):
    places = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(places) == len(set(places))
    assert {link["href"][1:] for link in page.all("a")} <= set(places)


def test_names_and_facts_are_shown_as_they_are_and_never_acted_on(tmp_path, mnist_digits):
    images = mnist_digits[0][:2]
    hostile = LabelledPredictions(HOSTILE, [1, 10], [read(7), abstained(3, HOSTILE)], images, [HOSTILE, HOSTILE])
    report.write(tmp_path, [hostile], {"model": HOSTILE, HOSTILE: HOSTILE})
    page = Page(tmp_path)
    assert not page.all("script")
    assert not [attributes for _, attributes in page.elements if "onerror" in attributes]
    shown = " ".join(HOSTILE.split())
    # title, h1, three facts, table, heading, reason, and the one picture that is shown
    assert page.text.count(shown) == 9
    card = (tmp_path / "MODEL_CARD.md").read_text()
    assert not re.search(r"(?<!\\)<", card)


def test_a_name_with_bytes_that_are_no_text_does_not_stop_the_report(tmp_path):
    name = b"caf\xe9.png".decode("utf-8", "surrogateescape")
    report.write(tmp_path, [LabelledPredictions(name, [1], [read(7)], None, [name])], ABOUT)
    assert "caf?.png" in Page(tmp_path).text
    json.loads((tmp_path / "metrics.json").read_text())


def test_the_page_gives_the_figures_that_were_measured(page, digits, letters):
    found = compute_metrics(digits)
    for share in (found.accuracy, found.answered, found.wrong_answers, compute_metrics(letters).rejected):
        assert f"{share.fraction:.2%} {share.low:.2%} to {share.high:.2%} {share.count} of {share.total}" in page.text
    assert f"Expected calibration error {found.calibration.error:.2%}" in page.text


def test_the_page_can_be_read_aloud(page):
    assert page.elements[0] == ("html", {"lang": "en"})
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h\d", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(later <= earlier + 1 for earlier, later in itertools.pairwise(levels))
    assert all(heading["scope"] in ("row", "col") for heading in page.all("th"))
    names = {attributes.get("id") for tag, attributes in page.elements if tag in ("title", "desc")}
    assert len(page.all("svg")) == 2
    assert all(set(svg["aria-labelledby"].split()) <= names and svg["role"] == "img" for svg in page.all("svg"))
    assert all("alt" in image for image in page.all("img"))


def test_wrong_digits_are_shown_the_surest_first_and_right_ones_the_least_sure_first(page):
    wrong, right = re.search(
        r"Wrong, the surest first: (.*) Right, the least sure first: (.*?) letters", page.text
    ).groups()
    sure_wrong = [float(part) for part in re.findall(r"([\d.]+)% sure", wrong)]
    sure_right = [float(part) for part in re.findall(r"([\d.]+)% sure", right)]
    assert len(sure_wrong) == 11
    assert sure_wrong == sorted(sure_wrong, reverse=True)
    assert sure_right == sorted(sure_right)
    assert "no guess 0.0% sure blank digit-1.png" in wrong


def test_no_more_than_sixty_pictures_of_a_kind_are_shown_and_the_page_says_of_how_many(page):
    right = re.search(r"Right, the least sure first: (.*?) letters", page.text).group(1)
    assert right.startswith("60 of 89 ")
    assert right.count("read as") == 60


def test_non_digits_that_were_taken_for_digits_are_shown_and_the_others_counted_by_reason(page):
    assert "not a digit 5 blank 1" in page.text
    assert "Taken for digits, the surest first: 2 read as 3 80.0% sure" in page.text


def test_the_pictures_on_the_page_are_those_the_network_saw(page, digits):
    first = page.all("img")[0]["src"].removeprefix("data:image/png;base64,")
    image = np.asarray(Image.open(io.BytesIO(base64.b64decode(first))))
    # the surest mistake is the last of the wrong tenths
    assert np.array_equal(image, (digits.images[90] * 255).round())


def test_predictions_without_pictures_and_file_names_make_a_page_too(tmp_path):
    report.write(tmp_path, [LabelledPredictions("bare", [1, 2], [read(7), read(2)])], {})
    page = Page(tmp_path)
    assert not page.all("img")
    assert "1, read as 7 90.0% sure" in page.text


@pytest.mark.parametrize(
    "predictions",
    [
        LabelledPredictions("nothing", [], []),
        LabelledPredictions("all abstained", [1], [abstained(1, "unsure: 1 or 7")]),
        LabelledPredictions("all blank", [1, 10], [BLANK, BLANK]),
        LabelledPredictions("all wrong", [1, 1], [read(7, 1.0), read(7, 1.0)]),
        LabelledPredictions("both kinds", [1, 10], [read(1), read(1)]),
    ],
    ids=lambda predictions: predictions.name,
)
def test_any_set_makes_a_balanced_page_and_valid_json(tmp_path, predictions):
    report.write(tmp_path, [predictions], ABOUT)
    content = (tmp_path / "index.html").read_text()
    assert not re.search(r"\b(nan|None|inf)\b", content)
    assert predictions.name in Page(tmp_path).text
    assert metrics(tmp_path)["sets"][0]["name"] == predictions.name


def metrics(folder):
    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    return json.loads((folder / "metrics.json").read_text(), parse_constant=refuse)


def test_a_set_without_pictures_says_so(tmp_path, letters):
    report.write(tmp_path, [letters, LabelledPredictions("nothing", [], [])], ABOUT)
    assert Page(tmp_path).text.count("There is no picture in this set.") == 1


def test_metrics_json_holds_all_metrics_of_each_set(tmp_path, digits, letters):
    report.write(tmp_path, [digits, letters], ABOUT)
    written = metrics(tmp_path)
    assert written["about"] == ABOUT
    assert [of["name"] for of in written["sets"]] == ["mnist", "letters"]
    found = compute_metrics(digits)
    first, second = written["sets"]
    assert first["accuracy"]["fraction"] == found.accuracy.fraction
    assert first["confusion"] == [list(row) for row in found.confusion]
    assert first["calibration"]["error"] == found.calibration.error
    assert first["risk_coverage"]["points"][-1][0] == 1.0
    assert second["accuracy"]["fraction"] is None
    assert second["reasons"] == {"not a digit": 5, "blank": 1}


def test_the_card_has_its_chapters_the_facts_and_the_measured_figures(tmp_path, digits, letters):
    report.write(tmp_path, [digits, letters], ABOUT | {"training data": "MNIST only"})
    card = (tmp_path / "MODEL_CARD.md").read_text()
    chapters = re.findall(r"^## (.*)$", card, re.MULTILINE)
    assert chapters == ["Intended use", "Data", "Protocol", "Figures", "Limits", "Licence"]
    assert "- weights: 9f86d0\n" in card
    assert "## Data\n\nMNIST only\n" in card  # what the caller says goes before what is usual
    assert "5,000 held-out training images" in card
    accuracy, rejected = compute_metrics(digits).accuracy, compute_metrics(letters).rejected
    rows = [line.split(" | ") for line in card.splitlines() if line.startswith("| ")]
    assert rows[2][2] == f"{accuracy.fraction:.2%} ({accuracy.low:.2%} to {accuracy.high:.2%})"
    assert rows[3][6].startswith(f"{rejected.fraction:.2%} ")
    assert {len(row) for row in rows} == {7}


def test_a_table_row_of_the_card_survives_a_name_with_bars_and_line_ends(tmp_path):
    report.write(tmp_path, [LabelledPredictions("a | b\n# c", [1], [read(1)])], ABOUT)
    rows = [line for line in (tmp_path / "MODEL_CARD.md").read_text().splitlines() if line.startswith("| a")]
    assert len(rows) == 1
    assert rows[0].startswith("| a \\| b # c | 1 |")


def test_a_full_disk_is_reported_and_the_old_report_stays(tmp_path, digits, monkeypatch):
    (tmp_path / "index.html").write_text("old")

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("digitnet.files.os.fsync", fail)
    with pytest.raises(SaveError, match="No space left on device"):
        report.write(tmp_path, [digits], ABOUT)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("index.html", "old")]


def test_a_folder_that_cannot_be_made_is_reported(tmp_path, digits):
    (tmp_path / "file").write_text("mine")
    for folder in (tmp_path / "file", tmp_path / "file" / "report"):
        with pytest.raises(SaveError, match="cannot be made"):
            report.write(folder, [digits], ABOUT)


@pytest.fixture
def pages():
    """100 pages: one of two lines is right, one without digits is right, 98 lack a digit."""
    labels = ["12 3\n45", ""] + ["678"] * 98
    return LabelledPages(
        "pages",
        labels,
        ["12 ?\n45", "", *["67"] * 98],
        ["12 3\n45", "", *["67"] * 98],
        [f"page-{place}.png" for place in range(100)],
        unreadable=3,
    )


def test_pages_have_their_metrics_and_the_wrong_ones_on_the_page(tmp_path, pages, letters):
    report.write(tmp_path, [pages, letters], ABOUT)
    page, found = Page(tmp_path), compute_page_metrics(pages)
    for share in (found.accuracy, found.answered, found.wrong_answers):
        assert f"{share.fraction:.2%} {share.low:.2%} to {share.high:.2%} {share.count} of {share.total}" in page.text
    assert f"digit error rate {98 / 299:.2%} 98 errors 299 digits" in page.text
    assert "Pictures that could not be read and were left out: 3." in page.text
    assert "Wrong pages: 60 of 98 file written best guesses answer page-2.png 678 67 67 " in page.text
    written = metrics(tmp_path)["sets"][0]
    assert (written["accuracy"]["count"], written["digit_errors"], written["unreadable"]) == (2, 98, 3)
    rows = [line for line in (tmp_path / "MODEL_CARD.md").read_text().splitlines() if line.startswith("| ")]
    assert rows[0].endswith(" | digit error rate |")
    assert rows[2].endswith(f" | {98 / 299:.2%} |")
    assert rows[3].endswith(" | - |")


@pytest.mark.parametrize(
    "pages", [LabelledPages("nothing", [], [], []), LabelledPages("letters", [""], ["?"], ["1"], [HOSTILE])]
)
def test_any_pages_make_a_balanced_page_and_valid_json(tmp_path, pages):
    report.write(tmp_path, [pages], ABOUT)
    assert not re.search(r"\b(nan|None|inf)\b", (tmp_path / "index.html").read_text())
    assert not Page(tmp_path).all("script")
    assert ("There is no picture in this set." in Page(tmp_path).text) == (pages.name == "nothing")
    assert metrics(tmp_path)["sets"][0]["name"] == pages.name
