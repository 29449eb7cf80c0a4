"""What records or varies a run holds the contracts of what it reads, as a run does."""

from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa
from tests.projects import Project

import clew
from clew import pipelines
from clew.catalog.tables import builds, data
from clew.data.contract import Column, Contract
from clew.errors import RefusedError
from clew.pipelines.sweep import sweep

FRAME = pl.DataFrame({"area": [50.0, 60.0, 70.0]})
CHECKS = data.contract_checks.c
CONTRACT = Contract(dataset="sales", columns={"area": Column(type="float64", min=1.0)})
PIPELINE = """
@clew.step
def score(rows: pl.DataFrame, depth: int) -> float:
    return float(rows["area"].sum()) + depth
@clew.pipeline
def main(depth: int = 1, rows: pl.DataFrame = clew.dataset("sales@latest")) -> None:
    score(rows, depth)
"""


def of_runs(project: Project) -> int:
    """How many checks were recorded with a run."""
    query = (
        sa.select(sa.func.count()).select_from(data.contract_checks).where(data.contract_checks.c.run_id.is_not(None))
    )
    return int(project.workspace.catalog.rows(query)[0][0])


def test_a_script_and_a_sweep_are_refused_what_breaks_its_contract(project: Project) -> None:
    session = clew.open_workspace(project.folder)
    session.add("sales", FRAME * -1)
    session.add("sales", FRAME, contract=CONTRACT)
    with clew.record("by-hand", workspace=str(project.folder)) as run:
        run.use("sales@2")
    assert of_runs(project) == 1
    refused = clew.record("by-hand", workspace=str(project.folder))
    with pytest.raises(RefusedError, match="sales@1 breaks its contract"), refused as run:
        run.use("sales@1")
    project.write("import polars as pl\n" + PIPELINE)
    pipeline, path = pipelines.load(str(project.code / "pipeline.py"))
    asked: dict[str, Any] = {"metric": "score", "direction": "minimize", "trials": 2, "executor": "inline"}
    sweep(project.workspace, pipeline, path, {"depth": "1,2"}, **asked)
    assert of_runs(project) == 3
    before = len(project.workspace.catalog.rows(sa.select(builds.runs.c.id)))
    with pytest.raises(RefusedError, match="nothing was run"):
        sweep(project.workspace, pipeline, path, {"depth": "1,2", "rows": "sales@1"}, **asked)
    assert len(project.workspace.catalog.rows(sa.select(builds.runs.c.id))) == before
