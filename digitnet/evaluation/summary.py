"""Metrics in words for a terminal: of one set, and of two models on the same set."""

from digitnet.evaluation.comparison import Labelled, compared
from digitnet.evaluation.metrics import LabelledPredictions, Share, compute_metrics, share
from digitnet.evaluation.page_metrics import LabelledPages, compute_page_metrics
from digitnet.teaching.lesson import Lesson, Tally


def describe(labelled: Labelled) -> str:
    """The main metrics of a set in one line."""
    parts = _of_pages(labelled) if isinstance(labelled, LabelledPages) else _of_digits(labelled)
    return f"{labelled.name}: {', '.join(parts) or 'no pictures'}"


def compare(a: Labelled, b: Labelled) -> str:
    """The comparison in a few lines for a terminal. Each model is called by the `name` of its predictions.

    Raises UsageError where the labels differ.
    """
    found = compared(a, b)
    if found.difference is None:
        return "no pictures to compare on"
    width = max(len(name) for name in (a.name, b.name, "difference"))
    interval = f"95% interval {100 * found.low:+.2f} to {100 * found.high:+.2f}"
    lines = [
        *(
            f"{of.name:{width}}  {share.fraction:.2%} right, {share.count:,} of {share.total:,}{_digit_errors(of)}"
            for of, share in ((a, found.a), (b, found.b))
        ),
        f"{'difference':{width}}  {100 * found.difference:+.2f} points ({interval})",
        f"only {a.name} right: {found.only_a:,}; only {b.name} right: {found.only_b:,}",
        f"p = {found.p:.3g} (McNemar's exact paired test, two-sided)",
    ]
    return "\n".join(lines)


def describe_lesson(lesson: Lesson) -> str:
    """A lesson in some lines for a terminal: what it changes for this hand and for others."""
    noun = "picture" if lesson.pictures == 1 else "pictures"
    lines = [f"{lesson.pictures:,} {noun} to learn from, each read by a model that has not learnt from it:"]
    lines += [f"  {name:7}{_of_tally(tally)}" for name, tally in (("before", lesson.before), ("after", lesson.after))]
    lines += [f"{lesson.guard_before.total:,} pictures of other hands, letters and signs (the guard set):"]
    guards = ("before", lesson.guard_before), ("after", lesson.guard_after)
    lines += [f"  {name:7}{_of_tally(tally)}" for name, tally in guards]
    lines += [
        f"{kind}: {', '.join(names)}" for kind, names in (("better", lesson.better), ("worse", lesson.worse)) if names
    ]
    lines += [f"label in doubt: {contradiction}" for contradiction in lesson.contradictions]
    return "\n".join(lines)


def why_not_kept(lesson: Lesson) -> str | None:
    """Why a lesson was not kept, and what would help; None if it was."""
    before = lesson.before
    unanswered = before.total - before.answered
    if lesson.is_kept or not unanswered or before.right < before.total or lesson.contradictions:
        return lesson.reason
    return (
        f"all {before.total:,} are read right already, {unanswered:,} of them not surely enough for an answer. "
        "The lesson would not make them surer beyond chance; a larger --max-error answers more"
    )


def _of_tally(tally: Tally) -> str:
    right, answered = share(tally.right, tally.total), share(tally.answered, tally.total)
    return f"{_share(right, 'right')}, {answered.fraction:.2%} answered, {tally.wrong_answers:,} of the answers wrong"


def _of_digits(predictions: LabelledPredictions) -> list[str]:
    metrics, parts = compute_metrics(predictions), []
    if metrics.accuracy.total:
        parts = [
            _share(metrics.accuracy, "right"),
            f"{metrics.answered.fraction:.2%} answered",
            f"{metrics.wrong_answers.fraction or 0:.2%} of the answers wrong",
            f"calibration error {metrics.calibration.error:.2%}",
        ]
    if metrics.rejected.total:
        parts.append(f"{metrics.rejected.fraction:.2%} of {metrics.rejected.total:,} non-digits rejected")
    return parts


def _of_pages(pages: LabelledPages) -> list[str]:
    metrics, parts = compute_page_metrics(pages), []
    if metrics.accuracy.total:
        parts = [
            _share(metrics.accuracy, "of the pages right"),
            *([f"digit error rate {metrics.digit_error_rate:.2%}"] if metrics.digits else []),
            _share(metrics.answered, "of the pages without any ?"),
        ]
    return [*parts, _share(metrics.wrong_answers, "of those wrong")] if metrics.wrong_answers.total else parts


def _share(share: Share, words: str) -> str:
    return f"{share.fraction:.2%} {words} (95 % interval {share.low:.2%} to {share.high:.2%})"


def _digit_errors(labelled: Labelled) -> str:
    rate = compute_page_metrics(labelled).digit_error_rate if isinstance(labelled, LabelledPages) else None
    return "" if rate is None else f", digit error rate {rate:.2%}"
