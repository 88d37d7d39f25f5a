import numpy as np
import pytest

from digitnet.errors import DataError
from digitnet.synthesis.variants import parsed, variants


def table(line='line = { weight = 1, strokes = "30 0, 30 100" }', digits=range(10)):
    return "\n".join(f"[{digit}]\nwidest_pen = 0.2\n[{digit}.variants]\n{line}" for digit in digits)


def test_each_digit_has_eight_to_eighteen_variants_with_names_of_their_own():
    counts = np.bincount([variant.label for variant in variants()], minlength=10)
    assert counts.min() >= 8
    assert counts.max() <= 18
    assert len({variant.kind for variant in variants()}) == len(variants())
    assert [variant.index for variant in variants()] == list(range(len(variants())))
    assert "9 mirrored P" in {variant.kind for variant in variants()}


def test_a_curve_goes_through_its_points_and_turns_at_corners():
    (variant, *_) = parsed(table('bent = { weight = 1, strokes = "0 0, 30 0!, 30 60 | 10 50, 20 55, 50 50" }'))
    dense = variant.curves[0] @ variant.low
    assert variant.starts == (0, variant.starts[1], len(dense))
    for point in variant.low:
        assert np.hypot(*(dense - point).T).min() < 1e-9
    first = dense[: variant.starts[1]]
    off_both_lines = np.minimum(abs(first[:, 1]), abs(first[:, 0] - 30))
    assert off_both_lines.max() < 1e-9  # nothing cuts the corner
    soft = (variant.curves[4] @ variant.low)[: variant.starts[1]]
    assert np.hypot(*(soft - [30, 0]).T).min() > 1
    np.testing.assert_allclose(soft[[0, -1]], first[[0, -1]])


def test_a_range_gives_the_lowest_and_the_highest_place():
    (variant, *_) = parsed(table('line = { weight = 2, strokes = "-8~6 38~54, 30 100" }'))
    assert variant.low.tolist() == [[-8, 38], [30, 100]]
    assert variant.high.tolist() == [[6, 54], [30, 100]]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[0", "is not TOML"),
        (table(digits=range(9)), "digits 0 to 9"),
        (table(digits=range(11)), "digits 0 to 9"),
        (table().replace("widest_pen", "widest", 1), "digit 0.*widest_pen"),
        (table(""), "digit 0: has no variants"),
        (table("line = 3"), "digit 0, 'line'"),
        (table('line = { strokes = "30 0, 30 100" }'), "digit 0, 'line'.*weight"),
        (table('line = { weight = 0, strokes = "30 0, 30 100" }'), "digit 0, 'line'.*weight 0"),
        (table('line = { weight = 1, strokes = "30 0" }'), "fewer than two points"),
        (table('line = { weight = 1, strokes = "30 0, 30" }'), "'30' is not two numbers"),
        (table('line = { weight = 1, strokes = "30 0, 30 x" }'), "digit 0, 'line'.*'x'"),
        (table('line = { weight = 1, strokes = "30 0, 30 9", pen = [1] }'), "digit 0, 'line'"),
        (table('line = { weight = 1, strokes = "30 0, 30 9", colour = 1 }'), "digit 0, 'line'.*colour"),
    ],
)
def test_a_damaged_table_is_refused_with_the_place(text, said):
    with pytest.raises(DataError, match=said):
        parsed(text)
