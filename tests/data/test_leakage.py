"""Leaks of each kind, planted into made-up tables; and clean tables, of which nothing is said."""

import datetime as dt
from typing import Any

import numpy as np
import polars as pl
import pytest

from clew.data.leakage import Finding, leakage, split_by
from clew.errors import UsageError

ROWS = 2000


def visits(seed: int, rows: int = ROWS) -> pl.DataFrame:
    """Visits of people, none of them odd; what a visit costs depends on much, and on nothing alone."""
    random = np.random.default_rng(seed)
    age, stay, heat = random.integers(18, 90, rows), random.gamma(3, 2, rows), random.normal(37, 0.6, rows)
    ward = random.choice(["a", "b", "c", "d"], rows)
    cost = 500 + 12 * age + 260 * stay + 300 * (ward == "a") + random.normal(0, 400, rows)
    day = np.sort(random.integers(15_000, 16_000, rows)).astype(np.int32)
    return pl.DataFrame(
        {
            "visit": np.arange(rows) + 70_000 * (seed + 1),
            "person": [f"P{number:05d}" for number in random.integers(0, 10**5, rows) + 10**6 * seed],
            "day": pl.Series(day).cast(pl.Date),
            "called_on": pl.Series(day - random.integers(0, 30, rows).astype(np.int32)).cast(pl.Date),
            "age": age,
            "stay": stay,
            "heat": heat,
            "pulse": random.normal(80, 12, rows),
            "salt": random.normal(140, 3, rows),
            "ward": ward,
            "doctor": random.choice([f"Dr {name}" for name in "ABCDEFGHIJKLMNOP"], rows),
            "cost": cost,
            "back": np.where(random.random(rows) < 0.05 + 0.3 * (stay > 9), "yes", "no"),
        }
    )


def found(train: pl.DataFrame, **given: Any) -> list[Finding]:
    return leakage(train, **given)


def said(train: pl.DataFrame, **given: Any) -> set[tuple[str, str]]:
    return {(one.column, one.kind) for one in found(train, **given)}


@pytest.mark.parametrize("target", ["cost", "back"])
def test_nothing_is_said_of_clean_tables(target: str) -> None:
    # 20 pairs of tables and 11 columns each, none of which leaks: one alarm in 20 tables would show a rate of 5%
    for seed in range(20):
        train, test = visits(2 * seed), visits(2 * seed + 1, 500)
        assert said(train, target=target, test=test, subject="person", at="day") == set(), seed


def test_nothing_is_said_of_tables_of_few_values() -> None:
    random = np.random.default_rng(1)
    columns = {f"c{i}": random.choice(["x", "y", "z"], 3000) for i in range(6)}
    frame = pl.DataFrame(columns | {"y": random.choice([0, 1], 3000)})
    assert said(frame.head(2000), test=frame.tail(1000), target="y") == set()


def test_nothing_is_said_of_next_days_that_are_alike() -> None:
    """Hours of a year: neighbours share the day, the season and the weather."""
    hour = np.arange(8000)
    random = np.random.default_rng(2)
    day = hour // 24
    weather = np.repeat(random.integers(0, 4, day.max() + 1), 24)[:8000]
    frame = pl.DataFrame(
        {
            "season": day // 90,
            "day": day,
            "hour": hour % 24,
            "free": (day % 7 > 4).astype(int),
            "weather": weather,
            "heat": np.round(20 * np.sin(day / 58) + random.normal(0, 1, 8000), 0),
            "wind": np.round(random.gamma(2, 3, 8000), 0),
            "damp": np.round(random.normal(60, 10, 8000), 0),
            "rain": np.round(random.gamma(1, 2, 8000), 0),
            "riders": random.poisson(100 + 20 * np.sin(hour % 24 / 4) + 20 * (day % 7 > 4)),
        }
    )
    mixed = frame.sample(fraction=1, shuffle=True, seed=3)
    assert said(mixed.head(6000), test=mixed.tail(2000), target="riders") == set()


@pytest.mark.parametrize("share", [0.01, 0.5])
def test_the_same_rows(share: float) -> None:
    train, test = visits(0).drop("visit"), visits(1, 1000).drop("visit")
    leaked = pl.concat([test.head(1000 - int(1000 * share)), train.head(int(1000 * share))])
    (one,) = found(train, test=leaked, target="cost")
    assert (one.kind, one.rows, one.share) == ("same-rows", 1000 * share, share)


@pytest.mark.parametrize(
    "change",
    [
        {"visit": pl.col("visit") + 500_000},
        {"ward": pl.col("ward") + " "},
        {"doctor": pl.col("doctor").str.to_uppercase()},
        {"stay": pl.col("stay").round(4), "cost": pl.col("cost").round(1)},
        {"heat": pl.col("heat") + 1},
        {"doctor": pl.lit("Dr Z")},
    ],
)
def test_rows_that_are_the_same_but_for_little(change: dict[str, pl.Expr]) -> None:
    train, test = visits(0), visits(1, 1000)
    again = train.sample(100, seed=1).with_columns(**change)
    (one,) = found(train, test=pl.concat([test.head(900), again]), target="cost")
    assert one.kind in ("near-rows", "same-rows")
    assert 90 <= one.rows <= 100


def test_the_same_subject() -> None:
    train, test = visits(0), visits(1, 500)
    some = train["person"].unique(maintain_order=True).head(40)
    leaked = test.with_columns(person=pl.concat([some, test["person"].tail(460)]))
    (one,) = found(train, test=leaked, target="cost", subject="person")
    assert (one.column, one.kind, one.rows) == ("person", "same-subject", 40)
    assert "40 of 500 test rows are about 40" in one.message


