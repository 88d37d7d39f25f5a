import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digitnet import spreadsheet

CHANGED = ["0522", "00", "1234567890123456", "12 34", "0 5", "=1+1", "+7", "-7", "@sum", "\t=1", "\r=1", "\n=1"]


@pytest.mark.parametrize("cell", CHANGED)
def test_a_text_that_a_spreadsheet_would_change_has_an_apostrophe_in_front(cell):
    assert next(csv.reader(io.StringIO(spreadsheet.row([cell]), newline=""))) == [f"'{cell}"]


@pytest.mark.parametrize(
    "cell", ["0", "7", "4096", "123456789012345", "0?22", "0173.jpg", "a=b", "1-2", -7, 0.5, None, ""]
)
def test_any_other_cell_stays_as_it_is(cell):
    assert next(csv.reader(io.StringIO(spreadsheet.row([cell, ""])))) == ["" if cell is None else str(cell), ""]


@given(st.lists(st.text(st.characters(exclude_characters="\0")), min_size=2))
def test_cells_of_any_text_are_found_again_after_the_apostrophe(cells):
    found = next(csv.reader(io.StringIO(spreadsheet.row(cells) + "\n", newline="")))
    assert [one.removeprefix("'") for one in found] == [one.removeprefix("'") for one in cells]
