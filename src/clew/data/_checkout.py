"""Checking out a snapshot: a table as Parquet, a folder as its files."""

import os
import tempfile
from pathlib import Path

from clew.data._lay import lay
from clew.data._system import writing_files
from clew.data.snapshot import Snapshot
from clew.errors import RefusedError


def checkout(snapshot: Snapshot, dest: Path) -> list[Path]:
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
    return _files(snapshot, dest)


def _table(snapshot: Snapshot, target: Path) -> Path:
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


def _files(snapshot: Snapshot, dest: Path) -> list[Path]:
    if dest.exists() and (not dest.is_dir() or any(dest.iterdir())):
        raise RefusedError(f"{dest} is not an empty folder", mend="name another folder, or empty it")
    entries = snapshot.entries()
    written: list[Path] = []
    with writing_files(dest):
        dest.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{dest.name}-", dir=dest.parent) as folder:
            laid = below = Path(folder) / "laid"
            laid.mkdir()
            inside = dest
            if snapshot.kind == "both":
                _table(snapshot, laid / f"{snapshot.dataset}.parquet")
                written.append(dest / f"{snapshot.dataset}.parquet")
                below, inside = laid / "files", dest / "files"
                below.mkdir()
            lay(snapshot.workspace.objects, entries, below)
            laid.rename(dest)  # takes the place of an empty folder
    return written + [Path(os.path.join(inside, path)) for path in entries]  # noqa: PTH118 - four times as fast
