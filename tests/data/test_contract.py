import datetime as dt
import math
from decimal import Decimal
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clew.data.contract import CheckResult, Column, Contract, Rule, RuleResult, check, infer, read_schema
from clew.errors import ClewError, DataError, UsageError

TEXT = """\
dataset = "house-sales"
min_rows = 2
key = ["id"]
monotone = ["sold_on"]

[columns.id]
type = "string"
nullable = false
pattern = '^S\\d+$'

[columns.sold_on]
type = "date"
min = 1990-01-01

[columns."price, usd"]
type = "int64"
max_missing_share = 0.5
zero_means_unknown = true
min = 1
max = 1000

[columns.wall]
type = "string"
allowed = ["wood", "brick"]
severity = "warning"

[[rules]]
name = "dear ones are brick"
expr = "\\"price, usd\\" < 900 OR wall = 'brick'"
severity = "warning"
"""


def good() -> pl.DataFrame:
    return pl.DataFrame(
        {
            "id": ["S1", "S2", "S3", "S4"],
            "sold_on": [dt.date(1993, 1, 1), None, dt.date(1993, 1, 2), dt.date(1993, 1, 2)],
            "price, usd": [0, None, 950, 7],
            "wall": ["wood", None, "brick", "wood"],
        }
    )


def find(result: CheckResult, rule: str, column: str | None = None) -> RuleResult:
    found = [item for item in result.results if item.rule == rule and item.column == column]
    assert len(found) == 1, [str(item) for item in result.results]
    return found[0]


def broken(contract: Contract, frame: pl.DataFrame) -> list[tuple[str | None, str, int | None]]:
    return [(item.column, item.rule, item.failing_rows) for item in check(contract, frame.lazy()).failures]


def test_reads_what_it_writes() -> None:
    contract = Contract.from_toml(TEXT)
    assert contract.columns["sold_on"].min == dt.date(1990, 1, 1)
    assert contract.to_toml() == TEXT
    assert Contract.from_toml(contract.to_toml()) == contract
    assert read_schema(contract) == {
        "id": pl.String(),
        "sold_on": pl.Date(),
        "price, usd": pl.Int64(),
        "wall": pl.String(),
    }


NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


@st.composite
def any_column(draw: st.DrawFn) -> Column:
    kind, values = draw(
        st.sampled_from(
            [
                ("int64", st.integers(-(2**60), 2**60)),
                ("float64", st.floats(allow_nan=False)),
                ("date", st.dates()),
                ("timestamp[us]", st.datetimes()),
                ("time[ns]", st.times()),
                ("string", None),
                ('enum["a", "b,]"]', None),
                ('struct["a]": list[int8], "b": array[float32, 2]]', None),
            ]
        )
    )
    pair: list[Any] = [None, None] if values is None else [draw(values), draw(values)]
    pair.sort(key=lambda bound: (bound is not None, bound))
    return Column(
        type=kind,
        min=pair[0],
        max=draw(st.sampled_from([None, pair[1]])),
        allowed=draw(st.none() | st.lists(WORDS, min_size=1).map(tuple)) if kind == "string" else None,
        pattern=draw(st.none() | st.sampled_from([r"^\d'$", "a\tb", r"\w"])) if kind == "string" else None,
        max_missing_share=draw(st.none() | st.floats(0, 1)),
        unique=draw(st.booleans()),
        note=draw(WORDS),
    )


@settings(max_examples=150, deadline=None)
@given(NAMES.filter(str.strip), st.dictionaries(NAMES, any_column(), max_size=4), WORDS)
def test_any_contract_survives_its_text(dataset: str, columns: dict[str, Column], expr: str) -> None:
    rule = Rule(name=repr(expr), expr="'" + expr.replace("'", "''").replace("\\", "/") + "' = 'x'")
    contract = Contract(dataset=dataset, columns=columns, rules=(rule,), key=tuple(columns)[:1], min_rows=3)
    assert Contract.from_toml(contract.to_toml()) == contract


def test_a_good_table_passes() -> None:
    result = check(Contract.from_toml(TEXT), good().lazy())
    assert result.passed
    assert not result.failures
    assert result.rows == 4
    assert find(result, "max_missing_share 0.5", "price, usd").failing_rows == 2


