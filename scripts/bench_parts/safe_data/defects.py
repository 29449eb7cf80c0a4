"""Defects as they happen, planted into the later halves of the real tables.

The list and its doses were settled before any was measured. What a defect needs to be possible (a column in °C, a
name with an accent, a time with its leading zeros) is put into both halves alike: `prepare`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import polars as pl

Change = Callable[[pl.DataFrame], pl.DataFrame]


@dataclass(frozen=True)
class Defect:
    """What goes wrong, in how many rows, of which table; `beyond` says why no contract could see it, if so."""

    name: str
    dose: str
    table: str
    plant: Change
    prepare: Change = lambda frame: frame
    beyond: str = ""


def part(share: float, seed: int = 1) -> pl.Expr:
    """A scattered share of the rows, always the same ones."""
    return pl.int_range(pl.len()).hash(seed).mod(10_000) < 10_000 * share


def tail(share: float) -> pl.Expr:
    """The last rows."""
    return pl.int_range(pl.len()) >= pl.len() * (1 - share)


def where(rows: pl.Expr, column: str, value: pl.Expr) -> Change:
    """A column changed in some rows."""
    return lambda frame: frame.with_columns(pl.when(rows).then(value).otherwise(pl.col(column)).alias(column))


def times(column: str, factor: float, rows: pl.Expr | None = None) -> Change:
    """A column in another unit, of the same type as before."""

    def change(frame: pl.DataFrame) -> pl.DataFrame:
        value = (pl.col(column) * factor).cast(pl.Float64)
        value = value.round(0) if frame.schema[column].is_integer() else value.round(4)
        if rows is not None:
            value = pl.when(rows).then(value).otherwise(pl.col(column))
        return frame.with_columns(value.cast(frame.schema[column]).alias(column))

    return change


def swapped(first: str, second: str, rows: pl.Expr | None = None) -> Change:
    """Two columns, each under the other's name."""
    which = pl.lit(value=True) if rows is None else rows
    return lambda frame: frame.with_columns(
        pl.when(which).then(pl.col(second)).otherwise(pl.col(first)).cast(frame.schema[first]).alias(first),
        pl.when(which).then(pl.col(first)).otherwise(pl.col(second)).cast(frame.schema[second]).alias(second),
    )


def _again(rows: pl.Expr, order: list[str]) -> Change:
    """Some rows delivered twice, in their place."""
    return lambda frame: pl.concat([frame, frame.filter(rows)]).sort(order, maintain_order=True)


def _celsius(frame: pl.DataFrame) -> pl.DataFrame:
    # as the data's authors scaled it: 0 is −8 °C, 1 is 39 °C
    return frame.with_columns((pl.col("temp") * 47 - 8).round(1))


