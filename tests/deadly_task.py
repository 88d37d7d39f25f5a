"""Work that ends its process, for tests of worker processes, which must be able to import it."""

import os
import signal
from dataclasses import dataclass

from digitnet.archives.parts import Parts
from digitnet.archives.rows import Task
from digitnet.archives.sources import Item, Unit

DEADLY = b"deadly"


def die():
    os.kill(os.getpid(), signal.SIGKILL)


class DeadlyTask(Task):
    def rows(self, reader, items):
        if any(item.content == DEADLY for item in items):
            die()
        return super().rows(reader, items)


@dataclass(frozen=True)
class DeadlyUnit(Unit):
    """Its source ends the process that asks it for the picture at `deadly`."""

    picture: bytes
    deadly: int

    def items(self):
        for place in range(self.start, self.stop):
            if place == self.deadly:
                die()
            yield Item(self.source, None, place, self.picture)


class DeadlyParts(Parts):
    def write(self, name, table, settings):
        die()
