import json
from dataclasses import replace

import numpy as np
import pytest

from infer_torchvision_resnext.answers.judging import UNLIKE_OBJECTS, Judge, unlike_objects_note
from infer_torchvision_resnext.answers.predictions import Prediction
from infer_torchvision_resnext.answers.regions import Region
from infer_torchvision_resnext.answers.tracks import Moment, Pooled, Tracks
from infer_torchvision_resnext.parameters.task import Parameters
from infer_torchvision_resnext.resnext.host.schema import ParameterError
from infer_torchvision_resnext.resnext.network.outputs import Outputs
from infer_torchvision_resnext.resnext.trust.calibration import Calibration
from infer_torchvision_resnext.resnext.trust.costs import Costs
from infer_torchvision_resnext.resnext.trust.evidence import Evidence
from infer_torchvision_resnext.resnext.trust.intervals import wilson

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


def judge(brought=None, calibration=None, costs=None, **asked):
    return Judge(LABELS, Parameters(**asked), calibration, brought or "trained before 2.1", costs)


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


@pytest.mark.parametrize(
    ("calibration", "used", "reason"),
    [
        (CALIBRATION, True, None),
        (CALIBRATION, False, "calibrated = False"),
        (None, True, "the model has no temperature; models of train_torchvision_resnext 2.1 or later can have one"),
        (
            CALIBRATION.model_copy(update={"temperature": 1, "reason": "16 images are too few"}),
            True,
            "16 images are too few",
        ),
    ],
)
def test_without_a_fitted_temperature_nothing_is_called_calibrated(calibration, used, reason):
    described = judge(calibration=calibration, calibrated=used).describe()
    assert (described["calibrated"], described["uncalibrated_reason"]) == (reason is None, reason)


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
    assert "ant is given from a calibrated probability of 0.7939 on" in unsure.doubt.reason
    assert "bee is never given" in bee.doubt.reason
    assert asked.describe()["promises"]["never_answered"] == ["bee"]


def test_notes_say_what_the_evidence_is_too_little_for():
    few = evidence(
        **{
            name: getattr(evidence(), name)[80:120]
            for name in ("probability", "true_probability", "predicted", "target", "known_score")
        }
    )
    asked = judge(few, target_precision=0.99, coverage=0.95)
    assert [note.partition(":")[0].partition(" needs")[0] for note in asked.notes] == [
        "target_precision = 0.99 answers 0.0% of the 40 validation images. With these images at most 0.86 can be "
        "promised; 0.99",
        "coverage = 0.95",
        "unknown_sensitivity = 0.01",
    ]
    assert asked.describe()["unknown_expected"] == pytest.approx(1 / 41)
    assert judge(evidence(), target_precision=0.9, unknown_sensitivity=0.02).notes[1:] == []
    assert judge(evidence(), target_precision=0.9).describe()["promises"]["per_class"] is False
    alone = judge(evidence(), target_precision=0.9, target_precision_per_class=True)
    assert alone.describe()["promises"]["per_class"] is True


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


COSTS = Costs(np.array([[0.0, 1], [9, 0]]))
"""A bee taken for an ant costs nine times what an ant taken for a bee does: p(bee) > 0.1 is a bee."""


def test_with_costs_the_answer_is_the_one_of_least_expected_cost():
    found = judge(costs=COSTS, top_k=2).predictions(outputs([np.log(4), 0], [np.log(19), 0], [0, 3]))
    assert [prediction.answer for prediction in found] == ["bee", "ant", "bee"]
    first = found[0]
    # p(ant) = 0.8: as a bee it costs 0.8 * 1, as an ant 0.2 * 9.
    assert (first.labels, first.indices, first.index) == (("bee", "ant"), (1, 0), 1)
    assert first.probability == pytest.approx(0.2)
    assert first.probabilities == pytest.approx((0.2, 0.8))
    assert first.costs == pytest.approx((0.8, 1.8))
    told = json.loads(json.dumps(first.to_dict()))["top_k"]
    assert [entry["expected_cost"] for entry in told] == pytest.approx([0.8, 1.8])
    assert judge(costs=COSTS).describe()["decided_by"] == "cost"


def test_costs_are_weighed_by_calibrated_probabilities_also_where_others_are_shown():
    # Calibrated p(bee) = 1 / (1 + e^2) = 0.12, as it is 0.018.
    (shown,) = judge(calibration=CALIBRATION, costs=COSTS, calibrated=False).predictions(outputs([4, 0]))
    assert (shown.answer, shown.probability) == ("bee", pytest.approx(1 / (1 + np.exp(4))))
    (raw,) = judge(costs=COSTS).predictions(outputs([4, 0]))
    assert raw.answer == "ant"


def test_one_class_is_listed_by_its_cost_too():
    (one,) = judge(costs=COSTS, top_k=1).predictions(outputs([np.log(4), 0]))
    assert (one.labels, one.answer) == (("bee",), "bee")


