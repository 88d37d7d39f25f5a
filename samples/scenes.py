"""Pictures that look like photos of handwriting: an MNIST digit, drawn by a pen on paper, in some light.

They replace real photos, which cannot be shipped, as samples and as test pictures with a known answer. A `Scene` says
what to draw, and `render` draws it: always the same picture for the same seed. Paper, printed lines and shadows come
from `digitnet.synthesis.paper`; colours, the place of the digit, and the camera are made here.
"""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from digitnet.synthesis.hands import skeletons
from digitnet.synthesis.paper import Array, enlarged, printed_lines, shadow

Colour = tuple[float, float, float]  # red, green, blue in [0, 1]

WHITE: Colour = (0.96, 0.96, 0.94)
INK_BLUE: Colour = (0.12, 0.18, 0.55)
BLACK: Colour = (0.08, 0.08, 0.09)


@dataclass(frozen=True)
class Scene:
    """What a picture shows, and how it was taken.

    Attributes:
        width, height: of the picture, in pixels.
        digit_height: of the digit, as a fraction of the shorter side of the picture.
        off_centre: how far the digit may be from the middle, as a fraction of the free space.
        paper, pen: their colours.
        pen_weight: how much thicker the strokes are (thinner, below 0), as a fraction of the digit's height.
        one_pixel: draw the digit in lines one pixel wide, like the mouse in a paint program.
        opacity: of the ink, in [0, 1]; a faint pencil has 0.3.
        texture: how unevenly the pen covers the paper, in [0, 1].
        grain: standard deviation of the paper's own pattern, as a fraction of its brightness.
        lines: printed lines on the paper, "ruled", "squared" or None.
        line_strength: their opacity, in [0, 1].
        frame: a printed frame around the digit, like on a form.
        table: a dark table beside the paper.
        light: how much darker the darkest corner is, in [0, 1].
        shadow: how much darker the paper is in a shadow, in [0, 1].
        blur: of the lens, in pixels (standard deviation of a Gaussian).
        noise: of the sensor, standard deviation in [0, 1].
    """

    width: int = 320
    height: int = 320
    digit_height: float = 0.5
    off_centre: float = 0.5
    paper: Colour = WHITE
    pen: Colour = BLACK
    pen_weight: float = 0.0
    one_pixel: bool = False
    opacity: float = 0.9
    texture: float = 0.1
    grain: float = 0.01
    lines: str | None = None
    line_strength: float = 0.55
    frame: bool = False
    table: bool = False
    light: float = 0.15
    shadow: float = 0.0
    blur: float = 0.7
    noise: float = 0.01


CLEAN: dict[str, Any] = {"opacity": 1.0, "texture": 0.0, "grain": 0.0, "light": 0.0, "blur": 0.0, "noise": 0.0}
PURE_WHITE: Colour = (1.0, 1.0, 1.0)
PURE_BLACK: Colour = (0.0, 0.0, 0.0)

SCENES: dict[str, Scene] = {
    "pen": Scene(pen=INK_BLUE, grain=0.02, light=0.2),
    "pencil": Scene(opacity=0.3, texture=0.5, grain=0.02, pen=(0.3, 0.3, 0.32)),
    "marker": Scene(pen=(0.75, 0.1, 0.12), pen_weight=0.045, digit_height=0.7),
    "ruled": Scene(lines="ruled", line_strength=0.9, pen=INK_BLUE, light=0.2),
    "squared": Scene(lines="squared", pen=BLACK, texture=0.3),
    "shadow": Scene(shadow=0.55, light=0.3, noise=0.02),
    "coloured": Scene(paper=(0.95, 0.72, 0.35), pen=(0.35, 0.16, 0.08), grain=0.04),
    "chalk": Scene(paper=(0.14, 0.25, 0.2), pen=(0.93, 0.93, 0.9), texture=0.5, grain=0.06),
    "form": Scene(frame=True, digit_height=0.42, off_centre=0.2, pen=INK_BLUE),
    "table": Scene(table=True, light=0.35, width=480, height=360, digit_height=0.4),
    "photo": Scene(width=1600, height=1200, digit_height=0.09, light=0.4, blur=1.5, noise=0.03, off_centre=0.8),
    "mouse": Scene(width=280, height=280, paper=PURE_WHITE, pen=PURE_BLACK, one_pixel=True, off_centre=0.9, **CLEAN),
    "brush": Scene(width=64, height=64, paper=PURE_BLACK, pen=PURE_WHITE, pen_weight=0.04, **CLEAN),
}


