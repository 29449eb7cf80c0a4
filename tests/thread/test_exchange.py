"""Everything out and in again, between both kinds of workspaces; and exports that can't be taken in."""

import hashlib
import json
import signal
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa
from tests.projects import Project, made
from tests.servers.s3 import S3Server
from tests.thread.filled import fill, opened
from tests.thread.test_retention import PIPELINE, journal

from clew import models
from clew.catalog import now
from clew.catalog.commands import CreateEndpoint, MoveAlias
from clew.catalog.tables import builds, data, governance, metadata
from clew.catalog.tables import models as tables
from clew.data import all_of, find, verify
from clew.errors import ClewError, DataError, IntegrityError, NotFoundError, RefusedError, SchemaError
from clew.models.rebuild import rebuild
from clew.models.restore import restore
from clew.serving.journal import Journal, Outcome, compact
from clew.session import Session, open_workspace
from clew.thread import why
from clew.thread.doctor import examine
from clew.thread.exchange import export_workspace, import_workspace
from clew.thread.holds import hold, holds, release
from clew.thread.retention import Retention, apply_retention
from clew.thread.used_by import model_used_by
from clew.workspace import Workspace, init


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    yield from made(tmp_path / "project")


def filled(project: Project) -> list[str]:
    """Two versions of a model, a folder of files, an endpoint with predictions in all forms; the predictions' ids."""
    workspace, catalog = project.workspace, project.workspace.catalog
    project.write(PIPELINE)
    for number in (1, 2):
        rows = {"x": [float(at) for at in range(1, 40)], "y": [2.0 * at + number for at in range(1, 40)]}
        workspace.add("points", pl.DataFrame(rows), key=["x"])
        assert project.run().models == [f"slope@{number}"]
    folder = project.folder / "files"
    (folder / "deep").mkdir(parents=True)
    (folder / "a.bin").write_bytes(bytes(range(256)) * 40)
    (folder / "deep" / "b.txt").write_text("Grüße, 家")
    workspace.add("files", folder, kind="files")
    version = models.find(workspace, "slope@2")
    catalog.execute(CreateEndpoint(name="slope", model_version_id=version.id, occurred_at=now()))
    owner = str(catalog.get(tables.model_versions, version.id).model_id)
    catalog.execute(MoveAlias(owner_kind="model", owner_id=owner, alias="good", to_id=version.id, reason="audited"))
    hold(workspace, "slope@1", "case 17")
    asked = journal(workspace, version.id, segments=2)
    compact(workspace.journal)
    asked += journal(workspace, version.id, segments=1)  # this one stays as frames
    with Journal(workspace.journal, "server-2") as writer:
        late = Outcome(id="o", prediction_id=asked[0], name="y", kind="label", value=3.0, occurred_at=1, recorded_at=1)
        writer.append([late]).result()
    return asked


def rows(workspace: Workspace) -> dict[str, Any]:
    """All rows but those that belong to one workspace alone, by table."""
    found: dict[str, Any] = {}
    own = {"workspace", "actors", "commands", "leases"}
    for table in metadata.sorted_tables:
        if table.name not in own:
            kept = [column for column in table.columns if column.name != "actor_id"]
            there = workspace.catalog.rows(sa.select(*kept))
            # PostgreSQL doesn't keep the order of a document's keys.
            found[table.name] = sorted(json.dumps(list(row), sort_keys=True, default=str) for row in there)
    return found


def check(workspace: Session, asked: list[str], before: Workspace, folder: Path) -> None:
    """All that was there is there, and can be gone back to."""
    theirs, ours = rows(before), rows(workspace)
    for table, there in theirs.items():
        assert ours[table] == there, table
    assert all(one["ok"] for one in examine(workspace))
    assert [one.fault for one in verify(all_of(workspace))] == [None, None, None]
    assert find(workspace, "points@1").content_id == find(before, "points@1").content_id
    assert find(workspace, "files@1").open("deep/b.txt").read_text() == "Grüße, 家"
    for one in asked:
        assert why(workspace, one) == why(before, one)
    assert why(workspace, asked[0])["outcomes"][0]["value"] == 3.0
    assert model_used_by(workspace, "slope@2")["predictions"] == {"total": 3, "uncounted": 0, "open_bytes": 0}
    assert [one["reason"] for one in holds(workspace)] == ["case 17"]
    assert models.find(workspace, "slope@good").version == 2
    assert restore(models.find(workspace, "slope@1"), folder)["model"] == "slope@1"
    log = workspace.catalog.rows(sa.select(governance.commands.c.name))
    assert [row.name for row in log].count("RegisterModel") == 2


