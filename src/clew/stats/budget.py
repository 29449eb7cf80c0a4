"""One promised error rate, split over the tests that watch together."""

import math
from collections.abc import Mapping

from clew.errors import UsageError
from clew.stats._checks import check_alpha


def split(alpha: float, weights: Mapping[str, float]) -> dict[str, float]:
    """The error rate of each named test, in proportion to its weight; together they are at most alpha.

    By the union bound the promise holds however the tests depend on each other. UsageError if there is no test or a
    weight isn't positive and finite.
    """
    check_alpha(alpha)
    if not weights or not all(math.isfinite(weight) and weight > 0 for weight in weights.values()):
        raise UsageError(
            f"The weights {dict(weights)} don't split an error rate.",
            mend="Name at least one test, each with a weight above 0.",
        )
    total = math.fsum(weights.values())
    return {name: alpha * (weight / total) for name, weight in weights.items()}


def threshold(alpha: float) -> float:
    """The log e-value at which a test of the error rate alpha rejects: log(1/alpha), by Ville's inequality."""
    check_alpha(alpha)
    return -math.log(alpha)


def thresholds(alpha: float, weights: Mapping[str, float]) -> dict[str, float]:
    """The log e-value at which each of the named tests rejects when alpha is split over them."""
    return {name: threshold(part) for name, part in split(alpha, weights).items()}
