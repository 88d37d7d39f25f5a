"""A page about a model's answers, with the pictures; its figures as JSON; and a model card.

The page stands alone: no script, nothing loaded from anywhere, charts drawn here as SVG, pictures inside as PNG. All
text that comes from outside is escaped, since the name of a file may be anything.
"""

import base64
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from html import escape
from pathlib import Path

import cv2
import numpy as np

from digitnet.errors import SaveError
from digitnet.evaluation.metrics import (
    Flags,
    Image,
    LabelledPredictions,
    Metrics,
    Share,
    compared,
    compute_metrics,
    not_withheld,
    of_digits,
    right,
)
from digitnet.files import write_atomically
from digitnet.inference.rejection import NOT_A_DIGIT

MOST_PICTURES = 60  # of one kind in one set
SUMMARY = ("set", "pictures", "right", "answered", "wrong among answered", "calibration error", "non-digits rejected")
LEFT, TOP, WIDTH, HEIGHT = 56, 8, 268, 220  # of a chart's plot, in units of its view box of 340x270
SCALES = (0.002, 0.004, 0.008, 0.02, 0.04, 0.08, 0.2, 0.4, 0.8, 1.0)  # where an axis of error rates may end

STYLE = """
:root { color-scheme: light dark; --paper: #fff; --text: #1c1c1e; --second: #65656b; --line: #e2e2e7;
  --accent: #0a64d8; --wrong: #d33b30; }
@media (prefers-color-scheme: dark) { :root { --paper: #17171a; --text: #ececf0; --second: #a3a3ab; --line: #36363d;
  --accent: #6aabff; --wrong: #ff6d60; } }
body { margin: 0 auto; max-width: 62rem; padding: 1.5rem 1rem 4rem; background: var(--paper); color: var(--text);
  font: 1rem/1.5 system-ui, sans-serif; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
h1 { font-size: 1.9rem; line-height: 1.2; }
h2 { font-size: 1.4rem; margin: 3rem 0 1rem; padding-top: 1.2rem; border-top: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 2rem 0 .5rem; }
a { color: var(--accent); }
p, figcaption, small, dt, th { color: var(--second); font-weight: 400; }
p, figcaption, table, .about, .headline dt, .headline small { margin: .3rem 0; font-size: .875rem; }
dl, dd, figure { margin: 0; }
.about { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1.2rem; }
.headline { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: 1.2rem; }
.headline dd { font-size: 1.6rem; line-height: 1.3; }
.headline small { display: block; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(20rem, 100%), 1fr)); gap: 0 3rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; overflow-wrap: normal; }
th, td { padding: .25rem .5rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
thead th { white-space: normal; vertical-align: bottom; }
th:first-child { text-align: left; padding-left: 0; }
.heat th, .heat td { padding: .2rem 0; min-width: 1.9rem; text-align: center; border: 1px solid var(--paper); }
.heat td { background: color-mix(in srgb, var(--heat), transparent); }
@media (max-width: 30rem) { .heat { font-size: .7rem; } .heat th, .heat td { min-width: 1.75rem; } }
svg { display: block; max-width: 27rem; font-size: 11px; fill: var(--second); }
svg path { fill: none; stroke: var(--line); }
svg .ideal { stroke: var(--second); stroke-dasharray: 3 4; }
svg .mark { stroke: var(--accent); stroke-width: 2; }
svg circle { fill: var(--accent); stroke: var(--paper); }
.gallery { display: grid; grid-template-columns: repeat(auto-fill, minmax(5.6rem, 1fr)); gap: 1rem .8rem; padding: 0;
  list-style: none; font-size: .8rem; line-height: 1.35; }
.gallery img { display: block; width: 5.25rem; height: auto; margin-bottom: .25rem; image-rendering: pixelated;
  border-radius: 4px; }
.gallery b, .gallery small { display: block; font-size: inherit; }
.gallery b { font-weight: 600; }
"""

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<header><h1>{title}</h1><dl class="about">{facts}</dl></header>
<main>
<h2>All sets</h2>
{summary}
<p>Right: the best guess is the label, also where the answer was withheld. In brackets: 95% intervals.</p>
{sections}
</main>
</body>
</html>
"""

# What is true of the models that the project trains itself; `about` can say otherwise.
DATA_AND_PROTOCOL = {
    "training data": "MNIST's training images; digits and letters drawn from handwriting fonts under the SIL Open Font "
    "License; synthetic non-digits.",
    "protocol": "5,000 held-out training images choose what there is to choose. The test set is read once.",
}

CARD = """# Model card: {title}

{facts}

## Intended use

Reading single handwritten digits, 0 to 9, one a picture: photos of notes, cells of forms, scans, drawings. It answers
with a digit and a confidence, or withholds the answer and says why. It is not for decisions without a person where an
error harms somebody.

