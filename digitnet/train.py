"""Training: forward, loss, backward, step. Every recipe runs through this loop."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader

from digitnet.loop.hardware import autocast, keep_memory
from digitnet.loop.run import TrainingRun


def train(
    model: nn.Module,
    train_loader: "DataLoader[Any]",
    device: torch.device | str,
    *,
    epochs: int = 3,
    run: TrainingRun | None = None,
    on_batch: Callable[[], None] | None = None,
) -> None:
    """Trains `model` in place for `epochs` more epochs, on batches of images (N, 1, 28, 28) in [0, 1] and labels (N,).

    Args:
        run: the run to go on with, which must hold `model`. `model` then ends with the weights under training, and
            `run.average` holds the weights that count. Without it, a new run is made, and `model` ends with the
            averaged weights.
        on_batch: called after each step, when model and run are whole; it may raise an exception to end training.
    """
    own_run = run is None
    run = run or TrainingRun(model, device)
    keep_memory()
    model.train()
    last_epoch = run.epoch + epochs
    while run.epoch < last_epoch:
        for batch in run.batches(train_loader):
            images, targets = run.prepare(batch)  # on the device; negatives are added, then all are augmented
            with autocast(device):  # half precision is quicker where the CPU has it
                logits = model(images)  # (N, 10)
            loss = run.loss(logits.float(), targets, images)  # a number; the loss is always reckoned in float32
            run.optimizer.zero_grad()  # else the gradients of all batches would add up
            loss.backward()
            run.before_step(loss)  # sets the learning rate, and stops where the loss is not finite
            run.optimizer.step()
            run.after_step(loss)  # averages the weights
            if on_batch:
                on_batch()
        run.end_epoch()
    if own_run:
        model.load_state_dict(run.average.module.state_dict())
