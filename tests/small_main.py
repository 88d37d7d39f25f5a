"""main.py on the first images of MNIST only, so that a cycle takes a second; for the tests and benchmarks/crash.py."""

import functools
import sys

from digitnet import dataset, main

TRAINING, TEST = 3000, 500

load_mnist = functools.cache(dataset.MNIST)  # reading the whole files takes longer than training on their beginning
find_mnist = functools.cache(dataset.find_mnist)


class SmallMNIST(dataset.MNIST):
    def _check_exists(self):
        return True

    def _load_data(self):
        whole, count = load_mnist(find_mnist(), self.train), TRAINING if self.train else TEST
        return whole.data[:count], whole.targets[:count]


def install(training=TRAINING, test=TEST, hold_out=500, replace=setattr):
    """Makes main.py small from now on, in this process; with monkeypatch.setattr as `replace`, for one test."""
    replace(sys.modules[__name__], "TRAINING", training)
    replace(sys.modules[__name__], "TEST", test)
    replace(dataset, "MNIST", SmallMNIST)
    replace(dataset, "HOLD_OUT", hold_out)
    replace(dataset, "find_mnist", find_mnist)


if __name__ == "__main__":
    install()
    sys.exit(main.main(sys.argv[1:]))
