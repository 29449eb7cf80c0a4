"""What differs between two archives of code, and between two locks, in words of bounded length."""

import difflib
import io
import zipfile
from collections.abc import Mapping
from typing import Any

from clew.objects import ObjectStore

Fact = dict[str, Any]

MOST_LINES = 400
"""Lines of one file's diff."""
MOST_IN_ALL = 2000
"""Lines of all diffs together."""
_LONGEST = 400  # characters of a line


def code_diff(objects: ObjectStore, before: str, after: str) -> list[Fact]:
    """Each file that differs between two archives (by their digests), with its unified diff; by path.

    `lines` is cut at `MOST_LINES` a file and `MOST_IN_ALL` in all, and `cut` says how many lines were left out.

    Raises NotFoundError, IntegrityError: an archive is gone or damaged.
    """
    left, right = _files(objects, before), _files(objects, after)
    found: list[Fact] = []
    room = MOST_IN_ALL
    for path in sorted(left.keys() | right.keys()):
        a, b = left.get(path), right.get(path)
        if a == b:
            continue
        change = "added" if a is None else "removed" if b is None else "changed"
        lines = _unified(path, a, b)
        shown = lines[: min(room, MOST_LINES)]
        room -= len(shown)
        found.append({"path": path, "change": change, "lines": shown, "cut": len(lines) - len(shown)})
    return found


def _files(objects: ObjectStore, digest: str) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(objects.get(digest))) as archive:
        return {name: archive.read(name) for name in archive.namelist() if not name.endswith("/")}


def _unified(path: str, before: bytes | None, after: bytes | None) -> list[str]:
    try:
        left, right = ((one or b"").decode().splitlines() for one in (before, after))
    except UnicodeDecodeError:
        return [f"binary: {len(before or b'')} → {len(after or b'')} bytes"]
    names = ("/dev/null" if before is None else f"a/{path}", "/dev/null" if after is None else f"b/{path}")
    return [line[:_LONGEST] for line in difflib.unified_diff(left, right, *names, lineterm="")]


def lock_diff(objects: ObjectStore, before: str, after: str) -> dict[str, list[str | None]]:
    """The libraries whose versions differ between two locks (by their digests): name → the two, None where it lacks.

    Raises NotFoundError, IntegrityError: a lock is gone or damaged.
    """
    left, right = (libraries(objects.get(digest).decode()) for digest in (before, after))
    return differing(left, right)


def libraries(lock: str) -> dict[str, str]:
    """The versions in a lock of pip's format, by name; of what came from elsewhere, from where."""
    found = {}
    for line in lock.splitlines():
        said = line.partition("#")[0].partition(" --")[0].strip().rstrip("\\").strip()
        if not said or said.startswith("-"):
            continue
        name, equals, version = said.partition("==")
        if not equals:
            name, _, version = said.partition("@")
        found[name.strip()] = version.strip()
    return found


def differing(left: Mapping[str, Any], right: Mapping[str, Any]) -> dict[str, list[Any]]:
    """The names whose values differ, each with both; None where one lacks it."""
    names = sorted(left.keys() | right.keys())
    return {name: [left.get(name), right.get(name)] for name in names if left.get(name) != right.get(name)}
