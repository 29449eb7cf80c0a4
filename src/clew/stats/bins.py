"""Bins frozen from a reference, in which live values are counted exactly."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clew.errors import DataError, UsageError

Ints = NDArray[np.int64]
Kind = Literal["numeric", "categorical"]

MOST_BINS = 256
_NUMERIC = "biuf"
_TEXT = "OUST"  # object, fixed-width str and bytes, StringDType


@dataclass(frozen=True)
class Bins:
    """Bins of one column, fixed once; they know how to index and count any later values.

    Numeric: `edges` are ascending; bin i holds edges[i-1] ≤ x < edges[i], the outer two are open to ±inf, and one more
    bin, the last, holds the missing values (nan). Categorical: one bin per entry of `categories`, then one for all
    other values, then one for the missing ones (None, nan). Values of other types are compared by their `str()`.
    """

    kind: Kind
    edges: tuple[float, ...] = ()
    categories: tuple[str, ...] = ()

    @classmethod
    def of(cls, values: ArrayLike, count: int = 64) -> Self:
        """Bins that suit the values: numbers and booleans get quantile bins, text and objects categories."""
        kind = np.asarray(values).dtype.kind
        if kind in _NUMERIC:
            return cls.numeric(values, count)
        if kind in _TEXT:
            return cls.categorical(values, count)
        raise DataError(
            f"Values of numpy type {np.asarray(values).dtype} are neither numbers nor text.",
            mend="Convert them first: times to seconds, categories to text.",
        )

    @classmethod
    def numeric(cls, values: ArrayLike, count: int = 64) -> Self:
        """About `count` quantile bins (plus one for missing values) from a float array, nan for missing.

        With at most `count` distinct values, each has a bin. A value that alone fills a bin (as zeros often do) has
        one of its own, and the quantiles are taken of the others. `size` is at most count + 2.
        """
        _check_count(count)
        array = _as_floats(values)
        distinct, held = np.unique(array[np.isfinite(array)], return_counts=True)
        if len(distinct) <= count:
            return cls("numeric", edges=tuple(distinct.tolist()))
        heavy = np.zeros(len(held), dtype=bool)
        heavy[np.argsort(-held, kind="stable")[: count // 3]] = True  # each costs two edges, so not too many
        heavy &= held >= max(2.0, float(held.sum()) / count)
        atoms = distinct[heavy]
        rest = np.repeat(distinct[~heavy], held[~heavy])
        cuts = count - 2 * len(atoms)
        edges = rest[len(rest) * np.arange(1, cuts) // cuts] if cuts > 1 else np.empty(0)
        ends = np.nextafter(atoms, math.inf)
        return cls("numeric", edges=tuple(np.unique(np.concatenate([edges, atoms, ends])).tolist()))

    @classmethod
    def categorical(cls, values: ArrayLike, count: int = 64) -> Self:
        """Bins for the `count` most frequent values of a text or object array, then other, then missing.

        They stand in order of frequency, the rarest last; ties in alphabetical order.
        """
        _check_count(count)
        found = _text_counts(values)
        found.pop(None, None)
        named = {name: held for name, held in found.items() if name is not None}
        order = sorted(named, key=lambda name: (-named[name], name))
        return cls("categorical", categories=tuple(order[:count]))

    @property
    def size(self) -> int:
        """Number of bins, those for other and missing values included."""
        return len(self.edges) + 2 if self.kind == "numeric" else len(self.categories) + 2

    @property
    def labels(self) -> tuple[str, ...]:
        """What each bin holds, for people; as many as `size`."""
        if self.kind == "categorical":
            return (*self.categories, "(other)", "(missing)")
        if not self.edges:
            return ("any", "(missing)")
        ends = [f"{edge:.6g}" for edge in self.edges]
        inner = [
            f"= {low}" if float(np.nextafter(left, math.inf)) == right else f"{low} to {high}"
            for low, high, left, right in zip(ends, ends[1:], self.edges, self.edges[1:], strict=False)
        ]
        return (f"< {ends[0]}", *inner, f"≥ {ends[-1]}", "(missing)")

    def index(self, values: ArrayLike) -> Ints:
        """The bin of each value, from 0 to size − 1."""
        if self.kind == "numeric":
            array = _as_floats(values)
            found = np.searchsorted(np.array(self.edges, dtype=np.float64), array, side="right")
            return np.asarray(np.where(np.isnan(array), self.size - 1, found), dtype=np.int64)
        place = {name: number for number, name in enumerate(self.categories)}
        other, missing = self.size - 2, self.size - 1
        return np.fromiter(
            (missing if name is None else place.get(name, other) for name in _names(values)), dtype=np.int64
        )

    def count(self, values: ArrayLike) -> Ints:
        """How many values each bin holds: a row of `size` whole numbers, which merge by adding."""
        if self.kind == "numeric":
            return np.bincount(self.index(values), minlength=self.size).astype(np.int64)
        counts = np.zeros(self.size, dtype=np.int64)
        place = {name: number for number, name in enumerate(self.categories)}
        for name, held in _text_counts(values).items():
            counts[self.size - 1 if name is None else place.get(name, self.size - 2)] += held
        return counts

    def to_dict(self) -> dict[str, Any]:
        """The bins as JSON-able values."""
        key = "edges" if self.kind == "numeric" else "categories"
        return {"kind": self.kind, key: list(getattr(self, key))}

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Self:
        """The bins that `to_dict` described."""
        return cls(
            state["kind"],
            edges=tuple(float(edge) for edge in state.get("edges", ())),
            categories=tuple(state.get("categories", ())),
        )


def _check_count(count: int) -> None:
    if not 2 <= count <= MOST_BINS:
        raise UsageError(f"{count} bins are not between 2 and {MOST_BINS}.", mend="Choose 64 bins, or 256 for more.")


def _as_floats(values: ArrayLike) -> NDArray[np.float64]:
    """The values as floats, None as nan; DataError for anything else than numbers."""
    try:
        return np.asarray(values, dtype=np.float64).ravel()
    except (TypeError, ValueError) as error:
        raise DataError(
            f"The values of a numeric column can't be read as numbers: {error}.",
            mend="Convert the column, or bin it as text with `Bins.categorical`.",
        ) from error


def _names(values: ArrayLike) -> Sequence[str | None]:
    """The values as text, None for the missing ones."""
    return [_name(value) for value in np.asarray(values).ravel().tolist()]


def _text_counts(values: ArrayLike) -> Counter[str | None]:
    """How often each text occurs, None for the missing ones."""
    return Counter(_names(values))


def _name(value: Any) -> str | None:
    if type(value) is str:
        return value
    return None if value is None or (isinstance(value, float) and math.isnan(value)) else str(value)
