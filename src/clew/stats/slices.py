"""Which groups of rows fare worse than the others by more than chance."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from clew.errors import DataError
from clew.stats._checks import check_alpha

_DRAWS = 2_000_000  # at a time, so that memory stays bounded


def excess_p(losses: ArrayLike, member: ArrayLike, seed: int, resamples: int = 10_000) -> float:
    """The p-value of "the mean loss of these rows is no larger than that of rows picked at random".

    A permutation test (Fisher 1935): as many rows are drawn without replacement, `resamples` times; exact for any
    number of rows and any shape of the losses. From 400 member rows on, the drawn means are taken as normal (with the
    variance of drawing without replacement), which costs nothing more for more rows.

    Args:
        losses: n finite losses, larger is worse.
        member: n truth values: which rows belong to the group.
        seed: of the draws.
        resamples: how many; the smallest p-value is 1 / (resamples + 1).

    Raises DataError when the two don't fit. A group of none or of all has p = 1.
    """
    from statistics import NormalDist

    values, inside = np.asarray(losses, dtype=np.float64).ravel(), np.asarray(member, dtype=bool).ravel()
    if values.shape != inside.shape or not np.isfinite(values).all():
        raise DataError(
            f"{len(values)} losses and {len(inside)} marks make no group of finite losses.",
            mend="Pass a finite loss and a truth value for each row.",
        )
    size, count = len(values), int(inside.sum())
    if count in (0, size):
        return 1.0
    found = float(values[inside].mean())
    spread = float(values.std())
    if spread == 0.0:
        return 1.0
    if count >= 400 and size - count >= 400:
        error = spread * np.sqrt((size - count) / (count * (size - 1)))
        return 1.0 - NormalDist().cdf((found - float(values.mean())) / float(error))
    rng = np.random.default_rng(seed)
    smaller = min(count, size - count)  # the mean of the others says the same, and is drawn faster
    total = float(values.sum())
    at_least = 0
    rows = max(1, _DRAWS // size)
    for first in range(0, resamples, rows):
        keys = rng.random((min(rows, resamples - first), size))
        drawn = values[np.argpartition(keys, smaller - 1, axis=1)[:, :smaller]].sum(axis=1)
        means = drawn / count if smaller == count else (total - drawn) / count
        at_least += int((means >= found - 1e-12 * abs(found)).sum())
    return (at_least + 1) / (resamples + 1)


def holm(p_values: Sequence[float], alpha: float) -> list[bool]:
    """Which hypotheses are rejected so that any is wrongly so with probability alpha at most (Holm 1979)."""
    check_alpha(alpha)
    rejected = [False] * len(p_values)
    for rank, at in enumerate(sorted(range(len(p_values)), key=lambda at: p_values[at])):
        if p_values[at] > alpha / (len(p_values) - rank):
            break
        rejected[at] = True
    return rejected