@pytest.mark.parametrize(
    ("change", "column", "rule", "rows"),
    [
        ({"id": ["S1", None, "S3", "S4"]}, "id", "not null", [2]),
        ({"id": ["S1", "x", "S3", "S4"]}, "id", "pattern ^S\\d+$", [2]),
        ({"id": ["S1", "S2", "S4", "S4"]}, None, "key id is unique", [3, 4]),
        ({"sold_on": [dt.date(1989, 12, 31), None, None, None]}, "sold_on", "min 1990-01-01", [1]),
        ({"sold_on": [dt.date(1995, 1, 1), None, dt.date(1994, 1, 1), None]}, None, "monotone sold_on", [3]),
        ({"price, usd": [1, 2, -3, 1001]}, "price, usd", "min 1", [3]),
        ({"price, usd": [1, 2, -3, 1001]}, "price, usd", "max 1000", [4]),
        ({"wall": ["wood", "Wood", None, "mud"]}, "wall", "allowed", [2, 4]),
        ({"price, usd": [1, 2, 950, 960]}, None, "dear ones are brick", [4]),
    ],
)
def test_a_broken_rule_names_its_rows(
    change: dict[str, list[Any]], column: str | None, rule: str, rows: list[int]
) -> None:
    frame = good().with_columns(pl.Series(name, values) for name, values in change.items())
    result = check(Contract.from_toml(TEXT), frame.lazy())
    if rule.startswith("monotone"):
        column = None
    found = next(item for item in result.results if item.rule == rule and item.column in {column, "sold_on"})
    assert not found.passed
    assert found.failing_rows == len(rows)
    assert found.share == len(rows) / 4
    assert [example.row for example in found.examples] == rows
    for example in found.examples:
        for name, value in example.values.items():
            assert value == frame[name][example.row - 1]
    assert result.passed == (
        found.severity == "warning" and all(item.severity == "warning" for item in result.failures)
    )


def test_missing_shares_count_null_nan_and_unknown_zeros() -> None:
    column = Column(type="float64", zero_means_unknown=True, max_missing_share=0.5, min=1.0)
    contract = Contract(dataset="d", columns={"x": column})
    assert broken(contract, pl.DataFrame({"x": [None, math.nan, 0.0, 1.0, 2.0, 3.0]})) == []
    assert broken(contract, pl.DataFrame({"x": [None, math.nan, 0.0, 2.0]})) == [("x", "max_missing_share 0.5", 3)]
    strict = Contract(dataset="d", columns={"x": Column(type="float64", nullable=False, max=9.0)})
    assert broken(strict, pl.DataFrame({"x": [None, math.nan, 0.0]})) == [("x", "not null", 2)]


def test_schema_changes_are_named() -> None:
    frame = good().drop("wall").with_columns(pl.col("price, usd").cast(pl.Float64), extra=1)
    result = check(Contract.from_toml(TEXT), frame.lazy())
    lines = "\n".join(result.describe_failures())
    assert find(result, "type", "price, usd").detail == "float64 instead of int64"
    assert find(result, "present", "wall").detail == "a column that vanished"
    assert find(result, "known column", "extra").severity == "warning"
    rule = find(result, "dear ones are brick")
    assert rule.error is not None
    assert "wall" in rule.error
    assert not rule.passed
    assert "a column that vanished" in lines
    assert not result.passed
    lost = check(Contract.from_toml(TEXT), good().drop("id", "sold_on").lazy())
    assert find(lost, "key id").error == "id vanished or changed type"
    assert find(lost, "monotone sold_on").error == "sold_on vanished or changed type"


@pytest.mark.parametrize(
    ("expr", "passed", "error"),
    [
        ("x > 0", True, None),
        ("x > 1", False, None),
        ("COUNT(*) = 3", True, None),
        ("COUNT(*) > 3", False, None),
        ("x + 1", False, "true or false"),
        ("y > 1", False, "y"),
        ("s > 1", False, ""),
        ("CAST(s AS INTEGER) > 1", False, ""),
    ],
)
def test_rules_of_sql(expr: str, passed: bool, error: str | None) -> None:
    frame = pl.DataFrame({"x": [1, None, 2], "s": ["1", "a", "3"]})
    columns = {"x": Column(type="int64", max=1), "s": Column(type="string")}
    result = check(Contract(dataset="d", columns=columns, rules=(Rule(name="r", expr=expr),)), frame.lazy())
    found = find(result, "r")
    assert found.passed == passed
    assert (found.error is None) == (error is None)
    if error is not None:
        assert error in str(found.error)
        assert "can't be evaluated" in str(found)
    # one bad rule leaves the others standing
    assert find(result, "max 1", "x").failing_rows == 1


