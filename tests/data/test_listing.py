from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from clew.data import add
from clew.data.listing import datasets, sources
from clew.data.policies import declare
from clew.thread.doctor import examine
from clew.workspace import Workspace


def test_datasets_by_name_with_their_newest_version(workspace: Workspace) -> None:
    assert datasets(workspace) == []
    when = datetime(2020, 5, 1, tzinfo=UTC)
    declare(workspace, "promised", "a", "allow", "nothing was added yet")
    for name, rows in (("b", 2), ("a", 1), ("b", 3)):
        add(workspace, name, pl.DataFrame({"x": range(rows)}), occurred_at=when)
    found = datasets(workspace)
    assert [(one["dataset"], one["version"], one["rows"], one["kind"]) for one in found] == [
        ("a", 1, 1, "table"),
        ("b", 2, 3, "table"),
    ]
    assert found[0]["occurred_at"] == when.isoformat()


def test_sources_say_which_file_it_was(workspace: Workspace, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a\n1\n")
    found = sources(add(workspace, "t", path).snapshot)
    assert [(one["uri"], one["kind"], one["bytes"]) for one in found] == [(str(path), "csv", 4)]
    assert len(found[0]["sha256"]) == 64
    assert sources(add(workspace, "u", pl.DataFrame({"a": [1]})).snapshot)[0]["uri"] == "memory:polars"


@pytest.mark.parametrize("how", ["gone", "flipped"])
def test_the_doctor_names_what_is_wrong_with_objects(workspace: Workspace, how: str) -> None:
    found = add(workspace, "t", pl.DataFrame({"a": [1]})).snapshot
    assert all(one["ok"] for one in examine(workspace))
    path = workspace.objects.open_path(found.groups()[0].rope.fragments[0].digest)
    path.chmod(0o644)
    if how == "gone":
        path.unlink()
    else:
        path.write_bytes(b"\1" + path.read_bytes()[1:])
    bad = {one["what"]: one["found"] for one in examine(workspace) if not one["ok"]}
    assert set(bad) == {"objects", "snapshots"}
    assert ("MISSING" if how == "gone" else "DAMAGED") in bad["objects"]
    assert "t@1" in bad["snapshots"]
