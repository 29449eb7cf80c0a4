"""Sweeps: trials that share steps, go on where they stopped, find what is good, and register that alone."""

import json
import time
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa
from tests.projects import Project

from clew import pipelines
from clew.catalog.tables import builds
from clew.errors import StepError, UsageError
from clew.pipelines import history
from clew.pipelines.executors.processes import close_pools
from clew.pipelines.space import Choices, Range, parse
from clew.pipelines.sweep import SweepResult, sweep

BOWL = """
@clew.step
def rows(n: int) -> list[float]:
    return [float(x) for x in range(n)]
@clew.step
def features(rows: list[float]) -> list[float]:
    return [x + 1 for x in rows]
@clew.step
def loss(rows: list[float], depth: int, rate: float, kind: str) -> float:
    {fails}
    return (depth - 6) ** 2 + abs(rate - 0.1) + (0.0 if kind == "good" else 3.0)
@clew.pipeline
def main(n: int = 3, depth: int = 4, rate: float = 0.5, kind: str = "good") -> None:
    loss(features(rows(n)), depth, rate, kind)
"""
SPACE = {"depth": "2..10", "rate": "log:1e-3..1", "kind": "good,bad"}


def swept(project: Project, trials: int, settings: dict[str, Any] = SPACE, **options: Any) -> SweepResult:
    pipeline, path = pipelines.load(str(project.code / "pipeline.py"))
    given: dict[str, Any] = {"metric": "loss", "direction": "minimize", "executor": "inline", **options}
    return sweep(project.workspace, pipeline, path, settings, trials=trials, **given)


def test_the_best_is_found_and_what_made_the_difference(project: Project) -> None:
    project.write(BOWL.format(fails=""))
    found = swept(project, 60)
    assert len(found.trials) == 60
    assert found.best is not None
    assert found.best.parameters["depth"] == 6
    assert found.best.parameters["kind"] == "good"
    assert found.best.value is not None
    assert found.best.value < 0.5
    assert sum(found.importance.values()) == pytest.approx(1)
    assert max(found.importance, key=lambda name: found.importance[name]) == "depth"
    # Chance alone, with as many trials, does worse.
    chance = swept(project, 60, {**SPACE, "n": 4}, sampler="random").best
    assert chance is not None
    assert found.best.value <= (chance.value or 0)
    # Shared steps ran once; each trial is a run below the sweep's.
    s, r = builds.steps.c, builds.runs.c
    ran = project.workspace.catalog.rows(
        sa.select(s.name, sa.func.count().label("times"))
        .join(builds.runs, r.id == s.run_id)
        .where(s.state == "ran", r.parent_run_id == found.run)
        .group_by(s.name)
    )
    assert {row.name: row.times for row in ran if row.name != "loss"} == {"rows": 1, "features": 1}
    run = history.show(project.workspace, found.run)
    assert run["status"] == "done"
    assert run["metrics"] == {"loss": found.best.value}
    assert [one["run"] for one in history.list_runs(project.workspace)][-1] == found.run


def test_a_sweep_goes_on_where_it_stopped(project: Project) -> None:
    project.write(BOWL.format(fails=""))
    first = swept(project, 7)
    again = swept(project, 10)
    assert [one.run for one in again.trials[:7]] == [one.run for one in first.trials]
    assert [one.parameters for one in again.trials[:7]] == [one.parameters for one in first.trials]
    assert len(again.trials) == 10
    assert len({json.dumps(one.parameters) for one in again.trials}) > 7
    assert swept(project, 10).trials == again.trials
    project.write(BOWL.format(fails="pass").replace("- 6", "- 5"))  # other code: these are other trials
    assert len(swept(project, 2).trials) == 2


def test_trials_that_fail(project: Project) -> None:
    project.write(BOWL.format(fails="if depth < 5: raise ValueError('too shallow')"))
    found = swept(project, 30)
    assert found.best is not None
    assert found.best.parameters["depth"] >= 5
    assert {one.state for one in found.trials} == {"done", "failed"}
    project.write(BOWL.format(fails="raise ValueError('never')"))
    with pytest.raises(StepError, match="never"):
        swept(project, 30)
    assert history.show(project.workspace, "latest")["status"] == "failed"
    assert len(project.workspace.catalog.rows(sa.select(builds.runs.c.id).where(builds.runs.c.state == "running"))) == 0


