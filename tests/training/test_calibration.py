import math

import pytest
import torch

from digitnet.model import DigitNet, with_not_a_digit
from digitnet.reading.answer import NOT_A_DIGIT
from digitnet.training import calibration
from digitnet.training.calibration import (
    NEGATIVE_SHARE,
    CalibratedDigitNet,
    Calibration,
    eleven,
    fitted,
    risks,
    weights,
)


def labelled_logits(*scales, count=20_000):
    """Logits whose labels are drawn from just the probabilities that they stand for once calibrated so."""
    generator = torch.Generator().manual_seed(0)
    logits = 1.5 * torch.randn(count, 10, generator=generator) + torch.randn(count, 1, generator=generator)
    probabilities = eleven(logits, *scales).softmax(1)
    return logits, torch.multinomial(probabilities, 1, generator=generator).flatten()


@pytest.mark.parametrize("scales", [(1.0, 1.0, 0.0), (0.5, 1.5, -2.0), (2.5, 0.6, -1.5)])
def test_the_fit_finds_the_scales_that_made_the_labels_except_that_it_takes_negatives_to_be_rarer(scales):
    logits, labels = labelled_logits(*scales)
    temperature, slope, offset = scales
    rarer = float(weights(labels)[labels == NOT_A_DIGIT][0])
    assert fitted(logits, labels) == pytest.approx((temperature, slope, offset - math.log(rarer)), abs=0.15)


@pytest.mark.parametrize("digits", [100, 5000])
def test_negatives_count_for_the_same_share_however_many_they_are(digits):
    labels = torch.tensor([3] * digits + [NOT_A_DIGIT] * 500)
    counted = weights(labels)
    assert float(counted[labels == NOT_A_DIGIT].sum() / counted.sum()) == pytest.approx(NEGATIVE_SHARE, rel=1e-5)
    assert (counted[:digits] == 1).all()


def test_eleven_probabilities_add_up_to_one_and_fall_back_to_the_ten_where_it_is_surely_a_digit():
    logits = torch.randn(5, 10)
    assert torch.allclose(eleven(logits, 2.0, 0.5, 0.3).softmax(1).sum(1), torch.ones(5))
    sure = eleven(logits + 50, 1.0, 1.0, 0.0).softmax(1)
    assert torch.allclose(sure[:, :NOT_A_DIGIT], logits.softmax(1), atol=1e-6)
    assert sure[:, NOT_A_DIGIT].max() < 1e-6


def test_training_and_calibration_mean_the_same_by_not_a_digit():
    logits = torch.randn(5, 10)
    assert torch.allclose(eleven(logits, 1.0, 1.0, 0.0), with_not_a_digit(logits), atol=1e-6)


def test_risks_are_the_part_of_the_answers_from_a_score_on_that_is_wrong():
    probabilities = torch.zeros(4, 11)
    probabilities[0, 3], probabilities[1, 3], probabilities[2, 3] = 0.99, 0.95, 0.95
    probabilities[:3, 4] = 1 - probabilities[:3, 3]
    probabilities[3, NOT_A_DIGIT] = 1.0  # score 0: never answered
    labels = torch.tensor([3, 5, NOT_A_DIGIT, NOT_A_DIGIT])
    table = {round(risk.threshold, 2): risk.error for risk in risks(probabilities, labels)}
    assert table[0.1] == pytest.approx(2 / 3)
    assert table[0.91] == pytest.approx(2 / 3)
    assert table[0.98] == 0.0
    assert max(table) < 0.995


def test_a_pictures_probabilities_do_not_depend_on_the_others_in_the_batch():
    torch.manual_seed(0)
    network = CalibratedDigitNet(DigitNet().eval(), Calibration(1.5, 0.8, 0.5, ()))
    images = torch.rand(6, 1, 28, 28)
    logits, together, features = network(images)
    assert logits.shape == (6, 10)
    assert together.shape == (6, 11)
    assert features.shape[0] == 6
    assert torch.allclose(together[2:3], network(images[2:3])[1], atol=1e-6)


def test_calibration_uses_held_out_digits_and_negatives_and_never_the_test_set(monkeypatch):
    loaders = []
    get_loader = calibration.get_validation_loader

    def watched(*arguments, **options):
        loaders.append(get_loader(*arguments, **options))
        return loaders[-1]

    monkeypatch.setattr(calibration, "get_validation_loader", watched)
    images, labels = calibration.calibration_pictures()
    assert [loader.dataset.dataset.train for loader in loaders] == [True]
    assert len(images) == len(labels) > 11_000
    assert 0.05 < float((labels == NOT_A_DIGIT).float().mean()) < 0.25


def test_the_pictures_for_calibration_are_the_same_at_every_call(monkeypatch):
    few = [next(iter(calibration.get_validation_loader()))]
    monkeypatch.setattr(calibration, "get_validation_loader", lambda data: few)
    monkeypatch.setattr(calibration, "DRAWN", 50)
    (images, labels), (same_images, same_labels) = (calibration.calibration_pictures() for _ in range(2))
    assert torch.equal(images, same_images)
    assert torch.equal(labels, same_labels)