def test_no_rows() -> None:
    contract = Contract.from_toml(TEXT)
    assert broken(contract, good().clear()) == [(None, "min_rows", None)]


def test_types_are_compared_by_meaning() -> None:
    frame = pl.DataFrame(
        {
            "c": pl.Series(["a"], dtype=pl.Categorical),
            "e": pl.Series(["a"], dtype=pl.Enum(["a", "b"])),
            "d": pl.Series([Decimal("1.5")], dtype=pl.Decimal(5, 1)),
            "t": pl.Series([dt.datetime(2020, 1, 1, tzinfo=dt.UTC)]),
            "u": pl.Series([5], dtype=pl.UInt64),
        }
    )
    columns = {
        "c": Column(type="string", allowed=("a",), pattern="a"),
        "e": Column(type='enum["a","b"]', allowed=("a",)),
        "d": Column(type="decimal[5,1]", min=1, max=1.6),
        "t": Column(type="timestamp[us, UTC]", min=dt.datetime(2019, 1, 1, tzinfo=dt.UTC)),
        "u": Column(type="uint64", min=-1, max=2**70),
    }
    contract = Contract(dataset="d", columns=columns)
    assert broken(contract, frame) == []
    assert broken(Contract.from_toml(contract.to_toml().replace('["a"]', '["b"]')), frame) == [
        ("c", "allowed", 1),
        ("e", "allowed", 1),
    ]


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        ("min_rows = 2", "min_rows = ", 2, "invalid value"),
        ('key = ["id"]', 'key = ["nope"]', 3, "'nope' is no column"),
        ("min_rows = 2", 'min_rows = "two"', 2, "int"),
        ("min_rows = 2", "rows = 2", 2, "rows"),
        ('type = "date"', 'type = "day"', 12, "'day' is not a type"),
        ('type = "date"\n', "", 11, "type"),
        ("min = 1\n", "min = 2000\n", 19, "above max"),
        ("min = 1\n", 'min = "a"\n', 19, "no bound for int64"),
        ("min = 1\n", "minimum = 1\n", 19, "minimum"),
        ("max_missing_share = 0.5", "max_missing_share = 50", 17, "no share"),
        ('allowed = ["wood", "brick"]', "allowed = []", 24, "no value at all"),
        ('allowed = ["wood", "brick"]', "allowed = [1]", 24, "1 is no string"),
        ('severity = "warning"', 'severity = "bad"', 25, "bad"),
        ("pattern = '^S\\d+$'", "pattern = '('", 9, "regular expression"),
        ("nullable = false", "nullable = false\nmax_missing_share = 0.1", 9, "nullable is false"),
        (" OR wall = 'brick'", " OR", 29, "SQL"),
    ],
)
def test_an_unreadable_or_contradictory_contract(old: str, new: str, line: int, says: str) -> None:
    assert old in TEXT
    with pytest.raises((DataError, UsageError)) as caught:
        Contract.from_toml(TEXT.replace(old, new, 1))
    error = caught.value
    assert isinstance(error, ClewError)
    assert f"line {line}" in error.message
    assert says in error.message
    assert error.mend


def test_contracts_made_in_python_are_checked_too() -> None:
    contract = Contract(dataset="d", columns={"x": Column(type="int64", min=2, max=1)})
    with pytest.raises(UsageError, match="above max"):
        check(contract, pl.LazyFrame({"x": [1]}))
    rules = (Rule(name="a", expr="x > 1"), Rule(name="a", expr="x > 2"))
    with pytest.raises(UsageError, match="taken"):
        Contract(dataset="d", columns={"x": Column(type="int64")}, rules=rules).to_toml()


# --- inferred ----------------------------------------------------------------------------------------------------


def test_inferred_from_few_rows_says_types_only() -> None:
    contract = infer(pl.LazyFrame({"x": [1, None], "s": ["a", "b"]}), "d")
    assert contract == Contract(dataset="d", columns={"x": Column(type="int64"), "s": Column(type="string")})


def test_inferred_from_no_rows() -> None:
    assert infer(pl.DataFrame(schema={"x": pl.Float64}), "d").columns == {"x": Column(type="float64")}