NOISE = pl.Series(np.random.default_rng(9).normal(0, 1, ROWS))


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("a copy", pl.col("cost")),
        ("rounded", (pl.col("cost") / 100).round(0)),
        ("linear", 3 - 2 * pl.col("cost")),
        ("monotone", (pl.col("cost") / 1000).exp()),
        ("not monotone", pl.when(pl.col("cost") > 3000).then(pl.col("cost")).otherwise(-pl.col("cost"))),
        ("with noise", pl.col("cost") + 150 * NOISE),
        ("in part unknown", pl.when(pl.int_range(pl.len()) % 20 > 0).then(pl.col("cost") * 1.1)),
        ("as text", (pl.col("cost") / 100).round(0).cast(pl.Int64).cast(pl.String)),
        ("the mean of its group", pl.col("cost").mean().over("doctor")),
        ("the mean of its small group", pl.col("cost").mean().over("person")),
        ("a part of a sum", pl.col("cost") - 300 * pl.col("pulse")),
    ],
)
def test_a_column_gives_a_number_away(name: str, made: pl.Expr) -> None:
    frame = visits(4).with_columns(made.alias("told"))
    if name == "a part of a sum":
        frame = frame.with_columns(pulse=300 * pl.col("pulse"))
    if name == "the mean of its small group":
        frame = frame.with_columns(pl.col("person").str.slice(3).alias("person"))
        frame = frame.with_columns(made.alias("told"))
    (one,) = found(frame, target="cost")
    assert one.kind == "gives-target-away"
    assert one.column in ("told", "pulse")


@pytest.mark.parametrize(
    ("made", "target"),
    [
        (pl.col("back") == "yes", "back"),
        (pl.when(pl.col("back") == "yes").then(pl.col("heat")), "back"),
        (pl.when(pl.col("back") == "yes").then(90).otherwise(pl.col("pulse")), "back"),
        (pl.when(NOISE < -2.2).then(pl.lit("no")).otherwise("back"), "back"),
        (pl.col("ward").replace_strict({"a": 1, "b": 2, "c": 4, "d": 3}), "ward"),
        (pl.int_range(pl.len()) * 0 + pl.col("rare") * 7, "rare"),
    ],
    ids=["a mark", "known where it is so", "a value", "in part", "a code", "a rare class"],
)
def test_a_column_gives_a_class_away(made: pl.Expr, target: str) -> None:
    frame = visits(5).with_columns(rare=(pl.int_range(pl.len()) % 40 == 3).cast(pl.Int64)).with_columns(told=made)
    assert ("told", "gives-target-away") in said(frame, target=target)
    assert said(frame.drop("told"), target=target) == set()


def test_a_feature_that_tells_much_is_let_be() -> None:
    # a rank correlation of 0.85 is a good feature
    frame = visits(6).with_columns(told=pl.col("cost") + 420 * NOISE)
    strength = frame.select(pl.corr("told", "cost", method="spearman")).item()
    assert 0.85 < strength < 0.91
    assert said(frame, target="cost") == set()


def test_what_identifies_rows_gives_nothing_away() -> None:
    frame = visits(7).with_columns(person=pl.format("P{}", pl.int_range(pl.len())))
    assert said(frame, target="back") == set()
    assert said(frame, target="cost") == set()


def test_columns_known_later() -> None:
    later = pl.when(pl.int_range(pl.len()) % 3 == 0).then(pl.col("day").dt.offset_by("9d"))
    frame = visits(8).with_columns(
        left_on=later,
        seen_at=pl.col("day").cast(pl.Datetime("us", "UTC")).dt.offset_by("-2h"),
        paid_at=pl.col("day").cast(pl.Datetime("ms")).dt.offset_by("40d"),
        closed_year=pl.col("day").dt.year().cast(pl.Int64) + 1,
    )
    assert said(frame, at="day") == {
        ("left_on", "known-later"),
        ("paid_at", "known-later"),
        ("closed_year", "known-later"),
    }
    (one,) = found(frame, at="day", features=["left_on", "age"])
    assert one.rows == 667
    assert said(frame.with_columns(day=pl.col("day").cast(pl.Datetime("us"))), at="day", features=["seen_at"]) == set()


def test_only_what_the_model_sees_is_asked() -> None:
    frame = visits(9).with_columns(told=pl.col("cost") * 2)
    assert said(frame, target="cost", features=["age", "stay"]) == set()


def test_few_rows_and_odd_types() -> None:
    frame = pl.DataFrame(
        {"l": [[1]] * 200, "n": [None] * 200, "y": range(200), "t": [dt.time(1)] * 200, "o": [b"x"] * 200}
    )
    assert said(frame, target="y", test=frame) == set()
    assert leakage(visits(1).head(10), target="cost", test=visits(1).head(10)) == []


def test_a_split_by_a_column() -> None:
    frame = visits(3, 400).with_columns(
        part=pl.when(pl.int_range(pl.len()) % 3 == 0).then(pl.lit("test")).otherwise(pl.lit("train"))
    )
    train, test = split_by(frame, "part")
    assert (train.height, test.height) == (266, 134)
    assert "part" not in train.columns
    train, test = split_by(frame, "day")
    assert train["day"].max() < test["day"].min()  # type: ignore[operator]
    assert 80 <= test.height <= 90
    train, test = split_by(frame.with_columns(part=pl.int_range(pl.len()) % 5 == 0), "part")
    assert test.height == 80


@pytest.mark.parametrize(
    ("given", "says"),
    [({"target": "price"}, "'price'"), ({"at": "age"}, "no moments"), ({"subject": "who"}, "'who'")],
)
def test_what_is_asked_wrongly(given: dict[str, str], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        leakage(visits(1), **given)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="two"):
        split_by(visits(1), "ward")
    with pytest.raises(UsageError, match="no column"):
        split_by(visits(1), "nothing")
