"""What is known of houses before any model is trained: which rows count, and what a model sees of them."""

import numpy as np
import polars as pl

INPUTS = [
    "sold_on",
    "bedrooms",
    "bathrooms",
    "half_bathrooms",
    "rooms",
    "living_area_m2",
    "lot_m2",
    "frontage_m",
    "depth_m",
    "year_built",
    "garage_m2",
    "east_m",
    "north_m",
    "stories",
    "wall",
    "garage",
]
NUMBERS = [
    "bedrooms",
    "bathrooms",
    "half_bathrooms",
    "rooms",
    "living_area_m2",
    "lot_m2",
    "frontage_m",
    "depth_m",
    "garage_m2",
    "east_m",
    "north_m",
]
# In these columns 0 stands for unknown.
UNKNOWN_AS_ZERO = ["frontage_m", "depth_m", "bedrooms", "bathrooms"]
# Fixed lists, so that a code means the same in training and in every request; what is not listed is missing.
LEVELS = {
    "stories": ["bilevel", "multilvl", "one", "one+half", "three", "two", "two+half"],
    "wall": ["brick", "ccbtile", "metlvnyl", "partbrk", "stone", "stucdrvt", "wood"],
    "garage": ["attached", "basement", "carport", "detached", "no garage"],
}
CATEGORIES = list(LEVELS)


def in_scope() -> pl.Expr:
    """Houses that stood when they were sold: of plots, the table shows the house that was built later."""
    return pl.col("year_built") < pl.col("sold_on").dt.year()


def matrix(rows: pl.DataFrame) -> np.ndarray:
    """Rows as numbers, n × 16: the same code for training and for every request."""
    sold_on = pl.col("sold_on").cast(pl.Date)
    unknown = [pl.when(pl.col(name) == 0).then(None).otherwise(pl.col(name)).alias(name) for name in UNKNOWN_AS_ZERO]
    known = rows.with_columns(unknown)
    codes = [
        pl.col(name)
        .cast(pl.String)
        .replace_strict(
            {level: float(code) for code, level in enumerate(levels)}, default=None, return_dtype=pl.Float64
        )
        .alias(name)
        for name, levels in LEVELS.items()
    ]
    return (
        known.select(
            *(pl.col(name).cast(pl.Float64) for name in NUMBERS),
            (sold_on.dt.year() - pl.col("year_built")).cast(pl.Float64).alias("age"),
            (sold_on.dt.year() + (sold_on.dt.ordinal_day() - 1) / 365.25).cast(pl.Float64).alias("date"),
            *codes,
        )
        .fill_null(float("nan"))
        .to_numpy()
    )


def dollars(log_price: np.ndarray) -> np.ndarray:
    """The estimator's logarithms as prices."""
    return np.exp(log_price)
