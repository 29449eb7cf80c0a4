"""`clew data add --quarantine`, `clew contract quarantine`, and runs that a contract refuses."""

from pathlib import Path

import polars as pl
import pytest
import sqlalchemy as sa
from tests.cli.conftest import Cli

from clew.catalog.tables import data
from clew.workspace import open_folder

CONTRACT = """
dataset = "t"
key = ["id"]

[columns.id]
type = "int64"

[columns.size]
type = "float64"
min = 0.5

[[rules]]
name = "small"
expr = "size < 100"
severity = "warning"
"""
PIPELINE = """
import clew
import polars as pl

@clew.step
def count(rows: pl.DataFrame) -> dict:
    return {"rows": rows.height}

@clew.pipeline()
def p(rows: pl.DataFrame = clew.dataset("t@latest")) -> None:
    count(rows)
"""


@pytest.fixture
def table(home: Path) -> Path:
    (home / "t.toml").write_text(CONTRACT)
    (home / "p.py").write_text(PIPELINE)
    frame = pl.DataFrame({"id": range(50), "size": [200.0 if n == 7 else 0.1 if n == 9 else 1.0 for n in range(50)]})
    frame.write_parquet(home / "bad.parquet")
    frame.filter(pl.col("size") > 0.5).write_parquet(home / "good.parquet")
    return home


def test_a_quarantine_from_refusal_to_its_end(cli: Cli, table: Path) -> None:
    said = cli("data", "add", "t", "bad.parquet", "--contract", "t.toml")
    assert said.code == 6
    assert "1 failing row is in quarantine" in said.err
    assert cli("data", "list", "--json").json() == []
    added = cli("data", "add", "t", "bad.parquet", "--contract", "t.toml", "--quarantine", "--json")
    assert added.code == 0
    assert (added.json()["rows"], added.json()["set_apart"]) == (49, 1)
    assert "NOT stored" in added.err
    (one,) = cli("contract", "quarantine", "list", "--json").json()
    assert (one["id"], one["rows"], one["of"]) == (added.json()["quarantine"], 1, 50)
    assert one["most"] == "min 0.5"
    assert "min 0.5" in cli("contract", "quarantine", "list", "t").out
    shown = cli("contract", "quarantine", "show", "t", "--json").json()
    assert shown["failing"] == [{"clew_row": 10, "clew_rules": ["size: min 0.5"], "id": 9, "size": 0.1}]
    assert "row 10: size: min 0.5" in cli("contract", "quarantine", "show", one["id"][-8:]).out
    assert cli("contract", "quarantine", "export", "t", "f.csv", "--json").json()["rows"] == 1
    assert cli("contract", "quarantine", "export", "t", "f.csv").code == 6
    assert cli("contract", "quarantine", "forget", "t").code == 2
    assert cli("contract", "quarantine", "forget", "t", "--yes").code == 0
    assert "let go" in cli("contract", "quarantine", "show", "t").out
    assert cli("contract", "quarantine", "export", "t", "g.csv").code == 3
    assert cli("contract", "quarantine", "show", "nothing").code == 3


def checks() -> list[tuple[bool, bool]]:
    """Whether each check is of a run, and whether it passed."""
    with open_folder() as workspace:
        rows = workspace.catalog.rows(sa.select(data.contract_checks).order_by(data.contract_checks.c.id))
        return [(row.run_id is not None, row.passed) for row in rows]


def test_a_run_refuses_what_breaks_the_newest_contract_and_records_what_keeps_it(cli: Cli, table: Path) -> None:
    assert cli("data", "add", "t", "bad.parquet").code == 0
    assert cli("run", "p.py", "--json").json()["status"] == "done"  # no contract yet
    assert checks() == []
    assert cli("data", "add", "t", "good.parquet", "--contract", "t.toml").code == 0
    assert cli("run", "p.py", "--json").json()["status"] == "done"
    assert checks() == [(False, True), (True, True)]
    assert cli("runs", "show", "latest", "--json").json()["inputs"][0]["contract"] == "t contract 1"
    assert "passed t contract 1" in cli("runs", "show", "latest").out
    said = cli("run", "p.py", "--pin", "rows=t@1")
    assert said.code == 6
    assert "t@1 breaks its contract; nothing was run" in said.err
    assert "size: min 0.5" in said.err
    assert len(cli("runs", "list", "--json").json()) == 2
    assert checks() == [(False, True), (True, True), (False, False)]
    assert cli("contract", "check", "t@1").code == 6


def test_a_run_asks_again_what_depends_on_the_moment(cli: Cli, table: Path) -> None:
    (table / "f.toml").write_text(CONTRACT + '\n[[references]]\ncolumns = ["id"]\nof = "ids@latest"\n')
    pl.DataFrame({"id": range(60)}).write_parquet("ids.parquet")
    assert cli("data", "add", "ids", "ids.parquet").code == 0
    assert cli("data", "add", "t", "good.parquet", "--contract", "f.toml").code == 0
    assert cli("run", "p.py").code == 0
    pl.DataFrame({"id": range(5)}).write_parquet("ids.parquet")
    assert cli("data", "add", "ids", "ids.parquet").code == 0
    said = cli("run", "p.py")
    assert said.code == 6
    assert "id in ids@latest" in said.err
