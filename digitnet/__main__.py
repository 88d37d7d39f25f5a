"""`python -m digitnet`, the same as the command `digitnet`."""

import sys

from digitnet.cli import main

if __name__ == "__main__":
    sys.exit(main())
