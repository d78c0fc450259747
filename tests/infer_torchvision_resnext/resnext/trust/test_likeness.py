import numpy as np
import pytest

from infer_torchvision_resnext.resnext.trust.likeness import Likeness, ScoreScale


def scores(count, seed):
    random = np.random.default_rng(seed)
    return {
        "heavy": random.standard_t(3, count),
        "bounded": random.beta(8, 1, count),
        "normal": random.normal(0, 1, count),
    }


def test_at_most_twice_the_wanted_share_of_known_images_is_rejected_on_average():
    for count, share in ((100, 0.01), (360, 0.01), (300, 0.05)):
        rejected = []
        for seed in range(60):
            likeness = Likeness.of(scores(count, seed))
            rejected.append((likeness.p_values(scores(4000, 1000 + seed))[0] < likeness.threshold(share)).mean())
        assert np.mean(rejected) <= 2 * share


def test_what_is_far_by_any_score_is_rejected_and_the_score_named():
    likeness = Likeness.of(scores(200, 0))
    far = {"heavy": np.array([0.0, 0]), "bounded": np.array([0.9, 0.9]), "normal": np.array([0.0, -30])}
    p_values, names = likeness.p_values(far)
    assert (p_values < likeness.threshold(0.01)).tolist() == [False, True]
    assert names[1] == "normal"


def test_p_values_ascend_with_the_score_and_go_on_below_all_of_validation():
    scale = ScoreScale.of(np.linspace(0, 1, 101))
    p_values = scale.p_values(np.linspace(-1, 1, 400))
    assert (np.diff(p_values) >= 0).all()
    assert scale.p_values(np.array([-0.5]))[0] < scale.p_values(np.array([-0.2]))[0] < 0.01
    assert scale.p_values(np.array([0.5]))[0] == 51 / 101
    assert ScoreScale.of(np.ones(3)).p_values(np.array([1.0, 0.0])).tolist() == pytest.approx([1.0, 0.0])