def _accents(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(pl.col("name").str.replace_all("a", "á").str.replace_all("e", "é"))


def _mojibake(column: str) -> Change:
    return lambda frame: frame.with_columns(
        pl.col(column).map_elements(lambda text: text.encode().decode("latin-1"), return_dtype=pl.String)
    )


def _clock(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(pl.col("sched_dep_time").cast(pl.String).str.zfill(4))


def _day_for_month(column: str) -> Change:
    day, month = pl.col(column).dt.day(), pl.col(column).dt.month()
    turned = pl.date(pl.col(column).dt.year(), day.clip(1, 12), month)
    return lambda frame: where(day <= 12, column, turned)(frame).sort(column, maintain_order=True)


def _stale(frame: pl.DataFrame) -> pl.DataFrame:
    """The rows of 1996 again in place of those of 1997, with new dates and numbers."""
    year = pl.col("sold_on").dt.year()
    again = frame.filter(year == 1996).with_columns(
        pl.col("sold_on").dt.offset_by("1y"), pl.format("S{}", pl.int_range(pl.len()) + 30_000).alias("sale_id")
    )
    return pl.concat([frame.filter(year != 1997), again]).sort("sold_on", maintain_order=True)


def _joined_off_by_one(frame: pl.DataFrame) -> pl.DataFrame:
    facts = ["living_area_m2", "rooms", "bedrooms", "lot_m2"]
    return frame.with_columns(pl.col(facts).shift(1).fill_null(strategy="backward"))


def _collisions(frame: pl.DataFrame) -> pl.DataFrame:
    before = pl.col("sale_id").shift(1).fill_null(strategy="backward")
    return where(part(0.001), "sale_id", before)(frame)


def _doubled_hour(frame: pl.DataFrame) -> pl.DataFrame:
    return _again((pl.col("day") == 310) & (pl.col("hr") == 1), ["day", "hr"])(frame)


def _comma(frame: pl.DataFrame) -> pl.DataFrame:
    """91,8 read as 918: what has no decimals stays."""
    area = pl.col("living_area_m2")
    return where(area != area.round(0), "living_area_m2", area * 10)(frame)


_HOUR: Final = pl.col("time_hour")
DEFECTS: Final = (
    # units
    Defect("areas in square feet", "all rows", "house_sales", times("living_area_m2", 10.7639)),
    Defect(
        "areas in square feet from one office",
        "20% of rows",
        "house_sales",
        times("living_area_m2", 10.7639, part(0.2)),
    ),
    Defect(
        "°F for °C", "all rows", "bikeshare", lambda f: f.with_columns((pl.col("temp") * 1.8 + 32).round(1)), _celsius
    ),
    Defect("prices in thousands", "all rows", "house_sales", times("price_usd", 0.001)),
    Defect("prices in cents", "5% of rows", "house_sales", times("price_usd", 100, part(0.05))),
    Defect("prices in another currency (× 0.6)", "all rows", "house_sales", times("price_usd", 0.6)),
    Defect("kilometres for miles", "all rows", "flights", times("distance", 1.609)),
    Defect("knots become metres a second", "all rows", "storms", times("wind", 0.5144)),
    Defect("percent for a share", "all rows", "bikeshare", times("hum", 100)),
    Defect("minutes become seconds", "1% of rows", "flights", times("air_time", 60, part(0.01))),
    # columns
    Defect("frontage and depth swapped", "all rows", "house_sales", swapped("frontage_m", "depth_m")),
    Defect("east and north swapped", "all rows", "house_sales", swapped("east_m", "north_m")),
    Defect(
        "casual and registered swapped",
        "10% of rows",
        "bikeshare",
        swapped("casual", "registered", part(0.1)),
        beyond="not beyond a contract: up to 7% of an honest stretch has more casual riders, "
        "so the limit lies at 17%, the swap at 11%",
    ),
    Defect("a join off by one row", "all rows, 4 columns", "house_sales", _joined_off_by_one),
    # texts
    Defect("names of the wrong encoding", "all rows", "storms", _mojibake("name"), _accents),
    Defect(
        "tail numbers cut to 5 characters",
        "all rows",
        "flights",
        where(pl.lit(value=True), "tailnum", pl.col("tailnum").str.head(5)),
    ),
    Defect(
        "status cut to 10 characters",
        "all rows",
        "storms",
        where(pl.lit(value=True), "status", pl.col("status").str.head(10)),
    ),
    Defect("a category renamed", "all of UA", "flights", where(pl.col("carrier") == "UA", "carrier", pl.lit("UNITED"))),
    Defect(
        "a category in capitals",
        "5% of rows",
        "hotel_rates",
        where(part(0.05), "customer_type", pl.col("customer_type").str.to_uppercase()),
    ),
    Defect("a trailing blank", "2% of rows", "flights", where(part(0.02), "dest", pl.col("dest") + " ")),
    Defect("null as the text NA", "where null", "flights", where(pl.col("tailnum").is_null(), "tailnum", pl.lit("NA"))),
    Defect(
        "leading zeros lost, in ids",
        "all rows",
        "house_sales",
        where(pl.lit(value=True), "sale_id", pl.col("sale_id").str.replace("^S0+", "S")),
    ),
    Defect(
        "leading zeros lost, in times",
        "all rows",
        "flights",
        where(pl.lit(value=True), "sched_dep_time", pl.col("sched_dep_time").str.replace("^0+", "")),
        _clock,
    ),
    Defect("a decimal comma read over", "where there are decimals", "house_sales", _comma),
    # numbers
    Defect("−999 for unknown", "1% of rows", "flights", where(part(0.01), "dep_delay", pl.lit(-999))),
    Defect("9999 for unknown", "1% of rows", "flights", where(part(0.01), "distance", pl.lit(9999))),
    Defect("0 for unknown", "where null", "flights", where(pl.col("air_time").is_null(), "air_time", pl.lit(0))),
    Defect(
        "0 for unknown in a number that may be 0",
        "2% of rows",
        "hotel_rates",
        where(part(0.02), "lead_time", pl.lit(0)),
        beyond="beyond a contract: 2% more zeros are as many as an honest month has more",
    ),
    Defect("signs lost", "all rows", "storms", times("long", -1)),
    Defect("delays with the other sign", "all rows", "flights", times("arr_delay", -1)),
    Defect(
        "areas rounded to 10 m²",
        "all rows",
        "house_sales",
        where(pl.lit(value=True), "living_area_m2", (pl.col("living_area_m2") / 10).round(0) * 10),
    ),
    Defect("a sensor stuck", "the last 20% of rows", "bikeshare", where(tail(0.2), "hum", pl.lit(0.62))),
    Defect(
        "prices cut at 99,999",
        "where above",
        "house_sales",
        where(pl.lit(value=True), "price_usd", pl.col("price_usd").clip(upper_bound=99_999)),
    ),
    Defect("ids as floats", "all rows", "flights", lambda f: f.with_columns(pl.col("flight").cast(pl.Float64))),
    Defect("years of two digits", "all rows", "storms", lambda f: f.with_columns(pl.col("year") % 100)),
    # times
    Defect("local time as UTC", "all rows", "flights", lambda f: f.with_columns(_HOUR.dt.offset_by("-4h"))),
    Defect("the hour of times lost", "all rows", "flights", lambda f: f.with_columns(_HOUR.dt.truncate("1d"))),
    Defect("day and month swapped", "where it can be", "hotel_rates", _day_for_month("arrival_date")),
    Defect("1900-01-01 for unknown", "0.5% of rows", "house_sales", where(part(0.005), "sold_on", pl.date(1900, 1, 1))),
    Defect("an hour doubled when the clock goes back", "1 row", "bikeshare", _doubled_hour),
    # rows
    Defect(
        "a day delivered twice",
        "1 day of 181",
        "flights",
        _again((pl.col("month") == 9) & (pl.col("day") == 10), ["time_hour"]),
    ),
    Defect("a slice missing", "all of LGA", "flights", lambda f: f.filter(pl.col("origin") != "LGA")),
    Defect(
        "a slice partly missing",
        "60% of brick houses",
        "house_sales",
        lambda f: f.filter((pl.col("wall") != "brick") | ~part(0.6)),
    ),
    Defect(
        "two weeks missing",
        "14 of 181 days",
        "flights",
        lambda f: f.filter((pl.col("month") != 10) | (pl.col("day") > 14)),
    ),
    Defect("rows in another order", "all rows", "house_sales", lambda f: f.sample(fraction=1, shuffle=True, seed=1)),
    Defect("a year delivered again with new dates and ids", "1996 for 1997", "house_sales", _stale),
    Defect("keys that collide", "0.1% of rows", "house_sales", _collisions),
    Defect("a delivery cut short", "the first 30% of rows", "hotel_rates", lambda f: f.head(int(f.height * 0.3))),
)
