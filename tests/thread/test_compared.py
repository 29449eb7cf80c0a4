"""Two runs side by side, of real pipelines."""

import shutil
from pathlib import Path

import polars as pl
import pytest
from tests.thread.filled import fill, opened

from clew.errors import NotFoundError, UsageError
from clew.pipelines.history import find_run
from clew.session import Session, open_workspace
from clew.thread.compared import compare_runs
from clew.thread.texts import MOST_LINES, code_diff, libraries, lock_diff

CODE = """
import polars as pl
import clew


@clew.step
def total(rows: pl.DataFrame, k: int) -> float:
    return float(rows["x"].sum()) {operator} k


@clew.pipeline
def main(rows: pl.DataFrame = clew.dataset("rows@latest"), k: int = 1) -> None:
    clew.metric("total", total(rows, k)) if hasattr(clew, "metric") else total(rows, k)
"""


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return open_workspace(tmp_path / "w", create=True)


def test_data_code_parameters_and_steps_of_two_runs(session: Session, tmp_path: Path) -> None:
    file = tmp_path / "flow.py"
    session.add("rows", pl.DataFrame({"id": [1, 2, 3], "x": [1.0, 2.0, 3.0]}), key=["id"])
    file.write_text(CODE.format(operator="*"))
    first = session.run(file)
    session.add("rows", pl.DataFrame({"id": [1, 2, 4, 5], "x": [1.0, 9.0, 3.0, 4.0]}))
    session.add("rows", pl.DataFrame({"id": [1, 2, 4], "x": [1.0, 9.0, 3.0]}))
    file.write_text(CODE.format(operator="+"))
    second = session.run(file, k=2)
    found = compare_runs(session, first.run, second.run)
    diff = found["data_diff"]["rows"]
    assert found["data"] == {"rows": ["rows@1", "rows@3"]}
    assert (diff["added"], diff["removed"], diff["changed"], diff["versions"]) == (2, 2, 1, 2)
    (code,) = found["code_diff"]
    assert (code["path"], code["change"], code["cut"]) == ("flow.py", "changed", 0)
    assert '-    return float(rows["x"].sum()) * k' in code["lines"]
    assert '+    return float(rows["x"].sum()) + k' in code["lines"]
    (step,) = found["steps"]
    assert step["step"] == "total"
    assert any("parameter k changed (1 → 2)" in one for one in step["why"])
    assert found["parameters"] == {"k": [1, 2]}
    assert (found["libraries"], found["environment"], found["notes"]) == ({}, None, [])
    back = compare_runs(session, second.run, first.run)["data_diff"]["rows"]
    assert (back["added"], back["removed"]) == (2, 2)
    same = compare_runs(session, first.run, first.run)
    assert not any(same[name] for name in ("data", "code_diff", "libraries", "steps", "parameters", "metrics"))
    # What can't be had any more is said.
    shutil.rmtree(session.folder / "objects")
    (session.folder / "objects").mkdir()
    assert any("code can't be compared" in note for note in compare_runs(session, first.run, second.run)["notes"])


def test_diffs_of_code_and_locks_are_bounded_and_name_what_differs(session: Session) -> None:
    import io
    import zipfile

    def archive(files: dict[str, bytes]) -> str:
        body = io.BytesIO()
        with zipfile.ZipFile(body, "w") as made:
            for name, content in files.items():
                made.writestr(name, content)
        return session.objects.put(body.getvalue()).digest

    long = "\n".join(f"a{number}" for number in range(5000)).encode()
    before = archive({"gone.py": b"x = 1\n", "long.py": long, "image.bin": b"\xff\x00", "same.py": b"1"})
    after = archive(
        {"new.py": b"y = 2\n", "long.py": long.replace(b"a", b"b"), "image.bin": b"\xff\x01", "same.py": b"1"}
    )
    found = {one["path"]: one for one in code_diff(session.objects, before, after)}
    assert set(found) == {"gone.py", "new.py", "long.py", "image.bin"}
    assert [found[name]["change"] for name in ("gone.py", "new.py", "long.py")] == ["removed", "added", "changed"]
    assert len(found["long.py"]["lines"]) == MOST_LINES
    assert found["long.py"]["cut"] > 9000
    assert found["image.bin"]["lines"] == ["binary: 2 → 2 bytes"]
    a = session.objects.put(b"numpy==2.0.1 --hash=sha256:aa\npolars==2.1.0\nold==1\n").digest
    b = session.objects.put(b"numpy==2.0.2\npolars==2.1.0  # why\nmine @ file:///src\n").digest
    assert lock_diff(session.objects, a, b) == {
        "mine": [None, "file:///src"],
        "numpy": ["2.0.1", "2.0.2"],
        "old": ["1", None],
    }
    assert libraries("") == {}


def test_a_run_is_found_by_the_beginning_or_the_end_of_its_id(tmp_path: Path) -> None:
    with opened(tmp_path) as workspace:
        made = fill(workspace)
        run = made.runs["train 2"]
        for text in (run, run[-8:], run.upper(), run.replace("-", ""), run[:-1], run[-20:]):
            assert str(find_run(workspace, text).id) == run
        with pytest.raises(NotFoundError, match="several runs fit"):
            find_run(workspace, run[:8])
        for wrong in ("0" * 36, "x" * 36, "nothing-here", "0" * 32, f"{run}00", "%%%%%%%"):
            with pytest.raises(NotFoundError):
                find_run(workspace, wrong)
        with pytest.raises(UsageError):
            find_run(workspace, run[:5])
