"""What is wrong from the outside: files that can't be read, results that are gone or damaged, runs at once, full disks.

Each is told in words with the mend, nothing that was kept is lost, and the next run goes on.
"""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa
from tests.projects import Project, status

from clew import pipelines
from clew.catalog.tables import builds, data
from clew.errors import ClewError, IntegrityError, NotFoundError, StoreError
from clew.pipelines import history
from clew.pipelines.executors.processes import close_pools
from clew.thread.doctor import examine


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"import clew\nx = '\xff'\n", "line 2 of .* has the byte 0xff, which isn't utf-8"),
        (b"import clew\n# \xff\n", "line 2 of .* has the byte 0xff"),
        (b"\0\0", "null bytes"),
        (b"def broken(:\n", "SyntaxError"),
        (b"import no_such_module\n", "No module named 'no_such_module'"),
        (b"", "has no pipeline"),
    ],
)
def test_files_that_hold_no_pipeline(project: Project, content: bytes, says: str) -> None:
    path = project.code / "pipeline.py"
    path.write_bytes(content)
    with pytest.raises(ClewError, match=says) as raised:
        pipelines.load(str(path))
    assert raised.value.mend
    assert "sources.py" not in raised.value.message
    assert "frozen importlib" not in raised.value.message


def test_places_that_hold_no_file(project: Project) -> None:
    folder = project.code / "folder.py"
    folder.mkdir()
    with pytest.raises(ClewError, match="is a folder, and a pipeline is in a file"):
        pipelines.load(str(folder))
    for name in ("", "nowhere.py"):
        with pytest.raises(NotFoundError, match="there is no file"):
            pipelines.load(name)


def test_the_line_that_imports_what_is_broken_is_named(project: Project) -> None:
    project.write("import helper\n")
    project.write("1 / 0\n", "helper.py")
    with pytest.raises(ClewError, match="ZeroDivisionError") as raised:
        project.run()
    files = [line.strip() for line in raised.value.message.splitlines() if line.strip().startswith("File ")]
    assert [Path(line.split('"')[1]).name for line in files] == ["pipeline.py", "helper.py"]


CHAIN = """
import numpy as np
@clew.step
def table(n: int) -> pl.DataFrame:
    return pl.DataFrame({"x": range(n)})
@clew.step
def numbers(table: pl.DataFrame) -> np.ndarray:
    return table["x"].to_numpy() * 2
@clew.step
def total(numbers: np.ndarray) -> int:
    return int(numbers.sum())
@clew.pipeline
def main(n: int = 5000) -> None:
    total(numbers(table(n)))
"""
TOTAL = 4999 * 5000


@pytest.mark.parametrize("step", ["table", "numbers"])
@pytest.mark.parametrize("harm", ["flipped", "cut", "emptied", "deleted"])
@pytest.mark.parametrize("executor", ["inline", "processes"])
def test_what_is_damaged_in_the_store_is_made_again(project: Project, step: str, harm: str, executor: Any) -> None:
    project.write(CHAIN)
    first = project.run()
    a, x, s = builds.artifacts.c, builds.step_artifacts.c, builds.steps.c
    query = sa.select(a.digest).join(builds.step_artifacts, x.artifact_id == a.id).join(builds.steps, s.id == x.step_id)
    [[digest]] = project.workspace.catalog.rows(query.where(s.name == step, x.direction == "out"))
    path = project.workspace.objects.open_path(digest)
    body = path.read_bytes()
    path.chmod(0o644)
    if harm == "deleted":
        path.unlink()
    else:
        middle = len(body) // 2
        flipped = body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :]
        path.write_bytes({"flipped": flipped, "cut": body[:middle], "emptied": b""}[harm])
    again = project.run(executor=executor)
    assert status(again)[step] == "ran"
    assert [note for note in again.notes if f"{step}: what was cached can't be used" in note]
    assert project.value(again, "total") == TOTAL
    assert project.workspace.objects.get(digest) == body
    assert set(status(project.run()).values()) == {"cached"}
    assert project.value(first, step) is not None
    assert [one for one in examine(project.workspace) if not one["ok"]] == []
    close_pools()


READS = """
@clew.step
def summed(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.sum()
@clew.pipeline
def main(rows: pl.DataFrame = clew.dataset("rows@1")) -> None:
    summed(rows)
"""


@pytest.mark.parametrize("table", [data.snapshots, data.contents])
@pytest.mark.parametrize("state", ["erased", "expired"])
def test_a_snapshot_that_is_gone_is_refused_before_anything_runs(project: Project, table: sa.Table, state: str) -> None:
    project.workspace.add("rows", pl.DataFrame({"x": [1, 2]}))
    project.write(READS)
    project.run()
    with project.workspace.catalog.engine.connect().execution_options(clew_write=True) as connection:
        connection.execute(sa.update(table).values(state=state))
        connection.commit()
    word = {"erased": "was erased", "expired": "has expired"}[state]
    with pytest.raises(NotFoundError, match=f"rows@1 {word}") as raised:
        project.run()
    assert "clew data list" in str(raised.value.mend)
    assert len(history.list_runs(project.workspace)) == 1
    project.workspace.add("rows", pl.DataFrame({"x": [5]}))
    assert project.value(project.run(rows="rows@2"), "summed")["x"].to_list() == [5]


def test_a_result_that_was_erased_is_neither_used_nor_handed_out(project: Project) -> None:
    project.write(CHAIN)
    first = project.run()
    with project.workspace.catalog.engine.connect().execution_options(clew_write=True) as connection:
        connection.execute(sa.update(builds.artifacts).values(state="erased"))
        connection.commit()
    with pytest.raises(IntegrityError, match="what table gave is erased"):
        history.output(project.workspace, first.run, "table")
    again = project.run()
    assert "ran" in status(again).values()
    assert any("can't be used (erased)" in note for note in again.notes)


