"""Slices: which rows stand out by a number that each row has, said by one or two columns.

A search for subgroups (Klösgen 1996): of all slices "column is value", "column from a to b", that whose mean lies the
most standard errors above that of all rows; then, if that is clearly better, a second column inside of it.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

_MOST_VALUES: Final = 200
_FEWEST_ROWS: Final = 10
_BINS: Final = 16
_CLEAR: Final = 5.0  # standard errors: thousands of slices are tried
_BETTER: Final = 1.15  # by how much a second column must sharpen it


@dataclass(frozen=True)
class Slice:
    """Some of n rows: which, in words, and by how many standard errors they stand out."""

    says: str
    rows: np.ndarray
    """A mask of n."""
    errors: float


def most_striking(frame: pl.DataFrame, score: np.ndarray, leave_out: Sequence[str] = ()) -> Slice | None:
    """The slice of n rows whose mean score stands out most upwards; None where none does clearly.

    Args:
        frame: the rows; columns of numbers, texts, flags and dates are looked at.
        score: n numbers.
        leave_out: columns that say nothing, such as keys.
    """
    columns = [name for name in frame.columns if name not in leave_out]
    best = _best(frame.select(columns), score, np.ones(frame.height, bool))
    if best is None or best.errors < _CLEAR:
        return None
    inner = _best(frame.select(columns), score, best.rows)
    if inner is not None and inner.errors > _BETTER * best.errors:
        return Slice(f"{best.says} and {inner.says}", inner.rows, inner.errors)
    return best


def _best(frame: pl.DataFrame, score: np.ndarray, within: np.ndarray) -> Slice | None:
    mean, spread = float(score.mean()), float(score.std())
    if not spread:
        return None
    best: Slice | None = None
    for name in frame.columns:
        for says, mask in _slices(frame[name]):
            rows = mask & within
            count = int(rows.sum())
            if count < _FEWEST_ROWS or count == len(rows):
                continue
            errors = (float(score[rows].mean()) - mean) / spread * math.sqrt(count)
            if best is None or errors > best.errors:
                best = Slice(f"{name} {says}", rows, errors)
    return best


def _slices(column: pl.Series) -> Iterator[tuple[str, np.ndarray]]:
    if column.null_count():
        yield "is missing", column.is_null().to_numpy()
    if column.dtype in (pl.Date, pl.Datetime):
        for form, said in (("%Y", "in"), ("%Y-%m", "in")):
            yield from _values(column.dt.strftime(form), said)
    elif column.dtype.is_numeric():
        values = column.drop_nulls()
        if values.n_unique() <= _BINS:
            yield from _values(column, "=")
        else:
            yield from _ranges(column.cast(pl.Float64).to_numpy())
    elif column.dtype in (pl.String, pl.Categorical, pl.Enum, pl.Boolean):
        yield from _values(column.cast(pl.String), "=")


def _values(column: pl.Series, said: str) -> Iterator[tuple[str, np.ndarray]]:
    counts = column.drop_nulls().value_counts(sort=True)
    for value in counts[counts.columns[0]].head(_MOST_VALUES).to_list():
        yield f"{said} {value}", (column == value).fill_null(value=False).to_numpy()


def _ranges(values: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    known = values[np.isfinite(values)]
    if not len(known):
        return
    cuts = np.unique(np.quantile(known, np.linspace(0, 1, _BINS + 1)[1:-1]))
    with np.errstate(invalid="ignore"):
        for cut in cuts:
            yield f"≥ {cut:g}", values >= cut
            yield f"< {cut:g}", values < cut
        for low, high in itertools.pairwise(cuts):
            yield f"from {low:g} to {high:g}", (values >= low) & (values < high)
