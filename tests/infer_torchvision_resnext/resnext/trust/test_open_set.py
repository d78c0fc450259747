import numpy as np
import pytest
import torch
from pytorch_ood.detector import ViM

from infer_torchvision_resnext.resnext.trust.open_set import KnownFeatures, threshold


def test_scores_are_pytorch_oods():
    torch.manual_seed(0)
    head = torch.nn.Linear(16, 5)
    features = torch.randn(400, 4) @ torch.randn(4, 16) + 0.2 * torch.randn(400, 16) + 1
    weight, bias = head.weight.detach(), head.bias.detach()
    oracle = ViM(torch.nn.Identity(), d=4, w=weight, b=bias).fit_features(features, torch.zeros(400))
    # It measures from the place of equal logits, ours from the mean: the same subspace is given to both.
    center = -(torch.linalg.pinv(weight) @ bias)
    axes = torch.linalg.eigh((features - center).T @ (features - center)).eigenvectors[:, -4:].T
    logits = (features @ weight.T + bias).numpy()
    offsets = (features - center).numpy()
    left = np.linalg.norm(offsets - offsets @ axes.numpy().T @ axes.numpy(), axis=1)
    known = KnownFeatures(center.numpy(), axes.numpy(), logits.max(axis=1).mean() / left.mean())
    unknown = torch.randn(30, 16) * 3
    found = known.scores((unknown @ weight.T + bias).numpy(), unknown.numpy())
    assert found == pytest.approx(-oracle.predict_features(unknown).numpy(), rel=1e-3)


def test_what_is_learned_from_training_images_worked_out_by_hand():
    # Wide along the first axis, narrow along the second, and one logit of 6 each.
    features = np.array([[-10, 0.1], [10, 0.1], [-10, -0.1], [10, -0.1]], np.float32)
    known = KnownFeatures.of(np.full((4, 1), 6.0), features)
    assert known.mean == pytest.approx([0, 0])
    assert abs(known.axes) == pytest.approx(np.array([[1, 0]]))
    assert known.scale == pytest.approx(6 / 0.1)
    # Of one logit the energy is the logit; 3 is how far the second image is off the first axis.
    assert known.scores(np.array([[6.0], [6.0]]), np.array([[99.0, 0], [0, 3]])) == pytest.approx([6, 6 - 180])


def test_unknown_images_score_less_than_what_was_learned():
    random = np.random.default_rng(0)
    spread = random.normal(0, 1, (3, 20))
    of = lambda count: random.normal(0, 1, (count, 3)) @ spread + random.normal(0, 0.1, (count, 20))  # noqa: E731
    weight = random.normal(0, 1, (20, 4))
    training, known, unknown = of(300), of(100), random.normal(0, 1.5, (100, 20))
    found = KnownFeatures.of(training @ weight, training)
    scores = [found.scores(each @ weight, each) for each in (known, unknown)]
    assert (scores[1] < threshold(scores[0], 0.99)).mean() > 0.95


def test_features_that_are_all_alike_give_a_score():
    known = KnownFeatures.of(np.ones((3, 2)), np.ones((3, 4), np.float32))
    assert np.isfinite(known.scores(np.ones((1, 2)), np.zeros((1, 4)))).all()


@pytest.mark.parametrize(("share", "passing"), [(1, 100), (0.99, 99), (0.95, 95), (0.5, 50), (0.0001, 1)])
def test_the_threshold_lets_the_share_pass_and_not_one_more(share, passing):
    known = np.random.default_rng(0).permutation(100).astype(float)
    assert (known >= threshold(known, share)).sum() == passing


def test_of_few_images_all_pass():
    assert threshold(np.array([3.0, 2.0, 5.0]), 0.99) == 2


def test_equal_scores_pass_together():
    assert threshold(np.array([1.0, 1, 1, 2]), 0.75) == 1


@pytest.mark.parametrize(("known", "share"), [([], 0.9), ([1.0], 0), ([1.0], 1.1)])
def test_a_threshold_needs_images_and_a_share(known, share):
    with pytest.raises(ValueError, match="expected at least one, and a share"):
        threshold(np.array(known), share)
