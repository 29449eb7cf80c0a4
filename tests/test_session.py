from pathlib import Path

import polars as pl
import pytest

import clew
from clew.data.contract import infer
from clew.errors import NotFoundError, NoWorkspaceError, RefusedError, StepError


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CLEW_WORKSPACE", raising=False)
    monkeypatch.chdir(tmp_path)


def test_a_workspace_is_opened_made_and_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NoWorkspaceError):
        clew.open_workspace(tmp_path / "w")
    with clew.open_workspace(tmp_path / "w", create=True) as made:
        assert made.root == tmp_path / "w"
    with clew.open_workspace(f"file://{tmp_path / 'w'}", create=True) as again:
        assert again.root == tmp_path / "w"
    monkeypatch.setenv("CLEW_WORKSPACE", str(tmp_path / "w"))
    with clew.open_workspace() as found:
        assert found.root == tmp_path / "w"
    monkeypatch.delenv("CLEW_WORKSPACE")
    with clew.open_workspace(create=True) as here:
        assert here.root == tmp_path


def test_data_in_and_out(tmp_path: Path) -> None:
    frame = pl.DataFrame({"a": [1, 2], "b": ["x", None]})
    with clew.open_workspace(tmp_path, create=True) as session:
        found = session.add("t", frame, key=["a"], message="the first")
        assert (found.reference, found.key_columns) == ("t@1", ("a",))
        assert session.add("t", frame.to_arrow()).version == 1
        assert session.snapshot("t").collect().equals(frame)
        assert session.snapshot("t@1").to_pandas()["a"].tolist() == [1, 2]
        assert session.snapshot("t").to_arrow().num_rows == 2
        with pytest.raises(RefusedError, match="vanished: b"):
            session.add("t", frame.select("a"))
        assert session.add("t", frame.select("a"), accept_schema=True).version == 2
        with pytest.raises(RefusedError):
            session.add("t", pl.DataFrame({"a": ["x"]}), accept_schema=True, contract=infer(frame, "t"))
        for wrong in (lambda: session.snapshot("nope"), lambda: session.model("nope"), lambda: session.why("nope")):
            with pytest.raises(NotFoundError):
                wrong()


PIPELINE = """
import clew
import polars as pl

@clew.step
def total(rows: pl.DataFrame, times: int) -> pl.DataFrame:
    if times < 0:
        raise ValueError("less than nothing")
    return rows.select(pl.col("a").sum() * times)

@clew.pipeline()
def sums(rows: pl.DataFrame = clew.dataset("t@latest"), times: int = 1) -> None:
    total(rows, times)
"""


def test_a_pipeline_runs_and_is_cached(tmp_path: Path) -> None:
    file = tmp_path / "sums.py"
    file.write_text(PIPELINE)
    with clew.open_workspace(tmp_path, create=True) as session:
        session.add("t", pl.DataFrame({"a": [1, 2]}))
        assert [one.status for one in session.run(file).steps] == ["ran"]
        assert [one.status for one in session.run(f"{file}:sums").steps] == ["cached"]
        assert [one.status for one in session.run(file, times=2).steps] == ["ran"]
        with pytest.raises(StepError, match="less than nothing"):
            session.run(file, times=-1)


def test_public_names_are_there_and_no_others() -> None:
    for name in clew.__all__:
        assert getattr(clew, name) is not None
    assert set(dir(clew)) >= set(clew.__all__)
    with pytest.raises(AttributeError, match="nonsense"):
        _ = clew.nonsense
