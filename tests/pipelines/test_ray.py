"""Steps on a real Ray cluster, a node of which is lost midway; and on machines that have not got the code."""

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa
from tests.pipelines.test_executors import KINDS, ids
from tests.projects import Project, status
from tests.servers.s3 import S3Server

import clew
from clew import pipelines
from clew.catalog.tables import builds
from clew.pipelines.executors.processes import close_pools
from clew.workspace import init

SPREAD = """
import time
@clew.step
def part(rows: pl.DataFrame, number: int) -> pl.DataFrame:
    time.sleep(0.7)
    return rows.with_columns(z=pl.col("x") * number)
@clew.step
def whole(parts: list[pl.DataFrame]) -> float:
    return pl.concat(parts)["z"].sum()
@clew.pipeline
def main(rows: pl.DataFrame = clew.dataset("houses@latest"), count: int = 16) -> None:
    whole(part.map(rows, number=list(range(count))))
"""
HOUSES = pl.DataFrame({"x": [1.0, 2.0, 3.0], "y": [2.0, 4.0, 6.0]})


@pytest.fixture
def team(
    tmp_path: Path, s3_server: S3Server, postgres_database: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[clew.Session]:
    """A team's workspace: PostgreSQL and S3."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3_server.access_key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3_server.secret_access_key)
    init(tmp_path / "team", catalog=postgres_database, objects=s3_server.url())
    with clew.open_workspace(tmp_path / "team") as workspace:
        workspace.add("houses", HOUSES)
        yield workspace


def test_on_a_machine_without_the_code_it_is_laid_out(
    team: clew.Session, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.workspace.add("houses", HOUSES)
    project.write("def doubled(x):\n    return x * 2", "helper.py")
    project.write(KINDS)
    here = project.run(executor="inline")
    pipeline, path = pipelines.load(str(project.code / "pipeline.py"))
    monkeypatch.setattr(platform, "node", lambda: "another machine")
    there = pipelines.run(team, pipeline, path, executor="processes")
    assert there.notes == []
    assert set(status(there).values()) == {"ran"}
    assert _content(team, there.run) == {name: found for name, (found, _) in ids(project, here.run).items()}
    # What it can't have there runs here, and so does everything where the workspace is a folder.
    project.write(KINDS.replace("@clew.step\ndef rows", '@clew.step(files=["helper.py"])\ndef rows'))
    pipeline, path = pipelines.load(str(project.code / "pipeline.py"))
    notes = pipelines.run(team, pipeline, path, executor="processes").notes
    assert [note for note in notes if "rows ran in the pipeline's own process: it reads files" in note]
    project.write(KINDS.replace("* 2", "* 3"))
    pipeline, path = pipelines.load(str(project.code / "pipeline.py"))
    local = pipelines.run(project.workspace, pipeline, path, executor="processes", settings={})
    assert all("folder of another machine" in note for note in local.notes)
    close_pools()


def _content(workspace: Any, run: str) -> dict[tuple[str, str], str]:
    s, x, a = builds.steps.c, builds.step_artifacts.c, builds.artifacts.c
    rows = workspace.catalog.rows(
        sa.select(s.name, x.name.label("output"), a.content_id)
        .join(builds.step_artifacts, x.step_id == s.id)
        .join(builds.artifacts, a.id == x.artifact_id)
        .where(s.run_id == run, x.direction == "out")
    )
    return {(row.name, row.output): row.content_id for row in rows}


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A head and two more nodes, all on this machine; a busy one takes its time."""
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    made: Any = None
    for _ in range(3):
        try:
            made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
            others = [made.add_node(num_cpus=1) for _ in range(2)]
            break
        except Exception:  # noqa: BLE001 - a node that took longer than Ray waits
            if made is not None:
                made.shutdown()
            made = None
    assert made is not None, "Ray could not be started"
    yield made, others
    made.shutdown()


def begun(folder: Path, code: Path, address: str) -> "subprocess.Popen[str]":
    words = [sys.executable, "-m", "clew.cli", "run", "pipeline.py", "--executor", "ray", "--json"]
    env = {**os.environ, "RAY_ADDRESS": address, "CLEW_WORKSPACE": str(folder)}
    return subprocess.Popen(words, cwd=code, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.mark.slow
def test_a_node_is_lost_and_the_run_ends_with_the_same_ids(team: clew.Session, project: Project, cluster: Any) -> None:
    project.workspace.add("houses", HOUSES)
    project.write(SPREAD)
    nodes, others = cluster
    # A folder can't be reached from several nodes: that is said before anything runs there.
    refused = begun(project.folder, project.code, nodes.address)
    _, said = refused.communicate(timeout=240)
    assert refused.returncode == 2, said
    assert "mend: clew init --catalog postgresql://" in said
    child = begun(team.root, project.code, nodes.address)
    ran = sa.select(sa.func.count()).select_from(builds.steps).where(builds.steps.c.state == "ran")
    end = time.monotonic() + 240
    while time.monotonic() < end and child.poll() is None and team.catalog.rows(ran)[0][0] < 4:
        time.sleep(0.1)
    others[0].kill_raylet()
    out, said = child.communicate(timeout=400)
    assert child.returncode == 0, said
    assert out.startswith("{"), out
    answer = json.loads(out)
    assert {step["status"] for step in answer["steps"]} == {"ran"}
    here = project.run(executor="inline")
    assert _content(team, answer["run"]) == {name: found for name, (found, _) in ids(project, here.run).items()}


SCORED = """
from sklearn.linear_model import LinearRegression
@clew.step
def kept(houses: pl.DataFrame) -> pl.DataFrame:
    return houses.filter(pl.col("x") >= 0)
@clew.step
def train(rows: pl.DataFrame) -> clew.Model:
    return clew.Model(LinearRegression().fit(rows.select("x"), rows["y"]), example=rows.select("x"))
@clew.step
def evaluate(model: clew.Model, rows: pl.DataFrame) -> clew.Evaluation:
    return clew.Evaluation({"mae": 0.0})
@clew.pipeline(accept=[clew.at_most("mae", 1)])
def main(houses: pl.DataFrame = clew.dataset("houses@latest")) -> None:
    rows = kept(houses)
    model = train(rows)
    clew.register("line", model=model, evaluation=evaluate(model, rows), train=rows, test=rows, target="y")
"""


@pytest.mark.slow
def test_the_example_scores_a_snapshot(project: Project) -> None:
    pytest.importorskip("ray.data")
    many = pl.DataFrame({"sale_id": range(120_000), "x": [float(one) for one in range(120_000)]})
    project.workspace.add("houses", many.with_columns(y=pl.col("x") * 3 + 1))
    project.write(SCORED)
    project.run()
    example = Path(__file__).parents[2] / "examples/house_prices/score_on_ray.py"
    words = [sys.executable, str(example), "houses@latest", "line@latest", "scores"]
    env = {**os.environ, "CLEW_WORKSPACE": str(project.folder), "RAY_USAGE_STATS_ENABLED": "0"}
    done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, done.stderr
    assert "scores@1: 120,000 rows, scored by line@1" in done.stdout
    scores = project.workspace.snapshot("scores@1").collect()
    assert scores["sale_id"].to_list() == many["sale_id"].to_list()
    assert scores["prediction"].to_list() == pytest.approx((many["x"] * 3 + 1).to_list(), abs=0.01)
