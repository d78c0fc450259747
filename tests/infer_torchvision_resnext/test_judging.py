import json

import numpy as np
import pytest

from infer_torchvision_resnext.judging import Judge
from infer_torchvision_resnext.parameters import ParameterError, Parameters
from infer_torchvision_resnext.resnext.network.inference import Outputs
from infer_torchvision_resnext.resnext.trust.calibration import Calibration
from infer_torchvision_resnext.resnext.trust.evidence import Evidence

LABELS = ("ant", "bee")
CALIBRATION = Calibration(temperature=2, images=200, ece_before=0.1, ece_after=0.01, loss_before=0.5, loss_after=0.4)


def evidence(**other):
    """100 ants and 100 bees; ants are right from 0.8 on, bees one time in two. Scores from 0.01 to 2."""
    sure = np.tile(np.linspace(0.6, 1, 100), 2)
    predicted = np.repeat([0, 1], 100)
    target = np.where((predicted == 0) & (sure >= 0.8), 0, np.tile([0, 1], 100))
    content = {
        "probability": sure.astype(np.float32),
        "true_probability": np.where(predicted == target, sure, 1 - sure).astype(np.float32),
        "predicted": predicted.astype(np.int32),
        "target": target.astype(np.int32),
        "known_score": np.linspace(0.01, 2, 200).astype(np.float32),
        "feature_mean": np.zeros(3, np.float32),
        "feature_axes": np.eye(2, 3, dtype=np.float32),
        "feature_scale": np.ones(1, np.float32),
    }
    return Evidence(**content | other)


def outputs(*logits, stray=0.0):
    """Features are the logits and, off the subspace of the known ones, a third axis."""
    rows = np.array(logits, np.float32)
    features = np.column_stack([rows, np.full(len(rows), stray, np.float32)])
    return Outputs(rows, features)


def judge(brought=None, calibration=None, **asked):
    return Judge(LABELS, Parameters(**asked), calibration, brought)


def test_a_model_of_before_answers_as_before():
    found = judge()
    (prediction,) = found.predictions(outputs([2, 0]))
    assert prediction.probability == pytest.approx(1 / (1 + np.exp(-2)))
    assert (prediction.answer, prediction.doubt, prediction.known_score, prediction.possible) == (
        "ant",
        None,
        None,
        None,
    )
    assert found.describe()["calibrated"] is False


def test_logits_are_divided_by_the_temperature_unless_it_is_switched_off():
    (calibrated,) = judge(calibration=CALIBRATION).predictions(outputs([4, 0]))
    (raw,) = judge(calibration=CALIBRATION, calibrated=False).predictions(outputs([4, 0]))
    assert calibrated.probability == pytest.approx(1 / (1 + np.exp(-2)))
    assert raw.probability == pytest.approx(1 / (1 + np.exp(-4)))
    assert judge(calibration=CALIBRATION).describe()["calibrated"] is True
    assert judge(calibration=CALIBRATION, calibrated=False).describe()["calibrated"] is False


def test_what_is_unlike_anything_learned_is_unknown_however_sure_the_network_is():
    # The score is the energy of the logits, here about 9, less the distance from the subspace.
    (like,) = judge(evidence()).predictions(outputs([9, 0], stray=1))
    (unlike,) = judge(evidence()).predictions(outputs([9, 0], stray=12))
    assert (like.answer, like.doubt) == ("ant", None)
    assert like.known_score == pytest.approx(np.log(np.exp(9) + 1) - 1)
    assert (unlike.answer, unlike.doubt.kind, unlike.index) == ("unknown", "unlike", None)
    assert unlike.known_score == pytest.approx(like.known_score - 11)
    assert unlike.labels == LABELS
    (off,) = judge(evidence(), unknown_sensitivity=0).predictions(outputs([9, 0], stray=12))
    assert off.answer == "ant"


def test_more_sensitive_means_more_unknown():
    scores = [judge(evidence(), unknown_sensitivity=share).describe()["unknown_below"] for share in (0.005, 0.1, 0.5)]
    assert scores == pytest.approx([0.02, 0.21, 1.01])


def test_below_the_promised_precision_the_answer_is_unknown():
    asked = judge(evidence(), target_precision=0.9, unknown_sensitivity=0)
    sure, unsure, bee = asked.predictions(outputs([4, 0], [0.5, 0], [0, 4]))
    assert sure.answer == "ant"
    assert (unsure.answer, unsure.doubt.kind) == ("unknown", "imprecise")
    assert "ant is given from a calibrated probability of 0.802 on" in unsure.doubt.reason
    assert "bee is never given" in bee.doubt.reason
    assert asked.describe()["promises"]["never_answered"] == ["bee"]


def test_a_promise_is_about_calibrated_probabilities_also_where_others_are_shown():
    (shown,) = judge(
        evidence(), CALIBRATION, calibrated=False, target_precision=0.9, unknown_sensitivity=0
    ).predictions(outputs([1.5, 0]))
    assert shown.probability > 0.8  # uncalibrated
    assert shown.doubt.kind == "imprecise"  # calibrated it is 0.68


def test_the_confidence_threshold_stays():
    unsure, sure = judge(confidence_threshold=0.9).predictions(outputs([1, 0], [9, 0]))
    assert (unsure.doubt.kind, unsure.doubt.reason) == ("unsure", "below the confidence threshold of 0.9")
    assert sure.doubt is None


def test_sets_hold_every_class_that_may_be_the_true_one():
    sets = judge(evidence(), coverage=0.9, unknown_sensitivity=0)
    clear, unclear = sets.predictions(outputs([9, 0], [0.1, 0]))
    assert (clear.possible, unclear.possible) == (("ant",), ("ant", "bee"))
    assert json.loads(json.dumps(sets.describe()))["sets"]["coverage"] == 0.9


def test_embeddings_are_the_features_and_come_when_asked_for():
    (plain,) = judge().predictions(outputs([1, 0], stray=3))
    (asked,) = judge(embeddings=True).predictions(outputs([1, 0], stray=3))
    assert "embedding" not in plain.to_dict()
    assert json.loads(json.dumps(asked.to_dict()))["embedding"] == [1, 0, 3]


@pytest.mark.parametrize("name", ["target_precision", "coverage"])
def test_nothing_is_promised_without_evidence(name):
    with pytest.raises(ParameterError, match=rf"{name} = 0.9: the model brings no trust.safetensors"):
        judge(**{name: 0.9})


def test_logits_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="not finite"):
        judge().predictions(outputs([np.nan, 0]))