def test_costs_can_be_left_aside():
    aside = judge(costs=COSTS, decide_by="probability")
    (prediction,) = aside.predictions(outputs([np.log(4), 0]))
    assert (prediction.answer, prediction.costs) == ("ant", None)
    assert (aside.describe()["decided_by"], aside.describe()["costs"]) == ("probability", None)
    assert "expected_cost" not in prediction.to_dict()["top_k"][0]


def test_with_costs_thresholds_and_promises_are_about_the_class_that_is_answered():
    (unsure,) = judge(costs=COSTS, confidence_threshold=0.5).predictions(outputs([np.log(4), 0]))
    assert (unsure.answer, unsure.doubt.kind, unsure.probability) == ("unknown", "unsure", pytest.approx(0.2))
    asked = judge(evidence(), target_precision=0.9, unknown_sensitivity=0, costs=COSTS)
    (bee,) = asked.predictions(outputs([np.log(4), 0]))
    assert "bee is never given" in bee.doubt.reason


def test_costs_decide_on_tracks_too():
    found = judge(costs=COSTS)
    logs = np.log([0.8, 0.2])
    assert (found.decide(logs), judge().decide(logs)) == (1, 0)
    (alone,) = found.predictions(outputs([np.log(4), 0]))
    bee = found.pooled(Pooled(2, logs, None, 1), alone)
    assert (bee.answer, bee.held, bee.costs) == ("bee", False, pytest.approx((0.8, 1.8)))
    # Held against what costs less now.
    ant = found.pooled(Pooled(2, logs, None, 0), alone)
    assert (ant.answer, ant.held, ant.costs) == ("ant", True, pytest.approx((1.8, 0.8)))
    assert ant.probability == pytest.approx(0.8)


def test_what_cannot_be_decided_is_refused():
    with pytest.raises(ParameterError, match="decide_by = 'cost': the model does not say what wrong answers cost"):
        judge(decide_by="cost")
    with pytest.raises(ParameterError, match=r"target_precision = 0\.9: the model's promises are of answers of least"):
        judge(evidence(), costs=COSTS, decide_by="probability", target_precision=0.9)


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


def followed(judged, *frames, stray=0.0):
    """What is to be thought of an object after these frames' logits."""
    tracks = Tracks(10)
    for number, logits in enumerate(frames):
        (alone,) = judged.predictions(outputs(logits, stray=stray))
        (pooled,) = tracks.follow(Moment("", number, (9, 9)), [Region((0, 0, 9, 9), 1)], [alone], judged.decide)
    return judged.pooled(pooled, alone)


def test_what_frames_say_together_is_judged_as_an_image_is():
    asked = judge(evidence(), target_precision=0.9, unknown_sensitivity=0, coverage=0.9, track=10)
    once = followed(asked, [0.5, 0])
    assert (once.answer, once.doubt.kind, once.possible) == ("unknown", "imprecise", ("ant", "bee"))
    # 0.9 of 4 and 0.5: the mean of the logits is 2.16, of which 0.896 follows; 0.802 is what the promise takes.
    again = followed(asked, [4, 0], [0.5, 0])
    assert (again.answer, again.doubt, again.probability) == ("ant", None, pytest.approx(0.8964, abs=1e-4))
    found = json.loads(json.dumps(again.to_dict()))["track"]
    assert found["frames"] == 2
    assert (found["held"], found["this_frame"]["answer"], found["this_frame"]["doubt"]) == (
        False,
        "unknown",
        "imprecise",
    )


def test_an_object_is_unlike_anything_learned_by_the_mean_of_its_frames():
    asked = judge(evidence(), track=10)
    like, unlike = ((asked.predictions(outputs([9, 0], stray=stray)))[0].known_score for stray in (1, 12))
    assert unlike < asked.describe()["unknown_below"] < (0.9 * like + unlike) / 1.9
    tracks = Tracks(10)
    for number, stray in enumerate((1, 12)):
        (alone,) = asked.predictions(outputs([9, 0], stray=stray))
        (pooled,) = tracks.follow(Moment("", number, (9, 9)), [Region((0, 0, 9, 9), 1)], [alone], asked.decide)
    found = asked.pooled(pooled, alone)
    assert (alone.doubt.kind, found.doubt, found.answer) == ("unlike", None, "ant")
    assert found.known_score == pytest.approx((0.9 * like + unlike) / 1.9)
    stranger = followed(asked, [9, 0], [9, 0], stray=12)
    assert (stranger.answer, stranger.doubt.kind, stranger.track.frames) == ("unknown", "unlike", 2)


def test_an_answer_that_is_held_stands_first_with_its_own_probability():
    # 0.9 * 0.1 - 0.5 = -0.41 in all, less than ln 3, with a weight of 1.9.
    found = followed(judge(evidence(), track=10, unknown_sensitivity=0, coverage=0.1), [0.1, 0], [0, 0.5])
    assert (found.answer, found.labels, found.held) == ("ant", ("ant", "bee"), True)
    assert found.probabilities == pytest.approx([1 / (1 + np.exp(0.41 / 1.9)), 1 / (1 + np.exp(-0.41 / 1.9))])
    assert found.possible[0] == "ant"
    assert found.to_dict()["track"]["held"] is True


