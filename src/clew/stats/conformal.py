"""Always-valid test that live values come from the same distribution as a finite reference, from counts in bins."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clew.errors import DataError, UsageError
from clew.stats._checks import SCHEME, check_scheme
from clew.stats._mixture import BLOCK, Floats, Mixture

Ints = NDArray[np.int64]

_SLAB = 512 * BLOCK
_SMALLEST = 2.0**-60  # of a p-value or its complement, before the logarithm
_CELLS = 16  # at most, of a histogram of p-values
_PRIOR_COUNT = 48.0  # pseudo-values, spread as the widths, that histograms start from
_KEEP = (1.0, 1.0 - BLOCK / 1024)  # what a histogram keeps of its counts from one block to the next
_BETAS: Floats = np.array(  # (a, b) of Beta densities of the p-value
    [
        *((1 + d, 1 - d) for d in (-0.75, -0.4, -0.2, -0.08, 0.08, 0.2, 0.4, 0.75)),  # a shift, down or up
        *((c, c) for c in (0.4, 0.75, 1.5, 3.0)),  # a wider or a narrower spread
    ]
)
_NORM: Floats = np.array([math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) for a, b in _BETAS])
_STEPS: Sequence[tuple[float, float]] = ((0.02, 2.5), (0.02, 8.0))  # width of a tail, density in it
_PEAK: tuple[float, float] = (0.03, 0.15)  # part of the stake on the density c·q^(c-1) of the distance q to the end
_TAILS = 2 * (len(_STEPS) + 1)
_CASH = 0.1
_PRIOR: Floats = np.array([*[0.05] * (len(_BETAS) + _TAILS + len(_KEEP)), _CASH])


class ConformalMartingale:
    """Evidence, valid at any time, that live values are not exchangeable with the reference, from bin indices.

    `reference_counts` holds the reference's count in each bin; bins of numbers go up (the missing values last),
    categories stand in any order fixed beforehand. Each live value gets the rank of its bin among the reference and
    the past live values, ties broken at random, as its p-value. If the reference rows and the live ones are
    exchangeable, these are independent and uniform, exactly and for any size of the reference; a mixture of bets
    against uniformity (shift, spread, tails, histograms that learn) is then a martingale, and the chance that
    `max_log_e` ever reaches log(1/α) is at most α.

    The promise needs bins that were chosen without the counted reference rows: `profiles.freeze_reference` sets rows
    apart for that. Source: Vovk, Gammerman & Shafer, Algorithmic Learning in a Random World (2nd ed., 2022), part III.

    `seed` decides the ties; the same seed and values give the same result, however updates are chunked.

    Raises UsageError for negative counts or no bin at all.
    """

    def __init__(self, reference_counts: ArrayLike, seed: int) -> None:
        counts = np.asarray(reference_counts)
        if counts.ndim != 1 or not counts.size or counts.dtype.kind not in "iu" or (counts < 0).any():
            raise UsageError(
                "The reference counts are not a row of whole numbers of at least 0.",
                mend="Pass one count per bin, such as `bins.count(values)`.",
            )
        if seed < 0:
            raise UsageError(f"The seed {seed} is negative.", mend="Derive a seed of at least 0.")
        self._reference: Ints = counts.astype(np.int64)
        self._seed = int(seed)
        self._live = np.zeros_like(self._reference)
        self._edges = _cell_edges(self._reference)
        self._widths = np.diff(self._edges, prepend=0.0, append=1.0)
        self._cells = np.zeros((len(_KEEP), len(self._widths)))  # p-values per histogram, at the block's start
        self._open = np.zeros(len(self._widths))  # and since then
        self._mixture = Mixture(_PRIOR)

    def update(self, bin_indices: ArrayLike) -> None:
        """Take the bins of the next values, in order; DataError (and nothing counted) if one is no bin."""
        indices = np.asarray(bin_indices).ravel()
        if not indices.size:
            return
        if indices.dtype.kind not in "iu" or indices.min() < 0 or indices.max() >= len(self._reference):
            raise DataError(
                f"The bin indices are not whole numbers from 0 to {len(self._reference) - 1}; nothing was counted.",
                mend="Pass `bins.index(values)` of the same bins that counted the reference.",
            )
        indices = indices.astype(np.int64)
        # slabs end where blocks end, so that a histogram's predictions stand still within each of its blocks
        first = 0
        while first < len(indices):
            size = _SLAB - self.count % BLOCK
            self._advance(indices[first : first + size])
            first += size

    def _advance(self, indices: Ints) -> None:
        ties = np.random.Generator(np.random.PCG64(self._seed).advance(self.count)).random(len(indices))
        p_values = _p_values(indices, self._reference + self._live, ties)
        cash = np.zeros((len(indices), 1))
        self._mixture.advance(np.hstack([_shapes(p_values), self._histograms(p_values), cash]))
        self._live += np.bincount(indices, minlength=len(self._live))

    def _histograms(self, p_values: Floats) -> Floats:
        """Log densities, (values, histograms), that the blocks before each value's own predict for it."""
        cells = np.searchsorted(self._edges, p_values, side="right")
        size = len(self._widths)
        block = (self.count % BLOCK + np.arange(len(cells))) // BLOCK
        blocks = int(block[-1]) + 1
        seen = np.bincount(block * size + cells, minlength=blocks * size).reshape(blocks, size).astype(np.float64)
        seen[0] += self._open
        closed = (self.count + len(cells)) % BLOCK == 0
        before = np.empty((blocks, len(_KEEP), size))
        keep = np.array(_KEEP)[:, None]
        for number in range(blocks):
            before[number] = self._cells
            if closed or number < blocks - 1:
                self._cells = self._cells * keep + seen[number]
        self._open = np.zeros(size) if closed else seen[-1]
        before += _PRIOR_COUNT * self._widths
        density = np.log(before / (before.sum(axis=2, keepdims=True) * self._widths))
        return np.asarray(density[block, :, cells])

    @property
    def count(self) -> int:
        """Live values so far."""
        return self._mixture.count

    @property
    def reference_counts(self) -> Ints:
        """The reference's count in each bin (a copy)."""
        return self._reference.copy()

    @property
    def live_counts(self) -> Ints:
        """The live values' count in each bin (a copy)."""
        return self._live.copy()

    @property
    def log_e(self) -> float:
        """Log of the e-value now; 0.0 at the start."""
        return self._mixture.log_e

    @property
    def max_log_e(self) -> float:
        """The highest that `log_e` ever was; alarm at the level α when it reaches log(1/α)."""
        return self._mixture.max_log_e

    def to_dict(self) -> dict[str, Any]:
        """The whole state as JSON-able values."""
        return {
            "scheme": SCHEME,
            "reference": self._reference.tolist(),
            "seed": self._seed,
            "live": self._live.tolist(),
            "cells": self._cells.tolist(),
            "open": self._open.tolist(),
            "mixture": self._mixture.to_dict(),
        }

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Self:
        """The martingale that `to_dict` described; DataError if another scheme of bets wrote it."""
        check_scheme(state, "conformal martingale")
        martingale = cls(np.array(state["reference"], dtype=np.int64), state["seed"])
        martingale._live = np.array(state["live"], dtype=np.int64)
        martingale._cells = np.array(state["cells"], dtype=np.float64)
        martingale._open = np.array(state["open"], dtype=np.float64)
        martingale._mixture = Mixture.from_dict(state["mixture"])
        return martingale


