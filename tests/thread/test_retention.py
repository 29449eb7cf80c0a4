"""Retention and holds: what goes, what stays, and that what stays can still be had; with real kills in between."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.projects import Project, made
from tests.thread.filled import fill, opened, predictions

from clew import models
from clew.catalog import Catalog, now
from clew.catalog.commands import CreateEndpoint, MoveAlias, PlaceHold, StartRollout
from clew.catalog.tables import builds, data, serving
from clew.catalog.tables import models as tables
from clew.data import checkout, find, verify
from clew.data._gc import collect
from clew.errors import NotFoundError, RefusedError, UsageError
from clew.models.rebuild import rebuild
from clew.models.restore import restore
from clew.serving.journal import Journal, Prediction, find_prediction, seals
from clew.thread import why
from clew.thread.doctor import examine
from clew.thread.holds import hold, holds, release, resolve
from clew.thread.retention import Retention, apply_retention, plan_retention
from clew.thread.used_by import model_used_by, snapshot_used_by
from clew.workspace import Workspace

PIPELINE = """
import numpy as np

class Slope:
    def __init__(self, slope):
        self.slope = slope
    def predict(self, rows):
        return rows["x"].to_numpy() * self.slope

@clew.step
def keep(rows: pl.DataFrame) -> pl.DataFrame:
    return rows

@clew.step
def train(rows: pl.DataFrame) -> clew.Model:
    return clew.Model(Slope(float((rows["y"] / rows["x"]).mean())), example=rows.select("x"))

@clew.step
def evaluate(model: clew.Model, rows: pl.DataFrame) -> clew.Evaluation:
    return clew.Evaluation({"mae": float(abs(model.predict(rows) - rows["y"].to_numpy()).mean())})

@clew.pipeline
def slope(points: pl.DataFrame = clew.dataset("points@latest")) -> None:
    rows = keep(points)
    model = train(rows)
    clew.register("slope", model=model, evaluation=evaluate(model, rows), train=rows, test=rows, target="y")
