"""Confidence sequences: intervals for a running mean that hold at all times at once, even when the mean drifts."""

import math
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from clew.stats._checks import SCHEME, bounded_values, check_alpha, check_bounds, check_scheme
from clew.stats._mixture import Floats

_SLAB = 8192
_BETS: Floats = np.geomspace(0.004, 8.0, 11)  # per range; neighbours differ by a factor of 2.1
_LOG_WEIGHT = -math.log(len(_BETS))
_STAKE = 0.95  # a bet may lose at most this part of its wealth on one value
_CENTRES: Floats = _STAKE / _BETS  # the highest centre, in ranges above the lower end, that each bet allows


class ConfidenceSequence:
    """Two-sided interval for the running mean of bounded values, valid at all times at once.

    The estimand after t values is the unweighted mean of the t conditional means, (1/t)·Σ E[x_i | past]: it may drift,
    and for independent values with one mean it is that mean. With probability at least 1 − alpha, `interval()` holds
    it at every t. As the estimand moves, intervals of different times must not be intersected.

    For a centre c_i known before x_i, exp(λ(c_i − μ_i))·(1 + λ(x_i − c_i)) has a conditional mean of at most one,
    since 1 + y ≤ exp(y). The product over i contains the conditional means only through their sum; mixed over a grid
    of λ it is inverted for that sum by Ville's inequality, at alpha/2 a side. This is the empirical-Bernstein
    argument (Howard, Ramdas, McAuliffe & Sekhon, Ann. Statist. 2021, theorem 4) before its last inequality, so never
    wider for the same λ. The centre is the mean of the past (with one value at the middle), lowered where a bet needs
    it.

    Raises UsageError if the bounds are not in order or alpha is not in (0, 1).
    """

    def __init__(self, low: float, high: float, alpha: float) -> None:
        check_bounds(low, high)
        check_alpha(alpha)
        self.low, self.high, self.alpha = float(low), float(high), float(alpha)
        self.count = 0
        self._sum = 0.0  # of the values in units of the range, from the lower end
        self._lower = np.zeros(len(_BETS))  # log wealth per bet, short of −λ·Σμ_i
        self._upper = np.zeros(len(_BETS))  # the same for the mirrored values 1 − x

    def update(self, values: ArrayLike) -> None:
        """Take the next values, in order; DataError (and nothing counted) if one is outside of [low, high]."""
        array = (bounded_values(values, self.low, self.high) - self.low) / (self.high - self.low)
        for first in range(0, len(array), _SLAB):
            slab = array[first : first + _SLAB]
            sums = np.cumsum(np.concatenate([[self._sum], slab]))
            centres = (0.5 + sums[:-1]) / np.arange(self.count + 1, self.count + 1 + len(slab))
            self._lower = _advance(self._lower, slab, centres)
            self._upper = _advance(self._upper, 1.0 - slab, 1.0 - centres)
            self._sum = float(sums[-1])
            self.count += len(slab)

    @property
    def mean(self) -> float:
        """Mean of the values so far; nan before the first."""
        return self.low + (self.high - self.low) * self._sum / self.count if self.count else math.nan

    def interval(self) -> tuple[float, float]:
        """Lower and upper end for the running mean of the conditional means; [low, high] before the first value."""
        if not self.count:
            return self.low, self.high
        threshold = math.log(2.0 / self.alpha)
        lower = _lower_bound(self._lower, threshold) / self.count
        upper = 1.0 - _lower_bound(self._upper, threshold) / self.count
        span = self.high - self.low
        return max(self.low, self.low + span * lower), min(self.high, self.low + span * upper)

    def to_dict(self) -> dict[str, Any]:
        """The whole state as JSON-able values."""
        return {
            "scheme": SCHEME,
            "low": self.low,
            "high": self.high,
            "alpha": self.alpha,
            "count": self.count,
            "sum": self._sum,
            "lower": self._lower.tolist(),
            "upper": self._upper.tolist(),
        }

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Self:
        """The sequence that `to_dict` described; DataError if another scheme of bets wrote it."""
        check_scheme(state, "confidence sequence")
        sequence = cls(state["low"], state["high"], state["alpha"])
        sequence.count = int(state["count"])
        sequence._sum = float(state["sum"])
        sequence._lower = np.array(state["lower"], dtype=np.float64)
        sequence._upper = np.array(state["upper"], dtype=np.float64)
        return sequence


def _advance(wealth: Floats, values: Floats, centres: Floats) -> Floats:
    """Add log(1 + λ(x − c)) + λc for every bet, in order (a plain sum would depend on how updates are chunked)."""
    growth = np.empty((len(values) + 1, len(_BETS)))
    growth[0] = wealth
    centre = np.minimum(centres[:, None], _CENTRES)
    np.log1p((values[:, None] - centre) * _BETS, out=growth[1:])
    growth[1:] += centre * _BETS
    return np.asarray(np.cumsum(growth, axis=0, out=growth)[-1].copy())


def _lower_bound(wealth: Floats, threshold: float) -> float:
    """The sum of means at which the mixed wealth is exactly at the threshold: any smaller sum is refuted.

    The log of the wealth is convex and falling in the sum, so Newton's steps from the left never pass the root.
    """
    terms = wealth + (_LOG_WEIGHT - threshold)
    total = float((terms / _BETS).max())
    for _ in range(100):
        exponents = terms - _BETS * total
        top = float(exponents.max())
        parts = np.exp(exponents - top)
        value = top + math.log(float(parts.sum()))
        step = value * float(parts.sum()) / float((parts * _BETS).sum())
        total += step
        if step <= 1e-12 * max(1.0, abs(total)):
            break
    return total
