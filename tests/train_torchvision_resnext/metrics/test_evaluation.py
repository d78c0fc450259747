import json
import math

import numpy as np
import pytest
from sklearn import metrics as sk

from train_torchvision_resnext.metrics.evaluation import Confusion, evaluate
from train_torchvision_resnext.resnext.trust.costs import Costs


def logits_for(predicted, classes, margin=2.0):
    """Logits whose best class is the one given; the rest are 0."""
    logits = np.zeros((len(predicted), classes), np.float32)
    logits[np.arange(len(predicted)), predicted] = margin
    return logits


def test_by_hand():
    #  true       a a a a b b c
    #  predicted  a a a b b a b    (c is never predicted)
    targets = np.array([0, 0, 0, 0, 1, 1, 2])
    logits = logits_for([0, 0, 0, 1, 1, 0, 1], 3, margin=math.log(2))
    evaluation = evaluate(logits, targets, ("a", "b", "c"))
    assert evaluation.confusion == ((3, 1, 0), (1, 1, 0), (0, 1, 0))
    assert evaluation.top1 == pytest.approx(4 / 7)
    assert evaluation.top5 == 1
    # The predicted class has probability 2/4, the two others 1/4 each.
    assert evaluation.loss == pytest.approx((4 * math.log(2) + 3 * math.log(4)) / 7)
    a, b, c = evaluation.per_class
    assert (a.label, a.support, a.predicted) == ("a", 4, 4)
    assert (a.precision, a.recall, a.f1) == pytest.approx((0.75, 0.75, 0.75))
    assert (b.support, b.predicted) == (2, 3)
    assert (b.precision, b.recall, b.f1) == pytest.approx((1 / 3, 1 / 2, 2 / 5))
    assert (c.support, c.predicted, c.precision, c.recall, c.f1) == (1, 0, 0, 0, 0)
    assert evaluation.macro_precision == pytest.approx((3 / 4 + 1 / 3) / 3)
    assert evaluation.macro_recall == pytest.approx((3 / 4 + 1 / 2) / 3)
    assert evaluation.macro_f1 == pytest.approx((3 / 4 + 2 / 5) / 3)
    assert evaluation.count == 7
    assert evaluation.notes == ("1 class (c) was never predicted: precision, recall and F1 are 0.",)


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
def test_balanced_accuracy_is_the_mean_recall_of_the_classes_that_have_images():
    targets = np.array([0, 0, 0, 0, 1, 1])
    evaluation = evaluate(logits_for([0, 0, 0, 1, 1, 2], 3), targets, ("a", "b", "c"))
    assert evaluation.balanced_accuracy == pytest.approx((3 / 4 + 1 / 2) / 2)
    assert evaluation.balanced_accuracy == sk.balanced_accuracy_score(targets, [0, 0, 0, 1, 1, 2])
    # c is predicted, too, and counts with 0 there.
    assert evaluation.macro_recall == pytest.approx((3 / 4 + 1 / 2) / 3)
    assert evaluation.scalars()["balanced_accuracy"] == evaluation.balanced_accuracy


def test_expected_cost_by_hand():
    # p(b) is 1/5, 1/2 and 4/5. A b taken for an a costs 3: from p(b) > 1/4 on b is the answer.
    logits = np.log(np.array([[4, 1], [1, 1], [1, 4]], np.float32))
    costs = Costs(np.array([[0.0, 1], [3, 0]]))
    evaluation = evaluate(logits, np.array([1, 0, 1]), ("a", "b"), costs)
    assert evaluation.expected_cost == pytest.approx((3 + 1 + 0) / 3)
    assert evaluation.scalars()["expected_cost"] == evaluation.to_dict()["expected_cost"] == evaluation.expected_cost
    assert "expected_cost" not in evaluate(logits, np.array([1, 0, 1]), ("a", "b")).scalars()


def test_confusions_come_most_frequent_first():
    targets = np.array([0, 0, 1, 2, 2])
    evaluation = evaluate(logits_for([1, 1, 1, 0, 2], 3), targets, ("a", "b", "c"))
    assert evaluation.confusions() == (Confusion("a", "b", 2), Confusion("c", "a", 1))


def test_top5_of_six_classes():
    # The true class is ranked first, fifth and last.
    logits = np.array([[6, 5, 4, 3, 2, 1]] * 3, np.float32)
    evaluation = evaluate(logits, np.array([0, 4, 5]), list("abcdef"))
    assert evaluation.top5 == pytest.approx(2 / 3)
    assert evaluation.top1 == pytest.approx(1 / 3)


