import os
from pathlib import Path

import polars as pl
import pytest
import sqlalchemy as sa

from clew.catalog.tables import data
from clew.data import add, all_of, find, verify
from clew.workspace import Workspace


@pytest.fixture
def filled(workspace: Workspace, tmp_path: Path) -> Workspace:
    frame = pl.DataFrame({"n": range(500)})
    add(workspace, "sound", pl.DataFrame({"other": [1.5]}))
    add(workspace, "t", frame)
    add(workspace, "t", pl.concat([frame, frame[:7]]))
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a").write_text("text of a")
    add(workspace, "files", tmp_path / "in")
    return workspace


def faults(workspace: Workspace) -> dict[str, str | None]:
    return {one.reference: one.fault for one in verify(all_of(workspace))}


def path_of(workspace: Workspace, digest: str) -> Path:
    return workspace.objects.open_path(digest)


def spoil(path: Path, how: str) -> None:
    path.chmod(0o644)
    body = bytearray(path.read_bytes())
    if how == "gone":
        path.unlink()
    elif how == "short":
        path.write_bytes(body[:-5])
    elif how == "empty":
        path.write_bytes(b"")
    else:
        body[len(body) // 2] ^= 1
        path.write_bytes(body)


def test_all_is_well(filled: Workspace) -> None:
    assert faults(filled) == {"files@1": None, "sound@1": None, "t@1": None, "t@2": None}


@pytest.mark.parametrize("how", ["gone", "short", "empty", "flipped"])
@pytest.mark.parametrize("what", ["fragment", "rope", "schema", "file", "listing"])
def test_every_object_is_looked_at_and_a_fault_does_not_stop_the_rest(filled: Workspace, what: str, how: str) -> None:
    second = find(filled, "t@2")
    groups = data.column_groups
    ropes = filled.catalog.rows(sa.select(groups.c.rope).where(groups.c.content_pk == second.content_pk))
    files = find(filled, "files@1")
    digest = {
        "fragment": second.extents()[0].fragment,
        "rope": ropes[0].rope,
        "schema": str(second.manifest),
        "file": files.files()["a"],
        "listing": str(files.manifest),
    }[what]
    spoil(path_of(filled, digest), how)
    found = faults(filled)
    bad = {"files@1"} if what in ("file", "listing") else {"t@2"} if what == "rope" else {"t@1", "t@2"}
    assert {reference for reference, fault in found.items() if fault} == bad
    assert all(digest in str(found[reference]) for reference in bad)


def test_a_content_id_that_does_not_fit_its_rows_is_found(filled: Workspace) -> None:
    """The bytes are whole, and yet another table than the catalog says."""
    first, second = find(filled, "t@1"), find(filled, "sound@1")
    groups = data.column_groups
    with filled.catalog.engine.connect().execution_options(clew_write=True) as connection, connection.begin():
        rope = connection.execute(sa.select(groups.c.rope).where(groups.c.content_pk == second.content_pk)).scalar()
        connection.execute(groups.update().where(groups.c.content_pk == first.content_pk).values(rope=rope))
    found = faults(filled)
    assert "and its id is" in str(found["t@1"])
    assert found["t@2"] is None


def test_rows_beyond_a_fragment_are_found(filled: Workspace) -> None:
    first = find(filled, "t@1")
    fragment = first.extents()[0].fragment
    longer = filled.objects.put(b'{"rope":1,"extents":[["%s",0,900]]}' % fragment.encode())
    groups = data.column_groups
    with filled.catalog.engine.connect().execution_options(clew_write=True) as connection, connection.begin():
        connection.execute(groups.update().where(groups.c.content_pk == first.content_pk).values(rope=longer.digest))
    # 900 rows from a fragment of 500 are 500 rows: those of t@1. So a slice past the end would pass by luck.
    assert find(filled, "t@1").collect().height == 500
    shorter = filled.objects.put(b'{"rope":1,"extents":[["%s",1,900]]}' % fragment.encode())
    with filled.catalog.engine.connect().execution_options(clew_write=True) as connection, connection.begin():
        connection.execute(groups.update().where(groups.c.content_pk == first.content_pk).values(rope=shorter.digest))
    assert "and its id is" in str(faults(filled)["t@1"])


def test_nothing_to_verify_is_nothing(workspace: Workspace) -> None:
    assert verify(all_of(workspace)) == []
    assert os.listdir(workspace.temporary()) == []  # noqa: PTH208
