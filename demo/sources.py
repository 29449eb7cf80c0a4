"""The files that the demo works on, all cut from the real sales; three of them are faulty on purpose."""

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import polars as pl

DATA = Path(__file__).resolve().parent.parent / "examples" / "house_prices" / "house_sales.csv.gz"
SQUARE_FEET = 10.7639


@dataclass(frozen=True)
class Sources:
    """Paths of the files, and all sales as a table."""

    sales: pl.DataFrame
    to_1995: Path
    to_1996: Path
    broken: Path
    sellers: Path
    feet: Path
    stale: Path


def write(folder: Path) -> Sources:
    """Write the files."""
    folder.mkdir(parents=True)
    sales = pl.read_csv(DATA, try_parse_dates=True, infer_schema_length=None)
    paths = {name: folder / f"{name}.csv" for name in ("to_1995", "to_1996", "broken", "sellers", "feet", "stale")}

    def until(year: int) -> pl.DataFrame:
        return sales.filter(pl.col("sold_on") <= date(year, 12, 31))

    until(1995).write_csv(paths["to_1995"])
    until(1996).write_csv(paths["to_1996"])
    _broken(until(1995)).write_csv(paths["broken"])
    _with_sellers(until(1993).head(1000)).write_csv(paths["sellers"])
    # One office measures in square feet; its file looks just like the others.
    until(1997).with_columns((pl.col("living_area_m2") * SQUARE_FEET).round(1)).write_csv(paths["feet"])
    _stale(until(1997)).write_csv(paths["stale"])
    return Sources(sales, **paths)


def _broken(rows: pl.DataFrame) -> pl.DataFrame:
    """The last 40 rows come from an office that writes walls in capitals, and -999 for a depth that it doesn't know."""
    last, number = pl.int_range(pl.len()) >= pl.len() - 40, pl.int_range(pl.len())
    return rows.with_columns(
        pl.when(last).then(pl.col("wall").str.to_uppercase()).otherwise("wall").alias("wall"),
        pl.when(last & (number % 2 == 0)).then(-999.0).otherwise("depth_m").alias("depth_m"),
    )


def _with_sellers(rows: pl.DataFrame) -> pl.DataFrame:
    """Made-up sellers: people who don't exist, at domains and numbers that are reserved for examples."""
    number = pl.int_range(pl.len())
    return rows.with_columns(
        pl.format("seller{}@example.com", number).alias("seller_email"),
        pl.format("(419) 555-01{}", (number % 100).cast(pl.String).str.zfill(2)).alias("seller_phone"),
    )


def _stale(rows: pl.DataFrame) -> pl.DataFrame:
    """The load of 1997 read the export of 1993 and stamped it anew: 1993 stands twice, once with stale prices."""
    again = rows.filter(pl.col("sold_on").dt.year() == 1993).with_columns(
        pl.col("sold_on").dt.offset_by("4y"), pl.col("sale_id") + "R"
    )
    return pl.concat([rows.filter(pl.col("sold_on").dt.year() != 1997), again]).sort("sold_on", "sale_id")
