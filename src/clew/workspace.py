"""The workspace: where everything lives. A folder `.clew/`, or a database and an object store that it names."""

import contextlib
import json
import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path

import sqlalchemy as sa

from clew._place import FOLDER, find_root, read_settings
from clew._version import __version__
from clew.catalog import Actor, Catalog
from clew.catalog.commands import CreateWorkspace
from clew.errors import RefusedError, UsageError
from clew.objects import ObjectStore, open_store
from clew.objects.filesystem import refuse_network_filesystem

_LEFT_SECONDS = 86_400


__all__ = ["FOLDER", "Workspace", "find_root", "init", "open_folder"]


class Workspace:
    """An open workspace: its catalog, its objects, and the folders of this machine.

    Thread-safe. Close it, or use it as a context manager.
    """

    def __init__(self, root: Path, *, actor: Actor | None = None) -> None:
        self.root = root
        self.folder = root / FOLDER
        settings = read_settings(self.folder)
        self.is_local = "catalog" not in settings
        catalog_url = settings.get("catalog") or f"sqlite:///{self.folder / 'catalog.sqlite'}"
        self.catalog = Catalog(catalog_url, actor)
        self.objects: ObjectStore = open_store(
            settings.get("objects") or str(self.folder / "objects"), cache_folder=self.folder / "cache"
        )
        self.journal = self.folder / "journal"
        self.locks = self.folder / "locks"

    def temporary(self) -> Path:
        """A folder for files on their way; on the same file system as the objects of a local workspace.

        What killed processes left there a day ago is removed.
        """
        path = self.folder / "tmp"
        path.mkdir(exist_ok=True)
        before = time.time() - _LEFT_SECONDS
        for left in path.iterdir():
            with contextlib.suppress(OSError):  # another process has just removed it, or it isn't ours to remove
                if left.is_file() and left.stat().st_mtime < before:
                    left.unlink()
        return path

    def close(self) -> None:
        """Give the database's connections back."""
        self.catalog.close()

    def __enter__(self) -> "Workspace":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def init(root: Path, *, catalog: str | None = None, objects: str | None = None) -> bool:
    """Make a workspace in `root`; give whether it is new. One that is there already stays as it is.

    Args:
        root: the folder to make `.clew/` in.
        catalog: a PostgreSQL URL without password (PGPASSWORD or ~/.pgpass give it), else SQLite in the folder.
        objects: an `s3://bucket/prefix?endpoint=…` URL (AWS_* give the credentials), else a folder.

    Raises UsageError, RefusedError, OutsideError; then a folder that wasn't there isn't there now.
    """
    root = root.resolve()
    folder = root if root.name == FOLDER else root / FOLDER
    if (catalog is None) != (objects is None):
        raise UsageError(
            "a team's workspace needs both a database and an object store", mend="give --catalog and --objects"
        )
    settings = {} if catalog is None or objects is None else {"catalog": _without_secrets(catalog), "objects": objects}
    created = not (folder / "config.toml").exists()
    if not created:
        found = read_settings(folder)
        if settings and found != settings:
            raise RefusedError(
                f"{folder} is a workspace with another catalog or another object store already",
                mend="choose another folder",
            )
        settings = found
    refuse_network_filesystem(folder)
    began = not folder.exists()
    try:
        _lay_out(folder, settings)
    except BaseException:
        if began:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    if created:
        # Written last: what has no config.toml is no workspace yet, and init begins again.
        lines = ["# clew's workspace; `clew doctor` says how it is."]
        lines += [f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in settings.items()]
        unfinished = folder / "config.toml.new"
        unfinished.write_text("\n".join(lines) + "\n", encoding="utf-8")
        unfinished.rename(folder / "config.toml")
    return created


def _lay_out(folder: Path, settings: Mapping[str, str]) -> None:
    for name in ("journal", "locks", "tmp", "cache"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    # The store first: a URL that can't be right is refused before the database changes.
    open_store(settings.get("objects") or str(folder / "objects"), cache_folder=folder / "cache")
    with Catalog(settings.get("catalog") or f"sqlite:///{folder / 'catalog.sqlite'}") as database:
        database.upgrade()
        database.execute(CreateWorkspace(clew_version=__version__))


def _without_secrets(catalog: str) -> str:
    """The URL of a team's catalog, if it may be written down. Raises UsageError; the URL is not repeated there."""
    form = "write postgresql://user@host/database; PGPASSWORD or ~/.pgpass give the password"
    try:
        url = sa.make_url(catalog)
    except (sa.exc.ArgumentError, ValueError):
        raise UsageError("the catalog's URL can't be read", mend=form) from None
    if url.get_backend_name() != "postgresql":
        raise UsageError(f"a team's catalog can't live in {url.get_backend_name()}", mend=form)
    if url.password or any("pass" in name.lower() for name in url.query):
        raise UsageError(
            "the catalog's URL holds a password, which would be written down", mend="set PGPASSWORD or ~/.pgpass"
        )
    return catalog


def open_folder(named: str | os.PathLike[str] | None = None, *, actor: Actor | None = None) -> Workspace:
    """Open the workspace that is named, or found. Raises NoWorkspaceError, SchemaError."""
    workspace = Workspace(find_root(named), actor=actor)
    workspace.catalog.require_schema()
    return workspace
