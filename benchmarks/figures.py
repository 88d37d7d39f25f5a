"""Writes the five figures of README.md and the page docs/figures.md from benchmarks/results.

python benchmarks/figures.py [--check]      --check only says whether both are up to date
"""

import argparse
import sys
from typing import Any

import record

README = record.ROOT / "README.md"
PAGE = record.ROOT / "docs" / "figures.md"
BEGIN, END = "<!-- figures: written by benchmarks/figures.py -->\n", "<!-- end of figures -->\n"
DIGITS, PAGES = "other people's digits", "other people's pages"
INTRODUCTION = """# Figures

<!-- This page is written by benchmarks/figures.py: run `make figures`. -->

`python benchmarks/NAME.py`, with the name in the last column, measured the figure and wrote it to `benchmarks/results`.
`make figures` makes this page from these files, and a test compares the two.

How to read the table:

- **The test set chose nothing.** All choices about training were made with 5,000 training images that were held out.
- **Other people's digits and pages** come from folders that are not ours to share. We looked at them while we made
  normalisation and rejection. So these are development figures. Nothing was ever trained on them.
- **Right** counts the best guess, also where DigitNet abstained. **Answered** is the share of the digits that got an
  answer at the default `--max-error`. For folders without digits, **rejected** is what counts.

"""

Row = tuple[str, str, str]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    readme = README.read_text()
    head, rest = readme.split(BEGIN)
    _, tail = rest.split(END)
    after = {
        README: head
        + BEGIN
        + table("command", [(what, figure, _command(name)) for what, figure, name in headlines()])
        + END
        + tail,
        PAGE: page(),
    }
    if arguments.check:
        sys.exit(any(not path.exists() or path.read_text() != text for path, text in after.items()))
    for path, text in after.items():
        path.write_text(text)


def table(source: str, rows: list[Row]) -> str:
    lines = [f"| {what} | {figure} | `{measured_by}` |" for what, figure, measured_by in rows]
    return "\n".join([f"| what | figure | {source} |", "|---|---|---|", *lines, ""])


def _command(name: str) -> str:
    arguments = {"accuracy": "DIR", "against_rapidocr": "MULTI SINGLE"}
    return " ".join(filter(None, ("python", f"benchmarks/{name}.py", arguments.get(name))))


def headlines() -> list[Row]:
    """The five figures of the README."""
    own, mnist = (record.read("accuracy")["sets"][name] for name in ("own_* together", "MNIST test set"))
    pages, speed, latency = (record.read(name) for name in ("against_rapidocr", "time_to_accuracy", "latency"))
    multi, cold = pages["multi"], latency["cold_28_pixels_seconds"]
    return [
        (
            "digits that people photographed or drew to test their own models",
            f"{own['percent']:.1f} % right; {own['answered_percent']:.1f} % answered, "
            f"{own['wrong_of_answered_percent'] or 0:.1f} % of these answers wrong; n = {own['n']}",
            "accuracy",
        ),
        (
            "MNIST's test set",
            f"{mnist['percent']:.2f} % right; {mnist['answered_percent']:.1f} % answered, "
            f"{mnist['wrong_of_answered_percent'] or 0:.2f} % of these answers wrong; n = {mnist['n']:,}",
            "accuracy",
        ),
        (
            f"photos of several digits, all digits right (best guesses), against RapidOCR {pages['rapidocr']}",
            f"{multi['digitnet_right_percent']:.0f} % against {multi['rapidocr_right_percent']:.0f} %, "
            f"{multi['times_as_fast']['median']:.1f} times as fast; n = {multi['n']}",
            "against_rapidocr",
        ),
        (
            "`digitnet predict` on one picture, the whole process",
            f"{cold['median']:.2f} s; a script that loads PyTorch takes "
            f"{latency['torch_script_over_cold']['median']:.0f} times as long; n = {cold['n']}",
            "latency",
        ),
        (
            "`python main.py` from its start to 99.0 % on MNIST's test set",
            f"{speed['seconds']['median']:.0f} s; the usual tutorial script takes {speed['plain']['seconds']:.0f} s; "
            f"n = {speed['seconds']['n']}",
            "time_to_accuracy",
        ),
    ]


def page() -> str:
    """docs/figures.md."""
    rows = [*reading_rows(), *teaching_rows(), *page_rows(), *server_rows(), *archive_rows()]
    versions = record.read("latency")["versions"]
    results = {"mnist": "mnist_best"}  # where the file is called otherwise than its benchmark
    machines = "\n".join(
        f"- `{name}`: {record.read(results.get(name, name))['machine']}"
        for name in dict.fromkeys(row[2] for row in rows)
    )
    known = ", ".join(f"{package} {version}" for package, version in versions.items() if version)
    return f"{INTRODUCTION}{table('benchmark', rows)}\n## Machines and versions\n\n{machines}\n\nVersions: {known}.\n"


