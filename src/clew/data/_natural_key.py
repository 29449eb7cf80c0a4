"""Columns that identify rows together, such as a day and an hour: unique where chance would repeat them."""

import math
from itertools import combinations
from typing import Final

import polars as pl

_LEAST: Final = 200
_HEAD: Final = 5000
_COLUMNS: Final = 14
_TOGETHER: Final = 4
_TWINS: Final = 30.0
"""So many rows would have a twin, were the columns independent: none at all is no chance then."""


def natural_key(frame: pl.DataFrame) -> tuple[str, ...]:
    """The fewest such columns, the most surprising ones of them; none if there are none."""
    if frame.height < _LEAST:
        return ()
    repeats = {}
    for name, dtype in frame.schema.items():
        fits = dtype.is_integer() or isinstance(dtype, pl.String | pl.Categorical | pl.Date | pl.Datetime)
        if not fits or frame[name].null_count():
            continue
        counts = frame[name].unique_counts()
        if 1 < len(counts) < frame.height:
            repeats[name] = float(((counts / frame.height) ** 2).sum())
    # a column that tells rows apart well is the likelier part
    names = sorted(repeats, key=repeats.__getitem__)[:_COLUMNS]
    names.sort(key=frame.columns.index)
    head = frame.head(_HEAD)
    for size in range(2, _TOGETHER + 1):
        twins = {
            group: frame.height**2 * math.prod(repeats[name] for name in group) for group in combinations(names, size)
        }
        for group in sorted(twins, key=twins.__getitem__, reverse=True):
            if twins[group] < _TWINS:
                break
            if all(not part.select(group).is_duplicated().any() for part in (head, frame)):
                return group
    return ()
