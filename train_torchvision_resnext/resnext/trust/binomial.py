"""Exact tails of the binomial distribution, the regularized incomplete beta function, in numpy alone."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

PRECISE = 1e-10
STEPS = 10_000
"""Far more than are needed: about the square root of the count."""


def upper_tail(successes: ArrayLike, counts: ArrayLike, chance: ArrayLike) -> Floats:
    """Probability of at least so many successes, elementwise.

    Args:
        successes: whole numbers from 0 to `counts`.
        counts: number of trials, whole numbers.
        chance: of one success, in (0, 1). All three have shapes that fit each other.
    """
    hits, trials, p = np.broadcast_arrays(*(np.asarray(each, np.float64) for each in (successes, counts, chance)))
    tail = np.ones(hits.shape)
    some = hits > 0
    tail[some] = _incomplete_beta(hits[some], trials[some] - hits[some] + 1, p[some])
    return tail


def lower_tail(successes: ArrayLike, counts: ArrayLike, chance: ArrayLike) -> Floats:
    """Probability of at most so many successes, elementwise; see `upper_tail`."""
    return upper_tail(np.asarray(counts) - successes, counts, 1 - np.asarray(chance))


def chernoff(successes: ArrayLike, counts: ArrayLike, chance: ArrayLike) -> Floats:
    """Upper bound of `upper_tail`, elementwise, quick; 1 where there are no more successes than expected.

    Chernoff, "A measure of asymptotic efficiency", 1952. `counts` are at least 1.
    """
    hits, trials, p = np.broadcast_arrays(*(np.asarray(each, np.float64) for each in (successes, counts, chance)))
    misses, share = trials - hits, hits / trials
    with np.errstate(divide="ignore", invalid="ignore"):
        rest = np.where(misses > 0, misses * np.log((1 - share) / (1 - p)), 0)
        bound = np.exp(-(hits * np.log(share / p) + rest))
    return np.where(share > p, bound, 1)


def _incomplete_beta(a: Floats, b: Floats, x: Floats) -> Floats:
    """Regularized; a, b whole numbers above 0. By the continued fraction on the side where it converges."""
    if not a.size:
        return np.empty(0)
    # Of each number the logarithm of the factorial of the one before.
    log_gamma = np.append(0, np.cumsum(np.log(np.maximum(np.arange(int((a + b).max())), 1))))
    of_sum, of_a, of_b = (log_gamma[each.astype(np.int64)] for each in (a + b, a, b))
    left = x < (a + 1) / (a + b + 2)
    first, second = np.where(left, a, b), np.where(left, b, a)
    at = np.where(left, x, 1 - x)
    factor = np.exp(of_sum - of_a - of_b + a * np.log(x) + b * np.log1p(-x) - np.log(first))
    part = factor / _fraction(first, second, at)
    return np.asarray(np.clip(np.where(left, part, 1 - part), 0, 1))


def _fraction(a: Floats, b: Floats, x: Floats) -> Floats:
    """The continued fraction 1 + d1/(1 + d2/(1 + ...)) of the incomplete beta function, by Lentz's method."""
    tiny = 1e-300
    value, c, d = np.ones_like(a), np.ones_like(a), np.zeros_like(a)
    for step in range(1, STEPS):
        half = step // 2
        if step % 2:
            term = -(a + half) * (a + b + half) * x / ((a + 2 * half) * (a + 2 * half + 1))
        else:
            term = half * (b - half) * x / ((a + 2 * half - 1) * (a + 2 * half))
        d = 1 + term * d
        d = 1 / np.where(np.abs(d) < tiny, tiny, d)
        c = 1 + term / c
        c = np.where(np.abs(c) < tiny, tiny, c)
        value = value * c * d
        if np.all(np.abs(c * d - 1) < PRECISE):
            break
    return value
