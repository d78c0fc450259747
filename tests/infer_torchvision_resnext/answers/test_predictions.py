import numpy as np
import pytest

from infer_torchvision_resnext.answers.predictions import UNKNOWN, Doubt, Prediction, top_k
from infer_torchvision_resnext.resnext.network.outputs import softmax

LABELS = ("ant", "bee", "cat")


def test_softmax_worked_out_by_hand():
    logits = np.log(np.array([[1, 2, 5], [4, 4, 2]], np.float32)) + 7
    assert softmax(logits) == pytest.approx(np.array([[0.125, 0.25, 0.625], [0.4, 0.4, 0.2]]))


def test_softmax_of_huge_logits_is_finite():
    assert softmax(np.array([[3e38, 0, -3e38]], np.float32)).tolist() == [[1, 0, 0]]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_logits_that_are_not_finite_are_refused(value):
    with pytest.raises(ValueError, match="not finite: the weights are broken"):
        softmax(np.array([[0, value]], np.float32))


def test_the_best_come_first_and_equals_keep_their_order():
    first, second = top_k(np.array([[0.1, 0.3, 0.6], [0.4, 0.4, 0.2]]), LABELS, 2)
    assert first == Prediction((2, 1), ("cat", "bee"), (0.6, 0.3), "cat")
    assert second == Prediction((0, 1), ("ant", "bee"), (0.4, 0.4), "ant")
    assert (first.index, first.probability) == (2, 0.6)


@pytest.mark.parametrize(("k", "count"), [(0, 3), (1, 1), (3, 3), (99, 3)])
def test_k_beyond_the_classes_lists_all(k, count):
    (prediction,) = top_k(np.array([[0.5, 0.3, 0.2]]), LABELS, k)
    assert len(prediction.labels) == len(prediction.indices) == len(prediction.probabilities) == count


def test_with_a_doubt_the_answer_is_unknown_and_the_probability_stays():
    (sure,) = top_k(np.array([[0.5, 0.3, 0.2]]), LABELS, 3)
    prediction = sure.judged(Doubt("unsure", "below 0.6"), 1.5, ("ant", "bee"))
    assert (prediction.answer, prediction.index, prediction.probability) == (UNKNOWN, None, 0.5)
    assert prediction.labels == LABELS
    found = prediction.to_dict()
    assert (found["doubt"], found["reason"], found["known_score"]) == ("unsure", "below 0.6", 1.5)
    assert found["set"] == ["ant", "bee"]
    assert sure.judged(None, None, None) == sure


@pytest.mark.parametrize(
    ("index", "k", "labels", "held"),
    [
        (0, 0, ("ant", "bee", "cat"), False),
        (2, 0, ("cat", "ant", "bee"), True),
        (1, 2, ("bee", "ant"), True),
        (2, 1, ("cat",), True),
    ],
)
def test_the_answer_that_is_held_stands_first_though_another_class_is_ahead(index, k, labels, held):
    (best,) = top_k(np.array([[0.5, 0.3, 0.2]]), LABELS, 0)
    found = best.held_at(index, k)
    assert (found.answer, found.labels, found.held) == (labels[0], labels, held)
    assert found.probabilities == tuple({"ant": 0.5, "bee": 0.3, "cat": 0.2}[label] for label in labels)


def test_a_class_may_be_called_unknown():
    (prediction,) = top_k(np.array([[0.9, 0.1]]), (UNKNOWN, "ant"), 1)
    assert (prediction.answer, prediction.index, prediction.doubt) == (UNKNOWN, 0, None)


def test_beside_unknown_stands_no_probability_of_a_class():
    (sure,) = top_k(np.array([[0.82, 0.18, 0.0]]), LABELS, 2)
    assert (sure.table(), sure.confidence) == ([("ant", "0.82"), ("bee", "0.18")], 0.82)
    unsure = sure.judged(Doubt("unlike", "a palace"))
    assert (unsure.table(), unsure.confidence) == ([(UNKNOWN, ""), ("ant", "0.82"), ("bee", "0.18")], 0.0)
    assert Prediction.unreadable("too small to read").table() == [(UNKNOWN, "")]


def test_unreadable_is_unknown_with_probability_zero():
    prediction = Prediction.unreadable("too small to read")
    assert (prediction.answer, prediction.probability, prediction.index) == (UNKNOWN, 0.0, None)
    assert prediction.to_dict() == {
        "answer": UNKNOWN,
        "probability": 0.0,
        "doubt": "too small",
        "reason": "too small to read",
        "known_score": None,
        "set": None,
        "top_k": [],
    }


def test_probabilities_must_match_the_labels():
    with pytest.raises(ValueError, match="2 probabilities an image, but 3 labels"):
        top_k(np.array([[0.5, 0.5]]), LABELS, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((0,), ("ant", "bee"), (0.5,), "ant"), "1 indices, 2 labels and 1 probabilities"),
        (((0,), ("ant",), (1.5,), "ant"), r"expected values in \[0, 1\]"),
        (((0,), ("ant",), (float("nan"),), "ant"), r"expected values in \[0, 1\]"),
        (((0, 1), ("ant", "bee"), (0.1, 0.9), "ant"), "expected the best first"),
        (((0,), ("ant",), (0.5,), "bee"), "answer 'bee': expected 'ant'"),
        (((0,), ("ant",), (0.5,), "ant", Doubt("unsure", "")), "answer 'ant': expected 'unknown'"),
    ],
)
def test_results_that_contradict_themselves_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Prediction(*arguments)
