"""The bytes of files in a listing: read, checked, and brought to a file of this machine."""

import contextlib
import os
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from clew.data._file_listing import Entry, load
from clew.data._packs import digest_of
from clew.errors import IntegrityError, NotFoundError, UsageError
from clew.objects import ObjectStore

if TYPE_CHECKING:
    from clew.workspace import Workspace


def read_bytes(objects: ObjectStore, entry: Entry) -> bytes:
    """A file's bytes, checked. Raises NotFoundError when their object is gone, IntegrityError when they are wrong."""
    if entry.place == entry.sha256:
        return objects.get(entry.place)
    try:
        content = objects.read_range(entry.place, entry.offset, entry.size) if entry.place else b""
    except UsageError as error:  # the pack is shorter than it was
        raise damaged(entry, error.message) from error
    if (found := digest_of(content)) != entry.sha256:
        raise damaged(entry, f"its bytes have the digest {found}")
    return content


def damaged(entry: Entry, why: str) -> IntegrityError:
    """The error for a file whose bytes in a pack are wrong."""
    return IntegrityError(
        f"{entry.path!r} in object {entry.place or entry.sha256} is damaged: {why}",
        mend="clew data add the folder again with --repair, or restore the object from a backup",
    )


def local_path(workspace: "Workspace", entry: Entry) -> Path:
    """A file of this machine, to be read only, that holds just a file's bytes; soon to be opened.

    A packed one is taken out of its pack into the workspace's cache, which may be deleted when nothing runs.
    Raises NotFoundError when the bytes are gone, IntegrityError when they are wrong.
    """
    if entry.place == entry.sha256:
        return workspace.objects.open_path(entry.place)
    path = workspace.folder / "cache" / "files" / entry.sha256[:2] / entry.sha256[2:]
    # At most a megabyte: hashing it each time costs less than trusting a file that nobody synced.
    with contextlib.suppress(OSError):
        if digest_of(path.read_bytes()) == entry.sha256:
            os.utime(path)  # collection of garbage spares what was asked for lately
            return path
    content = read_bytes(workspace.objects, entry)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = workspace.temporary() / f"file-{os.getpid()}-{secrets.token_hex(8)}"
    try:
        unfinished.write_bytes(content)
        unfinished.chmod(0o444)
        unfinished.rename(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return path


def verify(objects: ObjectStore, listing: str, checked: dict[str, str | None]) -> list[str]:
    """What is wrong with a listing's files, one line for each; empty if nothing is.

    `checked` remembers between calls what was found of an object, and of a file in a pack: nothing is hashed twice.
    A damaged pack puts only those files at fault whose bytes are wrong, a missing one all that it held.
    """
    try:
        entries = load(objects, listing).entries
    except IntegrityError as error:
        return [error.message]
    by_place: dict[str, list[Entry]] = {}
    for entry in entries.values():
        by_place.setdefault(entry.place, []).append(entry)
    faults: dict[str, str] = {}
    for place, held in by_place.items():
        if place and place not in checked:
            checked[place] = _fault(objects, place)
        _check_packed(objects, place, [entry for entry in held if _is_packed(entry)], checked)
        for entry in held:
            fault = checked[_as_checked(entry)] if _is_packed(entry) else checked[place]
            if fault is not None:
                faults[entry.path] = f"{entry.path!r}: {fault}"
    return [faults[path] for path in sorted(faults)]


def sound(objects: ObjectStore, entries: Iterable[Entry]) -> list[Entry]:
    """Those files whose bytes are all there, and what they should be; every object is read once."""
    by_place: dict[str, list[Entry]] = {}
    for entry in entries:
        by_place.setdefault(entry.place, []).append(entry)
    checked: dict[str, str | None] = {}
    found: list[Entry] = []
    for place, held in by_place.items():
        if place:
            checked[place] = _fault(objects, place)
        packed = [entry for entry in held if _is_packed(entry)]
        _check_packed(objects, place, packed, checked)
        found += [entry for entry in held if checked[_as_checked(entry) if _is_packed(entry) else place] is None]
    return found


def _fault(objects: ObjectStore, place: str) -> str | None:
    try:
        objects.verify(place)
    except (IntegrityError, NotFoundError) as error:
        return error.message
    return None


def _is_packed(entry: Entry) -> bool:
    return entry.place != entry.sha256


def _as_checked(entry: Entry) -> str:
    return f"{entry.sha256} in {entry.place} at {entry.offset}"


def _check_packed(objects: ObjectStore, place: str, held: list[Entry], checked: dict[str, str | None]) -> None:
    """Hash the files of one pack that haven't been yet: a whole pack proves nothing of what a listing says is in it."""
    held = [entry for entry in held if _as_checked(entry) not in checked]
    if held and place and checked[place] is None:
        with objects.open_path(place).open("rb", buffering=0) as pack:
            for entry in held:
                if digest_of(os.pread(pack.fileno(), entry.size, entry.offset)) == entry.sha256:
                    checked[_as_checked(entry)] = None
    for entry in held:
        if _as_checked(entry) not in checked:
            try:
                read_bytes(objects, entry)
                checked[_as_checked(entry)] = None
            except (IntegrityError, NotFoundError) as error:
                checked[_as_checked(entry)] = error.message
