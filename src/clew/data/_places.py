"""Which rows of their fragments ropes run through, as sets of places: unions, differences, membership.

A place is the number of a row among all rows of some fragments laid end to end, with a gap between two of them, so
that no stretch runs over an edge. Everything takes time by the number of extents, not of rows.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from clew.data.rope import Fragment, Ints, Rope

Stretches = tuple[Ints, Ints]
"""Where stretches of places begin, and where they end (the first place after each); in order, and apart."""


class Places:
    """The places of all fragments that some ropes run through."""

    def __init__(self, ropes: Sequence[Rope]) -> None:
        self._fragments = tuple(dict.fromkeys(one for rope in ropes for one in rope.fragments))
        sizes = np.array([one.rows + 1 for one in self._fragments], dtype=np.int64)
        self._begins = np.cumsum(sizes) - sizes
        self._index: dict[Fragment, int] = {one: at for at, one in enumerate(self._fragments)}

    def of(self, rope: Rope) -> Stretches:
        """The places that a rope runs through."""
        return difference(self._raw(rope), _nothing())

    def only_in(self, one: Rope, other: Rope) -> Stretches:
        """The places that one rope runs through, and the other doesn't."""
        return difference(self._raw(one), self._raw(other))

    def rope(self, stretches: Stretches) -> Rope:
        """A rope through these places, in their order."""
        begins, ends = stretches
        fragment = np.searchsorted(self._begins, begins, side="right") - 1
        used, index = np.unique(fragment, return_inverse=True)
        return Rope(
            tuple(self._fragments[at] for at in used.tolist()),
            index.astype(np.int64),
            begins - self._begins[fragment],
            ends - begins,
        )

    def _raw(self, rope: Rope) -> Stretches:
        if not rope.extents:
            return _nothing()
        begins = self._begins[np.array([self._index[one] for one in rope.fragments])][rope.fragment] + rope.start
        return begins, begins + rope.rows


def difference(one: Stretches, other: Stretches) -> Stretches:
    """The places of `one` without those of `other`; either may be in any order, and overlap."""
    at = np.concatenate([*one, *other])
    steps = np.zeros((2, len(at)), dtype=np.int64)
    first, second = len(one[0]), len(other[0])
    steps[0, :first], steps[0, first : 2 * first] = 1, -1
    steps[1, 2 * first : 2 * first + second], steps[1, 2 * first + second :] = 1, -1
    order = np.argsort(at, kind="stable")
    at = at[order]
    mine, theirs = np.cumsum(steps[:, order], axis=1)
    inside = np.flatnonzero((mine[:-1] > 0) & (theirs[:-1] == 0) & (at[1:] > at[:-1]))
    begins, ends = at[inside], at[inside + 1]
    if not len(begins):
        return _nothing()
    apart = np.flatnonzero(begins[1:] != ends[:-1])
    return begins[np.append(0, apart + 1)], ends[np.append(apart, len(ends) - 1)]


def expanded(stretches: Stretches) -> Ints:
    """Every place of some stretches, in order."""
    begins, ends = stretches
    counts = ends - begins
    places: Ints = np.arange(int(counts.sum()), dtype=np.int64)
    places += np.repeat(begins - (np.cumsum(counts) - counts), counts)
    return places


def contains(stretches: Stretches, places: Ints) -> npt.NDArray[np.bool_]:
    """For each place whether it lies in one of the stretches."""
    begins, ends = stretches
    if not len(begins):
        return np.zeros(len(places), dtype=bool)
    at = np.searchsorted(begins, places, side="right") - 1
    inside: npt.NDArray[np.bool_] = (at >= 0) & (places < ends[np.maximum(at, 0)])
    return inside


def _nothing() -> Stretches:
    return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
