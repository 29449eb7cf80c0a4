"""Where a workspace is, and what its settings say; nothing here is heavy to import."""

import os
import tomllib
from pathlib import Path

from clew.errors import NoWorkspaceError, UsageError

FOLDER = ".clew"


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


def read_settings(folder: Path) -> dict[str, str]:
    """What `config.toml` of a workspace's `.clew/` says. Raises NoWorkspaceError, UsageError."""
    path = folder / "config.toml"
    try:
        settings = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise NoWorkspaceError(f"{folder} is not a finished workspace", mend=f"clew init {folder.parent}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} can't be read: {error}", mend="mend that line of the file") from error
    return {name: str(value) for name, value in settings.items()}
