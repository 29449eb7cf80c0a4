"""Refusals that the sequential tests share: parameters that make no sense, values that break a promise."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clew.errors import DataError, UsageError

SCHEME = 1
"""Version of the saved states; a change of bets, grids or their order must raise it."""


def check_bounds(low: float, high: float) -> None:
    """Refuse bounds that are not finite or not in order (UsageError)."""
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise UsageError(
            f"The bounds low = {low} and high = {high} are not two finite numbers in order.",
            mend="Give the smallest and the largest value that can occur, low < high.",
        )


def check_alpha(alpha: float) -> None:
    """Refuse an error rate outside (0, 1) (UsageError)."""
    if not 0.0 < alpha < 1.0:
        raise UsageError(
            f"The error rate alpha = {alpha} is not between 0 and 1.", mend="Choose alpha such as 0.05 or 0.01."
        )


def bounded_values(values: ArrayLike, low: float, high: float) -> NDArray[np.float64]:
    """The values as a flat float array, each within [low, high]; DataError otherwise."""
    array = np.asarray(values, dtype=np.float64).ravel()
    inside = (array >= low) & (array <= high)
    if not inside.all():
        where = int(np.argmin(inside))
        raise DataError(
            f"Value {where} is {array[where]}, outside of the promised bounds [{low}, {high}]; nothing was counted.",
            mend="Clip the values to the bounds (and drop missing ones) before updating, or widen the bounds.",
        )
    return array


def check_scheme(state: Mapping[str, Any], what: str) -> None:
    """Refuse a saved state that another scheme of bets has written (DataError)."""
    if state.get("scheme") != SCHEME:
        raise DataError(
            f"The saved {what} has scheme {state.get('scheme')!r}; this version of clew reads scheme {SCHEME}.",
            mend="Start the test anew on the journalled values: its state is a function of them.",
        )
