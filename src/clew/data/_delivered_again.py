"""Rows that came before, with new dates and numbers: an old export stamped anew."""

from collections.abc import Iterator
from typing import Final

import polars as pl

from clew.data._finding import Finding

_ROWS: Final = 30
_COLUMNS: Final = 4  # that say something, so that two rows can't be alike by chance


def delivered_again(frame: pl.DataFrame) -> Iterator[Finding]:
    """Pairs of rows that differ in their dates and ids only, nearly all of them by the same number of days.

    What repeats by itself, such as a status that is logged each day, comes more than twice, or at many distances.
    """
    dates = [name for name, dtype in frame.schema.items() if isinstance(dtype, pl.Date | pl.Datetime)]
    left = [
        series.name
        for series in frame.iter_columns()
        if not (series.dtype.is_nested() or series.dtype.is_temporal() or series.dtype == pl.Object)
        and 2 <= series.n_unique() < frame.height
    ]
    if not dates or len(left) < _COLUMNS:
        return
    hashes = frame.select(left).hash_rows()
    twins = pl.DataFrame({"content": hashes, "day": frame[dates[0]].cast(pl.Date)}).with_row_index("row")
    twins = twins.filter(pl.col("content").is_duplicated() & pl.col("day").is_not_null())
    pairs = (
        twins.sort("content", "day")
        .group_by("content", maintain_order=True)
        .agg(
            pl.len().alias("rows"),
            pl.col("row").first(),
            pl.col("row").last().alias("again"),
            (pl.col("day").last() - pl.col("day").first()).dt.total_days().alias("days"),
        )
    )
    whole = pairs.filter(pl.col("rows") == 2, pl.col("days") > 0)
    if whole.height < _ROWS or whole.height < 0.9 * pairs.height:
        return
    # a leap day lies within some of the distances
    usual = int(whole["days"].mode().min())  # type: ignore[arg-type]
    same = whole.filter((pl.col("days") - usual).abs() <= 1)
    if same.height < 0.9 * whole.height:
        return
    before, again = (frame[dates[0]][int(same[name][0])] for name in ("row", "again"))
    message = f"{same.height:,} rows came {usual:,} days before, the same in all but dates and ids"
    yield Finding(
        "(rows)", "delivered-again", message, same.height, same.height / frame.height, (str(before), str(again))
    )
