"""A picture of any number of digits to a `Page`: detection, look closer, weigh each line as a whole."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import onnxruntime

from digitnet.errors import CancelledError, ModelError
from digitnet.imaging.load import Picture
from digitnet.imaging.normalise import SIDE, normalise
from digitnet.inference import onnx_models as runtime
from digitnet.inference import rejection as rejection
from digitnet.inference.onnx_models import Probabilities
from digitnet.inference.rejection import NOT_A_DIGIT, UNREACHABLE, Rejection
from digitnet.pages import lattice as lattice
from digitnet.pages.constraints import Constraint
from digitnet.pages.crops import crops
from digitnet.pages.detect import CONTRAST_VERSION, DEEPEST, Detection, Grey, detect, detect_at_one_scale
from digitnet.pages.fusion import Fusion
from digitnet.pages.lattice import Candidate, ReadDigit, grouped
from digitnet.results import Box, Digit, Line, Page

LEAST_LIKELY = 0.03  # a detection that is less likely to be a digit is dropped before lines are read
LIKELIER_NOT = 0.5  # a digit in a reading that is less likely there than this is "not a digit"

NEVER_ALONE = Rejection(UNREACHABLE)

Closeups = npt.NDArray[np.float32]  # (N, 28, 28) in [0, 1]
Closer = Callable[[Closeups], Probabilities]  # to (N, 11)


@dataclass(frozen=True)
class PageExamination:
    """A picture of a page, what was read there, and the page's digits as DigitNet saw them, (N, 28, 28) in [0, 1]."""

    picture: Picture
    page: Page
    crops: Closeups