def _cell_edges(counts: Ints) -> Floats:
    """Inner edges of at most _CELLS cells of p-values, each of them whole bins of the reference where these are few."""
    total = int(counts.sum())
    if not total:
        return np.arange(1, _CELLS) / _CELLS
    edges = np.unique(np.cumsum(counts)) / total
    edges = edges[(edges > 0.0) & (edges < 1.0)]
    if len(edges) >= _CELLS:
        targets = np.arange(1, _CELLS) / _CELLS
        edges = edges[np.unique(np.abs(edges[:, None] - targets).argmin(axis=0))]
    return edges


def _shapes(p_values: Floats) -> Floats:
    """Log densities, (values, shapes), of the bets that never change: Beta densities, then both tails."""
    low, high = np.maximum(p_values, _SMALLEST), np.maximum(1.0 - p_values, _SMALLEST)
    betas = np.log(low)[:, None] * (_BETAS[:, 0] - 1.0) + np.log(high)[:, None] * (_BETAS[:, 1] - 1.0) + _NORM
    stake, power = _PEAK
    tails = [
        column
        for end in (low, high)
        for column in (
            *(np.where(end < width, density, (1.0 - width * density) / (1.0 - width)) for width, density in _STEPS),
            (1.0 - stake) + stake * power * end ** (power - 1.0),
        )
    ]
    return np.hstack([betas, np.log(np.column_stack(tails))])


def _p_values(indices: Ints, counts: Ints, ties: Floats) -> Floats:
    """Randomised ranks of each value's bin among `counts` and the values before it, in [0, 1).

    Whole tiles of values share the counts at their start; within a tile each value is compared with those before it.
    """
    size, bins = len(indices), len(counts)
    tiles = -(-size // BLOCK)
    padded = np.full(tiles * BLOCK, bins, dtype=np.int64)  # the padding stands above all bins, after all values
    padded[:size] = indices
    tile = np.repeat(np.arange(tiles), BLOCK)[:size]
    seen = np.bincount(tile * bins + indices, minlength=tiles * bins).reshape(tiles, bins)
    at_start = np.cumsum(np.vstack([counts, seen[:-1]]), axis=0)
    below_start = np.cumsum(at_start, axis=1) - at_start
    rows = padded.reshape(tiles, 1, BLOCK)
    columns = padded.reshape(tiles, BLOCK, 1)
    earlier = np.tri(BLOCK, k=-1, dtype=bool)
    below = ((rows < columns) & earlier).sum(axis=2).ravel()[:size] + below_start[tile, indices]
    equal = ((rows == columns) & earlier).sum(axis=2).ravel()[:size] + at_start[tile, indices]
    total = int(counts.sum()) + 1 + np.arange(size)
    return np.asarray((below + ties * (equal + 1)) / total)