def test_a_grid_is_gone_through_once(project: Project) -> None:
    project.write(BOWL.format(fails=""))
    space = {"depth": "4..8:2", "rate": "0.1..0.3:0.1", "kind": "good,bad"}
    found = swept(project, 5, space, sampler="grid")
    assert len(found.trials) == 5
    found = swept(project, 100, space, sampler="grid")
    assert len({json.dumps(one.parameters) for one in found.trials}) == len(found.trials) == 18
    with pytest.raises(UsageError, match="no grid"):
        swept(project, 5, {"rate": "0.0..1"}, sampler="grid")


@pytest.mark.parametrize(
    ("settings", "options", "says"),
    [
        ({"depth": "6"}, {}, "nothing is varied"),
        ({"deep": "4..8"}, {}, "no parameter 'deep'"),
        ({"depth": "0.5..8"}, {}, "depth is a whole number"),
        ({"kind": "1..2"}, {}, "kind is a str"),
        ({"depth": "8..4"}, {}, "8 is not below 4"),
        ({"rate": "log:0..1"}, {}, "begins above 0"),
        ({"rate": "a..b"}, {}, "no range"),
        ({"kind": "a,,b"}, {}, "empty choice"),
        ({"depth": "4..8"}, {"metric": "mae"}, "no step gives 'mae'"),
        ({"depth": "4..8"}, {"trials": 0}, "say nothing"),
    ],
)
def test_what_is_wrong_is_said(project: Project, settings: Any, options: Any, says: str) -> None:
    project.write(BOWL.format(fails=""))
    with pytest.raises(UsageError, match=says):
        swept(project, options.pop("trials", 3), settings, **options)


def test_spaces_are_read() -> None:
    assert parse("x", "4..8") == Range(4, 8, whole=True)
    assert parse("x", "log:1e-4..1") == Range(1e-4, 1, whole=False, log=True)
    assert parse("x", "-1.5..2:0.5") == Range(-1.5, 2, whole=False, step=0.5)
    assert parse("x", "a, b") == Choices(("a", "b"))
    assert parse("x", "7") is parse("x", 7) is parse("x", "../data/x") is None
    assert [str(parse("x", text)) for text in ("4..8", "log:0.1..1", "0..1:0.25", "a,b")] == [
        "4..8", "log:0.1..1", "0..1:0.25", "a,b"
    ]  # fmt: skip


MODEL = """
import numpy as np
from sklearn.tree import DecisionTreeRegressor
@clew.step
def kept(houses: pl.DataFrame) -> pl.DataFrame:
    return houses.filter(pl.col("x") >= 0)
@clew.step
def train(rows: pl.DataFrame, depth: int) -> clew.Model:
    model = DecisionTreeRegressor(max_depth=depth, random_state=0).fit(rows.select("x"), rows["y"])
    return clew.Model(model, example=rows.select("x"))
@clew.step
def evaluate(model: clew.Model, rows: pl.DataFrame) -> clew.Evaluation:
    return clew.Evaluation({"mae": float(np.abs(model.predict(rows.select("x")) - rows["y"].to_numpy()).mean())})
@clew.pipeline(accept=[clew.at_most("mae", 1e9)])
def main(houses: pl.DataFrame = clew.dataset("rows@latest"), depth: int = 1) -> None:
    rows = kept(houses)
    model = train(rows, depth)
    clew.register("tree", model=model, evaluation=evaluate(model, rows), train=rows, test=rows, target="y")
"""


def test_only_the_best_is_registered(project: Project) -> None:
    project.workspace.add(
        "rows", pl.DataFrame({"x": [float(x) for x in range(64)], "y": [x * x / 9 for x in range(64)]})
    )
    project.write(MODEL)
    found = swept(project, 4, {"depth": "1..5"}, metric="mae", sampler="grid", executor="processes", workers=2)
    assert found.last is not None
    assert found.last.models == ["tree@1"]
    assert found.best is not None
    assert found.last.metrics["mae"] == found.best.value
    assert {step.status for step in found.last.steps if step.name != "register tree"} == {"cached"}
    whole = swept(project, 9, {"depth": "1..5"}, metric="mae", sampler="grid", executor="processes", workers=2)
    assert len(whole.trials) == 5
    assert whole.best is not None
    assert whole.best.parameters == {"depth": 5}


