"""Exporting a workspace: the catalog in one consistent view, then what it names, then the journal."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from clew._version import __version__
from clew.catalog import SCHEMA, Catalog, now
from clew.catalog.retention import GONE
from clew.catalog.tables import builds, governance, metadata, models, object_columns
from clew.data import all_of, checkout, files
from clew.data._gone import gone
from clew.errors import RefusedError
from clew.objects import ObjectStore
from clew.objects.base import digest_of_file
from clew.thread.exchange import manifest, rows, segments
from clew.workspace import Workspace

Fact = dict[str, Any]
Report = Callable[[str, int, int | None], None]


def export_workspace(workspace: Workspace, dest: Path, *, laid_out: bool = True, report: Report | None = None) -> Fact:
    """Write everything to an empty folder, in open formats; see `clew.thread.exchange` for what lies where.

    While it lasts others may write: the catalog is read in one transaction, and the objects after it. What is given
    is counted by the manifest, which is written last: a folder without one is no export.

    Args:
        workspace: what is exported.
        dest: a folder that is empty, or isn't there.
        laid_out: whether `snapshots/` and `models/` are written too, which takes as much space as all versions have.
        report: told how far it is.

    Raises:
        RefusedError: the folder isn't empty.
        NotFoundError, IntegrityError: an object is gone or damaged; `clew doctor` says which.
    """
    if dest.exists() and (not dest.is_dir() or any(dest.iterdir())):
        raise RefusedError(f"{dest} is not an empty folder", mend="name another folder, or empty it")
    say = report or (lambda _stage, _done, _total: None)
    (dest / "catalog").mkdir(parents=True)
    counts = {}
    with workspace.catalog.read() as connection:
        for table in rows.tables():
            counts[table.name] = rows.dump(connection, table, dest / "catalog" / f"{table.name}.jsonl")
        digests = named(connection)
        identity = connection.execute(sa.select(governance.workspace.c.id)).scalar()
    digests |= in_listings(workspace.objects, workspace.catalog, digests)
    (dest / "objects").mkdir()
    for number, digest in enumerate(sorted(digests), 1):
        _copy(workspace, digest, dest / "objects" / digest)
        say("objects", number, len(digests))
    if laid_out:
        _snapshots(workspace, dest, say)
        _packages(workspace, dest)
    records = segments.dump(workspace.journal, dest / "journal")
    found = {}
    paths = sorted(path for path in dest.rglob("*") if path.is_file())
    for number, path in enumerate(paths, 1):
        digest, size = digest_of_file(path)
        found[path.relative_to(dest).as_posix()] = manifest.File(digest, size)
        say("checking", number, len(paths))
    made = manifest.Manifest(
        format=manifest.FORMAT,
        clew=__version__,
        schema=SCHEMA,
        workspace=str(identity),
        exported_at=now().isoformat(),
        rows=counts,
        records=records,
        files=found,
    )
    sha256 = manifest.write(dest, made)
    return {
        "folder": str(dest.resolve()),
        "manifest": sha256,
        "rows": sum(counts.values()),
        "objects": len(digests),
        "records": sum(records.values()),
        "files": len(found),
        "bytes": sum(one.bytes for one in found.values()),
    }


def named(connection: sa.Connection) -> set[str]:
    """The objects that the catalog names in rows whose bytes are there."""
    digests: set[str] = set()
    for table_name, column_name in object_columns():
        table = metadata.tables[table_name]
        query = sa.select(table.c[column_name]).where(table.c[column_name].is_not(None))
        if "state" in table.c:
            query = query.where(table.c.state.not_in(GONE))
        if table_name == "artifacts":
            query = query.where(builds.artifacts.c.body.is_(None))
        digests |= {str(one) for one in connection.execute(query.distinct()).scalars()}
    return digests


def in_listings(objects: ObjectStore, catalog: Catalog, digests: set[str]) -> set[str]:
    """The objects that those of `digests` which are listings of files name in turn."""
    table = metadata.tables["contents"]
    query = sa.select(table.c.listing).where(table.c.listing.is_not(None), table.c.state.not_in(GONE))
    listings = {str(row.listing) for row in catalog.rows(query)} & digests
    return set().union(*(files.objects_of(objects, one) for one in sorted(listings)))


def _copy(workspace: Workspace, digest: str, target: Path) -> None:
    source = workspace.objects.open_path(digest)
    shutil.copyfile(source, target)


def _snapshots(workspace: Workspace, dest: Path, say: Report) -> None:
    found = all_of(workspace)
    for number, snapshot in enumerate(found, 1):
        if not gone(workspace, snapshot.content_pk):
            folder = dest / "snapshots" / snapshot.dataset
            folder.mkdir(parents=True, exist_ok=True)
            name = f"{snapshot.version}.parquet" if snapshot.kind == "table" else str(snapshot.version)
            checkout(snapshot, folder / name)
        say("snapshots", number, len(found))


def _packages(workspace: Workspace, dest: Path) -> None:
    """Each version's package beside the objects: the same file under a name that people read."""
    v, m, a = models.model_versions.c, models.models.c, builds.artifacts.c
    versions = workspace.catalog.rows(
        sa.select(m.name, v.version, a.digest)
        .join(models.models, m.id == v.model_id)
        .join(builds.artifacts, a.id == v.artifact_id)
        .where(v.state.not_in(GONE), a.state == "live")
    )
    for row in versions:
        folder = dest / "models" / row.name
        folder.mkdir(parents=True, exist_ok=True)
        source = dest / "objects" / row.digest
        if source.exists():  # a version that was registered after the catalog was read has none here
            os.link(source, folder / f"{row.version}.zip")
