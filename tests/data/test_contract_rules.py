"""The rules beyond a row: keys, other datasets, age, growth, distributions, slices, expressions."""

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clew.data._examined import FrameRows
from clew.data._hashes import KeyBag, keys_of, lacking
from clew.data._rules import Held
from clew.data._separable import is_separable
from clew.data._whole_rules import drift_of
from clew.data.contract import (
    CheckResult,
    Column,
    Contract,
    Drift,
    Fresh,
    Reference,
    Rule,
    RuleResult,
    Slice,
    check,
)
from clew.data.profile import Profile, counted, frozen
from clew.errors import ClewError, NotFoundError, UsageError

AT = dt.datetime(2026, 5, 8)  # noqa: DTZ001 - as a table without zones has it
NOON = dt.datetime(2026, 5, 10, 12, tzinfo=dt.UTC)


@dataclass
class Here:
    """A world that a test knows all of."""

    now: dt.datetime = NOON
    occurred_at: dt.datetime = NOON - dt.timedelta(days=100)
    before: int | None = None
    tables: dict[str, pl.DataFrame] = field(default_factory=dict)

    def previous_rows(self) -> int | None:
        return self.before

    def columns(self, reference: str, names: Sequence[str]) -> tuple[str, pl.LazyFrame]:
        if reference not in self.tables:
            raise NotFoundError(f"no dataset is called {reference!r}")
        return reference, self.tables[reference].lazy().select(names)

    def profile(self, reference: str) -> tuple[str, Profile]:
        frame = self.tables[reference]
        return reference, counted(frozen(frame), [frame])


def of(frame: pl.DataFrame, **terms: Any) -> Contract:
    types = {pl.Int64: "int64", pl.String: "string", pl.Float64: "float64", pl.Date: "date", pl.Int32: "int32"}
    columns = {
        name: Column(type="timestamp[us]" if isinstance(dtype, pl.Datetime) else types[type(dtype)])
        for name, dtype in frame.schema.items()
    }
    return Contract(dataset="d", columns=columns, **terms)


def only(result: CheckResult) -> RuleResult:
    """The one rule that the contract has."""
    (found,) = result.results
    return found


# --- keys --------------------------------------------------------------------------------------------------------

VALUES = st.lists(st.tuples(st.none() | st.integers(0, 5), st.none() | st.sampled_from(["a", "b", "c"])), max_size=40)


@settings(max_examples=60, deadline=None)
@given(VALUES)
def test_keys_that_are_there_twice_are_those_that_a_group_by_finds(rows: list[tuple[int | None, str | None]]) -> None:
    frame = pl.DataFrame(rows, schema={"n": pl.Int64, "s": pl.String}, orient="row")
    contract = of(frame, unique=(("n",), ("s",), ("n", "s")))
    for result in check(contract, frame).results:
        names = result.rule.removeprefix("unique ").split(", ")
        whole = frame.with_row_index("row").drop_nulls(names)
        twice = whole.filter(pl.struct(names).is_duplicated())["row"]
        assert result.failing_rows == len(twice)
        assert [one.row - 1 for one in result.examples] == twice.head(3).to_list()


def test_keys_are_the_same_spilled_or_held(tmp_path: Path) -> None:
    draw = np.random.default_rng(3)
    keys = draw.integers(0, 2**64, 5_000, dtype=np.uint64)
    keys = np.concatenate([keys, keys[:50], keys[:7]])
    with KeyBag(tmp_path) as held, KeyBag(tmp_path, held=300) as spilled, KeyBag(tmp_path, held=300) as known:
        for part in np.array_split(keys, 23):
            held.add(part)
            spilled.add(part)
        found, rows = spilled.repeated()
        wanted, same = held.repeated()
        assert found.tolist() == wanted.tolist() == sorted(keys[:50].tolist())
        assert rows == same == 107
        known.add(np.unique(keys[20:]))
        for bag in (held, spilled):
            absent, lacking_rows = lacking(bag, known)
            assert (absent.tolist(), lacking_rows) == ([], 0)
        missing = np.array([1, 2**63], dtype=np.uint64)
        for bag in (held, spilled):
            bag.add(np.concatenate([missing, missing]))
            assert lacking(bag, known)[1] == 4
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("dtype", [pl.Int8, pl.UInt64, pl.Int32, pl.Date, pl.Datetime("ns")])
def test_whole_numbers_and_times_are_their_own_key(dtype: Any) -> None:
    values = pl.Series([0, 1, 2, 100, 127]).cast(pl.Int64 if dtype == pl.Datetime("ns") else dtype).cast(dtype)
    assert len(set(keys_of(values.to_frame()).tolist())) == 5
    assert keys_of(values.to_frame()).tolist() == keys_of(values.to_frame(), proving=True).tolist()


