"""The shift of a last layer that a lesson finds: MAP adaptation, fitted with numpy.

The last layer is a multinomial logistic regression on the network's features, with "not a digit" as an eleventh class
whose logit is 0. The old layer is the mean of a Gaussian prior (MAP adaptation: Chelba and Acero, 2006). The prior is
narrow in the directions that pictures of other hands use, because there a shift would change their logits; elsewhere it
is wide. So the shift uses what is special in the new hand. The loss is convex. It is minimised with a bound of its
curvature (Böhning, 1992), so no step can be too long.
"""

import numpy as np
import numpy.typing as npt

from digitnet.reading.adaptation import Matrix
from digitnet.reading.answer import NOT_A_DIGIT
from digitnet.teaching.evidence import Evidence

RANK = 128  # directions of the features in which the layer may change
REPLAY_RANK = 512  # directions that hold most of the replay pictures
PRIOR = 0.01  # precision of the prior in all directions, relative to one picture
REPLAY_PRIOR = 34.0  # the same for all replay pictures together, in the directions of their features
STEPS = 60
ENOUGH = 1e-4  # a step this much smaller than the shift ends the fit


class Prior:
    """What is known of a shift before a lesson: it hardly changes the logits of replay pictures.

    Args:
        features: (N, F), what the last layer sees of the replay pictures.
    """

    def __init__(self, features: Matrix) -> None:
        rows = _with_ones(features)
        self._scale = np.sqrt(np.square(rows).sum() / len(rows))  # the usual length of a picture's features
        some = _main_directions(rows, REPLAY_RANK)
        of_some = rows @ some.T / self._scale
        spread, axes = np.linalg.eigh(of_some.T @ of_some / len(rows))
        self._directions = axes.T @ some  # (K, F + 1)
        self._narrowing = 1 - np.sqrt(PRIOR / (PRIOR + REPLAY_PRIOR * np.maximum(spread, 0)))  # (K,)

    def whitened(self, rows: Matrix) -> Matrix:
        """Vectors (N, F + 1) times the square root of the prior's covariance.

        A shift of the layer that the prior makes likely is a likely standard normal vector, whitened.
        """
        narrower = (rows @ self._directions.T * self._narrowing) @ self._directions
        return np.asarray((rows - narrower) / (self._scale * np.sqrt(np.float32(PRIOR))), np.float32)


class LastLayer:
    """Finds shifts of a last layer.

    Args:
        digits: N images of digits, as the network sees them before the lesson.
        labels: (N,), 0 to 9 or `NOT_A_DIGIT`.
        prior: of the shifts.
    """

    def __init__(self, digits: Evidence, labels: npt.NDArray[np.int64], prior: Prior) -> None:
        self._prior = prior
        rows = prior.whitened(_with_ones(digits.features))
        self._directions = _main_directions(rows, RANK)  # (R, F + 1)
        self._rows: Matrix = rows @ self._directions.T  # (N, R)
        self._logits = digits.logits
        self._targets = np.eye(NOT_A_DIGIT + 1, dtype=np.float32)[labels]

    def shift(self, weights: Matrix) -> Matrix:
        """The shift (F + 1, 10) for images that count as much as `weights` (N,); the last row is for the bias."""
        used = weights > 0
        rows, logits, targets = self._rows[used], self._logits[used], self._targets[used]
        counts = weights[used, np.newaxis]
        curvature = (rows * counts / 2).T @ rows + np.eye(rows.shape[1], dtype=np.float32)
        inverse = np.linalg.inv(curvature.astype(np.float64)).astype(np.float32)
        shift = ahead = np.zeros((len(curvature), NOT_A_DIGIT), np.float32)
        momentum = 1.0
        for _ in range(STEPS):  # accelerated gradient steps (Nesterov, 1983; restarts: O'Donoghue and Candès, 2015)
            surplus = (_softmax(logits + rows @ ahead) - targets)[:, :NOT_A_DIGIT]
            before, shift = shift, ahead - (inverse @ (rows.T @ (surplus * counts) + ahead)).astype(np.float32)
            step = shift - before
            if np.abs(step).max(initial=0) <= ENOUGH * np.abs(shift).max(initial=0):
                break
            following = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
            overshot = float(((ahead - shift) * step).sum()) > 0
            ahead = shift if overshot else shift + np.float32((momentum - 1) / following) * step
            momentum = 1.0 if overshot else following
        return self._prior.whitened(shift.T @ self._directions).T


def _with_ones(features: Matrix) -> Matrix:
    """Features (N, F + 1); the last one is 1, for the bias."""
    return np.concatenate([features, np.ones((len(features), 1), np.float32)], 1)


def _main_directions(rows: Matrix, most: int) -> Matrix:
    """At most so many orthonormal directions (R, F) that hold most of `rows` (N, F) (Halko et al., 2011)."""
    random = np.random.default_rng(0).standard_normal((rows.shape[1], min(most, *rows.shape))).astype(np.float32)
    directions, _ = np.linalg.qr(rows.T @ (rows @ random))
    return np.asarray(directions.T, np.float32)


def _softmax(logits: Matrix) -> Matrix:
    """Probabilities (N, 11) from logits (N, 10); the eleventh logit is 0 (see `model.with_not_a_digit`)."""
    eleven = np.column_stack([logits, np.zeros(len(logits), np.float32)])
    powers = np.exp(eleven - eleven.max(1, keepdims=True))
    found: Matrix = powers / powers.sum(1, keepdims=True)
    return found
