"""Names, texts and numbers as a SQL condition of a contract has them, short enough to be read."""

import math
import re

import polars as pl


def name_of(column: str) -> str:
    """A column's name, quoted where it must be."""
    plain = re.fullmatch(r"[a-z_][a-z0-9_]*", column) is not None and _is_read_back(column)
    return column if plain else '"' + column.replace('"', '""') + '"'


def _is_read_back(column: str) -> bool:
    """Whether SQL takes the bare word for a column, as it doesn't with `user` or `order`."""
    try:
        names = pl.sql_expr(f"CORR({column}, {column}) > 0 OR {column} = 'x'").meta.root_names()
    except pl.exceptions.PolarsError:
        return False
    return set(names) == {column}


def text_of(value: str) -> str:
    """A text as a literal."""
    return "'" + value.replace("'", "''") + "'"


def number_of(value: float, *, up: bool) -> str:
    """A number with two digits that say something, rounded up or down."""
    if value == 0:
        return "0"
    power = math.floor(math.log10(abs(value))) - 1
    scaled = value / 10.0**power
    whole = (math.ceil(scaled - 1e-9) if up else math.floor(scaled + 1e-9)) * 10 ** max(power, 0)
    return str(whole) if power >= 0 else f"{whole / 10**-power:.{-power}f}"
