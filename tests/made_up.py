"""Networks whose answers are known. Digits are bars of one height, and the width of a bar says which digit it is."""

import cv2
import numpy as np

from digitnet.reading.alphabet import BLANK, CLASSES
from digitnet.reading.answer import NOT_A_DIGIT, Risk
from digitnet.reading.lines import Joint, LineFinder
from digitnet.reading.load import Picture
from digitnet.reading.places import STRIDE
from digitnet.reading.strips import STRIDE as COLUMN

TALL = 60  # pixels of a bar
WIDTHS = {3: 6, 1: 13, 4: 20, 7: 27, 9: 34}  # pixels of each digit's bar
LINE_READER_ALONE = Joint(digit=0.0, exists=0.0, offset=0.0, agreed=(1.0, 0.0, 0.0))  # DigitNet has no say


def page(*bars, size=(300, 640)):
    """A picture with bars (x, y, digit), where (x, y) is a bar's left top corner."""
    grey = np.full(size, 0.9, np.float32)
    for x, y, digit in bars:
        grey[y : y + TALL, x : x + WIDTHS[digit]] = 0.1
    return Picture("made up", grey, size[1], size[0])


def written(text, x=60, y=100, step=50):
    """The bars of a text."""
    return [(x + step * place, y, int(digit)) for place, digit in enumerate(text)]


def bars(picture):
    """The (left, top, wide, tall) of each bar in a picture (H, W) of normalised contrast."""
    ink = (picture < min(0.25 * picture.min(), -0.3)).astype(np.uint8)
    return cv2.connectedComponentsWithStats(ink, connectivity=8)[2][1:, :4].tolist()


def digit_of(wide, tall):
    return min(WIDTHS, key=lambda digit: abs(WIDTHS[digit] / TALL - wide / tall))


class Detector:
    """Finds every bar of a height that it knows, and calls it a 7."""

    def __init__(self, logit=3.0):
        self.logit, self.looks = logit, 0

    def run(self, names, inputs):
        (picture,) = inputs["pages"][:, 0]
        self.looks += 1
        maps = np.full((14, *(side // STRIDE for side in picture.shape)), -9.0, np.float32)
        for left, top, wide, tall in bars(picture):
            x, y = (left + wide / 2) / STRIDE, (top + tall / 2) / STRIDE
            maps[7, int(y), int(x)] = self.logit
            size = np.log(max(wide, 1) / STRIDE), np.log(max(tall, 1) / STRIDE)
            maps[10:, int(y), int(x)] = x - int(x), y - int(y), *size
        return [maps[np.newaxis]]


class LineReader:
    """Reads each bar in the column of its middle.

    Args:
        doubts: what it sees in the bars of a digit, such as {4: {4: 0.5, 9: 0.4}}; what is left is that of no digit.
    """

    def __init__(self, doubts=None):
        self.doubts = doubts or {}
        self.shapes = []

    def run(self, names, inputs):
        strips = inputs["strips"]
        self.shapes.append(strips.shape)
        shares = np.full((len(strips), strips.shape[3] // COLUMN, CLASSES), 1e-7)
        shares[:, :, BLANK] = 1
        for row, (strip,) in zip(shares, strips, strict=True):
            for left, _, wide, tall in bars(strip):
                if wide > 2 * tall:
                    continue
                digit = digit_of(wide, tall)
                column = row[min(int((left + wide / 2) / COLUMN), len(row) - 1)]
                for seen, share in self.doubts.get(digit, {digit: 0.999}).items():
                    column[seen] = share
                column[BLANK] = 1 - column[:BLANK].sum()
        return [np.log(shares).astype(np.float32)]


class DigitNet:
    """Names each bar by its width.

    Args:
        doubts: what it sees in the bars of a digit, as for `LineReader`.
    """

    def __init__(self, doubts=None):
        self.doubts = doubts or {}
        self.seen = 0

    def __call__(self, images):
        self.seen += len(images)
        found = np.full((len(images), NOT_A_DIGIT + 1), 1e-4, np.float32)
        for eleven, image in zip(found, images, strict=True):
            rows, columns = np.nonzero(image > 0.5)
            if not len(rows):
                eleven[NOT_A_DIGIT] = 1
                continue
            digit = digit_of(np.ptp(columns) + 1, np.ptp(rows) + 1)
            for seen, share in self.doubts.get(digit, {digit: 0.999}).items():
                eleven[seen] = share
            eleven[NOT_A_DIGIT] = max(1e-4, 1 - eleven[:NOT_A_DIGIT].sum())
        return found / found.sum(1, keepdims=True)


def finder(doubts=None, *, digitnet=None, joint=LINE_READER_ALONE, threshold=0.0, names_alone=False, logit=3.0):
    """Finds bars and reads them; answers scores from `threshold` on.

    Args:
        doubts: the line reader's.
        digitnet: DigitNet's.
        logit: of each bar that the detector finds.
    """
    return LineFinder(
        Detector(logit),
        LineReader(doubts),
        DigitNet(digitnet),
        joint,
        risks=(Risk(threshold, 0.0),),
        max_error=0.01,
        names_alone=names_alone,
        threads=1,
    )


def text_of(line):
    return "".join(str(digit.digit) for digit in line.digits)
