"""Which columns were replaced as a whole, when rows can't be matched over all of them."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import polars as pl

from clew.data._gather import Table
from clew.data._match import Hashes, Ints, column_hashes, match
from clew.data._source import Source

_ROWS: Final = 131_072
_SAME: Final = 0.7


def replaced_columns(old: Table, source: Source, columns: Sequence[str]) -> set[str]:
    """The columns whose values are others nearly everywhere, while the rest stayed as it was.

    Judged on the first 131,072 rows: the rows are aligned as they stand and by each column alone, and the alignment
    counts under which most columns agree. Empty when none does.
    """
    batch = next((batch for _, batch in source.batches()), None)
    if batch is None or not old.height:
        return set()
    new = batch.select(columns).head(_ROWS)
    before = old.rows(0, min(old.height, _ROWS + _ROWS // 4)).select(columns)
    a, b = _hashes(before), _hashes(new)
    rows = np.arange(new.height, dtype=np.int64)
    candidates = [np.where(rows < before.height, rows, -1)]
    candidates += [match(a[name], b[name]) for name in columns]
    best: set[str] = set()
    for found in candidates:
        agreeing = _agreeing(a, b, found)
        if len(agreeing) > len(best):
            best = agreeing
    # A single column says nothing of the others: a flag agrees with itself under any alignment.
    return set(columns) - best if len(best) > max(1, len(columns) // 4) else set()


def replaced_in_place(old: Table, source: Source, columns: Sequence[str]) -> set[str]:
    """Those of the columns that were replaced as a whole, in a table whose rows stand where they stood."""
    batch = next((batch for _, batch in source.batches()), None)
    if batch is None or not columns:
        return set()
    new = batch.select(columns).head(_ROWS)
    a, b = _hashes(old.rows(0, new.height)), _hashes(new)
    return set(columns) - _agreeing(a, b, np.arange(new.height, dtype=np.int64))


def _hashes(frame: pl.DataFrame) -> dict[str, Hashes]:
    return {series.name: column_hashes(series) for series in frame.iter_columns()}


def _agreeing(old: dict[str, Hashes], new: dict[str, Hashes], found: Ints) -> set[str]:
    matched = np.flatnonzero(found >= 0)
    if len(matched) < len(found) / 2:
        return set()
    at = found[matched]
    return {name for name, values in new.items() if (old[name][at] == values[matched]).mean() > _SAME}
