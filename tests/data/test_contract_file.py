"""Contracts in files: TOML, Python, schemas of dataframely and pandera."""

import runpy
import textwrap
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from clew.data import Contract, add, find
from clew.data._contract_file import read
from clew.data.contract import check
from clew.data.contracts import check_snapshot, newest
from clew.errors import ClewError, DataError, NotFoundError, RefusedError, StepError, UsageError
from clew.workspace import Workspace

FRAME = pl.DataFrame({"id": [1, 2, 3, 3], "kind": ["a", "b", "XX", None], "price": [1.0, 60.0, -1.0, 120.0]})


def write(folder: Path, text: str, name: str = "rules.py") -> Path:
    path = folder / name
    path.write_text(textwrap.dedent(text))
    return path


def broken(contract: Contract, frame: pl.DataFrame = FRAME) -> dict[str, tuple[int | None, bool]]:
    """The rules that failed, with their rows and whether an error stopped them."""
    return {
        f"{one.column}: {one.rule}" if one.column else one.rule: (one.failing_rows, one.error is not None)
        for one in check(contract, frame).failures
    }


def test_a_contract_in_python(tmp_path: Path, workspace: Workspace) -> None:
    write(tmp_path, "LIMIT = 100\n", "limits_of_houses.py")
    path = write(
        tmp_path,
        """
        import polars as pl
        from limits_of_houses import LIMIT
        from clew.data.contract import Column, Contract, Rule

        HOUSES = Contract(
            dataset="houses",
            columns={"id": Column(type="int64"), "price": Column(type="float64")},
            extra_columns="ignore",
            rules=(
                Rule.of("dear", pl.col("price") < LIMIT),
                Rule.of("near", pl.col("price") < pl.col("price").mean() * 2),
            ),
        )
        """,
    )
    contract = read(path, "houses")
    assert broken(contract) == {"dear": (1, False), "near": (1, False)}
    assert read(f"{path}:HOUSES", "houses") == contract
    good = FRAME.head(1)
    add(workspace, "houses", good, contract=contract)
    assert newest(workspace, "houses") == contract
    path.unlink()
    with pytest.raises(RefusedError, match="dear"):
        add(workspace, "houses", FRAME)


def test_a_schema_of_dataframely(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        """
        import dataframely as dy
        import polars as pl

        class House(dy.Schema):
            id = dy.Int64(primary_key=True, min=1)
            kind = dy.String(nullable=False, regex="^[a-z]+$", max_length=1)
            price = dy.Float64(nullable=True, min_exclusive=0, check=lambda price: price != 60)

            @dy.rule()
            def cheap(cls) -> pl.Expr:
                return pl.col("price") < 100

            @dy.rule()
            def few_of_each(cls) -> pl.Expr:
                return pl.len().over("id") < 2

            @dy.rule()
            def python(cls) -> pl.Expr:
                return pl.col("id").map_batches(lambda ids: ids > 1)
        """,
    )
    contract = read(path, "houses")
    assert contract.key == ("id",)
    assert (contract.columns["kind"].pattern, contract.columns["id"].min) == ("^[a-z]+$", 1)
    assert contract.made_from.startswith("dataframely 3.")
    assert [one.name for one in contract.code] == ["python"]
    assert Contract.from_toml(contract.to_toml()) == contract
    wanted = {
        "key id is unique": (2, False), "kind: not null": (1, False), "kind: pattern ^[a-z]+$": (1, False),
        "kind: max_length": (1, False), "price: min_exclusive": (1, False), "price: check": (1, False),
        "cheap": (1, False), "few_of_each": (2, False), "python": (1, False),
    }  # fmt: skip
    assert broken(contract) == wanted
    good, failure = runpy.run_path(str(path))["House"].filter(FRAME)
    assert good.height == 0
    assert sum(failure.counts().values()) == sum(rows or 0 for rows, _ in wanted.values())


PANDERA = """
import pandera.polars as pa
import polars as pl

HOUSES = pa.DataFrameSchema(
    {
        "id": pa.Column(pl.Int64, pa.Check.ge(1), unique=True),
        "kind": pa.Column(pl.String, [pa.Check.isin(["a", "b"]), pa.Check.str_length(1, 1)], nullable=True),
        "price": pa.Column(
            pl.Float64,
            [
                pa.Check.in_range(0, 100, include_max=False),
                pa.Check(lambda data: data.lazyframe.select(pl.col(data.key) != 60), name="sixty"),
                pa.Check(lambda value: value > 1, element_wise=True, raise_warning=True, name="one by one"),
                pa.Check(lambda data: data.lazyframe.select(pl.col(data.key).mean() < 10), name="mean"),
                pa.Check(lambda data: 1 / 0, name="wrong"),
            ],
        ),
        "garden": pa.Column(pl.Int64, required=False),
    },
    unique=["id", "kind"],
    strict=True,
    checks=pa.Check(lambda data: data.lazyframe.select(pl.col("price") > pl.col("id")), name="above id"),
)
"""


