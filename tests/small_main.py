"""main.py on the first images of MNIST only, so that a cycle takes a second; for the tests and benchmarks/crash.py."""

import sys

from digitnet import dataset, main

TRAINING, TEST = 3000, 500


class SmallMNIST(dataset.MNIST):
    def __init__(self, root, train):
        super().__init__(root, train)
        count = TRAINING if train else TEST
        self.data, self.targets = self.data[:count], self.targets[:count]

    @property
    def raw_folder(self):
        return str(dataset.find_mnist() / "MNIST" / "raw")


def install(training=TRAINING, test=TEST, hold_out=500):
    """Makes main.py small from now on, in this process."""
    global TRAINING, TEST
    TRAINING, TEST = training, test
    dataset.MNIST = SmallMNIST
    dataset.HOLD_OUT = hold_out


if __name__ == "__main__":
    install()
    sys.exit(main.main(sys.argv[1:]))