@pytest.mark.parametrize(("calibrated", "logit"), [(True, 2), (False, 4)])
def test_a_track_shows_calibrated_probabilities_unless_they_are_switched_off(calibrated, logit):
    found = followed(judge(calibration=CALIBRATION, calibrated=calibrated, track=10), [4, 0], [4, 0])
    assert found.probability == pytest.approx(1 / (1 + np.exp(-logit)))


def test_a_track_keeps_its_answer_where_it_is_too_small_to_read():
    asked, tracks = judge(track=10), Tracks(10)
    (alone,) = asked.predictions(outputs([4, 0]))
    too_small = Prediction.unreadable("too small")
    for number, each in enumerate((alone, too_small)):
        (pooled,) = tracks.follow(Moment("", number, (9, 9)), [Region((0, 0, 9, 9), 1)], [each], asked.decide)
    found = asked.pooled(pooled, too_small)
    assert (found.answer, found.track.frames, found.track.this_frame.answer) == ("ant", 1, "unknown")


@pytest.mark.parametrize(
    ("threshold", "calibrated", "unknown"),
    [
        (0, True, 10),
        # Of both classes 13 probabilities, from 0.6 to 0.648 in steps of 0.4 / 99; the ten are among them.
        (0.65, True, 26),
        # What the validation images' probabilities were without the temperature is not known.
        (0.65, False, 10),
    ],
)
def test_drift_is_measured_against_the_same_doubts_of_validation(threshold, calibrated, unknown):
    found = judge(
        evidence(), confidence_threshold=threshold, calibrated=calibrated, drift_window=2, unknown_sensitivity=0.05
    )
    for _ in range(2):
        notes = found.watch(found.predictions(outputs([9, 0])))
    drift = json.loads(json.dumps(found.describe()))["drift"]
    assert drift["unknown"]["expected"] == pytest.approx(list(wilson(unknown, 200, 0.99)))
    assert drift["known_score"]["value"] == pytest.approx(np.log(np.exp(9) + 1))
    (note,) = notes
    assert note.startswith("drift: images are more like what was learned than validation's")


def test_without_a_window_nothing_is_watched():
    found = judge(evidence())
    assert found.watch(found.predictions(outputs([9, 0], stray=99))) == []
    assert "drift" not in found.describe()


@pytest.mark.parametrize(("name", "value"), [("target_precision", 0.9), ("coverage", 0.9), ("drift_window", 100)])
def test_nothing_is_promised_without_evidence(name, value):
    with pytest.raises(
        ParameterError,
        match=rf"{name} = {value}: requires trust.safetensors, .*: trained before 2.1; or set {name} to 0",
    ):
        judge(**{name: value})


def test_logits_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="not finite"):
        judge().predictions(outputs([np.nan, 0]))


@pytest.mark.parametrize(
    ("unlike", "like", "too_small", "noted"),
    [(2, 5, 0, True), (2, 6, 0, False), (2, 2, 0, True), (3, 0, 9, False), (0, 40, 0, False), (15, 25, 0, True)],
)
def test_a_note_says_when_more_than_a_quarter_of_a_frames_objects_are_unlike(unlike, like, too_small, noted):
    judged = judge(evidence())
    strange, known = (judged.predictions(outputs([9, 0], stray=stray))[0] for stray in (12, 1))
    frame = [strange] * unlike + [known] * like + [Prediction.unreadable("too small")] * too_small
    assert unlike_objects_note(frame) == (f"{unlike} of {unlike + like} {UNLIKE_OBJECTS}" if noted else "")


def evidence_of_pixels():
    """Statistics of training images about 0, and scores of validation images from -3 to -1."""
    random = np.random.default_rng(0)
    return evidence(
        input_reference=random.normal(0, 1, (100, 13)).astype(np.float32),
        input_score=np.linspace(-3, -1, 200).astype(np.float32),
        input_moments=np.array([np.zeros(13), np.ones(13)], np.float32),
    )


def test_images_that_look_different_are_unknown_and_it_is_said_how():
    asked, dark = judge(evidence_of_pixels()), np.array([-9.0, -9, -9, *[0] * 10], np.float32)
    assert asked.measures_pixels
    like, unlike = asked.predictions(replace(outputs([9, 0], [9, 0]), pixels=np.array([0 * dark, dark])))
    assert like.answer == "ant"
    assert (unlike.answer, unlike.doubt.kind) == ("unknown", "unlike")
    assert unlike.reason == "unlike the training images: darker than 100% of the training images"
    assert asked.describe()["unknown_by"] == ["known_score", "probability", "input_score"]
    assert judge(evidence()).describe()["unknown_by"] == ["known_score"]
    assert not judge(evidence_of_pixels(), unknown_sensitivity=0).measures_pixels


def test_pixels_of_recent_images_are_watched():
    asked, dark = judge(evidence_of_pixels(), drift_window=30), np.full(13, 0, np.float32)
    dark[:3] = -5
    rows = np.random.default_rng(0).normal(0, 1, (30, 13)).astype(np.float32) + dark
    for row in rows:
        notes = asked.watch(asked.predictions(replace(outputs([1, 0]), pixels=row[None])))
    assert any("images are darker than the validation images" in note for note in notes)
