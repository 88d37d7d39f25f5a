"""main.py, or `digitnet train`, on the first images of MNIST only, so that a cycle takes a second."""

import functools
import sys

from digitnet import cli, dataset, main

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
    program = cli.main if sys.argv[1:2] == ["train"] else main.main
    sys.exit(program(sys.argv[1:]))