## Data

{training data}

## Protocol

{protocol}

## Figures

Right: the best guess is the label, also where the answer was withheld. In brackets: 95% intervals (Wilson, 1927).
Calibration error: expected calibration error, 15 bins of equal width (Guo et al., 2017).

{summary}

## Limits

- It reads digits only, one a picture. Letters and signs are to be rejected; not all of them are.
- It knows the digits 0 to 9. Those of other scripts are rejected, or read as the one of these that they look like.
- Pictures made to deceive it will, and its confidence does not show it: nothing was done against them.
- The figures hold for pictures like those measured. Other pens, papers and cameras can do worse.

## Licence

MIT. The data have licences of their own: see the project's NOTICE.md.
"""


def write(folder: Path, sets: Sequence[LabelledPredictions], about: dict[str, str]) -> None:
    """Writes index.html, metrics.json and MODEL_CARD.md into `folder`, which is made where it is missing.

    Args:
        about: facts for the head of the page and of the card: weights, version, date; "model" is what it is called.

    Raises SaveError where the disk is full or the folder cannot be written; a file that was there then stays whole.
    """
    metrics = [compute_metrics(answers) for answers in sets]
    content = {"about": about, "sets": [asdict(measured) for measured in metrics]}
    texts = {
        "index.html": _page(sets, metrics, about),
        "metrics.json": json.dumps(content, allow_nan=False) + "\n",
        "MODEL_CARD.md": _card(metrics, about),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SaveError(f"{folder}: cannot be made ({error.strerror}); choose a folder that can be written") from error
    for name, text in texts.items():
        # A file's name may hold bytes that are no text; each becomes a question mark.
        write_atomically(folder / name, text.encode(errors="replace"))


def compare(a: LabelledPredictions, b: LabelledPredictions) -> str:
    """Two models on the same pictures, in lines for a terminal; each is called by its `name`.

    Raises UsageError where the labels differ.
    """
    found = compared(a, b)
    if found.difference is None:
        return "no pictures to compare on"
    width = max(len(name) for name in (a.name, b.name, "difference"))
    interval = f"95% interval {100 * found.low:+.2f} to {100 * found.high:+.2f}"
    lines = [
        *(
            f"{name:{width}}  {_percent(share.fraction)} right, {share.count:,} of {share.total:,}"
            for name, share in ((a.name, found.a), (b.name, found.b))
        ),
        f"{'difference':{width}}  {100 * found.difference:+.2f} points ({interval})",
        f"only {a.name} right: {found.only_a:,}; only {b.name} right: {found.only_b:,}",
        f"p = {found.p:.3g} (McNemar's exact paired test, two-sided)",
    ]
    return "\n".join(lines)


def _card(metrics: Sequence[Metrics], about: dict[str, str]) -> str:
    rows = [SUMMARY, ["---"] * len(SUMMARY), *([_markdown(cell) for cell in row] for row in _summary(metrics))]
    facts = {_markdown(name): _markdown(value) for name, value in (DATA_AND_PROTOCOL | about).items()}
    texts = {name: facts.pop(name) for name in DATA_AND_PROTOCOL}
    texts["title"] = facts.get("model", "DigitNet")
    texts["facts"] = "\n".join(f"- {name}: {value}" for name, value in facts.items())
    texts["summary"] = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return CARD.format_map(texts)


def _page(sets: Sequence[LabelledPredictions], metrics: Sequence[Metrics], about: dict[str, str]) -> str:
    rows = [[escape(cell) for cell in row] for row in _summary(metrics)]
    rows = [[f'<a href="#set-{number}">{name}</a>', *cells] for number, (name, *cells) in enumerate(rows, 1)]
    return PAGE.format(
        title=escape(f"How well {about.get('model', 'DigitNet')} reads"),
        style=STYLE,
        facts="".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in about.items()),
        summary=_table("All sets", SUMMARY, rows),
        sections="\n".join(_section(number, *pair) for number, pair in enumerate(zip(sets, metrics, strict=True), 1)),
    )


def _summary(metrics: Iterable[Metrics]) -> list[list[str]]:
    """A row a set, its cells under `SUMMARY`, as plain text."""
    return [
        [
            measured.name,
            f"{measured.accuracy.total + measured.rejected.total:,}",
            _with_interval(measured.accuracy),
            _percent(measured.answered.fraction),
            _percent(measured.wrong_answers.fraction),
            _percent(measured.calibration.error),
            _with_interval(measured.rejected),
        ]
        for measured in metrics
    ]


def _section(number: int, answers: LabelledPredictions, metrics: Metrics) -> str:
    parts = [f'<section id="set-{number}"><h2>{escape(answers.name)}</h2>']
    if metrics.accuracy.total:
        parts += _about_digits(number, answers, metrics)
    if metrics.rejected.total:
        parts += _about_others(answers, metrics)
    if len(parts) == 1:
        parts.append("<p>There is no picture in this set.</p>")
    return "\n".join([*parts, "</section>"])


def _about_digits(number: int, answers: LabelledPredictions, metrics: Metrics) -> list[str]:
    is_digit, is_right = of_digits(answers), right(answers)
    head = ("digit", "pictures", "precision", "recall", "F1")
    by_digit = [
        [str(of.digit), f"{of.recall.total:,}", *map(_percent, (of.precision.fraction, of.recall.fraction, of.f1))]
        for of in metrics.by_digit
    ]
    return [
        '<dl class="headline">',
        _headline("right", metrics.accuracy),
        _headline("answered", metrics.answered),
        _headline("wrong among answered", metrics.wrong_answers),
        '</dl><div class="charts">',
        _reliability(f"reliability-{number}", metrics),
        _risk_coverage(f"risk-{number}", metrics),
        f"<div><h3>Labels (down) and best guesses (across)</h3>{_confusion(metrics.confusion)}</div>",
        f"<div><h3>Digit by digit</h3>{_table('Digit by digit', head, by_digit)}</div>",
        "</div>",
        _gallery("Wrong, the surest first", answers, is_digit & ~is_right, surest_first=True),
        _gallery("Right, the least sure first", answers, is_digit & is_right, surest_first=False),
    ]


def _about_others(answers: LabelledPredictions, metrics: Metrics) -> list[str]:
    rows = [[escape(reason), f"{count:,}"] for reason, count in metrics.reasons.items()]
    accepted = ~of_digits(answers) & not_withheld(answers)
    return [
        f'<dl class="headline">{_headline("non-digits rejected", metrics.rejected)}</dl>',
        f"<h3>Why they were rejected</h3>{_table('Reasons', ('reason', 'pictures'), rows)}",
        _gallery("Taken for digits, the surest first", answers, accepted, surest_first=True),
    ]


def _headline(name: str, share: Share) -> str:
    if share.fraction is None:
        return ""
    note = f"{share.low:.2%} to {share.high:.2%}<br>{share.count:,} of {share.total:,}"
    return f"<div><dt>{name}</dt><dd>{share.fraction:.2%} <small>{note}</small></dd></div>"


def _table(name: str, head: Iterable[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of cells in HTML, the first of each row its heading; it scrolls where the screen is too narrow."""
    columns = "".join(f'<th scope="col">{column}</th>' for column in head)
    body = "\n".join(
        f'<tr><th scope="row">{heading}</th>{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>'
        for heading, *cells in rows
    )
    table = f"<table><thead><tr>{columns}</tr></thead><tbody>{body}</tbody></table>"
    return f'<div class="wide" role="region" aria-label="{name}" tabindex="0">{table}</div>'


