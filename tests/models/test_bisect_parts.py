"""What differs in code and in tables, and mixtures of it."""

from datetime import date

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from clew.models.bisection.code import CodeDifference, code_changes
from clew.models.bisection.slices import most_striking
from clew.models.bisection.tables import TableDifference, table_changes

GOOD = b"""\"\"\"What it is.\"\"\"
import math

LIMIT = 3

# how it is cut
def cut(x):
    return min(x, LIMIT)

@keep
def square(x):
    \"\"\"Squares.\"\"\"
    return x * x

LIST.append(1)
"""
BAD = b"""\"\"\"What it really is.\"\"\"
import math
import sys

def helper(x):
    return x + 1

LIMIT = 4

def cut(x):
    return min(helper(x), LIMIT)

@keep
def square(x):
    # the same, said otherwise
    return x*x

LIST.append(2)
"""


def test_only_statements_that_do_something_else_are_units() -> None:
    difference = CodeDifference({"a.py": GOOD}, {"a.py": BAD})
    names = {unit.name for unit in difference.units}
    assert {"a.LIMIT", "a.cut"} <= names
    assert not any("square" in name or "helper" in name for name in names)


def test_a_mixture_holds_what_was_chosen_and_every_helper_that_came() -> None:
    difference = CodeDifference({"a.py": GOOD, "same.py": b"x = 1\n"}, {"a.py": BAD, "same.py": b"x = 1\n"})
    cut = next(unit for unit in difference.units if unit.name == "a.cut")
    mixed = difference.mixed([cut])
    space: dict[str, object] = {"keep": lambda f: f, "LIST": []}
    exec(mixed["a.py"], space)
    assert space["LIMIT"] == 3
    assert space["cut"](1) == 2  # type: ignore[operator]
    assert space["cut"](9) == 3  # type: ignore[operator]
    assert space["LIST"] == [1]
    assert mixed["same.py"] == b"x = 1\n"


def test_none_and_all_are_the_sides_as_they_are() -> None:
    difference = CodeDifference({"a.py": GOOD, "gone.py": b""}, {"a.py": BAD, "new.py": b""})
    assert difference.mixed([]) == {"a.py": GOOD, "gone.py": b""}
    assert difference.mixed(difference.units) == {"a.py": BAD, "new.py": b""}


def test_a_file_that_is_no_python_or_cannot_be_parsed_is_one_unit() -> None:
    difference = CodeDifference({"a.so": b"\0one", "b.py": b"def ("}, {"a.so": b"\0two", "b.py": b"x = 1\n"})
    assert [unit.file for unit in difference.units] == ["a.so", "b.py"]


def test_units_are_grouped_by_the_steps_that_reach_them() -> None:
    difference = CodeDifference({"p.py": b"A = 1\nB = 1\n\ndef wire():\n    return 1\n"}, {
        "p.py": b"A = 2\nB = 2\n\ndef wire():\n    return 2\n"
    })  # fmt: skip
    keys = {"clean": {"code": {"p.A": "x"}}, "train": {"code": {"p.A": "x", "p.B": "y"}}}
    found, units = code_changes(difference, "wire", keys, keys)
    assert [change.says for change in found] == [
        "code of clean, train: p.A in p.py",
        "code of train: p.B in p.py",
        "the wiring of the pipeline: p.wire in p.py",
    ]
    assert len(units) == 3


ROWS = st.lists(
    st.tuples(st.integers(0, 12), st.integers(0, 2), st.sampled_from(["x", "y", None])),
    max_size=12,
    unique_by=lambda r: r[0],
)


