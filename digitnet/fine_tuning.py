"""`deep_lesson`: all weights of a DigitNet learn a hand, with replay of what it was trained on. Needs PyTorch.

The rule is that of the other lessons: never worse. The pictures are divided into two halves. A network that has learnt
from one half reads the other, so each picture is read by a network that has not learnt from it. If that is better than
chance explains, a third network learns from all pictures. It is kept if the guard set, which no training has seen, is
not read worse.
"""

import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Subset

from digitnet.dataset import HOLD_OUT, MNIST, ShuffledBatches, as_is, find_mnist, split
from digitnet.errors import UsageError
from digitnet.reader import Reader
from digitnet.reading.adaptation import Matrix
from digitnet.reading.digit_reader import Sight
from digitnet.reading.load import Source
from digitnet.results import Lesson
from digitnet.teaching.augmentation import Images
from digitnet.teaching.guard import replay_and_guard
from digitnet.teaching.pupil import Labels, Levels, Predictions, Pupil
from digitnet.teaching.rules import harm, no_gain, nothing_to_learn, tally
from digitnet.train import train
from digitnet.training.checkpoint import load_digitnet
from digitnet.training.export import export
from digitnet.training.hardware import choose_device
from digitnet.training.progress import progress_bar
from digitnet.training.recipes import Recipe
from digitnet.training.run import PLAIN_EPOCHS, TrainingRun

REPLAYED = 20_000  # of MNIST's training images
BATCH = 128
SHARE = 0.25  # of the new hand's digits in each batch, relative to the images from MNIST
EPOCHS = 3
FEWEST = 20  # pictures; from fewer, half of them could hardly prove a gain beyond chance
RECIPE = Recipe(
    "deep lesson",
    "learns a hand",
    epochs=PLAIN_EPOCHS + EPOCHS,
    peak_learning_rate=5e-4,
    warmup_steps=1,
    stroke_digits=0.3,
    label_smoothing=0.0,
)


class FineTuning(TrainingRun):
    """A training run that begins with trained weights and adds digits of one hand to each batch.

    Args:
        weights: a model.pth.
        images, labels: the digits of the hand, (N, 28, 28) in [0, 1], and (N,).
    """

    def __init__(self, weights: Path, images: Images, labels: Labels, device: torch.device) -> None:
        network = load_digitnet(weights)
        super().__init__(network, device, recipe=RECIPE)
        self.start_from({name: tensor.clone() for name, tensor in network.state_dict().items()})
        self._images, self._labels = torch.from_numpy(images)[:, None].to(device), torch.from_numpy(labels).to(device)

    def prepare(self, batch: tuple[Tensor, ...]) -> tuple[Tensor, Any]:
        """As for any run, with some of the hand's digits in the batch; they are augmented too."""
        images, labels = (tensor.to(self.device) for tensor in batch)
        size = (round(SHARE * len(images)),)
        chosen = torch.randint(len(self._labels), size, generator=self.generator, device=self.device)
        return super().prepare((torch.cat([images, self._images[chosen]]), torch.cat([labels, self._labels[chosen]])))


