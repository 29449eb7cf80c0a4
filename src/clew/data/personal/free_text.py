"""Columns in which people write what they like: anything may stand there, and no check finds all of it."""

import polars as pl


def is_free_text(values: pl.Series) -> bool:
    """Whether a third of the texts have five words or more, and most of those differ."""
    some = values.gather_every(max(1, len(values) // 5000))
    long = some.filter(some.str.count_matches(r"\pL{2,}[\s,.;:!?)]+") >= 4)
    return len(long) >= max(5, len(some) / 3) and long.n_unique() > 0.6 * len(long)
