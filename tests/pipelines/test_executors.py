"""Steps in other processes: the same results, the same keys, and what becomes of processes that die or hang."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa
from tests.projects import Child, Project, status, why

from clew import pipelines
from clew.catalog.tables import builds
from clew.errors import StepError, UsageError
from clew.pipelines import history
from clew.pipelines.executors.processes import close_pools
from clew.pipelines.resources import needed


@pytest.fixture(autouse=True, scope="module")
def _no_pool_is_left() -> Any:
    yield
    close_pools()


KINDS = """
import dataclasses
import numpy as np
import pandas as pd
from helper import doubled
@dataclasses.dataclass
class Plan:
    depth: int
    rate: float
@clew.step
def rows(houses: pl.DataFrame) -> pl.DataFrame:
    return houses.with_columns(z=doubled(pl.col("x")))
@clew.step
def as_pandas(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(w=1.5)
@clew.step
def weights(rows: pl.LazyFrame, plan: Plan) -> np.ndarray:
    return rows.collect()["z"].to_numpy() * plan.depth
@clew.step
def parts(rows: pl.DataFrame) -> tuple[float, list[Plan]]:
    return rows["y"].sum(), [Plan(d, 0.5) for d in (1, 2, 3)]
@clew.step
def scored(rows: pl.DataFrame, plan: Plan) -> float:
    return rows["x"].sum() * plan.depth + plan.rate
@clew.step
def best(scores: list[float], weights: np.ndarray, total: float, more: list[float]) -> float:
    return max(scores) + weights.sum() + total + sum(more)
@clew.pipeline
def main(houses: pl.DataFrame = clew.dataset("houses@latest")) -> None:
    kept = rows(houses)
    total, plans = parts(as_pandas(kept))
    scores = [scored(kept, Plan(depth, 0.1)) for depth in (4, 6)]
    best(scores, weights(kept, Plan(2, 0.0)), total, scored.map(kept, plan=clew.each(plans)))
"""


def ids(project: Project, run: str) -> dict[tuple[str, str], tuple[str, str | None]]:
    """The content id of each output, and the key of its step."""
    s, x, a = builds.steps.c, builds.step_artifacts.c, builds.artifacts.c
    rows = project.workspace.catalog.rows(
        sa.select(s.name, s.cache_key, x.name.label("output"), a.content_id)
        .join(builds.step_artifacts, x.step_id == s.id)
        .join(builds.artifacts, a.id == x.artifact_id)
        .where(s.run_id == run, x.direction == "out")
    )
    return {(row.name, row.output): (row.content_id, row.cache_key) for row in rows}


def test_the_same_results_and_keys_everywhere(project: Project, tmp_path_factory: pytest.TempPathFactory) -> None:
    houses = pl.DataFrame({"x": [1.0, 2.0, 3.0], "y": [2.0, 4.0, 6.0]})
    project.workspace.add("houses", houses)
    project.write("def doubled(x):\n    return x * 2", "helper.py")
    project.write(KINDS)
    other = Project(tmp_path_factory.mktemp("other") / "project")
    other.workspace.add("houses", houses)
    other.write("def doubled(x):\n    return x * 2", "helper.py")
    other.write(KINDS)
    there, here = project.run(executor="processes"), other.run(executor="inline")
    assert there.notes == here.notes == []
    assert list(status(there)) == list(status(here))
    assert set(status(there).values()) == {"ran"}
    assert "scored-3-3" in status(there)
    found = ids(project, there.run)
    assert len(found) == 11
    for step in status(there):
        parts = [history.explain(one.workspace, "latest", step)["parts"] for one in (project, other)]
        assert parts[0] == parts[1]
    assert found == ids(other, here.run)
    assert set(status(project.run(executor="inline")).values()) == {"cached"}
    assert set(status(other.run(executor="processes")).values()) == {"cached"}
    other.workspace.close()


SIDE_BY_SIDE = """
import time
@clew.step({options})
def slow(x: int) -> int:
    time.sleep(0.4)
    return x
@clew.step
def total(xs: list[int]) -> int:
    return sum(xs)
@clew.pipeline
def main() -> None:
    total(slow.map(range(3)))
"""


def overlapping(project: Project, run: str, step: str) -> int:
    """How many pairs of calls of a step ran at the same time."""
    s = builds.steps.c
    rows = project.workspace.catalog.rows(
        sa.select(s.recorded_at, s.ended_at).where(s.run_id == run, s.name.startswith(step))
    )
    times = sorted((row.recorded_at, row.ended_at) for row in rows)
    return sum(later < end for at, (_, end) in enumerate(times) for later, _ in times[at + 1 :])


def test_parallel_work_runs_side_by_side_by_default(project: Project) -> None:
    project.write(SIDE_BY_SIDE.format(options=""))
    done = project.run(executor="auto")
    assert project.value(done, "total") == 3
    assert overlapping(project, done.run, "slow") >= 1


def test_steps_take_as_much_of_the_machine_as_they_say(project: Project) -> None:
    project.write(SIDE_BY_SIDE.format(options="cpus=1000"))
    done = project.run(executor="processes")
    assert overlapping(project, done.run, "slow") == 0
    assert needed(cpus=2, gpus=0, memory="4 GB").memory == 4 * 10**9
    assert needed(cpus=2, gpus=0, memory="1.5GiB").memory == 3 * 2**29
    for wrong in ({"memory": "much"}, {"cpus": 0}, {"gpus": -1}):
        with pytest.raises(UsageError):
            needed(**{"cpus": 1, "gpus": 0, "memory": None} | wrong)


FAILS = """
import ctypes, os, pathlib, signal, subprocess, sys, time
@clew.step
def before() -> int:
    return 1
@clew.step{options}
def fails(x: int) -> int:
    print("about to")
    {body}
    return x
@clew.step
def beside(x: int) -> int:
    time.sleep({beside})
    return x
@clew.step
def after(xs: list[int]) -> int:
    return sum(xs)
@clew.pipeline
def main() -> None:
    x = before()
    after([fails(x), beside(x)])
"""


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", "ended by SIGKILL"),
        ("ctypes.string_at(0)", "ended by SIGSEGV"),
        ("os._exit(3)", "exit code 3"),
        ("raise ValueError('broken')", "ValueError: broken"),
        ("sys.exit('enough')", "SystemExit: enough"),
    ],
)
def test_what_a_step_does_to_its_process_is_said(project: Project, body: str, says: str) -> None:
    project.write(FAILS.format(options="", body=body, beside=0.3))
    with pytest.raises(StepError, match=says):
        project.run(executor="processes")
    run = history.show(project.workspace, "latest")
    assert run["status"] == "failed"
    states = {step["name"]: step["status"] for step in run["steps"]}
    # What was under way beside it is not lost.
    assert states == {"before": "ran", "fails": "failed", "beside": "ran", "after": "skipped"}
    project.write(FAILS.format(options="", body="", beside=0.3))
    assert status(project.run(executor="processes")) == {
        "before": "cached", "fails": "ran", "beside": "cached", "after": "ran"
    }  # fmt: skip


@pytest.mark.parametrize("executor", ["inline", "processes"])
def test_a_step_whose_time_is_over_is_ended(project: Project, executor: Any) -> None:
    slow = "time.sleep(60)"
    project.write(FAILS.format(options="(timeout=0.3)", body=slow, beside=0))
    begun = time.monotonic()
    with pytest.raises(StepError, match=r"longer than 0\.3 s"):
        project.run(executor=executor)
    assert time.monotonic() - begun < 30


def test_only_another_process_can_be_ended_whatever_it_does(project: Project) -> None:
    native = "pathlib.Path(f'{os.getpid()}.pid').touch(); ctypes.CDLL(None).sleep(60)"
    body = f"if not list(pathlib.Path().glob('*.pid')): {native}"
    project.write(FAILS.format(options="(timeout=1, retries=1, wait=0.01, cache=False)", body=body, beside=0))
    here = Path.cwd()
    os.chdir(project.code)
    try:
        done = project.run(executor="auto")
    finally:
        os.chdir(here)
    assert "tried 2 times" in why(done, "fails")
    [left] = project.code.glob("*.pid")
    assert not Path(f"/proc/{left.stem}").exists()


def test_what_programs_print_is_in_the_log(project: Project) -> None:
    body = "subprocess.run(['echo', 'from a program'], check=True)"
    project.write(FAILS.format(options="(cache=False)", body=body, beside=0))
    done = project.run(executor="processes")
    s = builds.steps.c
    row = project.workspace.catalog.first(sa.select(s.log).where(s.run_id == done.run, s.name == "fails"))
    assert row is not None
    assert project.workspace.objects.get(row.log).decode().split("\n")[:2] == ["about to", "from a program"]


READS = """
import os
@clew.step
def reads(x: int) -> str:
    return open({path!r}).read() + os.environ.get("HOUSES", "")
@clew.pipeline
def main() -> None:
    [reads(x) for x in range(2)]
"""


def test_what_a_step_reads_there_is_seen(project: Project) -> None:
    outside = project.folder / "outside.txt"
    outside.write_text("a")
    project.write(READS.format(path=str(outside)))
    done = project.run(executor="processes")
    assert done.notes == []
    assert "it reads the file ../outside.txt" in why(done, "reads-2")
    assert 'env=["HOUSES"]' in why(done, "reads-2")
    assert status(project.run(executor="processes")) == {"reads": "ran", "reads-2": "ran"}


HELD = """
import os
PID = {held}
COUNT = []
@clew.step
def counts(x: int) -> int:
    COUNT.append(x)
    return len(COUNT)
@clew.step
def which(x: int) -> int:
    return PID
@clew.step
def both(xs: list[int], ys: list[int]) -> list[int]:
    return [sum(xs), len(set(ys))]
@clew.pipeline
def main() -> None:
    both(counts.map(range(6)), which.map(range(2)))
"""


def test_what_the_code_holds_must_be_the_same_there(project: Project) -> None:
    project.write(HELD.format(held="os.getpid()"))
    done = project.run(executor="processes")
    assert any("pipeline.PID differs there" in note for note in done.notes)
    # A step that changes what its module holds finds it as it was when its key was made.
    assert project.value(done, "both")[0] == 6
    assert project.value(done, "which") == os.getpid()
    other = HELD.format(held="1").replace("os.getpid()", "1")
    project.write(other)
    again = project.run(executor="processes")
    assert [note for note in again.notes if "PID" in note] == []


LOCAL = """
def made(factor: int):
    @clew.step
    def inner(x: int) -> int:
        return x * factor
    return inner
twice = [made(2)]
@clew.step
def plain(x: int) -> int:
    return x
@clew.pipeline
def main() -> None:
    for x in range(2):
        twice[0](x)
        plain(x)
"""


def test_a_step_that_no_name_leads_to_runs_here(project: Project) -> None:
    project.write(LOCAL)
    done = project.run(executor="processes")
    assert status(done) == {"inner": "ran", "plain": "ran", "inner-2": "ran", "plain-2": "ran"}
    assert project.value(done, "inner-2") == 2


SAME = """
import time
@clew.step
def slow(x: int) -> int:
    time.sleep(0.3)
    return x
@clew.pipeline
def main() -> None:
    slow(1); slow(1); slow(2)
"""


def test_the_same_is_not_made_twice_at_once(project: Project) -> None:
    project.write(SAME)
    assert status(project.run(executor="processes")) == {"slow": "ran", "slow-2": "cached", "slow-3": "ran"}


SECRET = """
@clew.step
def load(password: str, what: str) -> str:
    print("with", password)
    if what == "raise":
        raise ValueError(f"can't log in with {password}")
    return f"logged in as {password}" if what == "give" else "rows"
@clew.pipeline
def main(password: str = clew.secret("CLEW_TEST_PASSWORD"), what: str = "load") -> None:
    load(password, what)
    load(password, what + "!")
"""


@pytest.mark.parametrize("executor", ["inline", "processes"])
def test_secrets_are_handed_over_and_kept_nowhere(
    project: Project, executor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.write(SECRET)
    with pytest.raises(Exception, match="mend: export CLEW_TEST_PASSWORD="):
        project.run(executor=executor)
    monkeypatch.setenv("CLEW_TEST_PASSWORD", "hunter2-and-more")
    done = project.run(executor=executor)
    assert status(done) == {"load": "ran", "load-2": "ran"}
    with pytest.raises(StepError, match="log in with <secret CLEW_TEST_PASSWORD>"):
        project.run(executor=executor, what="raise")
    with pytest.raises(UsageError, match="holds the secret CLEW_TEST_PASSWORD"):
        project.run(executor=executor, what="give")
    files = [path for path in project.folder.rglob("*") if path.is_file()]
    assert [path for path in files if b"hunter2" in path.read_bytes()] == []
    s = builds.steps.c
    row = project.workspace.catalog.first(sa.select(s.log).where(s.run_id == done.run))
    assert row is not None
    assert project.workspace.objects.get(row.log) == b"with <secret CLEW_TEST_PASSWORD>\n"
    assert history.show(project.workspace, done.run)["parameters"]["password"] == "secret CLEW_TEST_PASSWORD"
    monkeypatch.setenv("CLEW_TEST_PASSWORD", "another one")
    assert set(status(project.run(executor=executor)).values()) == {"cached"}


LONG = """
import pathlib, time
@clew.step
def slow(x: int) -> int:
    pathlib.Path({folder!r}, f"{{x}}").touch()
    time.sleep(60 if x else 0)
    return x
@clew.pipeline
def main() -> None:
    slow.map(range(3))
"""


def begun(project: Project) -> Child:
    """A run whose steps are in other processes, where two of them take long."""
    marks = project.folder / "marks"
    marks.mkdir()
    project.write(LONG.format(folder=str(marks)))
    child = project.start("run", "pipeline.py", "--executor", "processes", "--workers", "2")
    end = time.monotonic() + 60
    while len(list(marks.iterdir())) < 3 and time.monotonic() < end:
        time.sleep(0.05)
    assert len(list(marks.iterdir())) == 3
    return child


def workers_of(pid: int) -> list[int]:
    """The processes that this one started."""
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def are_gone(pids: list[int]) -> bool:
    end = time.monotonic() + 10
    while time.monotonic() < end and any(Path(f"/proc/{pid}").exists() for pid in pids):
        time.sleep(0.05)
    return not any(Path(f"/proc/{pid}").exists() for pid in pids)


@pytest.mark.parametrize(("number", "state"), [(signal.SIGINT, "cancelled"), (signal.SIGKILL, "interrupted")])
def test_nothing_is_left_of_a_run_that_is_ended(project: Project, number: int, state: str) -> None:
    child = begun(project)
    workers = workers_of(child.pid)
    assert len(workers) == 2
    child.kill(number)
    assert child.wait() != 0
    assert are_gone(workers)
    pipelines.mark_interrupted(project.workspace)
    run = history.show(project.workspace, "latest")
    assert run["status"] == state
    assert [step["name"] for step in run["steps"]] == ["slow"]  # it had finished
    assert list((project.folder / ".clew" / "locks").glob("run-*")) == []


BOTH_HELD = """
import os
PID = os.getpid()
COUNT = []
@clew.step
def counts(x: int) -> list[int]:
    COUNT.append(x)
    return [PID, len(COUNT)]
@clew.step
def longest(found: list[list[int]]) -> int:
    return max(length for _, length in found)
@clew.pipeline
def main() -> None:
    longest(counts.map(range(4)))
"""


def test_a_call_that_finds_what_another_left_here_has_a_key_of_its_own(project: Project) -> None:
    """Only the pipeline's own process can run these, and each changes what the next one finds there."""
    project.write(BOTH_HELD)
    done = project.run(executor="processes")
    s = builds.steps.c
    rows = project.workspace.catalog.rows(
        sa.select(s.key_parts).where(s.run_id == done.run, s.name.startswith("counts"))
    )
    assert len(rows) == 4
    assert len({row.key_parts["values"]["pipeline.COUNT"] for row in rows}) == project.value(done, "longest") == 4
