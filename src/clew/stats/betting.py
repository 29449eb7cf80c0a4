"""One-sided e-processes for the mean of bounded values, by betting against the null."""

import math
from collections.abc import Mapping
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike

from clew.errors import UsageError
from clew.stats._checks import SCHEME, bounded_values, check_bounds, check_scheme
from clew.stats._mixture import Floats, Mixture

Alternative = Literal["greater", "less"]

_SLAB = 8192  # values per pass: the (values, bets) matrix stays in the cache
_MOST = 0.98  # the boldest bet stakes this part of what one value can lose
_LEAST = 0.004  # the most timid bet, as a part of one over the largest sd that the bounds allow
_RATIO = 2.0  # between neighbouring bets: the growth lost between two of them is at most 12%
_LEANING = 0.3  # prior weight grows as λ to this power: bold bets gain most in few values
_CASH = 0.1
_LARGEST_LOG = 700.0  # exp() of more overflows


class BettingTest:
    """Evidence, valid at any time, that the mean of bounded values is beyond `null_mean`.

    The null: every conditional mean, given the past, is on the null's side (at most `null_mean` for "greater", at
    least `null_mean` for "less"). Under it the chance that `max_log_e` ever reaches log(1/α) is at most α, however
    often one looks and whenever one stops; nothing else is assumed: no independence, no shape.

    The wealth is a mixture of the bets 1 + λ(x − m) over a grid of λ, half of it re-shared as it goes (see
    `_mixture`). Source: Waudby-Smith & Ramdas, Estimating means of bounded random variables by betting, JRSS-B 2024.

    Raises UsageError if the bounds are not in order or `null_mean` is not strictly between them.
    """

    def __init__(self, null_mean: float, low: float, high: float, alternative: Alternative) -> None:
        check_bounds(low, high)
        if alternative not in ("greater", "less"):
            raise UsageError(f"The alternative is {alternative!r}.", mend='Choose "greater" or "less".')
        if not low < null_mean < high:
            raise UsageError(
                f"The null mean {null_mean} is not strictly between {low} and {high}, so no bet can be placed.",
                mend="Choose a null mean inside of the bounds, or wider bounds.",
            )
        self.null_mean, self.low, self.high = float(null_mean), float(low), float(high)
        self.alternative: Alternative = alternative
        self._sum = 0.0
        self._bets = self._grid()
        weights = np.abs(self._bets) ** _LEANING
        self._mixture = Mixture(np.append(weights / weights.sum() * (1.0 - _CASH), _CASH))

    def _grid(self) -> Floats:
        """Signed bets λ per unit of x, such that 1 + λ(x − m) stays positive; the last column of wealth is cash."""
        sign = 1.0 if self.alternative == "greater" else -1.0
        worst = self.null_mean - self.low if sign > 0 else self.high - self.null_mean
        spread = math.sqrt((self.null_mean - self.low) * (self.high - self.null_mean))
        most, least = _MOST / worst, _LEAST / spread
        size = max(2, math.ceil(math.log(max(most / least, 1.0)) / math.log(_RATIO)) + 1)
        return sign * np.geomspace(min(least, most), most, size)

    def update(self, values: ArrayLike) -> None:
        """Take the next values, in order; DataError (and nothing counted) if one is outside of [low, high]."""
        array = bounded_values(values, self.low, self.high)
        for first in range(0, len(array), _SLAB):
            slab = array[first : first + _SLAB]
            growth = np.zeros((len(slab), len(self._bets) + 1))
            np.log1p((slab - self.null_mean)[:, None] * self._bets, out=growth[:, :-1])
            self._mixture.advance(growth)
            self._sum = float(np.cumsum(np.concatenate([[self._sum], slab]))[-1])

    @property
    def count(self) -> int:
        """Values so far."""
        return self._mixture.count

    @property
    def mean(self) -> float:
        """Mean of the values so far; nan before the first."""
        return self._sum / self.count if self.count else math.nan

    @property
    def log_e(self) -> float:
        """Log of the e-value now; 0.0 at the start."""
        return self._mixture.log_e

    @property
    def max_log_e(self) -> float:
        """The highest that `log_e` ever was; reject at the level α when it reaches log(1/α)."""
        return self._mixture.max_log_e

    @property
    def e(self) -> float:
        """The e-value now, capped at exp(700) so that it never overflows."""
        return math.exp(min(self.log_e, _LARGEST_LOG))

    def to_dict(self) -> dict[str, Any]:
        """The whole state as JSON-able values."""
        return {
            "scheme": SCHEME,
            "null_mean": self.null_mean,
            "low": self.low,
            "high": self.high,
            "alternative": self.alternative,
            "sum": self._sum,
            "mixture": self._mixture.to_dict(),
        }

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Self:
        """The test that `to_dict` described; DataError if another scheme of bets wrote it."""
        check_scheme(state, "betting test")
        test = cls(state["null_mean"], state["low"], state["high"], state["alternative"])
        test._sum = float(state["sum"])
        test._mixture = Mixture.from_dict(state["mixture"])
        return test
