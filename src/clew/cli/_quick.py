"""Commands on folders of files that are answered before anything heavy is imported, where that can be.

`clew data add NAME FOLDER` of an unchanged folder, and `clew data checkout NAME[@N] DEST` of files, in a workspace
of this machine. Whatever else is asked, or is found to be other than expected, is left to the command itself.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from clew._place import FOLDER, find_root, read_settings
from clew.catalog.glance import Seen, version_of
from clew.cli._edge import emit, short

_WORDS: Final = 4


def answered(given: Sequence[str]) -> bool:
    """Answer a command if it can be done without more ado; whether that was so. Raises as the command does."""
    if list(given[:1]) != ["data"]:
        return False
    words = [word for word in given if word != "--json"]
    if len(words) != _WORDS or any(word.startswith("-") for word in words):
        return False
    _, verb, name, place = words
    if verb == "add":
        return _add(name, place, as_json=len(words) < len(given))
    return verb == "checkout" and _checkout(name, Path(place), as_json=len(words) < len(given))


def _add(name: str, source: str, *, as_json: bool) -> bool:
    folder, workspace = Path(source), _local()
    if workspace is None or not folder.is_dir():
        return False
    newest = version_of(workspace / "catalog.sqlite", name)
    if newest is None or newest.kind != "files":
        return False
    from clew.data._stat_cache import unchanged

    if unchanged(workspace / "cache", folder) != newest.content_id:
        return False
    value = {
        "dataset": name,
        "version": newest.version,
        "id": newest.content_id,
        "rows": None,
        "new_bytes": 0,
        "changed": False,
    }
    emit(value, as_json, lambda: f"{name}@{newest.version}  files  {short(newest.content_id)}  unchanged")
    return True


def _checkout(reference: str, dest: Path, *, as_json: bool) -> bool:
    workspace = _local()
    seen = None if workspace is None else _seen(workspace, reference)
    if workspace is None or seen is None or seen.kind != "files" or seen.listing is None:
        return False
    from clew.data._checkout import lay_out
    from clew.data._file_listing import load
    from clew.objects import open_store

    objects = open_store(workspace / "objects", cache_folder=workspace / "cache")
    written = lay_out(objects, load(objects, seen.listing).entries, dest)
    emit({"reference": reference, "files": written}, as_json, lambda: f"wrote {len(written)} file(s) to {dest}")
    return True


def _seen(workspace: Path, reference: str) -> Seen | None:
    """The version that `name`, `name@latest` or `name@3` means."""
    name, _, selector = reference.partition("@")
    if selector in ("", "latest"):
        return None if reference.endswith("@") else version_of(workspace / "catalog.sqlite", name)
    if not (selector.isascii() and selector.isdigit()):
        return None
    return version_of(workspace / "catalog.sqlite", name, int(selector))


def _local() -> Path | None:
    """The `.clew/` of a workspace whose catalog and objects lie in it."""
    folder = find_root() / FOLDER
    return None if read_settings(folder) else folder