def test_equal_logits_are_no_hits():
    evaluation = evaluate(np.zeros((100, 10), np.float32), np.arange(100) % 10, [str(i) for i in range(10)])
    assert evaluation.top1 == pytest.approx(0.1)
    assert evaluation.top5 == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("classes", "count", "never_predicted", "without_support"),
    [
        (2, 1, (), ()),
        (2, 50, (), ()),
        (2, 50, (1,), ()),
        (3, 40, (), (1,)),
        (10, 300, (0, 7), ()),
        (10, 300, (3,), (3, 4)),
        (12, 5, (), ()),
        (200, 3000, (5, 6, 7), (6, 8)),
    ],
)
def test_agrees_with_scikit_learn(classes, count, never_predicted, without_support):
    random = np.random.default_rng(classes * 1000 + count)
    allowed = [c for c in range(classes) if c not in without_support]
    targets = random.choice(allowed, count)
    logits = random.normal(size=(count, classes)).astype(np.float32)
    logits[np.arange(count), targets] += 1.5
    logits[:, list(never_predicted)] = -9
    labels = [f"class {index}" for index in range(classes)]
    evaluation = evaluate(logits, targets, labels)

    predicted = logits.argmax(axis=1)
    every = np.arange(classes)
    assert np.array_equal(evaluation.confusion, sk.confusion_matrix(targets, predicted, labels=every))
    precision, recall, f1, support = sk.precision_recall_fscore_support(
        targets, predicted, labels=every, zero_division=0
    )
    assert [m.precision for m in evaluation.per_class] == pytest.approx(list(precision))
    assert [m.recall for m in evaluation.per_class] == pytest.approx(list(recall))
    assert [m.f1 for m in evaluation.per_class] == pytest.approx(list(f1))
    assert [m.support for m in evaluation.per_class] == list(support)
    macro = sk.precision_recall_fscore_support(targets, predicted, average="macro", zero_division=0)
    assert (evaluation.macro_precision, evaluation.macro_recall, evaluation.macro_f1) == pytest.approx(macro[:3])
    assert evaluation.top1 == pytest.approx(sk.accuracy_score(targets, predicted))
    exponents = np.exp(logits.astype(np.float64))
    probabilities = exponents / exponents.sum(axis=1, keepdims=True)
    assert evaluation.loss == pytest.approx(sk.log_loss(targets, probabilities, labels=every))
    if classes > 5:
        expected = sk.top_k_accuracy_score(targets, logits, k=5, labels=every)
        assert evaluation.top5 == pytest.approx(expected)
    assert all(math.isfinite(value) for value in evaluation.scalars().values())
    named = " ".join(evaluation.notes)
    assert all(labels[index] in named for index in {*never_predicted, *without_support})


def test_classes_without_images():
    # "ghost" is predicted once, "nobody" is in neither.
    evaluation = evaluate(logits_for([0, 1], 3), np.array([0, 0]), ("real", "ghost", "nobody"))
    assert evaluation.macro_recall == pytest.approx(0.5 / 2)
    assert len(evaluation.notes) == 2
    assert "(ghost) was predicted, but no image" in evaluation.notes[0]
    assert "(nobody) was neither" in evaluation.notes[1]


def test_one_class():
    evaluation = evaluate(np.array([[3.0], [-1.0]], np.float32), np.array([0, 0]), ["only"])
    assert (evaluation.top1, evaluation.top5, evaluation.macro_f1, evaluation.loss) == (1, 1, 1, 0)
    assert evaluation.confusion == ((2,),)


def test_to_dict_is_json():
    evaluation = evaluate(logits_for([0, 1, 1], 2), np.array([0, 1, 0]), ("ant", "bee"))
    back = json.loads(json.dumps(evaluation.to_dict()))
    assert back["confusion"] == [[1, 1], [0, 1]]
    assert back["per_class"][1] == {
        "label": "bee",
        "support": 1,
        "predicted": 2,
        "precision": 0.5,
        "recall": 1.0,
        "f1": pytest.approx(2 / 3),
    }
    assert back["count"] == 3
    # Wilson's interval of 2 of 3, and of 1 of 2 and 1 of 1 for the class bee.
    assert back["intervals"]["top1"] == pytest.approx([0.2077, 0.9385], abs=1e-4)
    assert back["intervals"]["precision"][1] == pytest.approx([0.0945, 0.9055], abs=1e-4)
    assert back["intervals"]["recall"][1] == pytest.approx([0.2065, 1], abs=1e-4)
    low, high = back["intervals"]["macro_f1"]
    assert 0 <= low < 2 / 3 < high == 1
    assert back["top1"] == evaluation.scalars()["top1"] == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("logits", "targets", "message"),
    [
        (np.zeros((3, 4)), [0, 1, 1], r"shape \(3, 4\).*expected N x 2 logits"),
        (np.zeros((3, 2)), [0, 1], r"targets of shape \(2,\)"),
        (np.zeros((0, 2)), [], "the validation part has no images"),
        (np.zeros((2, 2)), [0, 2], "targets holds the class 2: expected indices from 0 to 1"),
        (np.zeros((2, 2)), [-1, 0], "targets holds the class -1"),
        (np.array([[0, np.nan], [0, 1]]), [0, 1], "logits of 1 of 2 images are NaN or infinite.*learning_rate"),
    ],
)
def test_refuses(logits, targets, message):
    with pytest.raises(ValueError, match=message):
        evaluate(logits.astype(np.float32), np.array(targets, np.int64), ("a", "b"))


def test_a_perfect_model_has_figures_of_exactly_one():
    targets = np.arange(142) % 10
    evaluation = evaluate(np.eye(10, dtype=np.float32)[targets], targets, [str(digit) for digit in range(10)])
    assert (evaluation.macro_precision, evaluation.macro_recall, evaluation.macro_f1) == (1, 1, 1)