def deep_lesson(
    reader: Reader,
    weights: Path,
    pictures: Sequence[Source | Sight],
    labels: Sequence[int],
    names: Sequence[str],
    *,
    data: str | Path | None = None,
) -> Lesson:
    """What all weights of a network learn from pictures of one digit each. Takes some minutes.

    Blank pictures are left out, and those whose labels the last layer's lesson finds contradicted.

    Args:
        reader: with the model in `weights`.
        weights: the model.pth to start from.
        pictures: as for `Reader.teach`.
        labels: 0 to 9, or `NOT_A_DIGIT`.
        names: what the lesson calls the pictures.
        data: the folder of MNIST; None looks in the usual places.

    Raises:
        ImageError: a picture cannot be read.
        UsageError: as for `Reader.teach`, or there are too few pictures.
        DataError: MNIST was not found.
        ModelError: the weights are refused.
    """
    sights = [
        picture if isinstance(picture, Sight) else reader.sight(picture, name=name)
        for picture, name in zip(pictures, names, strict=True)
    ]
    shallow = reader.teach(sights, labels, names=names)
    doubtful = {contradiction.name for contradiction in shallow.contradictions}
    trusted = [index for index, name in enumerate(names) if name not in doubtful and sights[index].digits]
    if len(trusted) < FEWEST:
        raise UsageError(
            f"{len(trusted)} pictures with labels that are not in doubt are too few for a deep lesson; give {FEWEST} "
            "or more, or leave --deep out"
        )

    def pupil(reader: Reader, places: Iterable[int]) -> Pupil:
        chosen = [trusted[place] for place in places]
        return Pupil(reader.digit_reader, [sights[index] for index in chosen], [labels[index] for index in chosen])

    whole = pupil(reader, range(len(trusted)))
    before, surprise_before = _read(whole, reader)
    if nothing_to_learn(before):
        return shallow
    halves = np.argsort(whole.labels, kind="stable")[::2], np.argsort(whole.labels, kind="stable")[1::2]
    after, surprise_after = np.empty_like(before), np.empty_like(surprise_before)
    for learnt, read in (halves, halves[::-1]):
        taught = _taught(weights, pupil(reader, learnt), reader.max_error, data)
        after[read], surprise_after[read] = _read(pupil(taught, read), taught)
    why = no_gain(before, after, surprise_before - surprise_after, whole.labels, at_once=False)
    if not why:
        taught = _taught(weights, whole, reader.max_error, data)
    guard_before, guard_after = _guard_levels(reader), _guard_levels(taught)
    why = why or harm(guard_before, guard_after)
    called = [names[index] for index in trusted]
    return Lesson(
        model=None if why else taught.digit_reader.network.content,
        reason=why,
        pictures=len(labels),
        before=tally(before),
        after=tally(after),
        guard_before=tally(guard_before),
        guard_after=tally(guard_after),
        better=tuple(called[place] for place in np.flatnonzero(after > before).tolist()),
        worse=tuple(called[place] for place in np.flatnonzero(after < before).tolist()),
        contradictions=shallow.contradictions,
    )


def _read(pupil: Pupil, reader: Reader) -> tuple[Levels, Matrix]:
    """How well the reader that a pupil was made for reads its N pictures: levels (N,) and surprise (N,)."""
    predictions = pupil.predictions(None)
    return predictions.levels(pupil.labels), predictions.surprise(pupil.labels)


def _guard_levels(reader: Reader) -> Levels:
    guard = replay_and_guard()[1]
    probabilities = reader.digit_reader.network.probabilities(guard.images)
    answered = np.array(reader.digit_reader.rejection.accepts(probabilities), bool)
    return Predictions(probabilities, answered).levels(guard.labels)


def _taught(weights: Path, pupil: Pupil, max_error: float | None, data: str | Path | None) -> Reader:
    """A reader whose network has learnt from the pupil's pictures and was calibrated afterwards."""
    device = choose_device(None)
    run = FineTuning(weights, pupil.images, pupil.image_labels, device)
    mnist = MNIST(find_mnist(data), train=True)
    replayed: Subset[Any] = Subset(mnist, split(len(mnist), HOLD_OUT)[0][:REPLAYED])
    loader = DataLoader(replayed, batch_sampler=ShuffledBatches(len(replayed), BATCH, run.seed), collate_fn=as_is)
    with progress_bar("deep lesson", EPOCHS * len(loader), batch_size=BATCH) as bar:
        train(run.model, loader, device, epochs=EPOCHS, run=run, on_batch=bar.update)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mine.pth"
        torch.save(run.average.module.state_dict(), path)
        export(path, data=data)
        return Reader(path.with_suffix(".onnx"), max_error=max_error)
