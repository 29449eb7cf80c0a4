"""Importing an export into an empty workspace: checked whole first, then objects, then the catalog in one transaction.

Whoever is killed before that transaction leaves a workspace that is still empty, with objects that nothing names.
The journal is laid out beside its place before, and renamed into it after: the same import again finishes that.
"""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from clew.catalog.commands import ImportWorkspace
from clew.catalog.tables import governance, metadata
from clew.errors import IntegrityError, RefusedError
from clew.thread.exchange import manifest, rows, segments
from clew.thread.exchange.leaving import named
from clew.workspace import Workspace

Fact = dict[str, Any]
Report = Callable[[str, int, int | None], None]


def import_workspace(workspace: Workspace, source: Path, *, report: Report | None = None) -> Fact:
    """Take an export into an empty workspace, of whatever kind: folder or team.

    Everything keeps its id, its numbers and its moments; the workspace keeps its own identity, tokens and leases.

    Raises:
        NotFoundError: there is no finished export.
        SchemaError: it is of another schema.
        IntegrityError: a file of it is damaged or missing; nothing was written.
        DataError: a row can't be read; the catalog is as it was.
        RefusedError: the workspace isn't empty.
    """
    say = report or (lambda _stage, _done, _total: None)
    found, sha256 = manifest.read(source)
    staged = workspace.folder / "journal.importing"
    if staged.exists() and _was_imported(workspace, sha256):
        return _finish(workspace, found, staged)
    _refuse_unless_empty(workspace)
    manifest.verify(source, found)
    objects = sorted(name for name in found.files if name.startswith("objects/"))
    for number, name in enumerate(objects, 1):
        put = workspace.objects.put(source / name)
        if put.digest != Path(name).name:
            raise IntegrityError(f"{source / name} holds another object than its name says", mend=manifest.AGAIN)
        say("objects", number, len(objects))
    if staged.exists():
        shutil.rmtree(staged)
    staged.mkdir()
    segments.load(source / "journal", staged)
    command = ImportWorkspace(
        manifest_sha256=sha256, workspace_id=found.workspace, clew_version=found.clew, rows=found.rows
    )
    workspace.catalog.execute(command, bulk=lambda connection: _load(connection, source, found, say))
    return _finish(workspace, found, staged)


def _was_imported(workspace: Workspace, sha256: str) -> bool:
    """Whether this very export is in the workspace already, perhaps but for its journal."""
    c = governance.commands.c
    done = workspace.catalog.rows(sa.select(c.payload).where(c.name == "ImportWorkspace"))
    return any(row.payload.get("manifest_sha256") == sha256 for row in done)


def _refuse_unless_empty(workspace: Workspace) -> None:
    """Raises RefusedError, which says what is there."""
    mend = "clew init an empty folder (or an empty database and prefix), and import into that"
    with workspace.catalog.read() as connection:
        for table in metadata.sorted_tables:
            if table.name not in rows.LEFT_OUT | {"actors", "commands"}:
                count = connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
                if count:
                    raise RefusedError(f"the workspace is not empty: it has {count:,} rows in {table.name}", mend=mend)
    if workspace.journal.is_dir() and any(workspace.journal.iterdir()):
        raise RefusedError(f"the workspace is not empty: there is a journal in {workspace.journal}", mend=mend)


def _load(connection: sa.Connection, source: Path, found: manifest.Manifest, say: Report) -> None:
    """Insert all rows, and check that they are those that the manifest counts and that no object is missing."""
    actors: dict[str, str] = {}
    for number, table in enumerate(rows.tables(), 1):
        count, later = 0, []
        itself = rows.to_itself(table)
        for some in rows.load(source / "catalog" / f"{table.name}.jsonl", table):
            count += len(some)
            ready = list(_mapped(connection, table, some, actors))
            for row in ready:
                late = {name: row[name] for name in itself if row[name] is not None}
                if late:
                    later.append({"of": row["id"], **late})
                    row.update(dict.fromkeys(late))
            if ready:
                connection.execute(table.insert(), ready)
        for one in later:
            row_id = one.pop("of")
            connection.execute(table.update().where(table.c.id == row_id).values(**one))
        if count != found.rows.get(table.name):
            raise IntegrityError(
                f"{table.name}.jsonl has {count} rows, the manifest says {found.rows.get(table.name)}",
                mend=manifest.AGAIN,
            )
        say("catalog", number, len(rows.tables()))
    missing = sorted(digest for digest in named(connection) if f"objects/{digest}" not in found.files)
    if missing:
        raise IntegrityError(
            f"the export lacks {len(missing)} objects that its catalog names, such as {missing[0]}",
            mend="clew doctor where it was made, then export it again",
        )


def _mapped(
    connection: sa.Connection, table: sa.Table, some: list[dict[str, Any]], actors: dict[str, str]
) -> Iterator[dict[str, Any]]:
    """Rows under the actors of this workspace: who is here already keeps the key that he has here."""
    if table is governance.actors:
        here = {(row.kind, row.name): str(row.id) for row in connection.execute(sa.select(governance.actors))}
        for row in some:
            known = here.get((row["kind"], row["name"]))
            actors[row["id"]] = known or row["id"]
            if known is None:
                yield row
        return
    for row in some:
        if "actor_id" in row:
            row["actor_id"] = actors.get(row["actor_id"], row["actor_id"])
        yield row


def _finish(workspace: Workspace, found: manifest.Manifest, staged: Path) -> Fact:
    """Put the journal into its place, unless it is there already."""
    if staged.exists():
        if workspace.journal.is_dir():
            workspace.journal.rmdir()  # refuses unless it is empty
        staged.rename(workspace.journal)
    return {
        "from": found.workspace,
        "exported_at": found.exported_at,
        "rows": sum(found.rows.values()),
        "objects": sum(name.startswith("objects/") for name in found.files),
        "records": sum(found.records.values()),
    }