@dataclass(frozen=True)
class PageReader:
    """Reads pages with a detector and, for the close-ups, DigitNet.

    Attributes:
        session: the detector.
        answers: DigitNet's eleven probabilities (N, 11) for normalised images (N, 28, 28).
        fusion: how to weigh the two.
        rejection: how sure of a digit to be.
        alone: how sure DigitNet is to be of the one digit of a picture, to answer it without asking the detector.
    """

    session: onnxruntime.InferenceSession
    probabilities: Closer
    fusion: Fusion
    rejection: Rejection
    alone: Rejection = NEVER_ALONE

    @classmethod
    def from_onnx(
        cls, content: bytes, name: str, answers: Closer, max_error: float | None, alone: Rejection
    ) -> "PageReader":
        """Reads with the detector in `content`, doubting as `rejection.rejection_for` says for `max_error`.

        Raises ModelError, calling it `name`, where it is no detector of this version.
        """
        try:
            session = runtime.session(content)
            metadata = session.get_modelmeta().custom_metadata_map
            fusion = Fusion.from_json(metadata["digitnet.fusion"])
            risks = rejection.risks_from_json(metadata["digitnet.risks"])
            of_this_version = metadata["digitnet.evening"] == str(CONTRAST_VERSION)
            list(detect_at_one_scale(session, np.zeros((DEEPEST, DEEPEST), np.float32)))
        except Exception as error:  # ONNX Runtime has no exception class of its own to catch
            raise ModelError(
                f"{name}: not a detector in ONNX ({type(error).__name__}); make one with: digitnet export detector.pth"
            ) from error
        if not of_this_version:
            raise ModelError(
                f"{name}: made for another version of DigitNet; make it anew: digitnet export detector.pth"
            )
        return cls(session, answers, fusion, rejection.rejection_for(risks, max_error), alone)

    def candidates(self, grey: Grey) -> list[Candidate]:
        """All that may be a digit in a picture (H, W) in [0, 1]."""
        detections, images, answers = self.looks(grey)
        candidates = self.fusion.candidates(detections, answers)
        return [
            replace(self._vouched(candidate, answer), crop=image)
            for candidate, image, answer in zip(candidates, images, answers, strict=True)
            if candidate.exists > LEAST_LIKELY
        ]

    def _vouched(self, candidate: Candidate, answer: Probabilities) -> Candidate:
        """The candidate; if it is alone in its picture and likely a digit, as DigitNet sees it where that is sure.

        A picture of one digit is what DigitNet was made for.
        """
        likely_alone = candidate.detection.alone and candidate.exists >= LIKELIER_NOT
        if not likely_alone or not self.alone.accepts(answer[np.newaxis])[0]:
            return candidate
        ten = answer[:NOT_A_DIGIT].astype(np.float64)
        exists = max(candidate.exists, 1 - float(answer[NOT_A_DIGIT]))
        return replace(candidate, exists=exists, probabilities=ten / ten.sum(), vouched=True)

    def looks(self, grey: Grey) -> tuple[list[Detection], Closeups, Probabilities]:
        """What may be a digit in a picture (H, W) in [0, 1], its close-ups (N, 28, 28), what DigitNet says of them.

        One detection may be of all the ink that there is, found and judged as `Reader.predict` does it.
        """
        known = []
        seen = normalise(grey)
        if seen is not None and not seen.several:
            answer = self.probabilities(seen.image[np.newaxis])[0]
            box = seen.box
            known = [Detection(box.x, box.y, box.x + box.width, box.y + box.height, answer[:NOT_A_DIGIT], alone=True)]
        detections = detect(self.session, grey, known)
        if not detections:
            return [], np.zeros((0, SIDE, SIDE), np.float32), np.zeros((0, NOT_A_DIGIT + 1), np.float32)
        images = crops(grey, detections)
        if seen is not None:
            images[[detection.alone for detection in detections]] = seen.image
        return detections, images, self.probabilities(images)

    def examine(
        self,
        picture: Picture,
        constraint: Constraint | None = None,
        lines: int | None = None,
        is_cancelled: Callable[[], bool] | None = None,
    ) -> PageExamination:
        """The page in a picture, together with what led to it.

        Args:
            constraint: what each line is to be.
            lines: how many lines to keep at most, the likeliest.
        """
        candidates = self.candidates(picture.grey)
        if is_cancelled and is_cancelled():
            raise CancelledError("cancelled")
        read = [self._line(line, constraint, picture) for line in grouped(candidates)]
        found = [line for line in read if line]
        note = None
        if lines is not None and len(found) != lines:
            note = f"{len(found)} of {lines} lines found"
            if len(found) > lines:
                note = f"{len(found)} lines found, the likeliest {lines} kept"
                surest = sorted(found, key=lambda line: -sum(digit.confidence for digit in line.digits))[:lines]
                found = [line for line in found if line in surest]
        page = Page(picture.width, picture.height, tuple(found), note)
        images = {_box(one.detection, picture): one.crop for one in candidates if one.crop is not None}
        seen = [images[digit.box] for digit in page.digits if digit.box]
        return PageExamination(picture, page, np.stack(seen) if seen else np.zeros((0, SIDE, SIDE), np.float32))

    def _line(self, candidates: Sequence[Candidate], constraint: Constraint | None, picture: Picture) -> Line | None:
        """The line that the candidates are, with what the constraint did; None if there is nothing to read."""
        free = self._as_line(lattice.read(candidates), picture)
        if constraint is None:
            return free
        reading = lattice.read(candidates, constraint)
        if reading.allowed:
            bound = self._as_line(reading, picture)
            without = free.text if free else "nothing"
            changed = bound and bound.text != without
            return bound and replace(bound, note=f"{constraint.name}{f'; without it {without}' if changed else ''}")
        reason = f"no reading has {constraint.name}"
        return free and replace(
            free,
            digits=tuple(replace(digit, digit=None, reason=reason) for digit in free.digits),
            confidence=0.0,
            note=f"{reason}; without it {free.text}",
        )

    def _as_line(self, reading: lattice.Reading, picture: Picture) -> Line | None:
        """The line in a reading; None if nothing in it is likelier to be a digit than not."""
        if not any(_there(digit) >= LIKELIER_NOT for digit in reading.digits):
            return None
        digits = tuple(self._as_digit(digit, picture) for digit in reading.digits)
        boxes = [digit.box for digit in digits if digit.box]
        left, top = min(box.x for box in boxes), min(box.y for box in boxes)
        right, bottom = max(box.x + box.width for box in boxes), max(box.y + box.height for box in boxes)
        return Line(digits, reading.confidence, Box(left, top, right - left, bottom - top))

    def _as_digit(self, read: ReadDigit, picture: Picture) -> Digit:
        reason = None
        vouched = read.candidate.vouched and read.digit == int(read.candidate.probabilities.argmax())
        if read.confidence < self.rejection.threshold and not vouched:
            likeliest = sorted(range(10), key=lambda digit: -read.probabilities[digit])
            other = next(digit for digit in likeliest if digit != read.digit)
            reason = "not a digit" if _there(read) < LIKELIER_NOT else f"unsure: {read.digit} or {other}"
        digit = None if reason else read.digit
        return Digit(
            digit, read.confidence, reason, read.digit, read.probabilities, _box(read.candidate.detection, picture)
        )


def _there(read: ReadDigit) -> float:
    """The probability that there is a digit, whichever it is."""
    return read.confidence / max(read.probabilities[read.digit], 1e-9)


def _box(detection: Detection, picture: Picture) -> Box:
    """Where the detection lies in the picture as it was given."""
    scale = picture.scale
    left, top = max(0, round(detection.left * scale)), max(0, round(detection.top * scale))
    right, bottom = (
        min(picture.width, round(detection.right * scale)),
        min(picture.height, round(detection.bottom * scale)),
    )
    return Box(left, top, max(1, right - left), max(1, bottom - top))
