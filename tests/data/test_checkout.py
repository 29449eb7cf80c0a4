import resource
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest

from clew.data import add, checkout
from clew.errors import IntegrityError, RefusedError, StoreError
from clew.workspace import Workspace

FRAME = pl.DataFrame({"n": range(1000), "s": [f"text {n} {n * 7919 % 1000}" for n in range(1000)]})


def test_a_table_goes_to_the_file_or_the_folder_that_is_named(workspace: Workspace, tmp_path: Path) -> None:
    found = add(workspace, "t", FRAME).snapshot
    assert checkout(found, tmp_path / "new" / "one.parquet") == [tmp_path / "new" / "one.parquet"]
    assert checkout(found, tmp_path / "folder") == [tmp_path / "folder" / "t.parquet"]
    for path in (tmp_path / "new" / "one.parquet", tmp_path / "folder" / "t.parquet"):
        assert pl.read_parquet(path).equals(FRAME)
        assert pq.read_table(path).num_rows == 1000  # anything reads it
        assert [one.name for one in path.parent.iterdir()] == [path.name]


def test_an_edited_table_is_written_clean(workspace: Workspace, tmp_path: Path) -> None:
    """Rows of the fragments that no longer belong to the snapshot are not in the file."""
    add(workspace, "t", FRAME)
    kept = FRAME.filter(~pl.col("n").is_between(400, 500))
    checkout(add(workspace, "t", kept).snapshot, tmp_path / "t.parquet")
    assert pq.read_table(tmp_path / "t.parquet").num_rows == kept.height
    assert pl.read_parquet(tmp_path / "t.parquet").equals(kept)


def test_what_is_there_is_not_overwritten(workspace: Workspace, tmp_path: Path) -> None:
    found = add(workspace, "t", FRAME).snapshot
    (tmp_path / "t.parquet").write_text("mine")
    for dest in (tmp_path / "t.parquet", tmp_path):
        with pytest.raises(RefusedError, match="is there already"):
            checkout(found, dest)
    assert (tmp_path / "t.parquet").read_text() == "mine"
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a").write_text("a")
    files = add(workspace, "files", tmp_path / "in").snapshot
    for dest in (tmp_path / "in", tmp_path / "t.parquet"):
        with pytest.raises(RefusedError, match="not an empty folder"):
            checkout(files, dest)
    (tmp_path / "empty").mkdir()
    checkout(files, tmp_path / "empty")
    assert (tmp_path / "empty" / "a").read_text() == "a"


def test_a_place_that_can_not_be_written(workspace: Workspace, tmp_path: Path) -> None:
    found = add(workspace, "t", FRAME).snapshot
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="can't be written"):
        checkout(found, tmp_path / "file" / "t.parquet")


def test_a_full_disk_leaves_nothing_behind(workspace: Workspace, tmp_path: Path) -> None:
    found = add(workspace, "t", FRAME).snapshot
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a").write_text("a" * 9000)
    files = add(workspace, "files", tmp_path / "in").snapshot
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, before[1]))
    try:
        for snapshot, dest in ((found, tmp_path / "t.parquet"), (files, tmp_path / "out")):
            with pytest.raises(StoreError, match="no room") as caught:
                checkout(snapshot, dest)
            assert "df -h" in str(caught.value.mend)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "in"]
    for snapshot, dest in ((found, tmp_path / "t.parquet"), (files, tmp_path / "out")):
        assert checkout(snapshot, dest)


def test_a_damaged_file_leaves_nothing_behind(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for number in range(600):
        (tmp_path / "in" / f"{number}").write_text(f"text {number}")
    found = add(workspace, "files", tmp_path / "in").snapshot
    entry = found.entries()["77"]
    pack = workspace.objects.open_path(entry.place)
    body = bytearray(pack.read_bytes())
    body[entry.offset] ^= 1
    pack.chmod(0o600)
    pack.write_bytes(body)
    with pytest.raises(IntegrityError, match="'77'"):
        checkout(found, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "in"]


def test_a_table_with_its_files(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a").write_text("a")
    found = add(workspace, "both", FRAME, files_in=tmp_path / "in").snapshot
    out = tmp_path / "out"
    assert checkout(found, out) == [out / "both.parquet", out / "files" / "a"]
    assert pl.read_parquet(out / "both.parquet").equals(FRAME)
    assert (out / "files" / "a").read_text() == "a"
