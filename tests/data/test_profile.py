"""Profiles: exact counts, carried on by changed rows alone, and what they say of two versions."""

import datetime as dt

import numpy as np
import polars as pl

from clew.data import add, profile
from clew.data.profile import counted, decode, encode, frozen, moved
from clew.workspace import Workspace


def table(rows: int, seed: int) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "n": rng.integers(0, 1_000, rows),
            "x": rng.normal(size=rows),
            "town": rng.choice(["Ames", "Boone", "Nevada"], rows),
            "on": [dt.date(2020, 1, 1) + dt.timedelta(days=int(n)) for n in rng.integers(0, 900, rows)],
            "at": pl.Series(rng.integers(0, 10**15, rows)).cast(pl.Datetime("us")),
            "flag": rng.random(rows) < 0.5,
            "list": [[1]] * rows,
        }
    )


def test_counts_carried_on_are_those_of_the_whole_table(workspace: Workspace) -> None:
    rng = np.random.default_rng(1)
    frame = table(5_000, 1)
    first = add(workspace, "t", frame).snapshot
    for turn in range(4):
        frame = pl.concat([frame.filter(pl.Series(rng.random(frame.height) > 0.05)), table(100, turn + 9)])
        frame = frame.with_columns(x=pl.when(pl.col("n") < 30).then(None).otherwise(pl.col("x") + turn))
        found = add(workspace, "t", frame).snapshot.column_profiles()
        whole = counted(frozen(frame, first.column_profiles()), [frame])
        assert found is not None
        assert found.rows == whole.rows
        for name, one in whole.columns.items():
            assert found.columns[name].counts == one.counts, name
            assert found.columns[name].finite == one.finite
            assert np.isclose(found.columns[name].total, one.total, rtol=1e-9)
            assert sum(one.counts) == frame.height


def test_what_moved_is_said_first_and_in_words() -> None:
    before = table(4_000, 1)
    after = before.with_columns(
        town=pl.when(pl.col("n") < 500).then(pl.lit("Ames")).otherwise(pl.col("town")),
        on=pl.col("on").dt.offset_by("1y"),
    )
    empty = frozen(before)
    a, b = counted(empty, [before]), counted(empty, [after])
    assert decode(encode(a)) == a
    found = moved(a, b)
    assert list(found)[:2] == ["on", "town"]
    assert found["x"]["distance"] == 0
    assert found["town"]["bins"][0]["bin"] == "Ames"
    low, high = found["town"]["bins"][0]["share"]
    assert (low, high) == ((before["town"] == "Ames").mean(), (after["town"] == "Ames").mean())
    assert found["on"]["bins"][0]["bin"].startswith("≥ 2022-")
    assert 0.3 < found["on"]["distance"] <= 1


def test_values_that_are_hard_to_count() -> None:
    odd = pl.DataFrame(
        {
            "x": [1e308, 1e308, float("inf"), float("nan"), None, -1e308],
            "d": [dt.date(1, 1, 1), dt.date(9999, 12, 31)] * 3,
        }
    )
    found = counted(frozen(odd), [odd])
    assert found.columns["x"].counts[-1] == 2
    assert found.columns["x"].finite == 0
    assert moved(found, decode(encode(found)))["d"]["distance"] == 0
    nothing = counted(frozen(odd.clear()), [odd.clear()])
    assert moved(nothing, nothing)["x"] == {"distance": 0.0, "mean": [None, None], "missing": [0, 0], "bins": []}
    assert profile.by_column(found.columns, ["d", "no"]).keys() == {"d"}
