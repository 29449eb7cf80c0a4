"""Checking out a snapshot: a table as Parquet, a folder as its files."""

import shutil
from pathlib import Path

from clew.data import files
from clew.data.snapshot import Snapshot
from clew.errors import RefusedError


def checkout(snapshot: Snapshot, dest: Path) -> list[Path]:
    """Write a snapshot to `dest`: a table as Parquet, a folder as its files.

    A table goes to `dest` itself when that ends in .parquet, else to `dest/NAME.parquet`. Gives the files that were written. Raises RefusedError when something is there already.
    """
    if snapshot.kind == "table":
        target = dest if dest.suffix == ".parquet" else dest / f"{snapshot.dataset}.parquet"
        if target.exists():
            raise RefusedError(f"{target} is there already", mend="name another place, or remove it")
        target.parent.mkdir(parents=True, exist_ok=True)
        unfinished = target.with_name(target.name + ".unfinished")
        snapshot.collect().write_parquet(unfinished)
        unfinished.rename(target)
        return [target]
    if dest.exists() and (not dest.is_dir() or any(dest.iterdir())):
        raise RefusedError(f"{dest} is not an empty folder", mend="name another folder, or empty it")
    written = []
    for relative, digest in snapshot.files().items():
        target = files.safe_target(dest, relative)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(snapshot.workspace.objects.open_path(digest), target)
        written.append(target)
    return written
