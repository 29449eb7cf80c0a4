"""Backing up a folder workspace while it is written to: the catalog first, what it names after it.

The copy of the catalog is one consistent moment (SQLite's online backup). Bytes are durable before the catalog names
them, so all that this moment names is there to be copied afterwards. A backup into the folder of the one before copies
only what is new; until it has ended, the one before stays as it was.
"""

import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from clew.errors import OutsideError, RefusedError, UsageError
from clew.serving.journal import durable, seals
from clew.serving.journal.segment import HEADER_BYTES, compacted_generation, compacted_path, raw_path, seal_path
from clew.thread.exchange.leaving import in_listings, named
from clew.workspace import FOLDER, Workspace

Fact = dict[str, Any]
Report = Callable[[str, int, int | None], None]

_PAGES: Final = 2000  # of the database at a time; writers go on in between
_TRIES: Final = 5


def back_up(workspace: Workspace, dest: Path, *, report: Report | None = None) -> Fact:
    """Copy a folder workspace to `dest`, which then is a workspace: `clew --workspace DEST doctor` looks at it.

    Raises:
        UsageError: the workspace lives in PostgreSQL and S3, which have backups of their own.
        RefusedError: `dest` is neither empty nor a backup, or is the workspace itself.
        NotFoundError, IntegrityError: an object is gone or damaged; `clew doctor` says which.
        OutsideError: the disk is full or failed.
    """
    if not workspace.is_local:
        raise UsageError(
            "the catalog lives in PostgreSQL: back it up there, and the objects after it",
            mend="pg_dump, then a copy of the bucket: docs/guides/backup.md",
        )
    folder = dest.resolve() / FOLDER
    if folder == workspace.folder.resolve():
        raise RefusedError(f"{dest} is the workspace itself", mend="name a folder on another disk")
    if dest.exists() and any(dest.iterdir()) and not (folder / "backup").exists():
        raise RefusedError(f"{dest} is neither empty nor a backup", mend="name another folder")
    say = report or (lambda _stage, _done, _total: None)
    try:
        for name in ("objects", "journal", "locks", "tmp", "cache"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / "backup").touch()
        unfinished = folder / "catalog.sqlite.new"
        _copy_catalog(workspace.folder / "catalog.sqlite", unfinished)
        copied, digests = _copy_objects(workspace, unfinished, folder, say)
        segments = _copy_journal(workspace.journal, folder / "journal")
        shutil.copyfile(workspace.folder / "config.toml", folder / "config.toml")
        os.sync()
        for left in ("catalog.sqlite-wal", "catalog.sqlite-shm"):
            (folder / left).unlink(missing_ok=True)
        unfinished.replace(folder / "catalog.sqlite")
        os.sync()
    except sqlite3.Error as error:
        raise OutsideError(f"the catalog can't be copied: {error}", mend="clew doctor; check the disk") from error
    return {"folder": str(dest.resolve()), "objects": digests, "copied": copied, "segments": segments}


def _copy_catalog(source: Path, target: Path) -> None:
    """SQLite's online backup: one moment of the database, while others write."""
    target.unlink(missing_ok=True)
    here = sqlite3.connect(f"file:{source}?mode=ro", uri=True, timeout=60)
    there = sqlite3.connect(target)
    try:
        # Page by page it would begin again with every write; a read transaction holds the moment.
        here.execute("BEGIN")
        here.execute("SELECT count(*) FROM sqlite_master").fetchone()
        here.backup(there, pages=_PAGES)
    finally:
        there.close()
        here.close()


def _copy_objects(workspace: Workspace, catalog: Path, folder: Path, say: Report) -> tuple[int, int]:
    """Copy the objects that the copied catalog names and the backup lacks; how many these were, and how many of all."""
    from clew.catalog import Catalog
    from clew.objects import open_store

    target = open_store(str(folder / "objects"), cache_folder=folder / "cache")
    with Catalog(f"sqlite:///{catalog}") as copy:
        with copy.read() as connection:
            digests = named(connection)
        digests |= in_listings(workspace.objects, copy, digests)
    there = target.exists_many(sorted(digests))
    for number, digest in enumerate(sorted(digests - there), 1):
        put = target.put(workspace.objects.open_path(digest))
        if put.digest != digest:
            raise OutsideError(f"object {digest} is damaged in the workspace", mend="clew doctor")
        say("objects", number, len(digests - there))
    return len(digests - there), len(digests)


def _copy_journal(journal: Path, target: Path) -> int:
    """Copy the segments that the backup lacks, and the open ones as far as they are on disk."""
    count = 0
    for folder, number, seal, stop in list(seals(journal)):
        there = target / folder.name
        there.mkdir(exist_ok=True)
        if seal is None:
            if stop > HEADER_BYTES:
                _copy_open(folder, there, number, stop)
                count += 1
            continue
        count += 1
        for _ in range(_TRIES):  # a compaction may go one step on between two looks
            try:
                _copy_sealed(folder, there, number)
                break
            except FileNotFoundError:
                continue
    return count


def _copy_sealed(folder: Path, target: Path, number: int) -> None:
    generation = compacted_generation(folder, number)
    if generation:
        copy = compacted_path(target, number, generation)
        if not copy.exists():
            unfinished = target / f".scrap-{copy.name}"
            shutil.rmtree(unfinished, ignore_errors=True)
            shutil.copytree(compacted_path(folder, number, generation), unfinished)
            unfinished.rename(copy)
        raw_path(target, number).unlink(missing_ok=True)
    else:
        shutil.copyfile(raw_path(folder, number), raw_path(target, number))
    shutil.copyfile(seal_path(folder, number), seal_path(target, number))


def _copy_open(folder: Path, target: Path, number: int, stop: int) -> None:
    """The confirmed bytes of a segment that is being written, and the mark that says how many these are."""
    body = raw_path(folder, number).read_bytes()[:stop]
    raw_path(target, number).write_bytes(body)
    durable.keep(target, number, stop)
