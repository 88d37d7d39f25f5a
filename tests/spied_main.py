"""`digitnet train` on a few batches of small_main.py, for one rank of several. It logs what it trains on, and
can send itself a signal.

The environment variable SPY holds JSON: "log", the file to write to, whose name gets the number of the rank; and
perhaps "send", the [signal, rank, step] at which a rank sends itself a signal, or "lacks_data", a rank. The networks
have no batch normalisation, because this alone depends on how a batch is shared out.
"""

import json
import os
import signal
import sys

import small_main
import torch

from digitnet import cli, dataset
from digitnet.errors import DataError
from digitnet.files import checksum
from digitnet.loop import hardware, negatives
from digitnet.loop.checkpoint import Checkpoint
from digitnet.training import detector_run
from digitnet.training.recipe_run import RecipeRun

SPY = json.loads(os.environ["SPY"])
RANK = int(os.environ.get("RANK", 0))
PREPARE, AFTER_STEP, SAVE = RecipeRun.prepare, RecipeRun.after_step, Checkpoint.save
ITERATE = dataset.ShuffledBatches.__iter__


def log(*entry):
    with open(f"{SPY['log']}.{RANK}", "a") as file:
        file.write(json.dumps(entry) + "\n")


def prepare(run, batch):
    images, labels = PREPARE(run, batch)
    log("images", run.step, checksum(images.numpy().tobytes() + labels.numpy().tobytes()))
    return images, labels


def iterate(sampler):
    for batch in ITERATE(sampler):
        log("numbers", sampler.epoch, batch)
        yield batch


def after_step(run, loss):
    AFTER_STEP(run, loss)
    name, rank, step = SPY.get("send", (None, None, None))
    if (rank, step) == (RANK, run.step):
        os.kill(os.getpid(), signal.Signals[name])


def save(checkpoint, run):
    SAVE(checkpoint, run)
    log("saved", run.step)


def find_no_mnist(root=None, **_):
    raise DataError("no MNIST on this machine")


if __name__ == "__main__":
    small_main.install(training=1140, test=100, hold_out=500)  # 5 batches a cycle
    negatives.DRAWN = 100
    detector_run.MNIST, detector_run.HOLD_OUT = small_main.SmallMNIST, 500
    detector_run.BATCH, detector_run.PAGES, detector_run.VALIDATION_PAGES = 3, 6, 2
    hardware.has_bfloat16 = lambda: False  # its rounding would hide small differences
    torch.nn.BatchNorm2d = lambda channels: torch.nn.Identity()
    RecipeRun.prepare, RecipeRun.after_step, Checkpoint.save = prepare, after_step, save
    dataset.ShuffledBatches.__iter__ = iterate
    if SPY.get("lacks_data") == RANK:
        dataset.find_mnist = find_no_mnist
    code = cli.main(["train", *sys.argv[1:]])
    log("distributed", "digitnet.training.ranks" in sys.modules or torch.distributed.is_initialized())
    sys.exit(code)
