"""Readers that differ only in how many of their answers may be wrong."""

import copy
import functools

from digitnet.reader import Reader

MOST_READERS = 8  # each has a session of each network


@functools.lru_cache(maxsize=MOST_READERS)
def with_max_error(reader: Reader, max_error: float | None) -> Reader:
    """A reader with the same model as `reader`, lessons included, and another `max_error`; None answers always."""
    other = copy.copy(reader)
    other.max_error = max_error
    return other.taught(reader.digit_reader.network.content)
