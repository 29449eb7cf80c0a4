"""The workspace: where everything lives. A folder `.clew/`, or a database and an object store that it names."""

import os
import secrets
import tomllib
from pathlib import Path

import sqlalchemy as sa

from clew._version import __version__
from clew.catalog import Actor, Catalog
from clew.catalog.commands import CreateWorkspace
from clew.errors import NoWorkspaceError, RefusedError, UsageError
from clew.objects import ObjectStore, open_store
from clew.objects.filesystem import refuse_network_filesystem

FOLDER = ".clew"


class Workspace:
    """An open workspace: its catalog, its objects, and the folders of this machine.

    Thread-safe. Close it, or use it as a context manager.
    """

    def __init__(self, root: Path, *, actor: Actor | None = None) -> None:
        self.root = root
        self.folder = root / FOLDER
        settings = _read_settings(self.folder)
        self.is_local = "catalog" not in settings
        catalog_url = settings.get("catalog") or f"sqlite:///{self.folder / 'catalog.sqlite'}"
        self.catalog = Catalog(catalog_url, actor)
        self.objects: ObjectStore = open_store(
            settings.get("objects") or str(self.folder / "objects"), cache_folder=self.folder / "cache"
        )
        self.journal = self.folder / "journal"
        self.locks = self.folder / "locks"

    def temporary(self) -> Path:
        """A folder for files on their way; on the same file system as the objects of a local workspace."""
        path = self.folder / "tmp"
        path.mkdir(exist_ok=True)
        return path

    def pseudonym_key(self) -> bytes:
        """The key of pseudonyms, kept outside of the workspace's data, readable by its owner alone."""
        named = os.environ.get("CLEW_PSEUDONYM_KEY")
        if named:
            return named.encode()
        path = Path(os.environ.get("XDG_CONFIG_HOME", Path.home() / ".config")) / "clew" / "pseudonym.key"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            path.touch(mode=0o600)
            path.write_text(secrets.token_hex(32))
        return path.read_text().strip().encode()

    def close(self) -> None:
        """Give the database's connections back."""
        self.catalog.close()

    def __enter__(self) -> "Workspace":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def find_root(named: str | os.PathLike[str] | None = None) -> Path:
    """The folder that holds the workspace: the one named, `CLEW_WORKSPACE`, or the nearest upwards.

    Raises NoWorkspaceError.
    """
    named = named or os.environ.get("CLEW_WORKSPACE")
    if named:
        root = Path(str(named).removeprefix("file://")).resolve()
        root = root.parent if root.name == FOLDER else root
        if (root / FOLDER).is_dir():
            return root
        raise NoWorkspaceError(f"there is no workspace in {root}", mend=f"clew init {root}")
    here = Path.cwd().resolve()
    for root in (here, *here.parents):
        if (root / FOLDER).is_dir():
            return root
    raise NoWorkspaceError(
        f"there is no workspace in {here} or above it",
        mend="clew init, or name one with --workspace DIR or CLEW_WORKSPACE",
    )


def init(root: Path, *, catalog: str | None = None, objects: str | None = None) -> bool:
    """Make a workspace in `root`; give whether it is new. One that is there already stays as it is.

    Args:
        root: the folder to make `.clew/` in.
        catalog: a PostgreSQL URL without password (PGPASSWORD or ~/.pgpass give it), else SQLite in the folder.
        objects: an `s3://bucket/prefix?endpoint=…` URL (AWS_* give the credentials), else a folder.
    """
    if (catalog is None) != (objects is None):
        raise UsageError(
            "a team's workspace needs both a database and an object store", mend="give --catalog and --objects"
        )
    folder = root.resolve() / FOLDER
    if folder.is_dir() and (folder / "config.toml").exists():
        if catalog is not None and _read_settings(folder).get("catalog") != catalog:
            raise RefusedError(f"{folder} is a workspace with another catalog already", mend="choose another folder")
        created = False
    else:
        if catalog is not None and sa.make_url(catalog).password:
            raise UsageError(
                "the catalog's URL holds a password, which would be written down", mend="set PGPASSWORD or ~/.pgpass"
            )
        folder.mkdir(parents=True, exist_ok=True)
        refuse_network_filesystem(folder)
        for name in ("journal", "locks", "tmp", "cache"):
            (folder / name).mkdir(exist_ok=True)
        created = True
    lines = ["# clew's workspace; `clew doctor` says how it is."]
    if catalog is not None:
        lines += [f'catalog = "{catalog}"', f'objects = "{objects}"']
    if created:
        # Written last: what has no config.toml is no workspace yet, and init begins again.
        text = "\n".join(lines) + "\n"
        (folder / "config.toml.new").write_text(text)
    settings_at = folder / ("config.toml.new" if created else "config.toml")
    settings = tomllib.loads(settings_at.read_text())
    with Catalog(settings.get("catalog") or f"sqlite:///{folder / 'catalog.sqlite'}") as database:
        database.upgrade()
        database.execute(CreateWorkspace(clew_version=__version__))
    open_store(settings.get("objects") or str(folder / "objects"), cache_folder=folder / "cache")
    if created:
        settings_at.rename(folder / "config.toml")
    return created


def open_folder(named: str | os.PathLike[str] | None = None, *, actor: Actor | None = None) -> Workspace:
    """Open the workspace that is named, or found. Raises NoWorkspaceError, SchemaError."""
    workspace = Workspace(find_root(named), actor=actor)
    workspace.catalog.require_schema()
    return workspace


def _read_settings(folder: Path) -> dict[str, str]:
    path = folder / "config.toml"
    try:
        settings = tomllib.loads(path.read_text())
    except FileNotFoundError:
        raise NoWorkspaceError(f"{folder} is not a finished workspace", mend=f"clew init {folder.parent}") from None
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path} can't be read: {error}", mend="mend that line of the file") from error
    return {name: str(value) for name, value in settings.items()}
