import numpy as np
import pytest

from digitnet.synthesis.paper import PAPERS, printed_lines, shadow


@pytest.mark.parametrize("name", PAPERS)
def test_every_paper_can_be_written_on_at_any_size(name):
    for seed in range(5):
        for size in ((32, 32), (100, 300)):
            paper = PAPERS[name](*size, np.random.default_rng(seed))
            assert paper.shape == size
            assert np.isfinite(paper).all()
            assert 0 < paper.mean() < 1.5


def test_printed_lines_begin_where_they_are_told_and_run_to_the_other_edge():
    printed = printed_lines((40, 60), rows=[10], columns=[20], tilt=0.1, strength=0.5)
    assert printed.max() == 0.5
    assert printed[10, 0] > 0
    assert printed[16, 59] > 0
    assert printed[0, 20] > 0
    assert printed[39, 16] > 0
    assert (printed > 0).mean() < 0.15


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_a_shadow_darkens_one_side_of_its_edge(kind):
    lit, edge, dark = shadow(np.array([-1e6, 0, 1e6], kind), depth=0.4, softness=0.01)
    assert (lit, edge, dark) == pytest.approx((1, 0.8, 0.6))
