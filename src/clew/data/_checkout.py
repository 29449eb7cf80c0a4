"""Checking out a snapshot: a table as Parquet, a folder as its files."""

import shutil
import tempfile
from pathlib import Path

from clew.data import files
from clew.data._disk import writing
from clew.data.snapshot import Snapshot
from clew.errors import RefusedError


def checkout(snapshot: Snapshot, dest: Path) -> list[Path]:
    """Write a snapshot to `dest`: a table as Parquet, a folder as its files; whole or not at all.

    A table goes to `dest` itself when that ends in .parquet, else to `dest/NAME.parquet`. Gives the files that were
    written. Raises RefusedError when something is there already, StoreError when the disk is full.
    """
    if snapshot.kind == "table":
        return [_table(snapshot, dest if dest.suffix == ".parquet" else dest / f"{snapshot.dataset}.parquet")]
    return _files(snapshot, dest)


def _table(snapshot: Snapshot, target: Path) -> Path:
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
    listing = snapshot.files()
    with writing(dest):
        dest.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{dest.name}-", dir=dest.parent) as folder:
            laid = Path(folder) / "files"
            laid.mkdir()
            for relative, digest in listing.items():
                target = files.safe_target(laid, relative)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(snapshot.workspace.objects.open_path(digest), target)
            laid.rename(dest)  # takes the place of an empty folder
    return [dest / relative for relative in listing]