def _table(rows: list[tuple[int, int, str | None]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema={"id": pl.Int64, "n": pl.Int64, "s": pl.String}, orient="row")


@settings(max_examples=200, deadline=None)
@given(ROWS, ROWS, st.booleans())
def test_nothing_of_the_bad_table_is_the_good_one_and_all_of_it_the_bad(
    one: list[tuple[int, int, str | None]], other: list[tuple[int, int, str | None]], keyed: bool
) -> None:
    good, bad = _table(one), _table(other)
    difference = TableDifference(good, bad, ["id"] if keyed else [])
    assert_frame_equal(difference.mixed([]), good)
    assert_frame_equal(difference.mixed(difference.atoms()), bad)


def test_rows_are_told_apart_by_key_position_or_all_they_hold() -> None:
    good = pl.DataFrame({"id": [1, 2, 3], "x": [1.0, 2.0, 3.0], "y": [0, 0, 0]})
    assert TableDifference(good, good.with_columns(x=pl.col("x") * 2), ["id"]).by == "key id"
    assert TableDifference(good, good.with_columns(x=pl.col("x") * 2), []).by == "position"
    assert TableDifference(good, good.head(2), []).by == "all they hold"
    doubled = pl.concat([good, good.head(1)])
    assert TableDifference(good, doubled, ["id"]).by == "all they hold"
    assert len(TableDifference(good, doubled, ["id"]).added) == 1


def test_columns_that_came_went_or_changed_their_type() -> None:
    good = pl.DataFrame({"id": [1, 2], "x": [1, 2], "old": ["a", "b"]})
    bad = pl.DataFrame({"id": [1, 2], "x": [1.5, 2.5], "new": [True, False]})
    difference = TableDifference(good, bad, ["id"])
    atoms = {(atom.what, atom.column): atom for atom in difference.atoms()}
    assert set(atoms) == {("column", "x"), ("new column", "new"), ("lost column", "old")}
    mixed = difference.mixed([atoms["column", "x"], atoms["new column", "new"]])
    assert mixed.to_dict(as_series=False) == {
        "id": [1, 2], "x": [1.5, 2.5], "old": ["a", "b"], "new": [True, False]
    }  # fmt: skip


def _sales(count: int = 600) -> pl.DataFrame:
    rng = np.random.default_rng(3)
    return pl.DataFrame(
        {
            "id": np.arange(count),
            "day": [date(1995, 1 + number * 12 // count, 1 + number % 28) for number in range(count)],
            "area": rng.gamma(4, 30, count),
            "district": rng.choice(["east", "north", "west"], count),
            "price": rng.gamma(4, 30_000, count).round(),
        }
    )


def _says(good: pl.DataFrame, bad: pl.DataFrame) -> list[str]:
    found, _ = table_changes("sales", TableDifference(good, bad, ["id"]), lambda _rows: None, "price")
    return [change.says for change in found]


def test_a_changed_unit_is_told_by_its_factor() -> None:
    good = _sales()
    [said] = _says(good, good.with_columns(pl.col("area") * 10.7639))
    assert said == "area of sales differs in 600 of 600 rows: it is 10.76 times what it was"


def test_a_district_whose_labels_moved_is_named() -> None:
    good = _sales()
    moved = pl.when(pl.col("district") == "north").then(pl.col("price") - 5000).otherwise("price")
    [said] = _says(good, good.with_columns(price=moved))
    assert "all of them where district = north" in said
    assert said.endswith("it is 5,000 less than it was")


def test_a_month_that_came_twice_is_named() -> None:
    good = _sales()
    again = good.filter(pl.col("day").dt.month() == 7).with_columns(pl.col("id") + 10_000)
    [said] = _says(good, pl.concat([good, again]))
    assert said == f"{again.height} rows came to sales, such as day in 1995-07"


def test_rows_that_are_there_already_are_looked_at_apart_from_new_ones() -> None:
    good = _sales()
    again = good.head(100).with_columns(pl.col("id") + 10_000)
    new = good.tail(50).with_columns(pl.col("id") + 20_000, pl.col("price") + 1)
    [change], atoms = table_changes(
        "sales", TableDifference(good, pl.concat([good, again, new]), ["id"]), lambda _rows: None, "price"
    )
    assert [part.says for part in change.parts] == [
        "100 rows: rows that are there already",
        "50 rows: the other rows that came to sales",
    ]
    assert all(part.key in atoms for part in change.parts)


def test_noise_has_no_striking_slice() -> None:
    """Of 40 tables without any, at most one is accused: thousands of slices are tried, and 5 standard errors asked."""
    frame = _sales()
    found = [most_striking(frame, np.random.default_rng(seed).normal(size=600)) for seed in range(40)]
    assert sum(one is not None for one in found) <= 1


@pytest.mark.parametrize("column", ["district", "area", "day"])
def test_a_slice_that_stands_out_is_found(column: str) -> None:
    frame = _sales()
    rows = {
        "district": frame["district"] == "west",
        "area": frame["area"] > frame["area"].quantile(0.9),
        "day": frame["day"].dt.month() == 3,
    }[column].to_numpy()
    score = np.random.default_rng(1).normal(size=600) + 2.5 * rows
    found = most_striking(frame, score)
    assert found is not None
    assert found.says.startswith(column)
    assert float((found.rows == rows).mean()) > 0.95
