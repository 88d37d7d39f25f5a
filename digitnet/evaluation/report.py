"""The report about a model: a page with its mistakes, the metrics as JSON, and a model card.

The page stands alone: it has no script and loads nothing. Charts are SVG and pictures are PNG, both inside the page.
The templates escape all text, because the name of a file may be anything.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from digitnet.errors import SaveError
from digitnet.evaluation.metrics import Flags, LabelledPredictions, Metrics, Share, compute_metrics
from digitnet.evaluation.page_metrics import LabelledPages, PageMetrics, compute_page_metrics
from digitnet.files import write_atomically
from digitnet.reading.answer import NOT_A_DIGIT
from digitnet.reading.encoding import png_data_url

FILES = ("index.html", "metrics.json", "MODEL_CARD.md")
MOST_SHOWN = 60  # pictures of one kind in one set
COLUMNS = ("set", "pictures", "right", "answered", "wrong among answered", "calibration error", "non-digits rejected")
PAGE_COLUMN = "digit error rate"  # the last one, where a set holds pages
SCALES = (0.002, 0.004, 0.008, 0.02, 0.04, 0.08, 0.2, 0.4, 0.8, 1.0)  # where an axis of error rates may end

# These facts hold for the models that the project trains itself; `about` can replace them.
DATA_AND_PROTOCOL = {
    "training data": "MNIST's training images; digits and letters drawn from handwriting fonts under the SIL Open Font "
    "License; synthetic non-digits.",
    "protocol": "5,000 held-out training images choose what there is to choose. The test set is read once.",
}


def write(folder: Path, sets: Sequence[LabelledPredictions | LabelledPages], about: dict[str, str]) -> None:
    """Writes `FILES` into `folder`, which is made if it is missing.

    Args:
        about: facts for the head of the page and of the card: weights, version, date; "model" is the model's name.

    Raises SaveError where the disk is full or the folder cannot be written; a file that was there then stays whole.
    """
    sections = [_pages(of) if isinstance(of, LabelledPages) else _digits(of) for of in sets]
    metrics = [section["metrics"] for section in sections]
    summary = _summary(metrics)
    content = {"about": about, "sets": [asdict(of) for of in metrics]}
    page, card = _environment(), _environment(finalize=_markdown)
    texts = (
        page.get_template("page.html").render(about=about, sections=sections, **summary),
        json.dumps(content, allow_nan=False) + "\n",
        card.get_template("card.md").render(about=DATA_AND_PROTOCOL | about, **summary),
    )
    make(folder)
    for name, text in zip(FILES, texts, strict=True):
        # The name of a file may hold bytes that are no text. Each becomes a question mark.
        write_atomically(folder / name, text.encode(errors="replace"))


def is_report(folder: Path) -> bool:
    """Whether `write` has written into the folder before."""
    try:
        return (folder / "metrics.json").read_bytes().startswith(b'{"about": {')
    except OSError:
        return False


def make(folder: Path) -> None:
    """Makes the folder for a report if it is missing. Raises SaveError where that is impossible."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SaveError(f"{folder}: cannot be made ({error.strerror}); choose a folder that can be written") from error


def _environment(**options: Any) -> jinja2.Environment:
    """Escapes whatever goes into HTML. `finalize` is applied to all values of a template."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=jinja2.select_autoescape(["html"]),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        **options,
    )
    environment.filters |= {"percent": _percent, "thousands": "{:,}".format, "png": png_data_url}
    environment.globals |= {"MOST_SHOWN": MOST_SHOWN, "NOT_A_DIGIT": NOT_A_DIGIT}
    return environment


def _summary(metrics: Sequence[Metrics | PageMetrics]) -> dict[str, Any]:
    """The table of all sets: `columns`, and `rows` with a row for each set; all cells are plain text."""
    rows = []
    for of in metrics:
        total, special = of.accuracy.total, ["-", "-"]
        if isinstance(of, Metrics):
            total += of.rejected.total
            special = [_percent(of.calibration.error), _with_interval(of.rejected)]
        shares = _with_interval(of.accuracy), _percent(of.answered.fraction), _percent(of.wrong_answers.fraction)
        rows.append([of.name, f"{total:,}", *shares, *special])
    has_pages = any(isinstance(of, PageMetrics) for of in metrics)
    if has_pages:
        for of, row in zip(metrics, rows, strict=True):
            row.append(_percent(of.digit_error_rate) if isinstance(of, PageMetrics) else "-")
    return {"has_pages": has_pages, "columns": [*COLUMNS, *[PAGE_COLUMN] * has_pages], "rows": rows}


def _digits(predictions: LabelledPredictions) -> dict[str, Any]:
    """What the page shows of a set of digits and non-digits; pictures are given by their places in the set."""
    metrics = compute_metrics(predictions)
    right, digit = predictions.is_right, predictions.is_digit
    mistakes = [count for i, row in enumerate(metrics.confusion) for j, count in enumerate(row) if i != j]
    # The first few digits alone can have any error rate, so the axis fits what comes after them.
    rates = [risk for coverage, risk, _ in metrics.risk_coverage.points if coverage >= 0.1]
    highest = max([metrics.wrong_answers.fraction or 0.0, *rates])

    def places(chosen: Flags, *, surest_first: bool) -> list[int]:
        found: list[int] = np.flatnonzero(chosen).tolist()
        return sorted(found, key=lambda place: predictions.digits[place].confidence, reverse=surest_first)

    return {
        "metrics": metrics,
        "predictions": predictions,
        "most_confused": max(1, *mistakes),
        "highest_rate": next(scale for scale in SCALES if scale >= highest),
        "by_digit": [
            (of.digit, f"{of.recall.total:,}", *map(_percent, (of.precision.fraction, of.recall.fraction, of.f1)))
            for of in metrics.by_digit
        ],
        "wrong": places(digit & ~right, surest_first=True),
        "right": places(digit & right, surest_first=False),
        "accepted": places(~digit & predictions.is_answered, surest_first=True),
    }


def _pages(pages: LabelledPages) -> dict[str, Any]:
    """What the page shows of a set of pages."""
    files = pages.files if pages.files is not None else range(1, len(pages.labels) + 1)
    rows = list(zip(files, pages.labels, pages.best_guesses, pages.texts, strict=True))
    return {
        "metrics": compute_page_metrics(pages),
        "wrong_pages": [rows[place] for place in np.flatnonzero(~pages.is_right)],
    }


def _percent(fraction: float | None) -> str:
    return "-" if fraction is None else f"{fraction:.2%}"


def _with_interval(share: Share) -> str:
    return "-" if share.fraction is None else f"{share.fraction:.2%} ({share.low:.2%} to {share.high:.2%})"


def _markdown(value: object) -> str:
    """The value on one line, with a backslash before every character that Markdown or HTML would act on."""
    return re.sub(r"([\\`*_\[\]<>|~&])", r"\\\1", " ".join(str(value).split()))
