"""Numbers that are made of others, row by row: a sum, a difference, a clock time of hours and minutes."""

from collections.abc import Iterator
from itertools import permutations
from typing import Final

import numpy as np
import polars as pl

from clew.data._sql import name_of
from clew.data._terms import Rule

_LEAST: Final = 200
_SAMPLE: Final = 500
_COLUMNS: Final = 24
_MADE: Final = (("+", 1.0, 1.0, "{a} + {b}"), ("hours and minutes", 100.0, 1.0, "100 * {a} + {b}"))


def sum_rules(frame: pl.DataFrame) -> Iterator[Rule]:
    """A rule for each number that is a sum (a difference is a sum the other way round) in every row."""
    numbers = [name for name, dtype in frame.schema.items() if dtype.is_numeric() and not dtype.is_decimal()]
    numbers = [name for name in numbers if frame[name].n_unique() > 2][:_COLUMNS]
    if frame.height < _LEAST or len(numbers) < 3:
        return
    part = frame.select(pl.col(numbers).cast(pl.Float64)).gather_every(max(1, frame.height // _SAMPLE))
    values = {name: part[name].to_numpy() for name in numbers}
    taken: set[frozenset[str]] = set()
    for whole, first, second in permutations(numbers, 3):
        group = frozenset((whole, first, second))
        if group in taken:
            continue
        for _, by_first, by_second, written in _MADE:
            if by_first == by_second and numbers.index(first) > numbers.index(second):
                continue
            made = by_first * values[first] + by_second * values[second]
            if not _same(values[whole], made):
                continue
            sum_of = by_first * pl.col(first).cast(pl.Float64) + by_second * pl.col(second).cast(pl.Float64)
            gap = frame.select((pl.col(whole).cast(pl.Float64) - sum_of).abs().max()).item()
            if gap is None or not gap <= 1e-6 * max(1.0, float(np.nanmax(np.abs(made)))):
                continue
            taken.add(group)
            expr = written.format(a=name_of(first), b=name_of(second))
            exact = all(frame.schema[name].is_integer() for name in group)
            condition = f"{name_of(whole)} = {expr}" if exact else f"ABS({name_of(whole)} - ({expr})) <= 0.001"
            yield Rule(name=f"{whole} is made of {first} and {second}", expr=condition)


def _same(whole: np.ndarray, made: np.ndarray) -> bool:
    there = np.isfinite(whole) & np.isfinite(made)
    if there.sum() < _LEAST / 2:
        return False
    return bool(np.allclose(whole[there], made[there], rtol=1e-9, atol=1e-9))
