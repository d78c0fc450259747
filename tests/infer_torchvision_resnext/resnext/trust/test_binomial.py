import numpy as np
import pytest
from scipy.stats import binom

from infer_torchvision_resnext.resnext.trust.binomial import chernoff, lower_tail, upper_tail


@pytest.mark.parametrize("chance", [0.001, 0.05, 0.5, 0.9, 0.99, 0.9999])
def test_tails_are_scipys(chance):
    random = np.random.default_rng(0)
    counts = random.integers(1, 4000, 500)
    for hits in (random.integers(0, counts + 1), np.rint(counts * chance).astype(int), counts, 0 * counts):
        assert np.allclose(upper_tail(hits, counts, chance), binom.sf(hits - 1, counts, chance), rtol=0, atol=1e-8)
        assert np.allclose(lower_tail(hits, counts, chance), binom.cdf(hits, counts, chance), rtol=0, atol=1e-8)
        assert (chernoff(hits, counts, chance) >= binom.sf(hits - 1, counts, chance) - 1e-8).all()


def test_of_no_trials_nothing_is_unlikely():
    assert upper_tail(0, 0, 0.9) == lower_tail(0, 0, 0.9) == 1
