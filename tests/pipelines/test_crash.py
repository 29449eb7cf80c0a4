"""Runs that are killed: what was acknowledged is there, nothing is there twice, the next start says what happened."""

import json
import random
import time

import pytest
import sqlalchemy as sa
from tests.projects import Project

from clew import pipelines
from clew.catalog import now
from clew.catalog.commands import StartRun
from clew.catalog.tables import builds
from clew.pipelines import alive, environment, history
from clew.pipelines import project as code
from clew.thread.doctor import examine

SIX = """
import time
import numpy as np
SECONDS = {seconds}
{steps}
@clew.pipeline
def main(round: int = 0) -> None:
    x = step0(round)
    {calls}
"""
STEP = """
@clew.step
def step{number}(x: {kind}) -> np.ndarray:
    time.sleep(SECONDS)
    return np.full(1000, np.sum(x) + {number})
"""


def run_once(project: Project, number: int, executor: str, *, kill_after: float | None) -> tuple[int, str]:
    """Run it, and kill it; gives the exit code and what it printed."""
    child = project.start("run", "pipeline.py", "--json", "--set", f"round={number}", "--executor", executor)
    if kill_after is not None:
        time.sleep(kill_after)
        child.kill()
    return child.wait(), child.stdout


def killed_again_and_again(project: Project, kills: int, seconds: float, executor: str = "inline") -> None:
    steps = "".join(STEP.format(number=number, kind="int" if number == 0 else "np.ndarray") for number in range(6))
    calls = "\n    ".join(f"x = step{number}(x)" for number in range(1, 6))
    project.write(SIX.format(steps=steps, calls=calls, seconds=seconds))
    dice = random.Random(7)
    catalog = project.workspace.catalog
    s, r = builds.steps.c, builds.runs.c
    assert run_once(project, -2, executor, kill_after=None)[0] == 0
    begun = time.monotonic()
    assert run_once(project, -1, executor, kill_after=None)[0] == 0
    whole = time.monotonic() - begun
    number, killed = 0, 0
    while killed < kills:
        if run_once(project, number, executor, kill_after=dice.uniform(0, 0.8 * whole))[0] == 0:
            number += 1  # it was done before it was to be killed: the next ones begin anew
        else:
            killed += 1
    # What was acknowledged for these parameters, before the last run.
    last = catalog.rows(sa.select(s.name, r.parameters).join(builds.runs, r.id == s.run_id).where(s.state == "ran"))
    done = {row.name for row in last if row.parameters["round"] == number}
    code, text = run_once(project, number, executor, kill_after=None)
    assert code == 0
    answer = json.loads(text)
    found = {step["name"]: step["status"] for step in answer["steps"]}
    assert found == {f"step{one}": "cached" if f"step{one}" in done else "ran" for one in range(6)}
    states = [run["state"] for run in history.list_runs(project.workspace, most=1000)]
    assert set(states) <= {"done", "interrupted"}
    assert states.count("interrupted") <= killed
    # Nothing ran twice that was acknowledged once, and each key leads to one step.
    ran = catalog.rows(sa.select(s.cache_key, sa.func.count()).where(s.state == "ran").group_by(s.cache_key))
    assert {tuple(row)[-1] for row in ran} == {1}
    assert project.value(answer["run"], "step5").tolist()[0] == project.value(answer["run"], "step4").sum() + 5
    assert [finding for finding in examine(project.workspace) if not finding["ok"]] == []
    assert {path.name for path in project.workspace.locks.iterdir() if path.suffix == ".lock"} <= {"starting.lock"}


def test_ten_kills(project: Project) -> None:
    killed_again_and_again(project, 10, 0.05)


def test_three_kills_with_other_processes(project: Project) -> None:
    killed_again_and_again(project, 3, 0.05, "processes")


@pytest.mark.slow
def test_sixty_kills(project: Project) -> None:
    killed_again_and_again(project, 60, 0.03)


@pytest.mark.slow
def test_fifty_kills_with_other_processes(project: Project) -> None:
    killed_again_and_again(project, 50, 0.03, "processes")


def test_a_run_that_lives_is_left_alone(project: Project) -> None:
    project.write("""
        @clew.step(cache=False)
        def answer() -> int:
            return 1
        @clew.pipeline
        def main() -> None:
            answer()
        """)
    seen: list[object] = []
    pipeline, path = pipelines.load(str(project.code / "pipeline.py"))

    def observe(*_what: str) -> None:
        seen.append(alive.mark_interrupted(project.workspace))

    pipelines.run(project.workspace, pipeline, path, observer=observe)
    assert seen == [[], []]
    assert history.show(project.workspace, "latest")["status"] == "done"


def test_a_run_that_starts_is_left_alone(project: Project) -> None:
    with alive.starting(project.workspace) as hold:
        run_id = _begin(project)
        assert alive.mark_interrupted(project.workspace) == []  # it has no lock of its own yet
        hold(run_id)
        assert alive.mark_interrupted(project.workspace) == []
    assert alive.mark_interrupted(project.workspace) == [run_id]
    assert alive.mark_interrupted(project.workspace) == []


def test_a_run_that_died_before_it_had_a_lock_is_marked_at_once(project: Project) -> None:
    run_id = _begin(project)
    assert alive.mark_interrupted(project.workspace) == [run_id]
    assert history.show(project.workspace, run_id)["status"] == "interrupted"


def test_locks_of_runs_that_are_gone_are_swept(project: Project) -> None:
    locks = project.workspace.locks
    with alive.starting(project.workspace) as hold:
        run_id = _begin(project)
        hold(run_id)
        left = [locks / "run-ended.lock", locks / "run-begun.new"]
        for path in left:
            path.touch()
        assert alive.mark_interrupted(project.workspace) == []
        assert {path.name for path in locks.iterdir()} == {"starting.lock", f"run-{run_id}.lock"}
    with alive.starting(project.workspace):
        left[1].touch()  # of a run that starts
        assert alive.mark_interrupted(project.workspace) == []
        assert left[1].exists()
    assert alive.mark_interrupted(project.workspace) == [run_id]
    assert {path.name for path in locks.iterdir()} == {"starting.lock"}


def _begin(project: Project) -> str:
    project.write("")
    found: str = project.workspace.catalog.execute(
        StartRun(
            name="p",
            pipeline="p",
            entry="pipeline.py",
            provenance="recorded",
            code_id=code.record(project.workspace, code.capture(project.code / "pipeline.py")),
            environment_id=environment.record(project.workspace, environment.current()),
            parameters={},
            criteria=[],
            inputs={},
            occurred_at=now(),
        )
    )
    return found
