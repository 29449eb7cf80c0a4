"""Three steps over a table of about 110 bytes a row: made, one column changed, summed up. Uses polars and numpy."""

import numpy as np
import polars as pl


def make(rows: int) -> pl.DataFrame:
    """Ten columns of numbers and one of text."""
    dice = np.random.default_rng(7)
    frame = pl.DataFrame({"id": np.arange(rows)} | {f"x{number}": dice.random(rows) for number in range(9)})
    return frame.with_columns(pl.format("customer {}", pl.col("id") % 100_000).alias("name"))


def scaled(table: pl.DataFrame) -> pl.DataFrame:
    """One column is another one."""
    return table.with_columns(x0=(pl.col("x0") - pl.col("x0").mean()) / pl.col("x0").std())


def summed(table: pl.DataFrame) -> list[float]:
    """The sum of each column of numbers, and the length of the text."""
    numbers = table.select(pl.selectors.numeric().sum()).row(0)
    return [*map(float, numbers), float(table["name"].str.len_bytes().sum())]
