"""What the columns of a snapshot look like: exact counts in bins that stay the same from version to version.

So the distributions of any two versions can be held against each other without reading either, and a new version is
counted by its changed rows alone.
"""

from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl

from clew.errors import IntegrityError
from clew.stats import Bins

BINS: Final = 20
_SAMPLE_ROWS: Final = 100_000
_LARGEST: Final = 1e150  # of a number that enters the mean: sums of larger ones overflow


class ColumnProfile(msgspec.Struct, omit_defaults=True):
    """Counts of one column: by bin, the missing ones last; and the sum of its finite numbers below 1e150."""

    kind: str
    unit: str = ""  # of moments: "d", "ms", "us" or "ns" since 1970
    edges: list[float] = []
    categories: list[str] = []
    counts: list[int] = []
    finite: int = 0
    total: float = 0.0

    @property
    def bins(self) -> Bins:
        """The bins that were counted in."""
        return Bins("numeric" if self.kind == "numeric" else "categorical", tuple(self.edges), tuple(self.categories))

    @property
    def mean(self) -> float | None:
        """The mean of the finite numbers."""
        return self.total / self.finite if self.kind == "numeric" and self.finite else None

    def plus(self, other: "ColumnProfile", sign: int = 1) -> "ColumnProfile":
        """The counts of both together, or, with −1, without the other's."""
        return msgspec.structs.replace(
            self,
            counts=[a + sign * b for a, b in zip(self.counts, other.counts, strict=True)],
            finite=self.finite + sign * other.finite,
            total=self.total + sign * other.total,
        )


class Profile(msgspec.Struct):
    """The columns of a snapshot, counted; nested columns and bytes are counted as there or missing."""

    rows: int
    columns: dict[str, ColumnProfile]

    def plus(self, other: "Profile", sign: int = 1) -> "Profile":
        """The counts of both together, or, with −1, without the other's; of the columns that both have."""
        columns = {
            name: one.plus(other.columns[name], sign) for name, one in self.columns.items() if name in other.columns
        }
        return Profile(self.rows + sign * other.rows, columns)


def encode(profile: Profile) -> bytes:
    """The profile as the bytes of an object."""
    return msgspec.json.encode(profile)


def decode(body: bytes) -> Profile:
    """The profile back. Raises IntegrityError."""
    try:
        return msgspec.json.decode(body, type=Profile)
    except msgspec.DecodeError as error:
        raise IntegrityError(f"a profile can't be read: {error}", mend="clew data verify") from error