AT_ONCE = """
import time
@clew.step
def slow(x: int) -> int:
    time.sleep(0.2)
    return x + 1
@clew.pipeline
def main(k: int = 0) -> None:
    x = k
    for _ in range(5):
        x = slow(x)
"""


def test_runs_of_one_name_at_once(project: Project) -> None:
    project.write(AT_ONCE)
    words = ["run", "pipeline.py", "--json", "--executor", "inline"]
    with contextlib.ExitStack() as left:
        children = [left.enter_context(begun(project, words)) for _ in range(4)]
        answers = [child.communicate(timeout=120) for child in children]
    assert [child.returncode for child in children] == [0] * 4, answers
    runs = history.list_runs(project.workspace)
    assert [run["state"] for run in runs] == ["done"] * 4
    assert [project.value(run["run"], "slow-5") for run in runs] == [5] * 4
    s, k = builds.steps.c, builds.step_cache.c
    states = project.workspace.catalog.rows(sa.select(s.state))
    assert {row.state for row in states} <= {"ran", "cached"}
    # Whoever came first: a key leads to one result.
    assert len(project.workspace.catalog.rows(sa.select(k.cache_key))) == 5
    assert [one for one in examine(project.workspace) if not one["ok"]] == []


@contextlib.contextmanager
def begun(project: Project, words: list[str]) -> Iterator["subprocess.Popen[str]"]:
    """The command line in a process and a group of its own, as a terminal starts it; ended whatever happens."""
    import sys

    env = os.environ | {"CLEW_WORKSPACE": str(project.folder)}
    child = subprocess.Popen(
        [sys.executable, "-m", "clew.cli", *words],
        cwd=project.code,
        env=env,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        with child:
            yield child
    finally:
        if child.poll() is None:
            child.kill()


SPREAD = """
import os, pathlib, time
@clew.step(files=["places"])
def waits(x: int) -> int:
    (pathlib.Path(__file__).parent / "places" / str(os.getpid())).touch()
    time.sleep(60)
    return x
@clew.step
def done() -> list[int]:
    return [1, 2]
@clew.pipeline
def main() -> None:
    waits.map(clew.each(done()))
"""


@pytest.mark.parametrize("executor", ["inline", "processes"])
def test_ctrl_c_ends_all_and_leaves_nothing_running(project: Project, executor: str) -> None:
    project.write(SPREAD)
    places = project.code / "places"
    places.mkdir()
    with begun(project, ["run", "pipeline.py", "--executor", executor]) as child:
        wanted = 2 if executor == "processes" else 1
        end = time.monotonic() + 90
        while len(list(places.iterdir())) < wanted:
            assert time.monotonic() < end
            assert child.poll() is None, child.communicate()
            time.sleep(0.05)
        os.killpg(child.pid, signal.SIGINT)  # as a terminal does: to all of its foreground group
        _, said = child.communicate(timeout=60)
        assert child.returncode == 130, said
        assert "Traceback" not in said
    end = time.monotonic() + 10
    while any(Path(f"/proc/{one.name}").exists() for one in places.iterdir()):
        assert time.monotonic() < end
        time.sleep(0.05)
    run = history.show(project.workspace, "latest")
    assert run["status"] == "cancelled"
    assert [(one["name"], one["status"]) for one in run["steps"]] == [("done", "ran")]
    assert {one.name for one in project.workspace.locks.iterdir() if one.suffix == ".lock"} <= {"starting.lock"}
    assert [one for one in examine(project.workspace) if not one["ok"]] == []
    project.write(SPREAD.replace("time.sleep(60)", "pass"))
    assert status(project.run())["done"] == "cached"


FULL = """
@clew.step
def small() -> int:
    return 1
@clew.step
def large(x: int, rows: int) -> pl.DataFrame:
    return pl.DataFrame({"x": pl.arange(0, rows, eager=True)})
@clew.step
def after(table: pl.DataFrame) -> int:
    return table.height
@clew.pipeline
def main(rows: int = 1_000_000) -> None:
    after(large(small(), rows))
"""


@pytest.fixture
def small_disk(project: Project) -> Iterator[Path]:
    """The workspace's objects on a disk of 5 MB."""
    disk = project.folder / ".clew" / "objects"
    kept = project.folder / "kept"
    disk.rename(kept)
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=5m", "tmpfs", str(disk)], check=False).returncode:
        pytest.skip("mounting a small disk needs root")
    try:
        for path in kept.iterdir():
            subprocess.run(["cp", "-a", str(path), str(disk)], check=True)
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


@pytest.mark.parametrize("executor", ["inline", "processes"])
def test_a_disk_that_fills_up_in_a_step(project: Project, small_disk: Path, executor: Any) -> None:
    project.write(FULL)
    with pytest.raises(StoreError, match="no room to write") as raised:
        project.run(executor=executor)
    assert "free space" in str(raised.value.mend)
    assert list((small_disk / "temporary").iterdir()) == []
    run = history.show(project.workspace, "latest")
    assert run["status"] == "failed"
    assert {one["name"]: one["status"] for one in run["steps"]} == {
        "small": "ran", "large": "failed", "after": "skipped"
    }  # fmt: skip
    done = project.run(rows=1000)
    assert status(done) == {"small": "cached", "large": "ran", "after": "ran"}
    assert project.value(done, "after") == 1000
    close_pools()