def test_a_schema_of_pandera(tmp_path: Path) -> None:
    path = write(tmp_path, PANDERA)
    contract = read(path, "houses")
    assert {one.name for one in contract.code} == {
        "price: sixty", "price: one by one", "price: mean", "price: wrong", "above id",
    }  # fmt: skip
    assert Contract.from_toml(contract.to_toml()) == contract
    found = broken(contract, FRAME.with_columns(extra=1))
    assert found == {
        "id: unique": (2, False), "kind: isin(['a', 'b'])": (1, False), "kind: str_length(1, 1)": (1, False),
        "price: in_range(0, 100, True, False)": (2, False), "price: sixty": (1, False),
        "price: one by one": (2, False), "price: mean": (4, False), "price: wrong": (None, True),
        "above id": (2, False), "extra: known column": (None, False),
    }  # fmt: skip
    result = check(contract, FRAME)
    assert {one.rule: one.severity for one in result.failures}["price: one by one"] == "warning"


def test_a_model_of_pandera(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        """
        import pandera.polars as pa

        class House(pa.DataFrameModel):
            id: int = pa.Field(gt=1)
            kind: str = pa.Field(nullable=True, str_matches="[a-z]")
        """,
    )
    assert broken(read(f"{path}:House", "houses")) == {
        "id: greater_than(1)": (1, False), "kind: str_matches([a-z])": (1, False),
    }  # fmt: skip


def test_code_that_is_gone_or_changed_is_a_failure_that_says_so(tmp_path: Path, workspace: Workspace) -> None:
    path = write(
        tmp_path,
        """
        import pandera.polars as pa
        import polars as pl

        S = pa.DataFrameSchema(
            {"id": pa.Column(pl.Int64, pa.Check(lambda data: data.lazyframe.select(pl.col("id") > 0), name="own"))}
        )
        """,
    )
    found = add(workspace, "houses", FRAME).snapshot
    assert check_snapshot(workspace, found, read(path, "houses")).passed
    path.write_text(path.read_text() + "\n")
    (own,) = [one for one in check_snapshot(workspace, found).failures if one.rule == "id: own"]
    assert "has changed" in str(own.error)
    path.unlink()
    with pytest.raises(RefusedError, match="isn't there"):
        add(workspace, "houses", FRAME.head(2))
    assert find(workspace, "houses").version == 1


@pytest.mark.parametrize(
    ("text", "kind", "says"),
    [
        ("x = 1", NotFoundError, "no contract"),
        ("x = (", StepError, "SyntaxError"),
        ("raise KeyError('q')", StepError, "KeyError"),
        ("from clew.data import Contract\na = Contract(dataset='d', columns={})\nb = a", UsageError, "several"),
        ("from clew.data import Contract\na = Contract(dataset=' ', columns={})", UsageError, "no name"),
        (
            "import pandera.polars as pa\ns = pa.DataFrameSchema({'a': pa.Column(int, coerce=True)})",
            UsageError,
            "casting",
        ),
        ("import pandera.polars as pa\ns = pa.DataFrameSchema({'a': pa.Column()})", UsageError, "without a type"),
        (
            "import pandera.polars as pa\ns = pa.DataFrameSchema({'a.*': pa.Column(int, regex=True)})",
            UsageError,
            "pattern of column names",
        ),
        (
            "import pandera.polars as pa\ns = pa.DataFrameSchema({'a': pa.Column(int)}, strict='filter')",
            UsageError,
            "dropping",
        ),
    ],
)
def test_python_that_is_no_contract(tmp_path: Path, text: str, kind: type[ClewError], says: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(kind, match=says) as caught:
        read(path, "d")
    assert caught.value.mend


def test_files_that_are_no_contract(tmp_path: Path) -> None:
    cases: list[tuple[Any, type[ClewError]]] = [
        (tmp_path / "none.toml", NotFoundError),
        (f"{tmp_path}/none.py:X", NotFoundError),
        (write(tmp_path, "x = [", "a.toml"), DataError),
        (tmp_path / "b.toml", DataError),
    ]
    (tmp_path / "b.toml").write_bytes(b"\xff\xfe")
    for named, kind in cases:
        with pytest.raises(kind) as caught:
            read(named, "d")
        assert caught.value.mend
    with pytest.raises(NotFoundError, match="no contract Y"):
        read(f"{write(tmp_path, 'x = 1')}:Y", "d")


def test_a_contract_for_another_table() -> None:
    contract = Contract.from_toml('dataset = "d"\n[columns.a]\ntype = "int64"\n')
    with pytest.raises(UsageError, match="another table"):
        check(contract, FRAME)


def test_what_the_guide_shows_is_a_contract(tmp_path: Path) -> None:
    guide = (Path(__file__).parents[2] / "docs/guides/a-contract-for-your-data.md").read_text()
    toml = guide.split("```toml\n")[1].split("```")[0]
    contract = Contract.from_toml(toml)
    assert contract.references
    assert contract.fresh
    assert contract.drift
    assert contract.slices
    python = write(tmp_path, guide.split("```python\n")[1].split("```")[0])
    assert read(f"{python}:HOUSES", "house-sales").rules[0].name == "no outlier"
