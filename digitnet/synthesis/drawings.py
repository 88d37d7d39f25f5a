"""Pictures of no digit that are drawn: scribbles, signs and filled shapes."""

import cv2
import numpy as np
import numpy.typing as npt

from digitnet.reading.ink import STRONG
from digitnet.reading.normalise import fit

CANVAS = 64  # pixels; the side of a drawing before it is normalised

Canvas = npt.NDArray[np.uint8]


def drawings(count: int, seed: int) -> npt.NDArray[np.uint8]:
    """Scribbles, signs and filled shapes, normalised like any picture: (count, 28, 28), in bytes."""
    rng = np.random.default_rng(seed)
    makers = (scribble, character, sign, shape, scribble, silhouette, character, garment)
    canvases = np.stack([makers[index % len(makers)](rng) for index in range(count)])
    ink = canvases / canvases.max((1, 2), keepdims=True).astype(np.float32)
    return (fit(ink, (ink > STRONG).astype(np.uint8)) * 255).round().astype(np.uint8)


def scribble(rng: np.random.Generator) -> Canvas:
    """Two to five curves, or one with so many turns that it is no digit."""
    canvas = np.zeros((CANVAS, CANVAS), np.uint8)
    strokes = int(rng.choice([1, 2, 3, 4, 5], p=[0.15, 0.3, 0.3, 0.15, 0.1]))
    pen = int(rng.integers(2, 7))
    for _ in range(strokes):
        turns = int(rng.integers(6, 10)) if strokes == 1 else int(rng.integers(4 if strokes == 2 else 2, 7))
        points = rng.uniform(10, CANVAS - 10, (turns, 2))
        if rng.random() < 0.7:
            points = _smooth(points)
        cv2.polylines(canvas, [points.round().astype(np.int32)], False, 255, pen, cv2.LINE_AA)
    return canvas