@pytest.fixture
def sales() -> pl.DataFrame:
    random = np.random.default_rng(7)
    n = 4000
    day = np.sort(random.integers(0, 1500, n))
    price = np.exp(random.normal(11, 0.6, n)) * (1 + day / 3000)
    depth = np.where(random.random(n) < 0.1, 0.0, np.clip(random.normal(38, 6, n), 10, None))
    garage = random.random(n) < 0.6
    return pl.DataFrame(
        {
            "sale_id": [f"S{i:05d}" for i in range(n)],
            "sold_on": pl.Series((day + 8000).astype(np.int32)).cast(pl.Date),
            "price": price.round().astype(int),
            "beds": random.poisson(2.2, n) + 1,
            "depth": depth,
            "garage": np.where(garage, "yes", "no"),
            "garage_m2": np.where(garage, random.normal(30, 4, n), 0.0),
            "lat": random.normal(41.6, 0.1, n),
            "north": random.normal(221_000, 3_000, n),
            "wall": random.choice(["wood", "brick", "stone"], n),
            "rare": [f"kind{i % 400}" if i < 400 else "kind0" for i in range(n)],
            "note": pl.Series([None if x < 0.2 else "fine" for x in random.random(n)]),
            "ok": random.random(n) < 0.5,
        }
    )


def test_inferred_with_margins(sales: pl.DataFrame) -> None:
    contract = infer(sales.head(2000), "sales")
    columns = contract.columns
    assert contract.key == ("sale_id",)
    assert contract.monotone == ("sold_on",)
    assert contract.min_rows == 1000
    assert columns["sale_id"].pattern == r"^S\d{5,}$"
    assert columns["sold_on"].max is None
    assert columns["price"].max >= 5 * int(sales["price"].max())  # type: ignore[arg-type]
    assert 0 < columns["price"].min < int(sales["price"].min())  # type: ignore[arg-type]
    assert columns["depth"].zero_means_unknown
    assert not columns["garage_m2"].zero_means_unknown
    assert (columns["lat"].min, columns["lat"].max) == (-90, 90)
    assert columns["north"].min > 150_000
    assert columns["wall"].allowed == ("brick", "stone", "wood")
    assert columns["rare"].allowed is None
    assert columns["note"].nullable
    assert check(contract, sales.tail(2000).lazy()).describe_failures() == []
    assert Contract.from_toml(contract.to_toml()) == contract


@pytest.mark.parametrize(
    ("change", "column"),
    [
        ({"price": pl.lit(0)}, "price"),
        ({"price": pl.col("price") * 100}, "price"),
        ({"price": -pl.col("price")}, "price"),
        ({"depth": 0.0}, "depth"),
        ({"north": pl.col("north") / 1000}, "north"),
        ({"wall": pl.col("wall").str.to_uppercase()}, "wall"),
        ({"note": pl.lit(None, pl.String)}, "note"),
        ({"beds": pl.col("beds") * 1000}, "beds"),
        ({"sold_on": pl.date(1970, 1, 1)}, "sold_on"),
        ({"sale_id": pl.lit("S1")}, None),
        ({"price": pl.col("price").cast(pl.Float64)}, "price"),
    ],
)
def test_inferred_catches_gross_errors(sales: pl.DataFrame, change: dict[str, Any], column: str | None) -> None:
    contract = infer(sales.head(2000), "sales")
    result = check(contract, sales.tail(2000).with_columns(**change).lazy())
    assert not result.passed
    assert column in {item.column for item in result.failures}


def test_inferred_over_many_types() -> None:
    n = 50
    frame = pl.DataFrame(
        {
            "e": pl.Series(["a", "b"] * 25, dtype=pl.Enum(["a", "b"])),
            "l": [[1, 2]] * n,
            "s": [{"a": 1}] * n,
            "d": pl.Series([Decimal("1.5"), Decimal("2.5")] * 25, dtype=pl.Decimal(5, 1)),
            "t": pl.Series([dt.datetime(2020, 1, 1, tzinfo=dt.UTC) + dt.timedelta(hours=i) for i in range(n)]),
            "clock": [dt.time(1)] * n,
            "gap": [dt.timedelta(1)] * n,
            "null": [None] * n,
            "nan": [math.nan] * n,
            "inf": [math.inf, 1.0] * 25,
            "b": [b"x"] * n,
            "neg": range(-25, 25),
            "u8": pl.Series(range(n), dtype=pl.UInt8),
        }
    )
    contract = infer(frame, "d")
    assert Contract.from_toml(contract.to_toml()) == contract
    assert check(contract, frame.lazy()).describe_failures() == []