def frozen(sample: pl.DataFrame, before: Profile | None = None) -> Profile:
    """An empty profile: with the bins of the one before where a column's kind is the same, else by the sample."""
    every = max(1, sample.height // _SAMPLE_ROWS)
    columns = {}
    for series in sample.iter_columns():
        kind = _kind(series.dtype)
        known = before.columns.get(series.name) if before is not None else None
        if known is not None and known.kind == kind and known.bins.size == len(known.counts):
            counts = [0] * len(known.counts)
            columns[series.name] = ColumnProfile(kind, known.unit, known.edges, known.categories, counts)
            continue
        thinned = series.gather_every(every)
        bins = Bins("categorical")
        if kind == "numeric":
            bins = Bins.numeric(_numbers(thinned), BINS)
        elif kind == "text":
            texts = thinned.cast(pl.String).drop_nulls()
            found = texts.alias("text").value_counts(sort=True, name="n").sort("n", "text", descending=[True, False])
            bins = Bins("categorical", categories=tuple(found["text"][:BINS]))
        unit = "d" if series.dtype == pl.Date else getattr(series.dtype, "time_unit", "")
        unit = "" if isinstance(series.dtype, pl.Duration) else unit
        columns[series.name] = ColumnProfile(kind, unit, list(bins.edges), list(bins.categories), [0] * bins.size)
    return Profile(0, columns)


def counted(empty: Profile, frames: Iterable[pl.DataFrame]) -> Profile:
    """The rows of frames, counted in the bins of an empty profile; its columns alone."""
    rows = 0
    columns = dict(empty.columns)
    for frame in frames:
        rows += frame.height
        for name, one in columns.items():
            columns[name] = one.plus(_count(frame[name], one))
    return Profile(rows, columns)


def _count(series: pl.Series, one: ColumnProfile) -> ColumnProfile:
    counts = np.zeros(len(one.counts), dtype=np.int64)
    counts[-1] = series.null_count()
    if one.kind == "numeric":
        values = _numbers(series)
        values = values[~np.isnan(values)]
        counts[:-1] = np.bincount(np.searchsorted(np.array(one.edges), values, side="right"), minlength=len(counts) - 1)
        counts[-1] = len(series) - len(values)
        finite = values[np.abs(values) < _LARGEST]
        return ColumnProfile("numeric", counts=counts.tolist(), finite=len(finite), total=float(finite.sum()))
    if one.kind == "text":
        places = {name: i for i, name in enumerate(one.categories)}
        texts = series.cast(pl.String).drop_nulls()
        found = texts.filter(texts.is_in(one.categories)).alias("text").value_counts(name="n")
        for name, held in found.iter_rows():
            counts[places[name]] += held
    counts[-2] = len(series) - int(counts.sum())
    return ColumnProfile(one.kind, counts=counts.tolist())


def _kind(dtype: pl.DataType) -> str:
    if dtype.is_numeric() or dtype.is_temporal() or dtype == pl.Boolean:
        return "numeric"
    return "text" if isinstance(dtype, pl.String | pl.Categorical | pl.Enum) else "other"


def _numbers(series: pl.Series) -> npt.NDArray[np.float64]:
    """The values as floats, nan where one is missing; moments by what they are counted in."""
    physical = series.to_physical() if series.dtype.is_temporal() else series
    return physical.cast(pl.Float64).to_numpy()


def moved(before: Profile, after: Profile) -> dict[str, dict[str, Any]]:
    """How each column's distribution moved, the most moved first.

    `distance` is the total variation between the two distributions over the bins (0: the same, 1: nothing in
    common); `bins` names up to three bins whose shares changed most.
    """
    found = {}
    for name, old in before.columns.items():
        new = after.columns.get(name)
        if new is None or (old.edges, old.categories) != (new.edges, new.categories):
            continue
        found[name] = _moved(old, new)
    return dict(sorted(found.items(), key=lambda item: (-item[1]["distance"], item[0])))


def _moved(old: ColumnProfile, new: ColumnProfile) -> dict[str, Any]:
    a, b = (np.array(one.counts) / max(1, sum(one.counts)) for one in (old, new))
    change = b - a
    labels = _labels(old)
    order = np.argsort(-np.abs(change), kind="stable")[:3]
    return {
        "distance": round(float(np.abs(change).sum() / 2), 6),
        "mean": [old.mean, new.mean],
        "missing": [old.counts[-1], new.counts[-1]],
        "bins": [
            {"bin": labels[i], "share": [round(float(a[i]), 6), round(float(b[i]), 6)]} for i in order if change[i]
        ],
    }


def _labels(one: ColumnProfile) -> list[str]:
    """What each bin holds, in words; moments as such."""
    if not one.unit or not one.edges:
        return list(one.bins.labels)
    ends = [_moment(edge, one.unit) for edge in one.edges]
    return [f"< {ends[0]}", *(f"{a} to {b}" for a, b in pairwise(ends)), f"≥ {ends[-1]}", "(missing)"]


def _moment(value: float, unit: str) -> str:
    try:
        if unit == "d":
            return str(date(1970, 1, 1) + timedelta(days=value))
        seconds = value / {"ms": 1e3, "us": 1e6, "ns": 1e9}[unit]
        return (datetime(1970, 1, 1) + timedelta(seconds=seconds)).isoformat(" ", "seconds")  # noqa: DTZ001 - as told
    except OverflowError:  # years that Python's calendar doesn't have
        return f"{value:.6g}"


def by_column(columns: Mapping[str, ColumnProfile], names: Iterable[str]) -> dict[str, ColumnProfile]:
    """Some of the columns, in the order of the names."""
    return {name: columns[name] for name in names if name in columns}
