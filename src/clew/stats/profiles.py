"""What a column looked like: exact counts in frozen bins with a few moments, and how far two of them are apart."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clew.errors import DataError, UsageError
from clew.stats.bins import Bins

_NAMED_CHANGES = 3
_LARGEST = 1e150  # of a number that enters the moments: the square of a larger one overflows


@dataclass(frozen=True)
class Profile:
    """Counts of one column in frozen bins, and the moments of its finite numbers.

    Counts merge exactly in any order, moments up to rounding. `count` is the number of all values, missing ones
    included; `finite` of those that the moments are of. Without any, and for categories, the moments are None.
    """

    bins: Bins
    counts: tuple[int, ...]
    finite: int = 0
    mean: float | None = None
    squares: float | None = None  # sum of squared distances from the mean
    minimum: float | None = None
    maximum: float | None = None

    @classmethod
    def of(cls, values: ArrayLike, bins: Bins) -> Self:
        """The profile of the values in the given bins."""
        counts = tuple(bins.count(values).tolist())
        if bins.kind != "numeric":
            return cls(bins, counts)
        array = np.asarray(values, dtype=np.float64).ravel()
        array = array[np.abs(array) < _LARGEST]  # nan compares as false
        if not array.size:
            return cls(bins, counts)
        mean = float(array.mean())
        squares = float(np.square(array - mean).sum())
        return cls(bins, counts, len(array), mean, squares, float(array.min()), float(array.max()))

    @property
    def count(self) -> int:
        """All values, missing ones included."""
        return sum(self.counts)

    @property
    def missing(self) -> int:
        """Missing values."""
        return self.counts[-1]

    @property
    def std(self) -> float | None:
        """Sample standard deviation of the finite numbers; None with fewer than two."""
        return None if self.squares is None or self.finite < 2 else math.sqrt(self.squares / (self.finite - 1))

    def merge(self, other: "Profile") -> "Profile":
        """The profile of both sets of values together; DataError if the bins differ."""
        _check_same(self, other)
        counts = tuple(left + right for left, right in zip(self.counts, other.counts, strict=True))
        full = [profile for profile in (self, other) if profile.finite]
        finite = self.finite + other.finite
        # written so that swapping the two sides gives the same bits
        mean = math.fsum((one.mean or 0.0) * (one.finite / finite) for one in full) if full else None
        squares = minimum = maximum = None
        if mean is not None:
            squares = math.fsum((one.squares or 0.0) + one.finite * ((one.mean or 0.0) - mean) ** 2 for one in full)
            minimum = min(one.minimum for one in full if one.minimum is not None)
            maximum = max(one.maximum for one in full if one.maximum is not None)
        return Profile(self.bins, counts, finite, mean, squares, minimum, maximum)

    def to_dict(self) -> dict[str, Any]:
        """The profile as JSON-able values."""
        return {
            "bins": self.bins.to_dict(),
            "counts": list(self.counts),
            "finite": self.finite,
            "mean": self.mean,
            "squares": self.squares,
            "minimum": self.minimum,
            "maximum": self.maximum,
        }

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Self:
        """The profile that `to_dict` described."""
        rest = {key: state[key] for key in ("finite", "mean", "squares", "minimum", "maximum")}
        return cls(Bins.from_dict(state["bins"]), tuple(int(held) for held in state["counts"]), **rest)


@dataclass(frozen=True)
class Shift:
    """How large a shift is, whether or not it is real; shares are parts of one.

    `psi_noise` is the PSI that two samples of these sizes from one distribution show on average: a `psi` near it says
    nothing. `mean_shift` is in standard deviations of the reference, `std_ratio` live over reference; both are None
    for categories, or where the reference doesn't vary. `changes` names the bins that changed most: (label, share in
    the reference, share now).
    """

    psi: float
    psi_noise: float
    js_distance: float
    mean_shift: float | None
    std_ratio: float | None
    missing_before: float
    missing_now: float
    changes: tuple[tuple[str, float, float], ...]

    def to_dict(self) -> dict[str, Any]:
        """The effect numbers as JSON-able values."""
        return {**asdict(self), "changes": [list(change) for change in self.changes]}


def describe_shift(reference: Profile, live: Profile) -> Shift:
    """The effect numbers of live values against a reference in the same bins; DataError if the bins differ."""
    _check_same(reference, live)
    _pair(reference.counts, live.counts)
    before, now = _shares(reference.counts), _shares(live.counts)
    used = int(np.count_nonzero(np.array(reference.counts) + np.array(live.counts)))
    order = np.argsort(-np.abs(now - before), kind="stable")[:_NAMED_CHANGES]
    labels = reference.bins.labels
    return Shift(
        psi=psi(reference.counts, live.counts),
        psi_noise=max(used - 1, 0) * (1.0 / reference.count + 1.0 / live.count),
        js_distance=js_distance(reference.counts, live.counts),
        mean_shift=mean_shift(reference, live),
        std_ratio=live.std / reference.std if reference.std and live.std is not None else None,
        missing_before=float(before[-1]),
        missing_now=float(now[-1]),
        changes=tuple((labels[at], float(before[at]), float(now[at])) for at in order if before[at] != now[at]),
    )


def mean_shift(reference: Profile, live: Profile) -> float | None:
    """Live mean minus reference mean, in standard deviations of the reference; None where that isn't defined."""
    if not reference.std or reference.mean is None or live.mean is None:
        return None
    return (live.mean - reference.mean) / reference.std