"""


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    yield from made(tmp_path / "project")


def grown(project: Project) -> dict[int, str]:
    """Six versions of a model, each of its own snapshot; the second is live, the third aliased. Ids by version."""
    project.write(PIPELINE)
    catalog = project.workspace.catalog
    for number in range(1, 7):
        points = {"x": [float(at) for at in range(1, 40)], "y": [2.0 * at + number for at in range(1, 40)]}
        project.workspace.add("points", pl.DataFrame(points))
        assert project.run().models == [f"slope@{number}"]
    ids = {one.version: one.id for one in models.all_versions(project.workspace, "slope")}
    owner = str(catalog.get(tables.model_versions, ids[3]).model_id)
    catalog.execute(CreateEndpoint(name="slope", model_version_id=ids[2], occurred_at=now()))
    catalog.execute(MoveAlias(owner_kind="model", owner_id=owner, alias="good", to_id=ids[3]))
    return ids


def everything() -> Retention:
    """A rule that keeps nothing for being new."""
    return Retention(now() + timedelta(seconds=1))


def states(project: Project) -> dict[str, str]:
    return {one.reference: one.state for one in models.all_versions(project.workspace, "slope")}


def test_what_is_live_aliased_held_or_newest_stays_with_all_that_it_needs(project: Project, tmp_path: Path) -> None:
    grown(project)
    workspace = project.workspace
    hold(workspace, "slope@4", "case 17")
    hold(workspace, "points@5", "audit")
    told = plan_retention(workspace, everything())
    assert json.loads(json.dumps(told)) == told
    assert told["goes"]["model_versions"] == ["slope@1", "slope@5"]
    assert told["goes"]["snapshots"] == ["points@1"]
    assert {reason: one["such_as"] for reason, one in told["stays"]["model_versions"].items()} == {
        "aliased": ["slope@3"],
        "held": ["slope@4"],
        "live": ["slope@2"],
        "newest": ["slope@6"],
    }
    assert told["stays"]["snapshots"]["trained a version that stays"]["count"] == 3
    assert told["stays"]["snapshots"]["held"]["such_as"] == ["points@5"]
    assert "slope@1 can no longer be restored, rebuilt or served" in told["lost"]
    assert "points@1 can no longer be checked out or trained on" in told["lost"]
    assert set(states(project).values()) == {"accepted"}, "a plan changes nothing"
    before = collect(workspace, grace=timedelta(0), dry_run=True).objects

    done = apply_retention(workspace, everything())
    assert (done["model_versions"], done["snapshots"], done["contents"]) == (2, 1, 1)
    assert done["artifacts"] == told["goes"]["artifacts"] > 0
    assert {name for name, state in states(project).items() if state == "expired"} == {"slope@1", "slope@5"}
    collected = collect(workspace, grace=timedelta(0))
    assert collected.objects > before
    assert all(one["ok"] for one in examine(workspace))
    assert all(one.fault is None for one in verify([find(workspace, f"points@{n}") for n in range(1, 7)]))
    for number in (2, 3, 4, 6):
        version = models.find(workspace, f"slope@{number}")
        assert restore(version, tmp_path / f"restored-{number}")["model"] == f"slope@{number}"
        assert version.load().predict(pl.DataFrame({"x": [1.0]})).shape == (1,)
    assert rebuild(models.find(workspace, "slope@2"))["verdict"] == "identical"
    # What is gone says so, and how it can be mended.
    for refused in (
        lambda: models.find(workspace, "slope@1").load(),
        lambda: restore(models.find(workspace, "slope@5"), tmp_path / "never"),
        lambda: find(workspace, "points@1").collect(),
        lambda: checkout(find(workspace, "points@1"), tmp_path / "never.parquet"),
    ):
        with pytest.raises(RefusedError, match="expired by a rule of retention") as caught:
            refused()
        assert caught.value.mend
    assert not (tmp_path / "never").exists()
    shown = project.start("data", "show", "points@1")
    assert (shown.wait(), "expired" in shown.stdout) == (0, True)
    assert snapshot_used_by(workspace, "points@1")["state"] == "expired"
    assert model_used_by(workspace, "slope@1")["state"] == "expired"
    # Once more there is nothing to do, and the source can be added again.
    again = apply_retention(workspace, everything())
    assert set(again.values()) == {0}
    points = {"x": [float(at) for at in range(1, 40)], "y": [2.0 * at + 1 for at in range(1, 40)]}
    back = workspace.add("points", pl.DataFrame(points))
    assert (back.version, back.collect()["y"][0]) == (7, 3.0)
    assert project.run().models == ["slope@7"]


def test_what_is_new_or_among_the_newest_stays(project: Project) -> None:
    grown(project)
    told = plan_retention(project.workspace, Retention(now() - timedelta(days=90)))
    assert (told["goes"]["model_versions"], told["goes"]["snapshots"], told["lost"]) == ([], [], [])
    told = plan_retention(project.workspace, Retention(now() + timedelta(seconds=1), keep_last=3))
    assert told["goes"]["model_versions"] == ["slope@1"]


def test_a_run_that_runs_keeps_what_it_reads(project: Project) -> None:
    grown(project)
    catalog = project.workspace.catalog
    run_id = str(catalog.get(tables.model_versions, models.find(project.workspace, "slope@1").id).run_id)
    with catalog.engine.connect().execution_options(clew_write=True) as connection, connection.begin():
        connection.execute(builds.runs.update().where(builds.runs.c.id == run_id).values(state="running"))
    assert plan_retention(project.workspace, everything())["goes"]["snapshots"] == ["points@4", "points@5"]


@pytest.mark.parametrize("where", ["in the transaction", "before the segments", "in the collection"])
def test_a_kill_leaves_all_or_nothing_and_the_next_call_goes_on(project: Project, where: str, tmp_path: Path) -> None:
    ids = grown(project)
    workspace = project.workspace
    journal(workspace, ids[2], segments=4)
    kill = "lambda *a, **k: os.kill(os.getpid(), signal.SIGKILL)"
    patch = {
        "in the transaction": f"import clew.catalog.commands.retention as r; r._forget_steps = {kill}",
        "before the segments": f"import clew.thread.retention as r; r.delete_expired_segments = {kill}",
        "in the collection": "import clew.objects.folder as f; old = f.FolderStore.delete; count = []\n"
        "def delete(*a, **k):\n    count.append(1)\n    "
        "return old(*a, **k) if len(count) < 4 else os.kill(os.getpid(), 9)\n"
        "f.FolderStore.delete = delete",
    }[where]
    words = ["retention", "apply", "--newer-than", now().isoformat(), "--yes"]
    if where == "in the collection":
        apply_retention(workspace, everything())
        words = ["data", "gc", "--grace-hours", "0"]
    child = project.start(*words, before=f"import os, signal\n{patch}")
    assert child.wait() == -signal.SIGKILL, child.stderr
    if where == "in the transaction":
        assert set(states(project).values()) == {"accepted"}
        assert len(list(seals(workspace.journal))) == 4
    else:
        assert states(project)["slope@1"] == "expired"
    if where == "before the segments":
        assert len(list(seals(workspace.journal))) == 4
    apply_retention(workspace, everything())
    assert len(list(seals(workspace.journal))) == 1
    collect(workspace, grace=timedelta(0))
    assert all(one["ok"] for one in examine(workspace))
    for number in (2, 3, 6):
        restore(models.find(workspace, f"slope@{number}"), tmp_path / f"restored-{number}")


def journal(workspace: Workspace, version_id: str, *, segments: int) -> list[str]:
    """A prediction in each of so many sealed segments, of some days ago; their ids, the oldest first."""
    from clew.catalog.columns import new_id

    ids = []
    for number in range(segments):
        at = int((now() - timedelta(days=10 * (segments - number))).timestamp() * 1e6)
        with Journal(workspace.journal, "server-1") as writer:
            one = Prediction(
                id=new_id(), endpoint="slope", request_id="r", row=0, model_version="slope@2",
                model_version_id=version_id, role="champion", share=1.0, reason="only one", route_revision=1,
                occurred_at=at, recorded_at=at, inputs={"x": 1.0}, output=2.0, latency_us=3,
            )  # fmt: skip
            writer.append([one]).result()
            ids.append(one.id)
    return ids


def test_segments_past_their_time_go_and_why_says_when(project: Project) -> None:
    ids = grown(project)
    workspace = project.workspace
    asked = journal(workspace, ids[2], segments=4)
    rule = Retention(now() - timedelta(days=3650), journal_newer_than=now() - timedelta(days=25))
    assert [one["segment"] for one in plan_retention(workspace, rule)["goes"]["segments"]] == [1, 2]
    assert "2 predictions can no longer be asked why" in plan_retention(workspace, rule)["lost"]
    hold(workspace, "endpoint:slope", "a complaint")
    assert plan_retention(workspace, rule)["goes"]["segments"] == []
    release(workspace, "endpoint:slope")
    done = apply_retention(workspace, rule)
    assert (done["segments"], done["segments_deleted"], done["model_versions"]) == (2, 2, 0)
    assert find_prediction(workspace.journal, asked[0]) is None
    with pytest.raises(NotFoundError, match="expired on 20"):
        why(workspace, asked[0])
    assert why(workspace, asked[2])["prediction"]["id"] == asked[2]
    rows = workspace.catalog.rows(serving.journal_segments.select())
    assert {(row.sequence, row.state) for row in rows} >= {(1, "expired"), (2, "expired")}
    # The newest segment stays, however old it is.
    assert apply_retention(workspace, everything())["segments_deleted"] == 1
    assert len(list(seals(workspace.journal))) == 1


def test_holds_of_all_kinds_are_placed_listed_and_released(tmp_path: Path) -> None:
    with opened(tmp_path) as workspace:
        filled = fill(workspace)
        things = {
            "house-sales@1": "snapshot",
            "house-price@1": "version",
            filled.runs["failed"]: "run",
            "endpoint:house-price": "endpoint",
            "house-sales": "dataset",
            "model:house-price": "model",
        }
        for reference, kind in things.items():
            assert hold(workspace, reference, "case 17")["kind"] == kind
        assert hold(workspace, "house-sales@1", "case 17")["hold"] in {one["hold"] for one in holds(workspace)}
        assert [one["kind"] for one in reversed(holds(workspace))] == list(things.values())
        assert {one["held"] for one in holds(workspace)} >= {"house-sales@1", "house-price@1", "house-sales"}
        told = plan_retention(workspace, everything())
        assert (told["goes"]["model_versions"], told["goes"]["snapshots"]) == ([], [])
        for reference in things:
            assert release(workspace, reference)["holds"] == 1
        assert holds(workspace) == []
        with pytest.raises(NotFoundError, match="is not held"):
            release(workspace, "house-sales@1")
        with pytest.raises(UsageError, match="may be several things"):
            resolve(workspace, "house-price")
        for wrong in ("nobody", "house-sales@9", "run:house-sales", "0" * 32, "a@b@c"):
            with pytest.raises((NotFoundError, UsageError)):
                hold(workspace, wrong, "case 17")
        with pytest.raises(UsageError, match="needs its reason"):
            hold(workspace, "house-sales@1", "  ")


@pytest.fixture(params=["sqlite", "postgresql"])
def catalog(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Catalog]:
    url = (
        f"sqlite:///{tmp_path / 'c.sqlite'}"
        if request.param == "sqlite"
        else request.getfixturevalue("postgres_database")
    )
    with Catalog(url) as opened_catalog:
        opened_catalog.upgrade()
        yield opened_catalog


def test_the_story_of_all_commands_expires_the_same_on_both_databases(catalog: Catalog) -> None:
    from tests.catalog import story

    answers, _ = story.tell(catalog, lambda command: command)
    assert {"model_versions": 1, "snapshots": 1, "contents": 1, "artifacts": 1, "segments": 2} in answers
    gone = [row.version for row in catalog.rows(data.snapshots.select()) if row.state == "expired"]
    assert gone == [2]
    champion = next(row for row in catalog.rows(tables.model_versions.select()) if row.state == "expired")
    endpoint = catalog.rows(serving.endpoints.select())[0]
    live = catalog.rows(serving.route_targets.select())[-1]
    with pytest.raises(RefusedError, match="expired"):
        catalog.execute(CreateEndpoint(name="other", model_version_id=str(champion.id), occurred_at=now()))
    with pytest.raises(RefusedError):
        catalog.execute(
            StartRollout(
                endpoint_id=str(endpoint.id), champion_id=str(live.model_version_id), candidate_id=str(champion.id),
                plan={}, occurred_at=now(),
            )
        )  # fmt: skip
    with pytest.raises(NotFoundError):
        catalog.execute(PlaceHold(kind="run", target_id="00000000-0000-7000-8000-000000000000", reason="x"))


def test_the_command_line_refuses_what_cannot_be_meant(tmp_path: Path) -> None:
    with opened(tmp_path) as workspace:
        fill(workspace)

    def clew(*words: str) -> "subprocess.CompletedProcess[str]":
        environment = {**os.environ, "CLEW_WORKSPACE": str(tmp_path)}
        return subprocess.run(
            [sys.executable, "-m", "clew.cli", *words], env=environment, capture_output=True, text=True, check=False
        )

    for words, code, said in (
        (("retention", "apply", "--newer-than", "90d"), 2, "--dry-run first"),
        (("retention", "plan", "--newer-than", "soon"), 2, "no date or time"),
        (("retention", "plan", "--newer-than", "2999-01-01"), 2, "still to come"),
        (("retention", "plan"), 2, "--newer-than"),
        (("hold", "add", "nobody", "--reason", "x"), 3, "nothing is called"),
        (("hold", "add", "house-sales@1"), 2, "needs its reason"),
        (("hold", "remove", "house-sales@1"), 3, "is not held"),
    ):
        answer = clew(*words)
        assert (answer.returncode, said in answer.stderr) == (code, True), (words, answer.stderr)
    dry: Any = json.loads(clew("retention", "apply", "--newer-than", "1d", "--dry-run", "--json").stdout)
    assert dry["goes"]["model_versions"] == []
    assert clew("retention", "apply", "--newer-than", "1d", "--yes").returncode == 0
    assert "case 9" in clew("hold", "add", "house-sales@1", "--reason", "case 9").stdout
    assert "case 9" in clew("hold", "list").stdout
    assert clew("retention", "plan", "--newer-than", datetime.now(UTC).isoformat()).returncode == 0


def test_predictions_of_a_version_on_hold_stay(tmp_path: Path) -> None:
    with opened(tmp_path) as workspace:
        filled = fill(workspace)
        with Journal(workspace.journal, "server-1") as writer:
            writer.append(predictions(filled, 1)).result()
        rule = Retention(datetime(2026, 1, 1, tzinfo=UTC), journal_newer_than=now())
        assert len(plan_retention(workspace, rule)["goes"]["segments"]) == 1
        hold(workspace, "house-price@1", "case 17")
        assert plan_retention(workspace, rule)["goes"]["segments"] == []
