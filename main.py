"""Train DigitNet on MNIST until interrupted: python main.py --help"""

import sys

from digitnet.main import main

if __name__ == "__main__":
    sys.exit(main())
