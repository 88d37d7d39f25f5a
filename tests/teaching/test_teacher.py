import json
import pickle

import numpy as np
import pytest

from digitnet import Reader
from digitnet.errors import ModelError, UsageError
from digitnet.reading.adaptation import Adaptation
from digitnet.reading.networks import OnnxDigitNet


def right(reader, pictures, labels):
    digits = reader.predict_many(pictures)
    return sum(digit.best_guess == label for digit, label in zip(digits, labels, strict=True))


def test_a_hand_that_is_misread_is_read_better_after_a_lesson(lesson, reader, taught, odd_hand):
    assert lesson.is_kept
    assert lesson.reason is None
    assert lesson.after.right >= lesson.before.right + 5
    assert right(taught, *odd_hand) > right(reader, *odd_hand)


def test_a_lesson_does_not_change_the_reader_that_gave_it_but_the_one_that_has_learnt_it(lesson, reader, odd_hand):
    before = reader.predict_many(odd_hand[0])
    learnt = reader.taught(lesson)
    assert reader.predict_many(odd_hand[0]) == before
    assert right(learnt, *odd_hand) > right(reader, *odd_hand)
    assert learnt.about["taught"] == "36 pictures"
    assert "taught" not in reader.about


def test_a_taught_reader_reads_mnist_as_before(taught, reader, mnist_digits):
    before, after = (model.predict_normalised(mnist_digits[0]) for model in (reader, taught))
    right_before, right_after = (
        sum(digit.best_guess == label for digit, label in zip(digits, mnist_digits[1], strict=True))
        for digits in (before, after)
    )
    assert right_after >= right_before


def test_a_taught_reader_can_be_pickled(taught, odd_hand):
    copy = pickle.loads(pickle.dumps(taught))
    assert copy.predict_many(odd_hand[0]) == taught.predict_many(odd_hand[0])


def test_a_taught_file_that_is_cut_off_is_refused_by_name(lesson, tmp_path):
    file = tmp_path / "mine.onnx"
    file.write_bytes(lesson.model[:-100])
    with pytest.raises(ModelError, match=r"mine\.onnx"):
        Reader(file)


def test_what_is_taught_changes_pages_too(taught, reader, odd_hand):
    page = np.full((90, 90), 255, np.uint8)
    page[31:59, 31:59] = np.asarray(odd_hand[0][-1])  # a usual 1
    before, after = (model.examine_page(page) for model in (reader, taught))
    assert before.page.digits != after.page.digits


def test_a_hand_that_is_read_without_error_has_nothing_to_teach(reader, mnist_digits, picture):
    images, labels = mnist_digits
    zeros = [picture(image) for image in images[labels == 0][:10]]
    lesson = reader.teach(zeros, [0] * 10)
    assert not lesson.is_kept
    assert lesson.reason == "nothing to learn: all 10 are read right"
    assert reader.taught(lesson) is reader


def test_few_corrections_prove_nothing_and_the_reason_says_what_would_help(reader, odd_hand):
    lesson = reader.teach(odd_hand[0][:3], odd_hand[1][:3])
    assert not lesson.is_kept
    assert "no gain beyond chance" in lesson.reason
    assert lesson.reason.endswith("5 more 2s")


def test_one_correction_works_at_once(reader, odd_hand):
    lesson = reader.teach(odd_hand[0][:1], [2], at_once=True)
    assert lesson.is_kept
    assert reader.predict(odd_hand[0][0]).best_guess != 2
    assert reader.taught(lesson).predict(odd_hand[0][0]).best_guess == 2


def test_a_second_lesson_builds_on_the_first(lesson, taught, odd_hand):
    second = taught.teach(odd_hand[0][:3], odd_hand[1][:3], at_once=True)
    learnt = taught.taught(second)
    if second.is_kept:
        assert learnt.about["taught"] == "39 pictures"
    assert right(learnt, *odd_hand) >= right(taught, *odd_hand)


def test_harm_is_measured_against_the_first_model_so_that_many_lessons_do_not_drift(reader, lesson, odd_hand, tmp_path):
    network = OnnxDigitNet(lesson.model, "mine")
    drift = np.zeros_like(network.adaptation.shift)
    drift[-1, 8] = 4  # an earlier lesson made DigitNet fond of 8s, to the harm of other hands
    path = tmp_path / "drifted.onnx"
    path.write_bytes(Adaptation(drift, 10).adapted(network.base))
    again = Reader(path).teach(*odd_hand)
    assert not again.is_kept
    assert again.reason.startswith("other hands would be read worse")
    assert again.guard_before == lesson.guard_before


def test_a_wrong_label_is_named_and_counts_for_little(reader, mnist_digits, picture):
    images, labels = mnist_digits
    chosen = np.flatnonzero(np.isin(labels, (0, 1)))[:24]
    given = labels[chosen].astype(int).tolist()
    given[5] = 1 - given[5]
    names = [f"{index}.png" for index in range(24)]
    lesson = reader.teach([picture(images[index]) for index in chosen], given, names=names)
    assert [str(doubt) for doubt in lesson.contradictions] == [
        f"5.png: labelled {given[5]}, looks like {labels[chosen[5]]}"
    ]
    assert not lesson.is_kept


def test_wrong_labels_alone_teach_nothing(reader, mnist_digits, picture):
    images, labels = mnist_digits
    chosen = np.flatnonzero(np.isin(labels, (0, 1, 4)))[:30]
    lesson = reader.teach([picture(images[index]) for index in chosen], ((labels[chosen] + 3) % 10).tolist())
    assert not lesson.is_kept
    assert lesson.contradictions or "read worse" in lesson.reason


def test_a_blank_picture_teaches_nothing(reader):
    lesson = reader.teach([np.full((40, 40), 255, np.uint8)], [3], at_once=True)
    assert not lesson.is_kept


@pytest.mark.parametrize(("pictures", "labels"), [([], []), ([np.zeros((28, 28))], []), ([np.zeros((28, 28))], [11])])
def test_wrong_labels_and_counts_are_refused(reader, pictures, labels):
    with pytest.raises(UsageError):
        reader.teach(pictures, labels)


def test_a_lesson_is_json_without_the_model(lesson):
    found = json.loads(json.dumps(lesson.to_dict()))
    assert found["is_kept"] is True
    assert found["pictures"] == 36
    assert "model" not in found


def test_the_packaged_model_is_untouched_by_lessons(lesson, odd_hand):
    assert "taught" not in Reader().about