def _confusion(matrix: tuple[tuple[int, ...], ...]) -> str:
    """Mistakes redder the more there are; what is right in one calm colour, since its numbers would drown them."""
    worst = max(count for label, row in enumerate(matrix) for guess, count in enumerate(row) if label != guess)
    lines = ["<td></td>" + "".join(f'<th scope="col">{guess}</th>' for guess in range(10))]
    for label, row in enumerate(matrix):
        cells = [f'<th scope="row">{label}</th>']
        for guess, count in enumerate(row):
            heat = "var(--accent) 18%" if label == guess else f"var(--wrong) {60 * count / max(worst, 1):.0f}%"
            cells.append(f'<td style="--heat: {heat}">{count or ""}</td>')
        lines.append("".join(cells))
    rows = "\n".join(f"<tr>{line}</tr>" for line in lines)
    return (
        f'<div class="wide" role="region" aria-label="Confusion" tabindex="0"><table class="heat">{rows}</table></div>'
    )


def _reliability(name: str, metrics: Metrics) -> str:
    marks = [f'<path class="ideal" d="M{_at(0, 0)}L{_at(1, 1)}"/>']
    for part in metrics.calibration.bins:
        x, share = part.confidence, part.right
        tip = f"{x:.1%} sure on average, {share.count:,} of {share.total:,} right"
        whisker = f'<path class="mark" d="M{_at(x, share.low)}L{_at(x, share.high)}"/>'
        marks.append(f"<g><title>{tip}</title>{whisker}{_dot(x, share.fraction or 0.0)}</g>")
    caption = (
        f"Expected calibration error {_percent(metrics.calibration.error)}. On the dashed line, as many are right as "
        "the confidence promises; above it, more. Strokes: 95% intervals."
    )
    return _chart(name, "Reliability", caption, ("confidence", "right"), 1.0, marks)


