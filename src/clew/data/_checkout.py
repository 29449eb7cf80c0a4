"""Checking out a snapshot: a table as Parquet, a folder as its files."""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from clew.data._file_listing import Entry
from clew.data._lay import lay
from clew.data._system import writing_files
from clew.errors import RefusedError
from clew.objects import ObjectStore

if TYPE_CHECKING:
    from clew.data.snapshot import Snapshot


def checkout(snapshot: "Snapshot", dest: Path) -> list[Path]:
    """Write a snapshot to `dest`: a table as Parquet, a folder as its files; whole or not at all.

    A table goes to `dest` itself when that ends in .parquet, else to `dest/NAME.parquet`; a snapshot of both to
    `dest/NAME.parquet` and `dest/files/`. Gives the files that were written.

    Raises:
        RefusedError: something is there already.
        StoreError: the disk is full, or can't be written.
        DataError: the listing holds paths that can't be files below `dest`; nothing was written.
        NotFoundError, IntegrityError: bytes are gone, or not what their content id says; nothing is left.
    """
    if snapshot.kind == "table":
        return [_table(snapshot, dest if dest.suffix == ".parquet" else dest / f"{snapshot.dataset}.parquet")]
    _refuse_filled(dest)
    table_of = snapshot if snapshot.kind == "both" else None
    return [Path(path) for path in lay_out(snapshot.workspace.objects, snapshot.entries(), dest, table_of)]


def _table(snapshot: "Snapshot", target: Path) -> Path:
    from clew.data._disk import writing  # which loads polars: not for a folder of files

    if target.exists():
        raise RefusedError(f"{target} is there already", mend="name another place, or remove it")
    frame = snapshot.collect()
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        unfinished = target.with_name(target.name + ".unfinished")
        try:
            frame.write_parquet(unfinished)
            unfinished.rename(target)
        finally:
            unfinished.unlink(missing_ok=True)
    return target


def lay_out(
    objects: ObjectStore, entries: Mapping[str, Entry], dest: Path, table_of: "Snapshot | None" = None
) -> list[str]:
    """Write the files of a listing to `dest`, and the table that belongs to them, if one does. As `checkout`."""
    _refuse_filled(dest)
    written: list[str] = []
    with writing_files(dest):
        dest.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{dest.name}-", dir=dest.parent) as folder:
            laid = below = Path(folder) / "laid"
            laid.mkdir()
            inside = dest
            if table_of is not None:
                _table(table_of, laid / f"{table_of.dataset}.parquet")
                written.append(os.fspath(dest / f"{table_of.dataset}.parquet"))
                below, inside = laid / "files", dest / "files"
                below.mkdir()
            lay(objects, entries, below)
            laid.rename(dest)  # takes the place of an empty folder
    return written + [f"{inside}/{path}" for path in entries]


def _refuse_filled(dest: Path) -> None:
    if dest.exists() and (not dest.is_dir() or any(dest.iterdir())):
        raise RefusedError(f"{dest} is not an empty folder", mend="name another folder, or empty it")