def sign(rng: np.random.Generator) -> Canvas:
    """A few straight strokes, parallel or crossing: minus, plus, times, equals, grids, dots."""
    canvas = np.zeros((CANVAS, CANVAS), np.uint8)
    pen = int(rng.integers(2, 9))
    middle = CANVAS / 2
    angle = rng.normal(0, 0.12) + (np.pi / 4 if rng.random() < 0.3 else 0)
    along = np.array([np.cos(angle), np.sin(angle)])
    across = np.array([-along[1], along[0]])
    reach = rng.uniform(10, 24)
    kind = rng.integers(5)
    offsets = {0: [0.0], 1: [0.0], 2: [-0.5, 0.5], 3: [-0.8, 0.0, 0.8], 4: [0.0]}[int(kind)]
    for offset in offsets:
        centre = middle + offset * reach * across
        _line(canvas, centre - along * reach, centre + along * reach, pen)
    if kind in (1, 3) and rng.random() < 0.8:
        for offset in offsets:
            centre = middle + offset * reach * along
            _line(canvas, centre - across * reach, centre + across * reach, pen)
    if kind == 4:
        for side in (-1, 1):
            point = middle + side * reach * 0.8 * across
            cv2.circle(canvas, (round(point[0]), round(point[1])), pen // 2 + 2, 255, -1, cv2.LINE_AA)
    return canvas


def character(rng: np.random.Generator) -> Canvas:
    """Four to six lines, arcs and loops, like a letter of an unknown script; most begin where the last one ended."""
    canvas = np.zeros((CANVAS, CANVAS), np.uint8)
    pen = int(rng.integers(2, 6))
    places = np.array([(x, y) for x in (14, 32, 50) for y in (12, 32, 52)])
    end = rng.choice(places) + rng.normal(0, 3, 2)
    for _ in range(int(rng.integers(4, 7))):
        start = end if rng.random() < 0.65 else rng.choice(places) + rng.normal(0, 3, 2)
        end = rng.choice(places) + rng.normal(0, 3, 2)
        kind = rng.random()
        if kind < 0.7:
            _line(canvas, start, end, pen)
        elif kind < 0.9:  # an arc that swells to one side
            across = (end - start)[::-1] * [-1, 1] * rng.uniform(0.3, 0.7) * rng.choice([-1, 1])
            arc = _smooth(np.stack([start, start + across, end + across, end]))
            cv2.polylines(canvas, [arc.round().astype(np.int32)], False, 255, pen, cv2.LINE_AA)
        else:
            radii = rng.integers(4, 9, 2).tolist()
            cv2.ellipse(canvas, start.round().astype(int).tolist(), radii, 0, 0, 360, 255, pen, cv2.LINE_AA)
    return canvas


def shape(rng: np.random.Generator) -> Canvas:
    """A filled outline with a texture inside, often symmetrical: a thing, not a stroke."""
    corners = int(rng.integers(4, 9))
    angles = np.sort(rng.uniform(0, 2 * np.pi, corners))
    radii = rng.uniform(14, 30, corners)
    points = CANVAS / 2 + np.stack([np.cos(angles) * radii, np.sin(angles) * radii], 1)
    if rng.random() < 0.5:
        points = _smooth(np.vstack([points, points[:1]]))
    canvas = np.zeros((CANVAS, CANVAS), np.uint8)
    cv2.fillPoly(canvas, [points.round().astype(np.int32)], 255, cv2.LINE_AA)
    if rng.random() < 0.6:
        canvas = np.maximum(canvas, canvas[:, ::-1])
    return textured(canvas, rng)


def silhouette(rng: np.random.Generator) -> Canvas:
    """A tall filled outline whose width changes from top to bottom, like a bottle or a dress, unlike a 1."""
    widths = rng.uniform(3, 14, int(rng.integers(3, 7)))
    widths[rng.integers(len(widths))] = rng.uniform(12, 18)
    rows = np.linspace(4, CANVAS - 4, len(widths))
    side = _smooth(np.stack([CANVAS / 2 + widths, rows], 1))
    outline = np.vstack([side, side[::-1] * [-1, 1] + [CANVAS, 0]])
    canvas = np.zeros((CANVAS, CANVAS), np.uint8)
    cv2.fillPoly(canvas, [outline.round().astype(np.int32)], 255, cv2.LINE_AA)
    return textured(canvas, rng)


def garment(rng: np.random.Generator) -> Canvas:
    """A filled trunk with a limb on each side, mirrored."""
    half_width, top, bottom = rng.uniform(7, 18), rng.uniform(4, 16), rng.uniform(44, 60)
    trunk = [(0, top), (half_width, top), (half_width * rng.uniform(0.6, 1.5), bottom), (0, bottom)]
    shoulder, width = rng.uniform(top, 40), rng.uniform(5, 16)
    reach, fall = rng.uniform(6, 14), rng.uniform(-12, 30)
    limb = [(0, shoulder), (half_width, shoulder), (half_width + reach, shoulder + fall)]
    limb += [
        (half_width + reach - 2, shoulder + fall + width),
        (half_width - 1, shoulder + width),
        (0, shoulder + width),
    ]
    canvas = np.zeros((CANVAS, CANVAS), np.uint8)
    for outline in (trunk, limb):
        for side in (-1, 1):
            points = np.array(outline) * [side, 1] + [CANVAS / 2, 0]
            cv2.fillPoly(canvas, [points.round().astype(np.int32)], 255, cv2.LINE_AA)
    return textured(canvas, rng)


def textured(canvas: Canvas, rng: np.random.Generator) -> Canvas:
    """The shape with light and dark patches inside."""
    coarse = rng.uniform(0.2, 1, (int(rng.integers(2, 14)), int(rng.integers(2, 14)))).astype(np.float32)
    texture = cv2.resize(coarse, (CANVAS, CANVAS), interpolation=cv2.INTER_CUBIC)
    return (canvas * np.clip(texture, 0.15, 1)).astype(np.uint8)


def _line(canvas: Canvas, start: npt.NDArray[np.float64], end: npt.NDArray[np.float64], pen: int) -> None:
    (x0, y0), (x1, y1) = start.round().astype(int).tolist(), end.round().astype(int).tolist()
    cv2.line(canvas, (x0, y0), (x1, y1), 255, pen, cv2.LINE_AA)


def _smooth(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """A curve near the points, by three rounds of corner cutting (Chaikin, 1974)."""
    for _ in range(3):
        start, end = points[:-1], points[1:]
        cut = np.stack([0.75 * start + 0.25 * end, 0.25 * start + 0.75 * end], 1).reshape(-1, 2)
        points = np.vstack([points[:1], cut, points[-1:]])
    return points