def psi(reference_counts: ArrayLike, counts: ArrayLike) -> float:
    """Population stability index of two rows of counts: Σ(q − p)·ln(q/p), with half a value added to each used bin."""
    before, now = _pair(reference_counts, counts)
    used = (before + now) > 0
    left, right = before[used] + 0.5, now[used] + 0.5
    left, right = left / left.sum(), right / right.sum()
    return float(np.sum((right - left) * np.log(right / left)))


def js_distance(reference_counts: ArrayLike, counts: ArrayLike) -> float:
    """Jensen-Shannon distance of two rows of counts: 0 when the shares are equal, 1 when no bin is in common."""
    left, right = (row / row.sum() for row in _pair(reference_counts, counts))
    middle = (left + right) / 2
    divergence = sum(
        float(np.sum(side[side > 0] * np.log2(side[side > 0] / middle[side > 0]))) / 2 for side in (left, right)
    )
    return math.sqrt(min(max(divergence, 0.0), 1.0))


def freeze_reference(values: ArrayLike, seed: int, *, count: int = 64, share: float = 0.2) -> tuple[Bins, Profile]:
    """Bins from a random `share` of a reference's rows, and the profile of the other rows in them.

    Counting the rows that chose the bins flatters them: the most frequent categories look more frequent than they are,
    and a test of live values against such counts raises false alarms. Apart, reference and live rows are exchangeable
    when nothing has changed. UsageError unless both parts have a row.
    """
    array = np.asarray(values).ravel()
    chosen = np.random.default_rng(seed).permutation(len(array)) < round(share * len(array))
    if not chosen.any() or chosen.all():
        raise UsageError(
            f"A share of {share} of {len(array)} reference rows leaves none for the bins, or none to count.",
            mend="Pass more rows, or a share such as 0.2.",
        )
    bins = Bins.of(array[chosen], count)
    return bins, Profile.of(array[~chosen], bins)


def _check_same(left: Profile, right: Profile) -> None:
    if left.bins != right.bins:
        raise DataError(
            "The two profiles are counted in different bins, so they can't be merged or compared.",
            mend="Count both sides in the bins frozen from the reference.",
        )


def _shares(counts: ArrayLike) -> NDArray[np.float64]:
    row = np.asarray(counts, dtype=np.float64)
    return np.asarray(row / row.sum())


def _pair(reference_counts: ArrayLike, counts: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both rows as floats; DataError if they don't fit each other or one is empty."""
    left, right = np.asarray(reference_counts, dtype=np.float64), np.asarray(counts, dtype=np.float64)
    if left.shape != right.shape or left.ndim != 1 or not (left.sum() > 0 and right.sum() > 0):
        raise DataError(
            f"Counts of shapes {left.shape} and {right.shape} can't be compared, or one of them holds no value.",
            mend="Count both sides in the same bins, and wait for values.",
        )
    return left, right