def reading_rows() -> list[Row]:
    """Training, and pictures of one digit."""
    speed, minutes, latency = (record.read(name) for name in ("time_to_accuracy", "five_minutes", "latency"))
    accuracy, crash = record.read("accuracy"), record.read("crash")
    corruptions, seeds, others = record.read("corruptions"), record.read("mnist_best"), dict(accuracy["sets"])
    mnist = others.pop("MNIST test set")
    plain, first, cold = speed["plain"], speed["seconds"], latency["cold_28_pixels_seconds"]
    rows = [
        (
            "from process start to 99.0 % on MNIST's test set, model saved",
            f"{first['median']:.0f} s, {speed['times_faster']:.0f} times faster than the tutorial script "
            f"({plain['seconds']:.0f} s); lowest of {first['n']} seeds {speed['lowest_test_percent']:.2f} %",
            "time_to_accuracy",
        ),
        (
            "MNIST test accuracy after five minutes of `python main.py`",
            f"{minutes['test_percent']:.2f} %, {minutes['cycles']} cycles, one seed",
            "five_minutes",
        ),
        (
            "warm `Reader.predict`, a 28-pixel array",
            f"{latency['warm_predict_ms']['median']:.2f} ms, n = {latency['warm_predict_ms']['n']}",
            "latency",
        ),
        (
            "`Reader.predict_many`, MNIST's test images as arrays",
            f"{latency['bulk_images_per_second']['median']:,.0f} images/s",
            "latency",
        ),
        (
            "`digitnet predict`, whole process, 28 pixels / 12 megapixels",
            f"{cold['median']:.2f} s / {latency['cold_12_megapixels_seconds']['median']:.2f} s, n = {cold['n']}; "
            f"a script that loads PyTorch takes {latency['torch_script_over_cold']['median']:.1f} times as long",
            "latency",
        ),
        (
            f"`kill -9` {crash['kills']} times, each at a random moment of the second after a save began",
            f"{crash['corrupt']} corrupt, {crash['lost']} lost",
            "crash",
        ),
    ]
    rows += [
        ("MNIST test set, the package's model", sentence(mnist), "accuracy"),
        (
            f"MNIST test set, the recipe `best`, {seeds['n']} seeds, after the last epoch",
            f"mean {seeds['mean_percent']:.2f} %, standard deviation {seeds['standard_deviation']:.2f}",
            "mnist",
        ),
        (
            "MNIST test set under the 15 corruptions of MNIST-C, re-created: mean error as the network's input / as "
            "pictures",
            f"{corruptions['mean']['error_percent']:.2f} % / {corruptions['mean']['error_percent_as_picture']:.2f} %, "
            f"n = 15 x {corruptions['n']:,}",
            "corruptions",
        ),
    ]
    rows += [(f"{DIGITS}: {name}", sentence(figures), "accuracy") for name, figures in others.items()]
    return rows


def teaching_rows() -> list[Row]:
    figures = record.read("teaching")
    splits = figures["splits"]
    rows: list[Row] = []
    for row in figures["lessons"]:
        before, after = row["before"], row["after"]
        changes = dict(row["guards_worst_change"])
        of_mnist = changes.pop("mnist") / 100
        rows.append(
            (
                f"taught {row['taught']} pictures of {row['folder']}, the rest read",
                f"wrong best guesses {before['errors']} before, {after['errors']} after; not answered right "
                f"{before['not_answered_right']}, {after['not_answered_right']}; {row['kept']} of {splits} lessons "
                "kept; "
                f"worst change of MNIST's test set {of_mnist:+.2f} points, of the {len(changes)} other guards together "
                f"{sum(changes.values()):+d} pictures; n = {splits} splits",
                "teaching",
            )
        )
    for name, found in figures["wrong_labels"].items():
        rows.append(
            (
                f"taught 200 pictures of {name}, 5 % of the labels wrong",
                f"wrong best guesses {found['errors_before']} before, {found['errors_after']} after; "
                f"{found['named']} of {found['wrong']} wrong labels named, {found['named_though_right']} right ones; "
                f"n = {splits} splits",
                "teaching",
            )
        )
    for name, found in figures["one_correction"].items():
        if found["corrections"]:
            rows.append(
                (
                    f"one correction of a wrong reading in {name}",
                    f"read right afterwards in {found['read_right_then']} of {found['corrections']}; the same mistake "
                    f"with other pictures {found['same_mistakes_before']} times before, "
                    f"{found['same_mistakes_after']} after",
                    "teaching",
                )
            )
    return rows


