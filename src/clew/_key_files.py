"""Files of keys: one folder a workspace among this user's settings, each file readable by its owner alone."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path


def settings_folder() -> Path:
    """The folder of this user's settings of clew."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "clew"


def file_of(workspace_id: str, name: str) -> Path:
    """Where a workspace's key lies."""
    return settings_folder() / "keys" / workspace_id / f"{name}.key"


def elsewhere(workspace_id: str, name: str) -> Iterator[Path]:
    """Where else it may lie: where every workspace once had its one key, and with workspaces it was copied from."""
    yield settings_folder() / "pseudonym.key"
    own = file_of(workspace_id, name)
    for path in sorted((settings_folder() / "keys").glob(f"*/{name}.key")):
        if path != own:
            yield path


def read(path: Path) -> bytes | None:
    """The key in a file; None when there is no such file."""
    try:
        return path.read_bytes().strip()
    except FileNotFoundError:
        return None


def write_once(path: Path, key: bytes) -> bytes:
    """Write a key, unless there is one; give the one that is there then.

    Linked when it is whole: another process must never read half a key, nor a second one come about.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.NamedTemporaryFile(dir=path.parent) as file:  # of mode 0600
        file.write(key)
        file.flush()
        os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(file.name)
    return path.read_bytes().strip()
