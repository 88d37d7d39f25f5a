"""Errors on MNIST's test digits with 15 corruptions: noise, blur, shifts, lines and weather, never used in training.

The corruptions are those of MNIST-C (Mu and Gilmer, 2019, "MNIST-C: A Robustness Benchmark for Computer Vision"), made
again at the strengths of the published set, which are the defaults of corruptions.py in google-research/mnist-c. That
program uses scikit-image and ImageMagick in their versions of 2019. Where these show in the pictures, this program
does the same and says so below. The random numbers are our own, so the pictures are of the same kind as the published
ones, but not the same. A figure made here can be compared with published ones only roughly.

Only this benchmark may use the corruptions: nothing here may be used for training.

    python benchmarks/corruptions.py [--model FILE] [--show FILE.png]      a few minutes
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import record
from numpy.random import Generator

from digitnet import Reader
from digitnet.dataset import MNIST, find_mnist
from digitnet.results import Digit

SEED = 0
SIDE = 28
BATCH = 250  # images corrupted at once, to limit the memory; another number gives other random pictures
AXIS = np.arange(SIDE)
MIDDLE = (SIDE - 1) / 2  # of the grid; digits are turned and scaled about it

Images = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]
Corruption = Callable[[Images, Generator], Images]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="another model than the package's")
    parser.add_argument("--show", type=Path, metavar="FILE.png", help="also draw ten digits of each corruption")
    arguments = parser.parse_args()
    mnist = MNIST(find_mnist(), train=False)
    images, labels = mnist.data.numpy(), mnist.targets.numpy()  # (10000, 28, 28) uint8, (10000,)
    if arguments.show:
        first = [int(np.argmax(labels == digit)) for digit in range(10)]
        cv2.imwrite(str(arguments.show), sheet(images[first]))
    reader = Reader(arguments.model)
    clean = errors(reader, images, labels)
    spoiled = {name: errors(reader, corrupted(name, images), labels) for name in CORRUPTIONS}
    mean = {key: float(np.mean([figures[key] for figures in spoiled.values()])) for key in clean}
    for name, figures in {**spoiled, "mean": mean, "clean": clean}.items():
        print(f"{name:14} {figures['error_percent']:6.2f} % {figures['error_percent_as_picture']:6.2f} % as a picture")
    of_model = {"model": str(arguments.model or "the package's"), "n": len(images), "seed": SEED}
    record.write("corruptions", {**of_model, "clean": clean, "mean": mean, "corruptions": spoiled})


def errors(reader: Reader, images: Images, labels: npt.NDArray[np.int64]) -> dict[str, float]:
    """Percent of `images` read wrong: as the network's input without changes, and as pictures with normalisation.

    Other work reports the first figure. A user who has such a picture gets the second. It can be better, where
    normalisation undoes a shift, or worse, where a line is mistaken for the digit.
    """
    return {
        "error_percent": _wrong_percent(reader.predict_normalised(images.astype(np.float32) / np.float32(255)), labels),
        "error_percent_as_picture": _wrong_percent(reader.predict_many(images), labels),
    }


def _wrong_percent(digits: list[Digit], labels: npt.NDArray[np.int64]) -> float:
    wrong = sum(digit.best_guess != label for digit, label in zip(digits, labels, strict=True))
    return 100 * int(wrong) / len(labels)


def corrupted(name: str, images: Images, seed: int = SEED) -> Images:
    """`images` (N, 28, 28), bright ink on black, with the corruption `name`; a seed always gives the same."""
    rng = np.random.default_rng([seed, list(CORRUPTIONS).index(name)])
    starts = range(0, len(images), BATCH)
    return np.concatenate([CORRUPTIONS[name](images[start : start + BATCH], rng) for start in starts])


# Noise


def shot_noise(images: Images, rng: Generator) -> Images:
    """Counted photons; the brightest pixel gives three on average."""
    return _to_bytes(rng.poisson(images / 255 * 3) / 3)


def impulse_noise(images: Images, rng: Generator) -> Images:
    """17 % of the pixels become black or white, whatever they were."""
    chance = rng.random(images.shape)
    return np.where(chance < 0.17, np.where(chance < 0.085, 0, 255), images).astype(np.uint8)


# Blur


def glass_blur(images: Images, rng: Generator) -> Images:
    """Blur, swap half of the pixels with the one above, left or both, twice, and blur again; sigma 0.7.

    The blur runs down the columns only. The published program asks scikit-image for a blur that does not mix colour
    channels, and scikit-image takes a grey picture's columns for channels.
    """
    blur = _filter(_gaussian(0.7))
    shuffled = (blur @ (images / 255) * 255).astype(np.uint8)
    everywhere = np.arange(len(images))
    moves = rng.integers(-1, 1, (2, SIDE, SIDE, 2, len(images)), dtype=np.int8)  # each 0 or -1
    moves *= rng.integers(0, 2, (2, SIDE, SIDE, 1, len(images)), dtype=np.int8)
    for turn in range(2):
        for row in range(SIDE - 1, 1, -1):
            for column in range(SIDE - 1, 1, -1):
                down, right = moves[turn, row, column]
                here = shuffled[:, row, column].copy()
                shuffled[:, row, column] = shuffled[everywhere, row + down, column + right]
                shuffled[everywhere, row + down, column + right] = here
    return _to_bytes(blur @ (shuffled / 255))


def motion_blur(images: Images, rng: Generator) -> Images:
    """A trail of 21 pixels to the left at up to 45 degrees, half a Gaussian of sigma 3, in whole pixels. ImageMagick
    draws it in this way for radius 10.
    """
    angles = np.deg2rad(rng.uniform(-45, 45, (len(images), 1)))
    weights = np.exp(-0.5 * (np.arange(21) / 3) ** 2)
    blurred = np.zeros(images.shape)
    for step, weight in enumerate(weights / weights.sum()):
        rows = np.clip(AXIS + np.ceil(step * np.sin(angles) - 0.5).astype(int), 0, SIDE - 1)  # (N, 28)
        columns = np.clip(AXIS + np.ceil(step * np.cos(angles) - 0.5).astype(int), 0, SIDE - 1)
        blurred += weight * _pixels(images, rows[:, :, None], columns[:, None, :])
    return _to_bytes(blurred / 255)


# Other places and shapes


def shear(images: Images, rng: Generator) -> Images:
    """Slanted by 0.4 radians to either side and stretched to match, as in scikit-image of 2019: the axis of the columns
    turns and that of the rows stays.
    """
    angles = 0.4 * _signs(len(images), rng)
    return _warped(images, [([[1, -np.sin(angle)], [0, np.cos(angle)]], (0, 0)) for angle in angles])


def scale(images: Images, rng: Generator) -> Images:
    """Shrunk to 0.7 of its size; not random."""
    return _warped(images, [([[1 / 0.7, 0], [0, 1 / 0.7]], (0, 0))] * len(images))


def rotate(images: Images, rng: Generator) -> Images:
    """Turned by 0.4 radians, 23 degrees, to either side."""
    turns = [(np.cos(angle), np.sin(angle)) for angle in 0.4 * _signs(len(images), rng)]
    return _warped(images, [([[cos, -sin], [sin, cos]], (0, 0)) for cos, sin in turns])


def translate(images: Images, rng: Generator) -> Images:
    """Moved by three pixels, left or right and up or down."""
    moves = 3 * _signs(2 * len(images), rng).reshape(-1, 2)
    return _warped(images, [([[1, 0], [0, 1]], (right, down)) for right, down in moves])


# Light and weather


def brightness(images: Images, rng: Generator) -> Images:
    """Brighter by half of the range, so black becomes grey; not random."""
    return _to_bytes(images / 255 + 0.5)


def stripe(images: Images, rng: Generator) -> Images:
    """The left and the right quarter in negative; not random."""
    return np.where((AXIS < 7) | (AXIS >= 21), 255 - images, images).astype(np.uint8)


def fog(images: Images, rng: Generator) -> Images:
    """A corner of a cloud, three times as strong as the ink; the sum is dimmed to the brightness of the ink."""
    ink = images / 255
    peak = ink.max(axis=(1, 2), keepdims=True)
    clouds = _clouds(len(images), rng)[:, :SIDE, :SIDE]
    return _to_bytes((ink + 3 * clouds) * peak / (peak + 3))


def spatter(images: Images, rng: Generator) -> Images:
    """Mud of brightness 63 in blots that cover the ink, where noise blurred with sigma 1 is above 0.65."""
    wet = _blurred(rng.normal(0.65, 0.3, images.shape), 1) > 0.65
    mud = _blurred(wet.astype(np.float64), 1.5)
    mud[mud < 0.8] = 0
    return _to_bytes(images / 255 * (1 - mud) + 63 / 255 * mud)


# Lines


def dotted_line(images: Images, rng: Generator) -> Images:
    """A line from the left edge to the right, two columns drawn and two left out in turn."""
    left, right = rng.integers(0, SIDE - 1, (2, len(images)))
    line = _lines(np.zeros(len(images)), left, np.full(len(images), SIDE - 1), right)
    return _to_bytes(images / 255 + line * (AXIS // 2 % 2))


def zigzag(images: Images, rng: Generator) -> Images:
    """A zigzag along a line from column 2 to 25 that rises or falls by up to 5; four pixels wide, a tooth each four."""
    start, rise = rng.integers(0, SIDE - 1, len(images)), rng.integers(-5, 5, len(images))
    length = np.hypot(23, rise)
    cos, sin = 23 / length, rise / length
    along = np.stack([np.full(len(images), x) for x in (0, 2, 6, 10, 14, 18, 22)] + [length])  # (8, N)
    across = np.stack([np.full(len(images), y) for y in (0, 2, -2, 2, -2, 2, -2)] + [-1 / (length - 20)])
    columns, rows = 2 + cos * along - sin * across, start + sin * along + cos * across
    strokes = sum(_lines(columns[i], rows[i], columns[i + 1], rows[i + 1]) for i in range(7))
    return _to_bytes(images / 255 + strokes)


# Edges


def canny_edges(images: Images, rng: Generator) -> Images:
    """White edges on black, by Canny's method with scikit-image's defaults: sigma 1, thresholds 0.1 and 0.2.

    cv2.Canny gives other edges: its neighbours along the gradient are whole pixels, here they are interpolated.
    """
    smooth = _blurred(images / 255, 1)
    average, difference = _filter(np.array([1, 2, 1])), _filter(np.array([-1, 0, 1]))
    down, right = difference @ smooth @ average.T, average @ smooth @ difference.T  # the Sobel gradient
    strength = np.hypot(down, right)
    steep = abs(down) >= abs(right)
    larger = np.maximum(abs(down), abs(right))
    slant = np.divide(np.minimum(abs(down), abs(right)), larger, out=np.zeros_like(larger), where=larger > 0)
    ridge = strength > 0
    ridge[:, [0, -1]] = ridge[:, :, [0, -1]] = False  # their neighbours beyond the border are unknown
    for way in (1, -1):
        rows = np.clip(AXIS[:, None] + way * np.sign(down).astype(int), 0, SIDE - 1)  # (N, 28, 28)
        columns = np.clip(AXIS + way * np.sign(right).astype(int), 0, SIDE - 1)
        straight = _pixels(strength, np.where(steep, rows, AXIS[:, None]), np.where(steep, AXIS, columns))
        ridge &= straight * (1 - slant) + _pixels(strength, rows, columns) * slant <= strength
    edges = np.zeros_like(images)
    for edge, weak, strong in zip(edges, ridge & (strength >= 0.1), ridge & (strength >= 0.2), strict=True):
        count, components = cv2.connectedComponents(weak.astype(np.uint8), connectivity=8)
        kept = np.isin(np.arange(count), components[strong])  # weak edges are kept if they touch a strong one
        edge[kept[components]] = 255
    return edges


CORRUPTIONS: dict[str, Corruption] = {
    corruption.__name__: corruption
    for corruption in (
        shot_noise,
        impulse_noise,
        glass_blur,
        motion_blur,
        shear,
        scale,
        rotate,
        brightness,
        translate,
        stripe,
        fog,
        spatter,
        dotted_line,
        zigzag,
        canny_edges,
    )
}


def _to_bytes(values: Floats) -> Images:
    """`values`, clipped to [0, 1], as the nearest of 0 to 255."""
    return np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)


def _pixels(images: Images | Floats, rows: npt.NDArray[np.int_], columns: npt.NDArray[np.int_]) -> Floats:
    """The pixels of each of `images` (N, 28, 28) at its `rows` and `columns`, which broadcast to (N, 28, 28)."""
    return images[np.arange(len(images))[:, None, None], rows, columns].astype(np.float64)


def _signs(count: int, rng: Generator) -> npt.NDArray[np.int_]:
    """(count,), each -1 or 1."""
    return 2 * rng.integers(0, 2, count) - 1


def _gaussian(sigma: float) -> Floats:
    """A kernel of four sigmas to each side, as in scikit-image."""
    reach = int(4 * sigma + 0.5)
    return np.asarray(cv2.getGaussianKernel(2 * reach + 1, sigma), np.float64)[:, 0]


def _filter(kernel: Floats | npt.NDArray[np.int_]) -> Floats:
    """The matrix M (28, 28) so that M @ image filters down the columns, image @ M.T along the rows; edges repeat."""
    reach = len(kernel) // 2
    matrix = np.zeros((SIDE, SIDE))
    for offset, weight in zip(range(-reach, reach + 1), kernel, strict=True):
        matrix[AXIS, np.clip(AXIS + offset, 0, SIDE - 1)] += weight
    return matrix


def _blurred(values: Floats, sigma: float) -> Floats:
    """`values` (N, 28, 28) blurred by a Gaussian."""
    blur = _filter(_gaussian(sigma))
    return blur @ values @ blur.T


def _warped(images: Images, maps: list[tuple[list[list[float]], tuple[float, float]]]) -> Images:
    """Each image through its map: a linear part, about the middle, then a shift (right, down). The map leads from a
    pixel of the new image to its place in the old image.
    """
    warped = np.zeros_like(images)
    for index, (linear, shift) in enumerate(maps):
        origin = MIDDLE - np.array(linear) @ (MIDDLE, MIDDLE) + shift
        matrix = np.column_stack([linear, origin])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        warped[index] = cv2.warpAffine(images[index], matrix, (SIDE, SIDE), flags=flags)
    return warped


def _lines(x0: Floats, y0: Floats, x1: Floats, y1: Floats) -> Floats:
    """A line (N, 28, 28) in [0, 1] for each image, from one point to another further right; all arguments (N,).

    The brightness at the distance d straight above or below the line is 1 + ln(1 - d / 2.3).
    """
    slope = (y1 - y0) / (x1 - x0)
    height = y0[:, None] + slope[:, None] * (AXIS - x0[:, None])  # (N, 28)
    distance = np.minimum(abs(AXIS[:, None] - height[:, None, :]), 2.2)
    drawn = (np.floor(x0)[:, None] <= AXIS) & (np.ceil(x1)[:, None] > AXIS)
    lines: Floats = np.maximum(1 + np.log(1 - distance / 2.3), 0) * drawn[:, None, :]
    return lines


def _clouds(count: int, rng: Generator) -> npt.NDArray[np.float32]:
    """(count, 256, 256) in [0, 1] by the diamond-square method, on a torus, starting from a corner of height 0.

    Each time the step is halved, the roughness is divided by 1.4; its square limits the random part.
    """
    heights = np.zeros((count, 256, 256), np.float32)
    step, roughness = 256, 100.0
    while step > 1:
        half = step // 2

        def midway(four: npt.NDArray[np.float32], bound: float = roughness**2) -> npt.NDArray[np.float32]:
            return four / 4 + np.float32(bound) * (2 * rng.random(four.shape, np.float32) - 1)

        corners = heights[:, ::step, ::step]
        to_the_right = corners + np.roll(corners, -1, 2)
        centres = midway(to_the_right + np.roll(to_the_right, -1, 1))
        heights[:, half::step, half::step] = centres
        heights[:, ::step, half::step] = midway(to_the_right + centres + np.roll(centres, 1, 1))
        below = corners + np.roll(corners, -1, 1)
        heights[:, half::step, ::step] = midway(below + centres + np.roll(centres, 1, 2))
        step, roughness = half, roughness / 1.4
    lowest, highest = heights.min(axis=(1, 2), keepdims=True), heights.max(axis=(1, 2), keepdims=True)
    clouds: npt.NDArray[np.float32] = (heights - lowest) / (highest - lowest)
    return clouds


def sheet(images: Images) -> Images:
    """A row of `images` (N, 28, 28) and below it a named row for each corruption; three times as large."""
    rows = []
    for name in ("clean", *CORRUPTIONS):
        row = images if name == "clean" else corrupted(name, images)
        digits = np.pad(row, ((0, 0), (1, 1), (1, 1)), constant_values=128).transpose(1, 0, 2).reshape(SIDE + 2, -1)
        caption = np.full((3 * (SIDE + 2), 180), 255, np.uint8)
        cv2.putText(caption, name.replace("_", " "), (10, 52), cv2.FONT_HERSHEY_SIMPLEX, 0.6, 0, 1, cv2.LINE_AA)
        rows.append(np.hstack([caption, digits.repeat(3, 0).repeat(3, 1)]))
    return np.vstack(rows)


if __name__ == "__main__":
    main()
