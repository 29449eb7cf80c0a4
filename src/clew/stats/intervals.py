"""Intervals for a sample of fixed size: right when looked at once, not when watched."""

import math
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from clew.errors import DataError, UsageError
from clew.stats._checks import check_alpha

_RESAMPLES = 2000
_MOST_UNITS = 10_000  # resampled one by one; more pairs are joined in runs of neighbours first
_DRAWS = 2_000_000  # at a time, so that memory stays bounded


class Interval(NamedTuple):
    """An estimate with the lower and upper end of its interval."""

    estimate: float
    low: float
    high: float


def paired_difference(a: ArrayLike, b: ArrayLike, alpha: float, seed: int) -> Interval:
    """Mean of b − a over pairs, with a bootstrap-t interval of level 1 − alpha (Efron & Tibshirani 1993, ch. 12).

    The pairs are resampled 2,000 times from the seed; above 10,000 pairs, runs of neighbouring pairs are. DataError
    unless both sides hold the same number of finite values, at least two. Differences that are all equal give an
    interval of no width.
    """
    check_alpha(alpha)
    left, right = np.asarray(a, dtype=np.float64).ravel(), np.asarray(b, dtype=np.float64).ravel()
    if left.shape != right.shape or len(left) < 2 or not (np.isfinite(left).all() and np.isfinite(right).all()):
        raise DataError(
            f"{len(left)} and {len(right)} values make no pairs of finite numbers (two pairs are the least).",
            mend="Pass the two values of each pair at the same place, without missing ones.",
        )
    difference = right - left
    estimate = float(difference.mean())
    if len(difference) > _MOST_UNITS:
        # all runs but a few have the same length, so their means count alike
        units = len(difference) // -(-len(difference) // _MOST_UNITS)
        starts = len(difference) * np.arange(units) // units
        difference = np.add.reduceat(difference, starts) / np.diff(starts, append=len(difference))
    centred = difference - difference.mean()
    size = len(centred)
    error = float(centred.std(ddof=1)) / math.sqrt(size)
    if error <= 1e-12 * max(abs(estimate), float(np.abs(difference).max())):
        return Interval(estimate, estimate, estimate)
    ratios = np.concatenate(_studentised(centred, np.random.default_rng(seed)))
    low, high = np.quantile(ratios, [alpha / 2, 1.0 - alpha / 2])
    return Interval(estimate, estimate - float(high) * error, estimate - float(low) * error)


def _studentised(centred: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    """Resampled means over their own standard errors.

    These are held above a third of the sample's: where few differences aren't zero, some resamples miss them all.
    """
    size = len(centred)
    least = float(centred.std(ddof=1)) / math.sqrt(size) / 3.0
    rows = max(1, _DRAWS // size)
    ratios = []
    for first in range(0, _RESAMPLES, rows):
        drawn = centred[rng.integers(size, size=(min(rows, _RESAMPLES - first), size))]
        means, errors = drawn.mean(axis=1), drawn.std(axis=1, ddof=1) / math.sqrt(size)
        ratios.append(means / np.maximum(errors, least))
    return ratios


def wilson(successes: int, count: int, alpha: float) -> tuple[float, float]:
    """Lower and upper end of Wilson's score interval for a share (JASA 1927); (0, 1) without any trial."""
    check_alpha(alpha)
    if not 0 <= successes <= count:
        raise UsageError(f"{successes} successes in {count} trials can't be.", mend="Pass successes, then trials.")
    if not count:
        return 0.0, 1.0
    z = NormalDist().inv_cdf(1.0 - alpha / 2)
    share, extra = successes / count, z * z / count
    middle = (share + extra / 2) / (1.0 + extra)
    half = z * math.sqrt(share * (1.0 - share) / count + extra / (4 * count)) / (1.0 + extra)
    low = 0.0 if successes == 0 else max(0.0, middle - half)
    return low, 1.0 if successes == count else min(1.0, middle + half)