def server_rows() -> list[Row]:
    """`digitnet serve` and its web page."""
    load, stroke, correction = map(record.read, ("serve_load", "stroke_to_reading", "correction_to_reading"))
    corrected = correction["correction_to_reading_milliseconds"]
    alone, beside, cold = load["alone"], load["beside_hostile"], load["cold_start_seconds"]
    memory, one, three = (
        beside["server_memory_mb"],
        stroke["one_digit_milliseconds"],
        stroke["number_of_three_milliseconds"],
    )
    return [
        (
            f"`/v1/predict`, {load['picture']}, {load['connections']} connections, {alone['seconds']:.0f} s",
            f"{alone['requests_per_second']:,.0f} requests/s, p99 {alone['p99_ms']:.0f} ms, "
            f"answers {alone['statuses']}",
            "serve_load",
        ),
        (
            f"the same beside {beside['hostile']['requests_per_second']:.0f} hostile requests a second, "
            f"{beside['seconds']:.0f} s",
            f"{beside['requests_per_second']:,.0f} requests/s, p99 {beside['p99_ms']:.0f} ms, answers "
            f"{beside['statuses']}, {beside['wrong']} wrong; the server's memory {memory['before']:.0f} MB before, "
            f"{memory['max']:.0f} at most, {memory['after']:.0f} after",
            "serve_load",
        ),
        (
            "`digitnet serve`, from process start to ready",
            f"{cold['median']:.2f} s, n = {cold['n']}",
            "serve_load",
        ),
        (
            "the page, from the end of a stroke to its shown reading: a digit / a number of three",
            f"{one['median']:.0f} ms / {three['median']:.0f} ms, n = {one['n']}, {stroke['browser']}",
            "stroke_to_reading",
        ),
        (
            "the page, from a correction to the changed reading of the same drawing (`--learn`)",
            f"{corrected['median']:.0f} ms, longest {corrected['max']:.0f} ms; "
            f"of {correction['drawn']} mirrored digits, drawn one after the other, {corrected['n']} were misread and "
            f"corrected, and {correction['read_as_corrected_afterwards']} of these were read right when drawn again",
            "correction_to_reading",
        ),
    ]


def archive_rows() -> list[Row]:
    """`digitnet batch`, and training on several ranks."""
    archives, torchrun = record.read("archives"), record.read("torchrun")
    speeds = torchrun["steps_a_second"]
    runs = {int(name.removeprefix("predict_")): run for name, run in archives.items() if name.startswith("predict_")}
    counts, most = " / ".join(f"{count:,}" for count in runs), runs[max(runs)]
    rates = " / ".join(f"{run['pictures_per_second']:,.0f}" for run in runs.values())
    megabytes = " / ".join(f"{run['megabytes_most']:.0f}" for run in runs.values())
    kills, pages, ray = archives["kills"], archives["pages"], archives["ray"]
    nodes, growth = ray["two_nodes_one_killed"], (most["megabytes_last"] / most["megabytes_first"] - 1) * 100
    return [
        (
            f"`digitnet batch`, {counts} pictures of 28 pixels in tars",
            f"{rates} pictures/s; {megabytes} MB at most in all "
            f"processes; of {max(runs):,}, memory in the last tenth {growth:+.1f} % against the second one",
            "archives",
        ),
        (
            "core hours for 100,000,000 such pictures",
            f"{archives['core_hours_of_a_hundred_million']:.0f}, from {archives['pictures_per_second_and_core']:,.0f} "
            "pictures a second and core",
            "archives",
        ),
        (
            f"`digitnet batch --task read`, {pages['two_workers']['pictures']:,} made pages, two workers against one",
            f"{pages['times_as_fast']:.2f} times as fast, {pages['two_workers']['pictures_per_second']:.0f} pages/s",
            "archives",
        ),
        (
            f"`kill -9` of `digitnet batch` and its workers, {kills['kills']} times, then to its end",
            f"{kills['missing']} rows missing, {kills['double']} double, {kills['rewritten_parts']} parts rewritten",
            "archives",
        ),
        (
            f"`digitnet batch --ray` on this machine, {ray['ray']['pictures']:,} pictures, seconds against without it",
            f"{ray['ray_over_local']:.2f}; its start {ray['ray_start_seconds']:.0f} s, "
            f"without it {ray['local_start_seconds']:.1f} s",
            "archives",
        ),
        (
            f"two Ray nodes, one killed after {nodes['parts_when_killed']} of {nodes['parts']} parts",
            "all rows equal to those without Ray" if nodes["equal_to_local"] else "rows differ from those without Ray",
            "archives",
        ),
        (
            "training of the detector, two ranks against one process with two threads",
            f"{torchrun['times_faster']:.2f} times the steps a second ({speeds['two_ranks']['median']:.2f} against "
            f"{speeds['one_process_two_threads']['median']:.2f}); held-out F1 after {torchrun['cycles']} cycles "
            f"{_listed(torchrun['validation_accuracy']['2'])} against {_listed(torchrun['validation_accuracy']['1'])}",
            "torchrun",
        ),
        (
            "the same run with 2, then 1, then 2 ranks, against one process without a stop",
            f"{torchrun['resumed_2_1_2']['batches']} batches of pages, "
            + ("all equal" if torchrun["resumed_2_1_2"]["same_pages"] else "not all equal"),
            "torchrun",
        ),
    ]


