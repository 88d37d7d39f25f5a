"""CSV that a spreadsheet shows as it is: one rule for all tables of answers.

A cell of text gets an apostrophe in front where a spreadsheet would run it as a formula, or would change it as a
number: 0522 would become 522, and the last of 16 digits would be lost. Nothing else is changed.
"""

import csv
import io
import re
from collections.abc import Iterable

ENCODING = "utf-8-sig"  # without the byte order mark, spreadsheets take names for another encoding
CHANGED = re.compile(r"[=+\-@\t\r\n]|(0\d|\d+ |\d{16})[\d ]*\Z")


def row(cells: Iterable[object]) -> str:
    """The cells as a row of CSV (RFC 4180), without the line break at its end; None is an empty cell."""
    line = io.StringIO()
    csv.writer(line, lineterminator="\r\n").writerow(map(_guarded, cells))  # and so both are quoted in a cell
    return line.getvalue().removesuffix("\r\n")


def _guarded(cell: object) -> object:
    return f"'{cell}" if isinstance(cell, str) and CHANGED.match(cell) else cell
