"""The classes of the line reader: what a column of a strip may show."""

DIGITS = "0123456789"
SIGNS = ".,-/:+=%()"  # the signs that stand in numbers; their classes follow those of the digits
SYMBOLS = DIGITS + SIGNS
OTHER = len(SYMBOLS)  # another sign: a letter, a word, a currency
BLANK = OTHER + 1  # no symbol begins or goes on here (Graves et al., 2006)
CLASSES = BLANK + 1
