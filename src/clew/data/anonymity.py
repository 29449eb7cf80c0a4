"""How many people share what could point at one of them: k-anonymity and l-diversity.

Quasi-identifiers are columns that together may tell who somebody is (year of birth, postcode, sex). Rows that agree in
all of them are a group; missing values count as a value. k is the size of the smallest group (Sweeney 2002), l the
smallest number of different values of a sensitive column in one group (Machanavajjhala et al. 2007).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from clew.errors import UsageError


@dataclass(frozen=True, slots=True)
class Anonymity:
    """What was found: `below` is the share of rows in groups smaller than the k that was asked for."""

    quasi: tuple[str, ...]
    rows: int
    groups: int
    k: int
    min_k: int
    below: float
    diversity: dict[str, int]
    min_l: int

    @property
    def holds(self) -> bool:
        """Whether it is what was asked for."""
        return self.k >= self.min_k and all(found >= self.min_l for found in self.diversity.values())


def measure(
    frame: pl.LazyFrame | pl.DataFrame,
    quasi: Sequence[str],
    sensitive: Sequence[str] = (),
    *,
    min_k: int = 5,
    min_l: int = 2,
) -> Anonymity:
    """Find k of the quasi-identifiers and l of each sensitive column, in one scan.

    An empty table has k 0. Raises UsageError for columns that aren't there, are nested, or stand on both sides.
    """
    lazy = frame.lazy()
    schema = lazy.collect_schema()
    _check(schema, quasi, sensitive)
    counted = lazy.group_by(list(quasi)).agg(
        pl.len().alias("rows"), *(pl.col(name).n_unique().alias(f"l{at}") for at, name in enumerate(sensitive))
    )
    small = pl.col("rows") < min_k
    found = (
        counted.select(
            pl.col("rows").sum().alias("all"),
            pl.len().alias("groups"),
            pl.col("rows").min().alias("k"),
            pl.col("rows").filter(small).sum().alias("below"),
            *(pl.col(f"l{at}").min() for at in range(len(sensitive))),
        )
        .collect(engine="streaming")
        .row(0, named=True)
    )
    rows = int(found["all"] or 0)
    return Anonymity(
        quasi=tuple(quasi),
        rows=rows,
        groups=int(found["groups"]),
        k=int(found["k"] or 0),
        min_k=min_k,
        below=int(found["below"] or 0) / rows if rows else 0.0,
        diversity={name: int(found[f"l{at}"] or 0) for at, name in enumerate(sensitive)},
        min_l=min_l,
    )


def _check(schema: pl.Schema, quasi: Sequence[str], sensitive: Sequence[str]) -> None:
    if not quasi:
        raise UsageError("no quasi-identifier is named", mend="--quasi year_of_birth,postcode")
    if len(set(quasi)) < len(quasi) or set(quasi) & set(sensitive):
        raise UsageError(
            "a column stands twice among the quasi-identifiers and sensitive columns", mend="name each of them once"
        )
    for name in (*quasi, *sensitive):
        if name not in schema:
            raise UsageError(f"there is no column {name!r}", mend=f"the columns are: {', '.join(schema)}")
        if schema[name].is_nested():
            raise UsageError(f"column {name!r} is nested, so its values are in no groups", mend="name another column")