def test_from_a_folder_to_a_team_and_back(
    project: Project,
    tmp_path: Path,
    postgres_database: str,
    s3_server: S3Server,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = filled(project)
    out = export_workspace(project.workspace, tmp_path / "out")
    listed = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert out["records"] == 4
    for name, file in listed["files"].items():
        body = (tmp_path / "out" / name).read_bytes()
        assert (hashlib.sha256(body).hexdigest(), len(body)) == (file["sha256"], file["bytes"])
    on_disk = {
        path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*") if path.is_file()
    }
    assert on_disk == {*listed["files"], "manifest.json"}
    # Any tool reads it.
    assert pl.read_parquet(tmp_path / "out" / "snapshots" / "points" / "2.parquet")["y"][0] == 4.0
    assert (tmp_path / "out" / "snapshots" / "files" / "1" / "deep" / "b.txt").read_text() == "Grüße, 家"
    assert (tmp_path / "out" / "models" / "slope" / "2.zip").stat().st_size > 0
    parts = sorted((tmp_path / "out" / "journal").glob("*/*/predictions.parquet"))
    assert sorted(pl.concat([pl.read_parquet(one) for one in parts])["id"]) == sorted(asked)
    assert len((tmp_path / "out" / "catalog" / "model_versions.jsonl").read_text().splitlines()) == 2

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3_server.access_key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3_server.secret_access_key)
    init(tmp_path / "team", catalog=postgres_database, objects=s3_server.url())
    with open_workspace(tmp_path / "team") as team:
        said = import_workspace(team, tmp_path / "out")
        assert (said["rows"], said["objects"], said["records"]) == (out["rows"], out["objects"], 4)
        check(team, asked, project.workspace, tmp_path / "restored-team")
        assert rebuild(models.find(team, "slope@2"))["verdict"] == "identical"
        # It is a workspace like any other: what is added now goes on from there.
        more = team.add("points", pl.DataFrame({"x": [1.0], "y": [2.0]}))
        assert more.version == 3
        export_workspace(team, tmp_path / "back", laid_out=False)
    assert not (tmp_path / "back" / "snapshots").exists()
    with open_workspace(tmp_path / "again", create=True) as again:
        import_workspace(again, tmp_path / "back")
        assert [one.reference for one in all_of(again, "points")] == ["points@3", "points@2", "points@1"]
        for one in asked:
            assert why(again, one) == why(project.workspace, one)
        assert rebuild(models.find(again, "slope@1"))["verdict"] == "identical"
        assert all(one["ok"] for one in examine(again))


def test_what_expired_stays_known_on_the_other_side(project: Project, tmp_path: Path) -> None:
    filled(project)
    release(project.workspace, "slope@1")
    apply_retention(project.workspace, Retention(now() + timedelta(seconds=1)))
    export_workspace(project.workspace, tmp_path / "out")
    assert not (tmp_path / "out" / "models" / "slope" / "1.zip").exists()
    with open_workspace(tmp_path / "new", create=True) as workspace:
        import_workspace(workspace, tmp_path / "out")
        assert models.find(workspace, "slope@1").state == "expired"
        with pytest.raises(RefusedError):
            models.find(workspace, "slope@1").load()
        assert all(one["ok"] for one in examine(workspace))


def test_rows_that_refer_to_later_rows_of_their_table_come_in(project: Project, tmp_path: Path) -> None:
    filled(project)
    ids = [
        str(row.id)
        for row in project.workspace.catalog.rows(sa.select(data.contents.c.id).order_by(data.contents.c.id))
    ]
    runs = [
        str(row.id) for row in project.workspace.catalog.rows(sa.select(builds.runs.c.id).order_by(builds.runs.c.id))
    ]
    engine = project.workspace.catalog.engine
    with engine.connect().execution_options(clew_write=True) as connection, connection.begin():
        connection.execute(data.contents.update().where(data.contents.c.id == ids[0]).values(superseded_by_id=ids[-1]))
        connection.execute(builds.runs.update().where(builds.runs.c.id == runs[0]).values(parent_run_id=runs[1]))
    export_workspace(project.workspace, tmp_path / "out")
    with open_workspace(tmp_path / "new", create=True) as workspace:
        import_workspace(workspace, tmp_path / "out")
        assert rows(workspace)["contents"] == rows(project.workspace)["contents"]
        assert rows(workspace)["runs"] == rows(project.workspace)["runs"]


