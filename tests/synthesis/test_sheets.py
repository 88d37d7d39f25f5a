import numpy as np
import pytest

from digitnet.synthesis.sheets import Sheet


@pytest.mark.parametrize("top", [-20, -5, 0, 35, 60])
def test_a_patch_that_hangs_over_the_sheet_touches_the_ink_there_or_stays_where_it_was(top):
    sheet, block = Sheet(40, 100), np.ones((10, 8), np.float32)
    sheet.add(block, 20, 0)
    assert sheet.touch(block, top, 28) == (27 if -10 < top < 10 else 28)