def render(digit: Array, scene: Scene, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """A picture (height, width, 3), RGB, of one digit.

    Args:
        digit: (28, 28) in [0, 1], ink bright on dark, as in MNIST.
    """
    ink = _place(_written(digit, scene), scene, rng)  # (H, W)
    coverage = scene.opacity * ink * (1 - scene.texture * rng.random(ink.shape, dtype=np.float32))
    paper = np.array(scene.paper, np.float32) * (1 + scene.grain * _clouds(ink.shape, 3, rng))[..., None]
    paper = _print_lines(paper, scene, rng)
    picture = paper + coverage[..., None] * (np.array(scene.pen, np.float32) - paper)
    if scene.table:
        picture = _lay_on_table(picture, rng)
    picture = picture * _light(scene, rng)[..., None]
    if scene.blur:
        picture = cv2.GaussianBlur(picture, (0, 0), scene.blur)
    picture = picture + scene.noise * rng.standard_normal(picture.shape, dtype=np.float32)
    return np.asarray(np.clip(picture, 0, 1) * 255).round().astype(np.uint8)


def _written(digit: Array, scene: Scene) -> Array:
    """The digit, cropped, at its size in the picture and with sharp edges, (h, w) in [0, 1]."""
    size = round(scene.digit_height * min(scene.width, scene.height))
    rows, columns = np.nonzero(digit > 0.3)
    tight = digit[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    factor = size / max(tight.shape)
    margin = 4
    padded = np.pad(tight, margin)
    shape = (max(1, round(padded.shape[1] * factor)), max(1, round(padded.shape[0] * factor)))
    large = cv2.resize(padded, shape, interpolation=cv2.INTER_CUBIC)
    large = cv2.GaussianBlur(large, (0, 0), max(0.3, 0.35 * factor))
    if scene.one_pixel:
        lines = skeletons((large > 0.5).astype(np.uint8)[np.newaxis])
        return np.asarray(lines[0], np.float32)
    grow = round(abs(scene.pen_weight) * size)
    if grow:
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * grow + 1, 2 * grow + 1))
        large = cv2.dilate(large, kernel) if scene.pen_weight > 0 else cv2.erode(large, kernel)
    return np.asarray(np.clip((large - 0.5) * max(2.0, 0.8 * factor) + 0.5, 0, 1), np.float32)


def _place(written: Array, scene: Scene, rng: np.random.Generator) -> Array:
    """The ink of the whole picture, (H, W) in [0, 1]: the digit at a random place."""
    height, width = written.shape
    canvas = np.zeros((scene.height, scene.width), np.float32)
    room_y, room_x = scene.height - height, scene.width - width
    top = round(room_y * (0.5 + scene.off_centre * rng.uniform(-0.5, 0.5)))
    left = round(room_x * (0.5 + scene.off_centre * rng.uniform(-0.5, 0.5)))
    canvas[top : top + height, left : left + width] = written
    return canvas


def _clouds(shape: tuple[int, ...], cell: int, rng: np.random.Generator) -> Array:
    """Noise with mean 0 and deviation about 1: smooth spots `cell` pixels wide, with finer ones on top."""
    height, width = shape
    coarse = rng.standard_normal((height // cell + 2, width // cell + 2), dtype=np.float32)
    return 0.8 * enlarged(coarse, shape) + 0.4 * rng.standard_normal(shape, dtype=np.float32)


def _print_lines(paper: Array, scene: Scene, rng: np.random.Generator) -> Array:
    """The paper (H, W, 3) with the scene's lines and frame printed on it in blue."""
    height, width = paper.shape[:2]
    printed = np.zeros((height, width), np.float32)
    short = min(height, width)
    if scene.lines:
        pitch = short * (rng.uniform(0.18, 0.26) if scene.lines == "ruled" else rng.uniform(0.09, 0.13))
        tilt = rng.uniform(-0.02, 0.02)
        rows = np.arange(rng.uniform(0, pitch), height, pitch)
        columns = np.arange(rng.uniform(0, pitch), width, pitch) if scene.lines == "squared" else ()
        printed = printed_lines((height, width), rows, columns, tilt, scene.line_strength)
    if scene.frame:
        inset = round(short * rng.uniform(0.08, 0.14))
        cv2.rectangle(printed, (inset, inset), (width - inset, height - inset), 0.9, max(2, short // 100))
    blue: Array = np.array((0.35, 0.5, 0.75), np.float32)
    return np.asarray(paper + printed[..., None] * (blue * np.float32(0.9) - paper), np.float32)


def _lay_on_table(picture: Array, rng: np.random.Generator) -> Array:
    """The picture (H, W, 3) with a strip of wood along its left edge."""
    height, width = picture.shape[:2]
    edge = rng.uniform(0.08, 0.16) * width
    slope = rng.uniform(-0.1, 0.1)
    rows, columns = np.mgrid[:height, :width]
    on_table = columns < edge + slope * (rows - height / 2)
    wood: Array = np.array((0.36, 0.24, 0.15), np.float32) * (1 + 0.1 * _clouds((height, width), 5, rng))[..., None]
    return np.where(on_table[..., None], wood, picture)


def _light(scene: Scene, rng: np.random.Generator) -> Array:
    """The factor by which light changes each pixel, (H, W) in (0, 1]: darker to one side, at times with a shadow."""
    rows, columns = np.mgrid[: scene.height, : scene.width].astype(np.float32)
    across, down = columns / scene.width - 0.5, rows / scene.height - 0.5

    def distance() -> Any:
        """How far each pixel is from the middle in a random direction, as a fraction of its sides: (H, W) float64."""
        angle = rng.uniform(0, 2 * np.pi)
        return across * np.cos(angle) + down * np.sin(angle)

    light = 1 - scene.light * np.clip(0.5 + distance(), 0, 1)
    if scene.shadow:
        edge = distance() - rng.uniform(-0.2, 0.2)
        light = light * shadow(edge, scene.shadow, softness=rng.uniform(0.01, 0.05))
    return np.asarray(light, np.float32)