def flipped(path: Path) -> None:
    body = bytearray(path.read_bytes())
    body[len(body) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(body)


def edited(folder: Path, **changes: Any) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_an_export_that_is_not_whole_is_refused_before_anything_is_written(project: Project, tmp_path: Path) -> None:
    filled(project)
    out = tmp_path / "out"
    export_workspace(project.workspace, out)
    kept = (out / "manifest.json").read_text()
    with open_workspace(tmp_path / "new", create=True) as workspace:

        def refused(error: type[ClewError], says: str) -> None:
            with pytest.raises(error, match=says) as caught:
                import_workspace(workspace, out)
            assert caught.value.mend
            assert not any(rows(workspace).values())
            assert list(workspace.objects.list()) == []
            assert not any(workspace.journal.iterdir())

        for name in ("catalog/runs.jsonl", "objects/*", "journal/*/*/outcomes.parquet", "models/slope/1.zip"):
            path = min(out.glob(name))
            before = path.read_bytes()
            flipped(path)
            refused(IntegrityError, "is damaged" if path.stat().st_nlink > 1 else f"{path.name} is damaged")
            path.write_bytes(before)
            path.unlink()
            refused(IntegrityError, "is missing")
            path.write_bytes(before)
        for changes, error, says in (
            ({"schema": "0001"}, SchemaError, "has schema 0001"),
            ({"schema": "9999"}, SchemaError, "has schema 9999"),
            ({"format": 7}, SchemaError, "format 7"),
            ({"rows": 5}, DataError, "can't be read"),
            ({"files": {"../../etc/passwd": {"sha256": "0" * 64, "bytes": 1}}}, DataError, "outside"),
            ({"files": {"/etc/passwd": {"sha256": "0" * 64, "bytes": 1}}}, DataError, "outside"),
        ):
            edited(out, **changes)
            refused(error, says)
            (out / "manifest.json").write_text(kept)
        (out / "manifest.json").write_text(kept[:100])
        refused(DataError, "can't be read")
        (out / "manifest.json").unlink()
        refused(NotFoundError, "no finished export")


def sealed(out: Path) -> None:
    """Write the manifest anew, as if the damage had been there when the export was made."""
    files = {}
    for path in out.rglob("*"):
        if path.is_file() and path.name != "manifest.json":
            body = path.read_bytes()
            files[path.relative_to(out).as_posix()] = {"sha256": hashlib.sha256(body).hexdigest(), "bytes": len(body)}
    edited(out, files=files)


def test_an_export_that_contradicts_itself_leaves_the_catalog_as_it_was(project: Project, tmp_path: Path) -> None:
    filled(project)
    out = tmp_path / "out"
    export_workspace(project.workspace, out, laid_out=False)
    with open_workspace(tmp_path / "new", create=True) as workspace:
        runs = out / "catalog" / "runs.jsonl"
        lines = runs.read_bytes().splitlines(keepends=True)
        for body, error, says in (
            (b"".join([*lines, b"{}\n"]), DataError, r"runs\.jsonl, line 3"),
            (b"".join([*lines, b"no json\n"]), DataError, r"runs\.jsonl, line 3"),
            (lines[0], IntegrityError, "has 1 rows, the manifest says 2"),
            (b"".join(lines).replace(b'"done"', b'"flown"'), ClewError, "could not be written"),
        ):
            runs.write_bytes(body)
            sealed(out)
            with pytest.raises(error, match=says):
                import_workspace(workspace, out)
            assert not any(rows(workspace).values())
        runs.write_bytes(b"".join(lines))
        thing = min((out / "objects").iterdir())
        body = thing.read_bytes()
        thing.unlink()
        sealed(out)
        with pytest.raises(IntegrityError, match="lacks 1 objects"):
            import_workspace(workspace, out)
        thing.write_bytes(body)
        sealed(out)
        import_workspace(workspace, out)
        assert rows(workspace) == rows(project.workspace)


def test_only_an_empty_workspace_takes_an_export_and_only_an_empty_folder_gets_one(
    project: Project, tmp_path: Path
) -> None:
    filled(project)
    out = tmp_path / "out"
    export_workspace(project.workspace, out)
    with pytest.raises(RefusedError, match="not an empty folder"):
        export_workspace(project.workspace, out)
    with pytest.raises(RefusedError, match="not empty: it has"):
        import_workspace(project.workspace, out)
    with open_workspace(tmp_path / "new", create=True) as workspace:
        import_workspace(workspace, out)
        with pytest.raises(RefusedError, match="not empty"):
            import_workspace(workspace, out)
    with open_workspace(tmp_path / "written", create=True) as workspace:
        journal(workspace, "v", segments=1)
        with pytest.raises(RefusedError, match="there is a journal"):
            import_workspace(workspace, out)


def test_an_object_that_is_gone_stops_the_export_and_there_is_no_manifest(tmp_path: Path) -> None:
    with opened(tmp_path / "w") as workspace:
        fill(workspace)
        with pytest.raises(NotFoundError):
            export_workspace(workspace, tmp_path / "out")
        assert not (tmp_path / "out" / "manifest.json").exists()
        with open_workspace(tmp_path / "new", create=True) as other, pytest.raises(NotFoundError, match="no finished"):
            import_workspace(other, tmp_path / "out")


@pytest.mark.parametrize("where", ["_load", "_finish"])
def test_a_killed_import_is_begun_again_or_finished(project: Project, tmp_path: Path, where: str) -> None:
    asked = filled(project)
    export_workspace(project.workspace, tmp_path / "out", laid_out=False)
    init(tmp_path / "new")
    patch = (
        "import os, clew.thread.exchange.entering as e\n"
        f"e.{where} = lambda *a: os.kill(os.getpid(), {int(signal.SIGKILL)})"
    )
    words = ("--workspace", str(tmp_path / "new"), "workspace", "import", str(tmp_path / "out"))
    child = project.start(*words, before=patch)
    assert child.wait() == -signal.SIGKILL, child.stderr
    assert project.start(*words).wait() == 0
    with open_workspace(tmp_path / "new") as workspace:
        check(workspace, asked, project.workspace, tmp_path / "restored")
