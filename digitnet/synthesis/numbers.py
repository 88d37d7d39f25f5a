"""Numbers as people write them: amounts, dates, times, lists, and plain rows of digits."""

from numpy.random import Generator

# Runs of equal digits, and thin digits side by side, are what a reader loses first.
RUNS = (
    "00",
    "000",
    "0000",
    "11",
    "111",
    "22",
    "33",
    "44",
    "55",
    "66",
    "77",
    "88",
    "99",
    "100",
    "1000",
    "10",
    "17",
    "71",
    "47",
)
ONES_AND_SEVENS = (0.16, 0.2, 0.08, 0.08, 0.08, 0.08, 0.06, 0.14, 0.06, 0.06)  # shares of the digits 0 to 9
SHORT = (0.08, 0.3, 0.24, 0.18, 0.1, 0.05, 0.03, 0.02)  # shares of the lengths 1 to 8
LONGEST = 20
FILLERS = (".-", "=", "-", ".", ".=", ",-", "--", ",", "-.-", ".--")  # end an amount, so that nobody adds to it


def digits(rng: Generator, length: int) -> str:
    """A row of digits: any, with many 0s, 1s and 7s, or with a run of equal ones in it."""
    kind = rng.random()
    shares = ONES_AND_SEVENS if kind < 0.4 else None
    text = "".join(map(str, rng.choice(10, length, p=shares)))
    if kind > 0.75 and length > 2:
        run = RUNS[int(rng.integers(len(RUNS)))][:length]
        start = int(rng.integers(0, length - len(run) + 1))
        text = text[:start] + run + text[start + len(run) :]
    elif kind > 0.55 and length > 1:
        ends = int(rng.integers(1, 4))  # a 1 at the start, at the end, or at both
        text = ("1" if ends & 1 else text[0]) + text[1:-1] + ("1" if ends & 2 else text[-1])
    return text


def number(rng: Generator, *, long: bool = False) -> str:
    """A number with the signs that stand in it, of `alphabet.SYMBOLS`.

    Args:
        long: of 6 to 20 digits instead of mostly 2 to 4.
    """
    length = int(rng.integers(6, LONGEST + 1)) if long else 1 + int(rng.choice(len(SHORT), p=SHORT))
    kind = rng.random()
    if kind < 0.5:
        return digits(rng, length)
    if kind < 0.75 and not long:
        return _amount(rng)
    return _WITH_SIGNS[int(rng.integers(len(_WITH_SIGNS)))](rng, length)


def _amount(rng: Generator) -> str:
    """An amount as on a cheque: often round, often with points, and with what keeps others from adding to it."""
    text = digits(rng, int(rng.integers(3, 7)))
    zeros = int(rng.choice([0, 0, 0, 1, 2, 3]))
    if zeros and zeros < len(text):
        text = text[: len(text) - zeros] + zeros * "0"
    if rng.random() < 0.5 and len(text) > 3:
        text = f"{text[:-3]}{'.,'[int(rng.random() < 0.2)]}{text[-3:]}"
    return text + (FILLERS[int(rng.integers(len(FILLERS)))] if rng.random() < 0.5 else "")


def _decimal(rng: Generator, length: int) -> str:
    point = ".,"[int(rng.integers(2))]
    return f"{digits(rng, max(1, length - 2))}{point}{digits(rng, int(rng.integers(1, 3)))}"


def _thousands(rng: Generator, length: int) -> str:
    text, point = digits(rng, max(4, length)), ".,"[int(rng.integers(2))]
    head = len(text) % 3 or 3
    whole = point.join([text[:head], *(text[start : start + 3] for start in range(head, len(text), 3))])
    cents = ".,"[point == "."] + digits(rng, 2) if rng.random() < 0.4 else ""
    return whole + cents


def _date(rng: Generator, length: int) -> str:
    sign = "/.-"[int(rng.integers(3))]
    return sign.join((digits(rng, int(rng.integers(1, 3))), digits(rng, 2), digits(rng, int(rng.choice([2, 4])))))


def _time(rng: Generator, length: int) -> str:
    return ":".join(digits(rng, 2) for _ in range(2 if length < 6 else 3))


def _sum(rng: Generator, length: int) -> str:
    one, other = (digits(rng, max(1, length // 2)) for _ in range(2))
    return f"{one}{'+-'[int(rng.integers(2))]}{other}={digits(rng, 2)}"


_WITH_SIGNS = (
    _decimal,
    _thousands,
    _date,
    _time,
    _sum,
    lambda rng, length: f"-{digits(rng, length)}",
    lambda rng, length: f"{digits(rng, length)}%",
    lambda rng, length: f"({digits(rng, length)})",
    lambda rng, length: f"{digits(rng, length)})",
    lambda rng, length: f"{digits(rng, length)}{rng.choice(['.', '-', '=', '.-', '..', '.--'])}",
    lambda rng, length: f"{digits(rng, length)}/{digits(rng, max(1, length // 2))}",
    lambda rng, length: "-".join(digits(rng, int(rng.integers(1, 4))) for _ in range(2 + length // 5)),
)