def test_a_sweep_on_the_command_line_killed_and_begun_again(project: Project) -> None:
    project.write(BOWL.format(fails="import time; time.sleep(0.1)"))
    words = ["sweep", "pipeline.py", "--trials", "12", "--minimize", "loss", "--workers", "2", "--json"]
    words += [word for name, text in SPACE.items() for word in ("--set", f"{name}={text}")]
    child = project.start(*words)
    r = builds.runs.c
    trials = sa.select(r.state).where(r.parent_run_id.is_not(None))
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if sum(row.state == "done" for row in project.workspace.catalog.rows(trials)) >= 3:
            break
        time.sleep(0.05)
    child.kill()
    assert child.wait() < 0
    kept = sum(row.state == "done" for row in project.workspace.catalog.rows(trials))
    assert 3 <= kept < 12
    again = project.start(*words)
    assert again.wait() == 0, again.stderr
    answer = json.loads(again.stdout)
    assert len(answer["trials"]) == 12
    assert answer["best"]["value"] == min(one["value"] for one in answer["trials"])
    states = [row.state for row in project.workspace.catalog.rows(trials)]
    assert states.count("done") == 12
    assert set(states) <= {"done", "interrupted"}


FOLDS = """
@clew.step
def fold(number: int, depth: int) -> float:
    {fails}
    return (depth - 6) ** 2 + number / 10
@clew.step
def loss(folds: list[float]) -> float:
    return sum(folds) / len(folds)
@clew.pipeline
def main(depth: int = 4) -> None:
    scores = []
    for number in range(8):
        scores.append(fold(number, depth))
    loss(scores)
"""


@pytest.mark.parametrize("pruner", ["median", "halving"])
@pytest.mark.parametrize("executor", ["inline", "processes"])
def test_trials_that_are_worse_on_the_way_are_ended_early(project: Project, pruner: Any, executor: Any) -> None:
    project.write(FOLDS.format(fails=""))
    options: dict[str, Any] = {"sampler": "random", "prune": "fold", "pruner": pruner, "executor": executor}
    found = swept(project, 20, {"depth": "0..40"}, **options)
    early = [trial for trial in found.trials if trial.pruned]
    assert 3 <= len(early) <= 18
    assert found.best is not None
    # None that was ended was better than the best; and what was ended hadn't run to its end.
    assert min(abs(trial.parameters["depth"] - 6) for trial in early) >= abs(found.best.parameters["depth"] - 6)
    for trial in early:
        run = history.show(project.workspace, trial.run)
        assert run["status"] == "cancelled"
        assert run["error"].startswith("ended early: fold")
        assert run["steps"][-1] == {
            "name": "loss", "status": "skipped", "why": "the trial was ended early", "error": None
        }  # fmt: skip
    if executor == "inline":
        assert any(len([one for one in run["steps"] if one["status"] == "ran"]) < 8 for run in [
            history.show(project.workspace, trial.run) for trial in early])  # fmt: skip
    again = swept(project, 24, {"depth": "0..40"}, **options)
    known = {one.run: (one.state, one.on_the_way) for one in again.trials}
    assert {one.run: known[one.run] for one in found.trials} == {
        one.run: (one.state, one.on_the_way) for one in found.trials
    }
    close_pools()


def test_an_error_is_no_early_end(project: Project) -> None:
    project.write(FOLDS.format(fails="if depth > 20 and number == 1: raise ValueError('too deep')"))
    found = swept(project, 20, {"depth": "0..40"}, sampler="random", prune="fold")
    assert {trial.state for trial in found.trials} == {"done", "failed", "cancelled"}
    assert all(trial.parameters["depth"] <= 20 for trial in found.ranked())
    with pytest.raises(UsageError, match="no step 'folds'"):
        swept(project, 3, {"depth": "0..40"}, prune="folds")
