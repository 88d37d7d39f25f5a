"""From a picture of any number of digits to a `Page`: detect, crop, classify, fuse, read each line as a whole."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import onnxruntime

from digitnet.errors import ModelError
from digitnet.imaging.load import Picture
from digitnet.imaging.normalise import SIDE, normalise
from digitnet.imaging.readings import readings_near
from digitnet.inference import onnx_models, rejection
from digitnet.inference.onnx_models import Probabilities
from digitnet.inference.rejection import NOT_A_DIGIT, UNREACHABLE, Rejection
from digitnet.pages import lattice
from digitnet.pages.constraints import Constraint
from digitnet.pages.crops import FREE, crops
from digitnet.pages.detect import CONTRAST_VERSION, DEEPEST, Detection, Grey, detect, detect_at_one_scale
from digitnet.pages.fusion import Fusion
from digitnet.pages.lattice import KEPT, LIKELIER_NOT, Candidate, ReadDigit
from digitnet.pages.work import IsCancelled, raise_if, share_out
from digitnet.results import Box, Digit, Line, Page

SURELY_THERE = 0.9  # from this probability of a digit on, DigitNet may vouch for what stands free
LEAST_LIKELY = 0.03  # detections that are less likely digits are dropped before lines are read
BATCH = 128  # crops that DigitNet classifies at once; more need much memory and are no quicker

NEVER_ALONE = Rejection(UNREACHABLE)

Crops = npt.NDArray[np.float32]  # (N, 28, 28) in [0, 1]
Classify = Callable[[Crops], Probabilities]  # to (N, 11)


@dataclass(frozen=True)
class PageExamination:
    """A page as it was read, and `crops`, (N, 28, 28) in [0, 1]: what DigitNet saw of each of `page.digits`."""

    page: Page
    crops: Crops


@dataclass(frozen=True)
class PageReader:
    """Reads pages with a detector and, for the crops, DigitNet.

    Attributes:
        session: the detector.
        probabilities: DigitNet's eleven probabilities (N, 11) for normalised images (N, 28, 28).
        fusion: how to weigh the two.
        rejection: which digits are answered.
        alone: for which probabilities DigitNet vouches for a digit that stands free, without the detector.
        threads: how many may work on a page; None for one on each core.
    """

    session: onnxruntime.InferenceSession
    probabilities: Classify
    fusion: Fusion
    rejection: Rejection
    alone: Rejection = NEVER_ALONE
    threads: int | None = None

    @classmethod
    def from_onnx(
        cls,
        content: bytes,
        name: str,
        probabilities: Classify,
        max_error: float | None,
        alone: Rejection,
        threads: int | None = None,
    ) -> "PageReader":
        """Reads with the detector in `content`; rejects as `rejection.rejection_for` says for `max_error`.

        Raises ModelError, which calls the detector `name`, where `content` is no detector of this version.
        """
        try:
            session = onnx_models.session(content, threads or 0)
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
                f"{name}: made for another version of DigitNet; make it again with: digitnet export detector.pth"
            )
        return cls(session, probabilities, fusion, rejection.rejection_for(risks, max_error), alone, threads)

    def examine(
        self,
        picture: Picture,
        constraint: Constraint | None = None,
        lines: int | None = None,
        is_cancelled: IsCancelled | None = None,
    ) -> PageExamination:
        """The page in a picture, together with the crops of its digits.

        Args:
            constraint: which numbers each line may be.
            lines: how many lines to keep at most, the likeliest.
            is_cancelled: asked now and then whether to stop.

        Raises CancelledError where `is_cancelled` says True.
        """
        found: list[tuple[Line, list[Candidate]]] = []
        for group in lattice.grouped(self.candidates(picture.grey, is_cancelled)):
            raise_if(is_cancelled)
            line, members = self._line(group, constraint, picture)
            if line:
                found.append((line, members))
        note = None
        if lines is not None and len(found) != lines:
            note = f"{len(found)} of {lines} lines found"
            if len(found) > lines:
                note = f"{len(found)} lines found, the likeliest {lines} kept"
                likelihoods = [sum(digit.confidence for digit in line.digits) for line, _ in found]
                kept = sorted(range(len(found)), key=lambda index: -likelihoods[index])[:lines]
                found = [found[index] for index in sorted(kept)]
        images = [member.crop for _, members in found for member in members if member.crop is not None]
        page = Page(picture.width, picture.height, tuple(line for line, _ in found), note)
        return PageExamination(page, np.stack(images) if images else np.zeros((0, SIDE, SIDE), np.float32))

    def candidates(self, grey: Grey, is_cancelled: IsCancelled | None = None) -> list[Candidate]:
        """All that may be a digit in a picture (H, W) in [0, 1]."""
        detections, images, probabilities = self.classified(grey, is_cancelled)
        fused = self.fusion.candidates(detections, probabilities)
        candidates = [
            self._vouched(replace(candidate, crop=image), eleven)
            for candidate, image, eleven in zip(fused, images, probabilities, strict=True)
            if candidate.exists > LEAST_LIKELY
        ]
        likely = [index for index, candidate in enumerate(candidates) if candidate.exists >= LIKELIER_NOT]
        if len(likely) == 1 and not candidates[likely[0]].vouched:
            candidates[likely[0]] = self._seen_again(candidates[likely[0]], grey)
        return candidates

    def classified(
        self, grey: Grey, is_cancelled: IsCancelled | None = None
    ) -> tuple[list[Detection], Crops, Probabilities]:
        """The detections in a picture (H, W) in [0, 1], their crops (N, 28, 28), DigitNet's probabilities (N, 11).

        If all the ink may be one digit, there is a detection for it, found and classified as `Reader.predict` does it.
        """
        whole = normalise(grey)
        known = []
        if whole is not None and not whole.several:
            scores = self.probabilities(whole.image[np.newaxis])[0, :NOT_A_DIGIT]
            box = whole.box
            known = [Detection(box.x, box.y, box.x + box.width, box.y + box.height, scores, alone=True)]
        detections = detect(self.session, grey, known, is_cancelled)
        images, free = crops(grey, detections, is_cancelled, threads=self.threads)
        detections = [
            replace(detection, free=share) for detection, share in zip(detections, free.tolist(), strict=True)
        ]
        if whole is not None:
            images[[detection.alone for detection in detections]] = whole.image
        probabilities = np.zeros((len(images), NOT_A_DIGIT + 1), np.float32)

        def classify(batch: slice) -> None:
            probabilities[batch] = self.probabilities(images[batch])

        share_out(classify, len(images), BATCH, is_cancelled, threads=self.threads)
        return detections, images, probabilities

    def _vouched(self, candidate: Candidate, probabilities: Probabilities, least: float = SURELY_THERE) -> Candidate:
        """The candidate; where it stands free and is likely a digit, with DigitNet's own probabilities (11,).

        DigitNet was made for pictures of one digit, so its answer counts where it is sure and sees a whole digit.

        Args:
            least: the probability of a digit from which on DigitNet may vouch for it.
        """
        place = candidate.detection
        is_whole = place.alone or place.free > FREE
        is_there = candidate.exists >= (LIKELIER_NOT if place.alone else least)
        if not (is_whole and is_there and self.alone.accepts(probabilities[np.newaxis])[0]):
            return candidate
        ten = probabilities[:NOT_A_DIGIT].astype(np.float64)
        exists = max(candidate.exists, 1 - float(probabilities[NOT_A_DIGIT]))
        return replace(candidate, exists=exists, probabilities=ten / ten.sum(), vouched=True)

    def _seen_again(self, candidate: Candidate, grey: Grey) -> Candidate:
        """The only likely digit of a picture (H, W), vouched for if another reading of its place shows it whole.

        A frame or the edge of a sheet may run through the crop. `readings_near` leaves them out.
        """
        place = candidate.detection
        height, width = grey.shape
        box = Box.within((place.left, place.top, place.right, place.bottom), width, height)
        own = [candidate.crop] if candidate.crop is not None and place.free > FREE else []
        for image in own + [reading.digit.image for reading in readings_near(grey, box)]:
            whole = replace(candidate, crop=image, detection=replace(place, free=1.0))
            seen = self._vouched(whole, self.probabilities(image[np.newaxis])[0], LIKELIER_NOT)
            if seen.vouched:
                return replace(seen, detection=place)
        return candidate

    def _line(
        self, group: Sequence[Candidate], constraint: Constraint | None, picture: Picture
    ) -> tuple[Line | None, list[Candidate]]:
        """The line that a group of candidates makes, None if there is nothing to read; and its digits' candidates.

        The line's note says what the constraint did.
        """
        reading = lattice.read(group)
        free = line = self._as_line(reading, picture)
        if constraint is not None:
            bound = lattice.read(group, constraint)
            if bound.allowed:
                reading, line = bound, self._as_line(bound, picture)
                without = free.text if free else "nothing"
                is_changed = line and line.text != without
                line = line and replace(
                    line, note=f"{constraint.name}{f'; without it {without}' if is_changed else ''}"
                )
            elif free:
                reason = f"no reading has {constraint.name}"
                rejected = tuple(replace(digit, digit=None, reason=reason) for digit in free.digits)
                line = replace(free, digits=rejected, confidence=0.0, note=f"{reason}; without it {free.text}")
        return line, [digit.candidate for digit in reading.digits]

    def _as_line(self, reading: lattice.Reading, picture: Picture) -> Line | None:
        """The line in a reading; None if nothing in it is likelier to be a digit than not."""
        if not any(digit.exists >= LIKELIER_NOT for digit in reading.digits):
            return None
        digits = tuple(self._as_digit(digit, picture) for digit in reading.digits)
        boxes = [digit.box for digit in digits if digit.box]
        left, top = min(box.x for box in boxes), min(box.y for box in boxes)
        right, bottom = max(box.x + box.width for box in boxes), max(box.y + box.height for box in boxes)
        return Line(digits, self.fusion.line_confidence(reading.confidence), Box(left, top, right - left, bottom - top))

    def _as_digit(self, read: ReadDigit, picture: Picture) -> Digit:
        reason = None
        if read.score < self.rejection.threshold and not read.vouched:
            reason = "not a digit" if read.exists < KEPT else f"unsure: {read.digit} or {_other(read)}"
        digit = None if reason else read.digit
        place = read.candidate.detection
        box = picture.box_as_given(place.left, place.top, place.right, place.bottom)
        return Digit(digit, read.confidence, reason, read.digit, read.probabilities, box)


def _other(read: ReadDigit) -> str:
    """What else a digit may be: another digit, or none at all, whichever is the greater doubt."""
    if 1 - read.exists > 1 - read.probabilities[read.digit]:
        return "no digit"
    likeliest = sorted(range(10), key=lambda digit: -read.probabilities[digit])
    return str(next(digit for digit in likeliest if digit != read.digit))