def _risk_coverage(name: str, metrics: Metrics) -> str:
    curve, now = metrics.risk_coverage, (metrics.answered.fraction or 0.0, metrics.wrong_answers.fraction or 0.0)
    # The first few digits alone can give any rate, so the axis follows what comes after them.
    highest = max(now[1], *(risk for coverage, risk, _ in curve.points if coverage >= 0.1))
    top = next(scale for scale in SCALES if scale >= highest)
    line = "L".join(_at(coverage, min(1.0, risk / top)) for coverage, risk, _ in curve.points)
    caption = (
        f"Error rate, were only the surest part answered; mean {_percent(curve.area)}. The dot is what it does: "
        f"{now[0]:.2%} answered, {now[1]:.2%} of that wrong."
    )
    marks = [f'<path class="mark" d="M{line}"/>', _dot(now[0], now[1] / top)]
    return _chart(name, "Risk and coverage", caption, ("answered", "wrong among answered"), top, marks)


def _chart(name: str, title: str, caption: str, axes: tuple[str, str], top: float, marks: Iterable[str]) -> str:
    """A plot of `marks`, SVG in the units of `_at`; the axis to the right ends at 100%, the one upwards at `top`."""
    grid = []
    for part in (0, 0.25, 0.5, 0.75, 1):
        x, y = LEFT + WIDTH * part, TOP + HEIGHT * (1 - part)
        grid.append(f'<path d="M{LEFT} {y}h{WIDTH}"/>')
        grid.append(f'<text x="{LEFT - 6}" y="{y + 4}" text-anchor="end">{100 * top * part:g}%</text>')
        grid.append(f'<text x="{x}" y="{TOP + HEIGHT + 16}" text-anchor="middle">{part:.0%}</text>')
    middle = TOP + HEIGHT / 2
    return f"""<figure><h3>{title}</h3>
<svg viewBox="0 0 340 270" role="img" aria-labelledby="{name}-title {name}-desc">
<title id="{name}-title">{title}</title><desc id="{name}-desc">{caption}</desc>
{"".join(grid)}
<text x="{LEFT + WIDTH / 2}" y="{TOP + HEIGHT + 34}" text-anchor="middle">{axes[0]}</text>
<text transform="translate(11 {middle}) rotate(-90)" text-anchor="middle">{axes[1]}</text>
{"".join(marks)}
</svg><figcaption>{caption}</figcaption></figure>"""


def _at(x: float, y: float) -> str:
    """Where (x, y), each in [0, 1] from the lower left corner, lies in a chart."""
    return f"{LEFT + WIDTH * x:.1f} {TOP + HEIGHT * (1 - y):.1f}"


def _dot(x: float, y: float) -> str:
    left, top = _at(x, y).split()
    return f'<circle cx="{left}" cy="{top}" r="4"/>'


def _gallery(title: str, answers: LabelledPredictions, chosen: Flags, *, surest_first: bool) -> str:
    places = np.flatnonzero(chosen).tolist()
    places.sort(key=lambda place: answers.digits[place].confidence, reverse=surest_first)
    shown = places[:MOST_PICTURES]
    count = f"{len(places):,}" if len(shown) == len(places) else f"{len(shown)} of {len(places):,}"
    items = "\n".join(_tile(answers, place) for place in shown)
    return f'<h3>{title}: {count}</h3>\n<ul class="gallery">{items}</ul>' if shown else f"<h3>{title}: none</h3>"


def _tile(answers: LabelledPredictions, place: int) -> str:
    digit, label = answers.digits[place], int(answers.labels[place])
    image = answers.images[place] if answers.images is not None else None
    picture = "" if image is None else f'<img src="{_data_uri(image)}" alt="" width="28" height="28">'
    guess = "no guess" if digit.best_guess is None else f"read as {digit.best_guess}"
    truth = guess if label == NOT_A_DIGIT else f"{label}, {guess}"
    notes = [digit.reason or "withheld"] if digit.digit is None else []
    notes += [answers.files[place]] if answers.files is not None else []
    small = "".join(f"<small>{escape(note)}</small>" for note in notes)
    return f"<li>{picture}<b>{truth}</b> {digit.confidence:.1%} sure{small}</li>"


def _data_uri(image: Image) -> str:
    """`image`, (28, 28) in [0, 1], as a PNG inside a page."""
    png = cv2.imencode(".png", (image * 255).round().astype(np.uint8))[1].tobytes()
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def _percent(fraction: float | None) -> str:
    return "-" if fraction is None else f"{fraction:.2%}"


def _with_interval(share: Share) -> str:
    return "-" if share.fraction is None else f"{share.fraction:.2%} ({share.low:.2%} to {share.high:.2%})"


def _markdown(text: str) -> str:
    """`text` on one line, with every sign that Markdown or HTML would act on made plain."""
    return re.sub(r"([\\`*_\[\]<>|~&])", r"\\\1", " ".join(text.split()))
