"""A task that ends its process at some pictures, for tests of worker processes, which must be able to import it."""

import os
import signal

from digitnet.archives.rows import Task

DEADLY = b"deadly"


class DeadlyTask(Task):
    def rows(self, reader, items):
        if any(item.content == DEADLY for item in items):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().rows(reader, items)
