"""The version of DigitNet."""

__version__ = "0.1.0"