def test_a_hash_that_is_there_twice_is_no_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a first hash that always collides, only rows that are the same are found."""
    from clew.data import _key_rules

    def poor(frame: pl.DataFrame, *, proving: bool = False) -> Any:
        return keys_of(frame, proving=True) if proving else np.zeros(frame.height, dtype=np.uint64)

    monkeypatch.setattr(_key_rules, "keys_of", poor)
    frame = pl.DataFrame({"s": ["a", "b", "c", "b", None]})
    found = only(check(of(frame, unique=(("s",),)), frame))
    assert (found.failing_rows, [one.row for one in found.examples]) == (2, [2, 4])
    assert only(check(of(frame, unique=(("s",),)), frame.head(3))).passed


def test_values_that_must_be_in_another_dataset() -> None:
    towns = pl.DataFrame({"id": [1, 2, 3], "name": ["Ames", "Boone", None]})
    world = Here(tables={"towns@latest": towns})
    frame = pl.DataFrame({"town": [1, None, 4, 4, 2], "word": ["Boone", "Ames", "x", None, "Ames"]})
    terms = [
        (Reference(columns=("town",), of="towns@latest", to=("id",)), [3, 4]),
        (Reference(columns=("word",), of="towns@latest", to=("name",)), [3]),
        (Reference(columns=("town", "word"), of="towns@latest", to=("id", "name")), [1, 3, 5]),
    ]
    for reference, rows in terms:
        found = only(check(of(frame, references=(reference,)), frame, world))
        assert found.failing_rows == len(rows)
        assert [one.row for one in found.examples] == rows
    narrow = frame.cast({"town": pl.Int32})
    assert only(check(of(narrow, references=(terms[0][0],)), narrow, world)).failing_rows == 2
    mixed = Reference(columns=("word",), of="towns@latest", to=("id",))
    said = only(check(of(frame, references=(mixed,)), frame, world))
    assert not said.passed
    assert "can't be compared" in str(said)


# --- the table as a whole ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("newest", "within", "against", "passed"),
    [
        (AT.replace(hour=12), "2d", "clock", True),
        (AT.replace(hour=11, minute=59), "48h", "clock", False),
        (dt.date(2026, 5, 10), "12h", "clock", True),
        (dt.date(2026, 5, 9), "12h", "clock", False),
        (dt.date(2026, 1, 29), "2w", "occurred_at", True),
        (dt.date(2026, 1, 1), "2w", "occurred_at", False),
        (None, "9w", "clock", False),
    ],
)
def test_the_age_of_the_newest_value(newest: Any, within: str, against: Any, passed: bool) -> None:
    old = AT.replace(year=2001) if isinstance(newest, dt.datetime) else dt.date(2001, 1, 1)
    values = [None, newest, old] if newest else pl.Series([None], dtype=pl.Date)
    frame = pl.DataFrame({"at": values})
    fresh = Fresh(column="at", within=within, against=against)
    assert only(check(of(frame, fresh=(fresh,)), frame, Here())).passed == passed


@pytest.mark.parametrize(
    ("terms", "before", "broken"),
    [
        ({"min_rows": 4, "max_rows": 5}, None, ["min_rows"]),
        ({"min_rows": 3, "max_rows": 3}, None, []),
        ({"max_rows": 2}, None, ["max_rows"]),
        ({"min_of_previous": 0.5, "max_of_previous": 2.0}, 7, ["min_of_previous"]),
        ({"min_of_previous": 0.5, "max_of_previous": 2.0}, 6, []),
        ({"min_of_previous": 0.5, "max_of_previous": 2.0}, 1, ["max_of_previous"]),
        ({"min_of_previous": 0.5}, None, []),
    ],
)
def test_how_many_rows(terms: dict[str, Any], before: int | None, broken: list[str]) -> None:
    frame = pl.DataFrame({"x": [1, 2, 3]})
    result = check(of(frame, **terms), frame, Here(before=before))
    assert [one.rule for one in result.failures] == broken
    assert len(result.results) == len(terms)


def test_slices_have_their_rows() -> None:
    frame = pl.DataFrame({"kind": ["a"] * 9 + ["b"], "x": range(10)})
    slices = (
        Slice(name="a", where="kind = 'a' AND x > 0", min_rows=8, min_share=0.8),
        Slice(name="b", where="kind = 'b'", min_share=0.2),
        Slice(name="c", where="kind = 'c'", min_rows=1, severity="warning"),
        Slice(name="odd", where="x > AVG(x)", min_rows=1),
        Slice(name="lost", where="y > 1", min_rows=1),
    )
    result = check(of(frame, slices=slices), frame)
    assert sorted((one.rule, one.passed, one.error is None) for one in result.results) == [
        ("slice a", True, True),
        ("slice b", False, True),
        ("slice c", False, True),
        ("slice lost", False, False),
        ("slice odd", False, False),
    ]


def test_a_distribution_that_moved() -> None:
    draw = np.random.default_rng(5)
    before = pl.DataFrame({"x": draw.normal(0, 1, 20_000), "s": draw.choice(["a", "b", "c"], 20_000)})
    world = Here(tables={"d@1": before})
    drift = (Drift(column="x", since="d@1", most=0.1), Drift(column="s", since="d@1", most=0.1))
    contract = of(before, drift=drift)
    same = pl.DataFrame({"x": draw.normal(0, 1, 20_000), "s": draw.choice(["a", "b", "c"], 20_000)})
    assert check(contract, same, world).passed
    moved = same.with_columns(pl.col("x") * 2, pl.lit("a").alias("s"))
    assert [one.column for one in check(contract, moved, world).failures] == ["x", "s"]
    assert check(contract, moved.head(8), world).passed, "8 rows prove nothing"
    text = of(same.with_columns(pl.lit("b").alias("x")), drift=drift[:1])
    assert not check(text, same.with_columns(pl.lit("b").alias("x")), world).passed


def test_drift_is_seldom_seen_where_there_is_none() -> None:
    """At a true distance of 0 no more than one check in 1,000 may be wrong; of 2,000 more than 10 would be a fault."""
    draw = np.random.default_rng(11)
    shares = np.full(22, 1 / 22)
    wrong = sum(
        drift_of(draw.multinomial(800, shares).tolist(), draw.multinomial(500, shares).tolist())[1] > 0
        for _ in range(2_000)
    )
    assert wrong <= 10
    far, surely = drift_of([10_000, 0], [5_000, 5_000])
    assert far == 0.5
    assert 0.4 < surely < 0.5


# --- expressions -------------------------------------------------------------------------------------------------

A, B = pl.col("a"), pl.col("b")


@pytest.mark.parametrize(
    ("expr", "alone"),
    [
        (A > B, True),
        (A.is_in([1, 2]) | B.is_null(), True),
        (pl.when(A > 1).then(A).otherwise(B) == 2, True),
        (A.cast(pl.String).str.contains("1"), True),
        (A.fill_null(0).is_between(0, 9), True),
        (pl.sql_expr("a % 2 = 0 AND ROUND(b, 1) > 0 AND a IN (1, 2)"), True),
        (A.mean() < A, False),
        (A.shift(1) < A, False),
        (A.is_duplicated(), False),
        (A.sum().over("b") > 1, False),
        (A.rank() > 1, False),
        (A.cum_sum() > 1, False),
        (A.forward_fill() > 1, False),
        (A.fill_null(strategy="mean") > 1, False),
        (A.is_in(B.implode()), False),
        (A.map_batches(lambda values: values > 1), False),
        (A.sort() > 1, False),
    ],
)
def test_what_speaks_of_a_row_alone(expr: pl.Expr, alone: bool) -> None:
    assert is_separable(expr) == alone


def test_expressions_over_other_rows_are_asked_of_the_whole_table() -> None:
    n = 300_000  # more than a batch
    frame = pl.DataFrame({"a": np.arange(n), "b": np.arange(n) // 2})
    rules = (
        Rule.of("near the mean", pl.col("a") < pl.col("a").mean() * 1.99999),
        Rule.of("grows", pl.col("a") > pl.col("a").shift(1)),
        Rule.of("two of each", pl.len().over("b") == 2),
        Rule.of("mean", pl.col("a").mean() > 10**9),
        Rule(name="sql", expr="MAX(a) < 5"),
    )
    contract = of(frame, rules=rules)
    assert Contract.from_toml(contract.to_toml()) == contract
    result = check(contract, frame.lazy())
    mean = (n - 1) / 2
    late = int((frame["a"] >= mean * 1.99999).sum())
    assert [one.failing_rows for one in result.results] == [late, 0, 0, None, None]
    assert [one.passed for one in result.results] == [False, True, True, False, False]
    assert result.results[0].examples[0].row == n - late + 1


def test_an_aggregate_that_breaks_leaves_the_others_standing() -> None:
    frame = pl.DataFrame({"s": ["1", "x"], "a": [1, 2]})
    sql = ("SUM(CAST(s AS INT)) = 1", "COUNT(s) = 2", "MAX(s) = 'y'", "AVG(a) > 1", "COUNT(*) = 2", "SUM(a) < 3")
    result = check(of(frame, rules=tuple(Rule(name=text, expr=text) for text in sql)), frame)
    assert [(one.passed, one.error is None) for one in result.results] == [
        (False, False), (True, True), (False, True), (True, True), (True, True), (False, True),
    ]  # fmt: skip


def test_monotone_looks_over_the_edges_of_batches() -> None:
    n = 400_000
    values = np.arange(n)
    values[131_072] = 0
    frame = pl.DataFrame({"a": pl.Series(values).set(pl.Series(values == 262_143), None)})
    for table in (frame, frame.lazy()):
        found = only(check(of(frame, monotone=("a",)), table))
        assert (found.failing_rows, found.examples[0].row) == (1, 131_073)


class Counted(FrameRows):
    """A table that counts how often it is read, and of which columns."""

    def __init__(self, frame: pl.DataFrame) -> None:
        super().__init__(frame)
        self.readings: list[set[str]] = []

    def batches(self, columns: Sequence[str]) -> Iterator[tuple[int, pl.DataFrame]]:
        self.readings.append(set(columns))
        for start, batch in super().batches(columns):
            yield start, batch.select(columns)


def test_a_table_that_keeps_its_contract_is_read_once() -> None:
    n = 300_000
    frame = pl.DataFrame({"a": range(n), "s": [f"s{i}" for i in range(n)], "x": [1.5] * n, "unused": [0] * n})
    world = Here(tables={"all": frame, "d@1": frame}, before=n)
    contract = of(
        frame,
        key=("a",),
        unique=(("s", "x"),),
        monotone=("a",),
        max_of_previous=2,
        references=(Reference(columns=("s",), of="all"),),
        drift=(Drift(column="x", since="d@1"),),
        slices=(Slice(name="s", where="x > 1", min_rows=n),),
        rules=(Rule(name="r", expr="a >= 0"),),
    )
    rows = Counted(frame)
    with Held(contract, rows, world) as held:
        assert held.result.passed
        assert held.result.rows == n
    assert rows.readings == [{"a", "s", "x"}]
    broken = Counted(frame.with_columns(s=pl.col("s").replace("s299999", "s0")))
    with Held(contract, broken, world) as held:
        (found,) = held.result.failures
        assert [one.row for one in found.examples] == [1, n]
    assert broken.readings == [{"a", "s", "x"}, {"s", "x"}, {"s", "x"}], "to prove, and to show"


def test_an_expression_with_python_inside_is_refused() -> None:
    with pytest.raises(UsageError, match="can't be kept"):
        Rule.of("r", pl.col("a").map_batches(lambda values: values))


def test_a_rule_that_only_breaks_on_a_late_value_leaves_the_others_standing() -> None:
    frame = pl.DataFrame({"s": ["1"] * 200_000 + ["x"]})
    rules = (Rule(name="number", expr="CAST(s AS INT) = 1"), Rule(name="short", expr="LENGTH(s) < 1"))
    number, short = check(of(frame, rules=rules), frame).results
    assert not number.passed
    assert number.error
    assert short.failing_rows == 200_001


# --- what can't be evaluated, what contradicts itself ------------------------------------------------------------


def test_rules_that_need_a_workspace_say_so_without_one() -> None:
    frame = pl.DataFrame({"a": [1]})
    contract = of(
        frame,
        min_of_previous=0.5,
        references=(Reference(columns=("a",), of="others@latest"),),
        drift=(Drift(column="a", since="d@1"),),
    )
    results = check(contract, frame).results
    assert len(results) == 3
    assert all("workspace" in str(one.error) and not one.passed for one in results)
    world = Here(tables={"d@1": pl.DataFrame({"b": [1]})}, before=1)
    said = [str(one) for one in check(contract, frame, world).failures]
    assert ["no dataset" in said[0], "no column 'a'" in said[1]] == [True, True]


FRAME = pl.DataFrame({"a": [1], "on": [dt.date(2020, 1, 1)]})


@pytest.mark.parametrize(
    ("terms", "says"),
    [
        ({"min_rows": 3, "max_rows": 2}, "above max_rows"),
        ({"min_of_previous": 3, "max_of_previous": 2}, "above max_of_previous"),
        ({"max_of_previous": -1}, "multiple"),
        ({"max_rows": -1}, "number of rows"),
        ({"unique": (("a", "b"),)}, "'b' is no column"),
        ({"unique": ((),)}, "no columns"),
        ({"references": (Reference(columns=(), of="x"),)}, "no column"),
        ({"references": (Reference(columns=("b",), of="x"),)}, "'b' is no column"),
        ({"references": (Reference(columns=("a",), of="x", to=("b", "c")),)}, "2 columns for 1"),
        ({"references": (Reference(columns=("a",), of=" "),)}, "no dataset"),
        ({"fresh": (Fresh(column="a", within="2d"),)}, "no dates"),
        ({"fresh": (Fresh(column="on", within="two days"),)}, "no span"),
        ({"drift": (Drift(column="b", since="d@1"),)}, "'b' is no column"),
        ({"drift": (Drift(column="a", since="d@1", most=1.5),)}, "no distance"),
        ({"drift": (Drift(column="a", since=""),)}, "no snapshot"),
        ({"slices": (Slice(name="a", where="a > 1"),)}, "demands nothing"),
        ({"slices": (Slice(name="a", where="a >", min_rows=1),)}, "SQL"),
        ({"slices": (Slice(name="a", where="a > 1", min_rows=0),)}, "met by nothing"),
        ({"slices": (Slice(name="a", where="a > 1", min_share=2),)}, "no share"),
        ({"slices": (Slice(name="a", where="a > 1", min_rows=1),) * 2}, "taken"),
        ({"rules": (Rule(name="a"),)}, "either SQL or polars"),
        ({"rules": (Rule(name="a", expr="a > 1", polars="{}"),)}, "either SQL or polars"),
    ],
)
def test_terms_that_contradict_themselves(terms: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        of(FRAME, **terms).to_toml()
    assert isinstance(caught.value, ClewError)
    assert caught.value.mend


def test_all_terms_survive_their_text() -> None:
    contract = of(
        FRAME,
        max_rows=9,
        min_of_previous=0.5,
        max_of_previous=2.0,
        unique=(("a", "on"), ("a",)),
        references=(Reference(columns=("a",), of="o@latest", to=("b",), severity="warning", note="n"),),
        fresh=(Fresh(column="on", within="2d", against="occurred_at"),),
        drift=(Drift(column="a", since="d@1", most=0.2),),
        slices=(Slice(name="s", where="a > 1", min_rows=1, min_share=0.5),),
        rules=(Rule.of("r", pl.col("a").is_in([1, 2])),),
    )
    assert Contract.from_toml(contract.to_toml()) == contract


def test_an_expression_of_another_polars_is_a_failure_that_says_so() -> None:
    rule = Rule(name="r", polars='{"NoSuchNode": 1}', note="x")
    found = only(check(of(FRAME, rules=(rule,)), FRAME))
    assert not found.passed
    assert found.error


def test_a_kept_expression_never_loads_code(tmp_path: Path) -> None:
    mark = tmp_path / "ran"

    def marked(values: pl.Series) -> pl.Series:
        mark.touch()
        return values > 1

    expr = pl.col("a").map_batches(marked)
    found = only(check(of(FRAME, rules=(Rule(name="r", polars=expr.meta.serialize(format="json")),)), FRAME))
    assert "Python function" in str(found.error)
    assert not mark.exists()