def _listed(shares: list[float]) -> str:
    return " / ".join(f"{share:.3f}" for share in shares)


def page_rows() -> list[Row]:
    """Pictures of any number of digits."""
    pages, latency, rapidocr = (record.read(name) for name in ("pages", "page_latency", "against_rapidocr"))
    sets, note = pages["sets"], latency["written"]
    sizes = record.read("page_size")["digits"].values()
    numbers = sets["numbers"]
    pairs = numbers["2 touching"]
    by_length = ", ".join(f"{numbers[f'{length} apart']['exact_percent']:.0f}" for length in range(1, 11))
    touching = ", ".join(f"{numbers[f'{length} touching']['exact_percent']:.0f}" for length in range(2, 11))
    rows = [
        (
            "`Reader.read`, a photo of 12 megapixels with 40 digits, warm",
            f"{note['warm_read_seconds']['median']:.2f} s, n = {note['warm_read_seconds']['n']}; "
            f"{note['peak_memory_mb']:.0f} MB at most",
            "page_latency",
        ),
        (
            "`Reader.read`, pages of 500 / 1,000 / 2,000 / 4,000 digits, warm",
            " / ".join(f"{page['seconds']['median']:.1f} s, {page['peak_memory_mb']:.0f} MB" for page in sizes),
            "page_size",
        ),
    ]
    rows += [
        (
            f"{PAGES}: {name}, all digits right, against RapidOCR {rapidocr['rapidocr']}",
            f"{figures['digitnet_right_percent']:.0f} % right against {figures['rapidocr_right_percent']:.0f} %, "
            f"{figures['times_as_fast']['median']:.1f} times as fast, n = {figures['n']}",
            "against_rapidocr",
        )
        for name, figures in rapidocr.items()
        if isinstance(figures, dict) and "digitnet_right_percent" in figures
    ]
    rows += [
        (
            f"{PAGES}: {name}",
            f"all digits right {figures['exact_percent']:.1f} %, digit error {figures['digit_error_percent']:.1f} %; "
            f"every digit answered in {figures['answered_whole_percent']:.1f} %, wrong of those "
            f"{figures['wrong_of_answered_percent']:.1f} %; n = {figures['n']}",
            "pages",
        )
        for name, figures in sets.items()
        if "exact_percent" in figures
    ]
    rows += [
        (
            f"pages without a digit: {name}",
            f"{figures['with_a_digit_percent']:.1f} % got a digit all the same, n = {figures['n']}",
            "pages",
        )
        for name, figures in sets.items()
        if "with_a_digit_percent" in figures
    ]
    rows += [
        (
            "synthesised numbers of 1 to 10 separate digits, all right",
            f"{numbers['apart']['exact_percent']:.1f} %; by length {by_length} %; n = {numbers['apart']['n']}",
            "pages",
        ),
        (
            "synthesised numbers of 2 to 10 touching digits, all right",
            f"pairs {pairs['exact_percent']:.0f} %; by length {touching} %; n = {numbers['touching']['n']}",
            "pages",
        ),
    ]
    rows += [
        (
            f"synthesised numbers, {'clean' if name == 'clean' else f'one difficulty: {name}'}",
            f"all digits right {figures['exact_percent']:.0f} %; every digit answered in "
            f"{figures['answered_whole_percent']:.0f} %, wrong of those {figures['wrong_of_answered_percent']:.1f} %; "
            f"n = {figures['n']}",
            "pages",
        )
        for name, figures in sets["difficulties"].items()
    ]
    return rows


def sentence(figures: dict[str, Any]) -> str:
    """One set's figures in words."""
    if not figures["n"]:
        return f"{figures['rejected_percent']:.1f} % rejected, n = {figures['n_no_digits']}"
    return (
        f"{figures['percent']:.2f} % right; answered {figures['answered_percent']:.1f} %, wrong of those "
        f"{figures['wrong_of_answered_percent'] or 0:.2f} %; calibration error "
        f"{figures['calibration_error_percent']:.2f} %; n = {figures['n']}"
    )


if __name__ == "__main__":
    main()
