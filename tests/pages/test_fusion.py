from dataclasses import replace

import numpy as np
import pytest

from digitnet.pages.detect import Detection
from digitnet.pages.fusion import FEATURES, UNRIVALLED, Fusion, evidence, features


def detection(left=0.0, tall=32.0, **scores):
    """A detection whose scores are 0.01 but for those given, as in d7=0.9."""
    ten = np.full(10, 0.01, np.float32)
    for name, score in scores.items():
        ten[int(name[1:])] = score
    return Detection(left, 0.0, left + 0.6 * tall, tall, ten)


def answer(digit, probability, none=0.01):
    eleven = np.full((1, 11), (1 - probability - none) / 9, np.float32)
    eleven[0, digit], eleven[0, 10] = probability, none
    return eleven


def test_probabilities_add_up_and_the_two_networks_are_weighed_by_their_powers():
    detections = [detection(d4=0.6, d9=0.5)]
    for power, digit in ((0.0, 4), (2.0, 9)):
        (candidate,) = Fusion(digitnet=power).candidates(detections, answer(9, 0.97))
        assert candidate.probabilities.sum() == pytest.approx(1)
        assert candidate.probabilities.argmax() == digit
        assert candidate.detection is detections[0]


def test_powers_may_change_with_the_digits_size():
    fusion = Fusion(digitnet=1.0, digitnet_by_size=1.0)
    small, large = fusion.candidates(
        [detection(tall=16, d4=0.6), detection(200, 64, d4=0.6)], np.repeat(answer(9, 0.9), 2, 0)
    )
    assert small.probabilities[9] < large.probabilities[9]


def test_digitnet_counts_for_more_where_the_digit_stands_free():
    fusion = Fusion(digitnet=0.5, digitnet_by_freedom=1.0)
    detections = [detection(d4=0.6), replace(detection(200, d4=0.6), free=0.2)]
    free, bound = fusion.candidates(detections, np.repeat(answer(9, 0.9), 2, 0))
    assert free.probabilities[9] > bound.probabilities[9]
    log_odds = np.log(0.99 / 0.01)
    rows = features(detections, np.repeat(answer(9, 0.9), 2, 0), np.log(np.full((2, 10), 0.1)))
    assert rows[:, 16:] == pytest.approx(np.array([[1, log_odds], [0.2, 0.2 * log_odds]]))


def test_the_odds_of_a_digit_are_a_weighted_sum_of_what_tells_of_it():
    detections, answers = [detection(d4=0.9)], answer(4, 0.9)
    weights = tuple(np.linspace(-0.2, 0.3, FEATURES))
    fusion = Fusion(exists=weights, offset=0.3)
    (candidate,) = fusion.candidates(detections, answers)
    told = features(detections, answers, fusion.log_probabilities(*evidence(detections, answers)))[0]
    assert np.log(candidate.exists / (1 - candidate.exists)) == pytest.approx(told @ np.array(weights) + 0.3)


def test_hidden_units_add_what_the_hyperbolic_tangent_of_their_sum_says():
    detections, answers = [detection(d4=0.9)], answer(4, 0.9)
    straight = Fusion()
    told = features(detections, answers, straight.log_probabilities(*evidence(detections, answers)))
    unit = (*np.linspace(-0.1, 0.1, FEATURES), 0.2, 3.0)
    bent = 3.0 * np.tanh(told[0] @ np.array(unit[:FEATURES]) + 0.2)
    assert Fusion(hidden_units=(unit,)).log_odds(told)[0] - straight.log_odds(told)[0] == pytest.approx(bent)


def test_what_is_alone_or_beside_something_far_larger_is_told():
    def told(*detections):
        rows = features(
            detections, np.repeat(answer(4, 0.9), len(detections), 0), np.log(np.full((len(detections), 10), 0.1))
        )
        return rows[0, 13:16].tolist()

    lone = replace(detection(d4=0.5), alone=True)
    assert told(detection(d4=0.5)) == [0, 0, UNRIVALLED]
    assert told(lone) == [1, pytest.approx(np.log(0.99 / 0.01)), UNRIVALLED]
    assert told(detection(d4=0.5), detection(900, 64, d9=0.9))[2] == UNRIVALLED
    assert told(detection(d4=0.5), detection(900, 256, d9=0.9))[2] == pytest.approx(np.log(9), abs=1e-3)


def test_a_surer_detection_of_the_same_ink_is_a_rival_and_a_neighbour_is_not():
    def rival(other):
        detections = [detection(d4=0.5), other]
        answers = np.repeat(answer(4, 0.9), 2, 0)
        return features(detections, answers, np.log(np.full((2, 10), 0.1)))[0, 7]

    assert rival(detection(3, d9=0.9)) == pytest.approx(np.log(9), abs=1e-3)
    assert rival(detection(60, d9=0.9)) == rival(detection(90, d9=0.2)) < np.log(0.01 / 0.99) + 1


def test_no_detections_are_no_candidates():
    assert Fusion().candidates([], np.zeros((0, 11), np.float32)) == []


def test_weights_survive_json_and_wrong_ones_are_refused():
    fusion = Fusion(
        exists=tuple(range(FEATURES)),
        offset=0.5,
        hidden_units=((0.5,) * (FEATURES + 2),),
        detector=1.5,
        digitnet_by_size=-0.1,
    )
    assert Fusion.from_json(fusion.to_json()) == fusion
    for text in (
        "[]",
        "{}",
        '{"exists": [1]}',
        fusion.to_json().replace("0.5, 0.5", "0.5"),
        fusion.to_json().replace("offset", "offsets"),
    ):
        with pytest.raises((ValueError, TypeError, KeyError, AttributeError)):
            Fusion.from_json(text)
