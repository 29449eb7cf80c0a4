"""Runs that are killed: what was acknowledged is there, nothing is there twice, the next start says what happened."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

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
# Started once: it forks for each run, since to import everything anew takes longer than the runs.
SERVER = """
import os, sys
import clew.session, clew.cli._app, clew.cli.run, clew.models, clew.pipelines.execute
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        out = os.open("run.json", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(out, 1)
        from clew.cli import main
        main(["run", "pipeline.py", "--json", "--set", "round=" + line.strip()])
    print(child, flush=True)
    _, status = os.waitpid(child, 0)
    print(os.waitstatus_to_exitcode(status), flush=True)
"""


@contextmanager
def server(project: Project) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", SERVER],
        cwd=project.code,
        env=os.environ | {"CLEW_WORKSPACE": str(project.folder)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdin is not None
        yield process
        process.stdin.close()


def run_in(process: subprocess.Popen[str], number: int, *, kill_after: float | None) -> int:
    """Run it in a fork, and kill it; gives the exit code."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{number}\n")
    process.stdin.flush()
    child = int(process.stdout.readline())
    if kill_after is not None:
        time.sleep(kill_after)
        with suppress(ProcessLookupError):  # it was done
            os.kill(child, signal.SIGKILL)
    return int(process.stdout.readline())


def killed_again_and_again(project: Project, kills: int, seconds: float) -> None:
    steps = "".join(STEP.format(number=number, kind="int" if number == 0 else "np.ndarray") for number in range(6))
    calls = "\n    ".join(f"x = step{number}(x)" for number in range(1, 6))
    project.write(SIX.format(steps=steps, calls=calls, seconds=seconds))
    dice = random.Random(7)
    catalog = project.workspace.catalog
    s, r = builds.steps.c, builds.runs.c
    with server(project) as process:
        begun = time.monotonic()
        assert run_in(process, -1, kill_after=None) == 0
        whole = time.monotonic() - begun
        number, killed = 0, 0
        while killed < kills:
            if run_in(process, number, kill_after=dice.uniform(0, 0.8 * whole)) == 0:
                number += 1  # it was done before it was to be killed: the next ones begin anew
            else:
                killed += 1
        # What was acknowledged for these parameters, before the last run.
        last = catalog.rows(sa.select(s.name, r.parameters).join(builds.runs, r.id == s.run_id).where(s.state == "ran"))
        done = {row.name for row in last if row.parameters["round"] == number}
        assert run_in(process, number, kill_after=None) == 0
    answer = json.loads((project.code / "run.json").read_text())
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


@pytest.mark.slow
def test_sixty_kills(project: Project) -> None:
    killed_again_and_again(project, 60, 0.03)


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
