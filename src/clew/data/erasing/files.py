"""Taking a person's files out of folders: by a pattern of paths, such as `{subject}/*`; packs are written anew."""

import fnmatch
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from clew.data import _file_listing
from clew.data._file_listing import Entry
from clew.data._packs import Packer
from clew.data.erasing.contents import Content
from clew.errors import UsageError
from clew.objects import ObjectStore

_MARK: Final = "{subject}"


@dataclass
class Listed:
    """A content's files as they are from now on; `erased` of them went."""

    content: Content
    listing: str
    content_id: str
    erased: int


@dataclass
class FilesPlan:
    """What becomes of listings, and the objects that go: files, packs, listings."""

    contents: list[Listed] = field(default_factory=list)
    removed: set[str] = field(default_factory=set)

    @property
    def files(self) -> int:
        """How many paths went, over all versions."""
        return sum(one.erased for one in self.contents)


def check_pattern(pattern: str) -> None:
    """Refuse a pattern that doesn't say where the person stands in a path. Raises UsageError."""
    if pattern.count(_MARK) != 1 or pattern.startswith("/") or ".." in pattern:
        raise UsageError(
            f"{pattern!r} doesn't say whose a file is",
            mend=f"write {_MARK} once, where the person stands in the path: --subject-files '{_MARK}/*'",
        )


def theirs(pattern: str, subject: str, paths: Sequence[str]) -> list[str]:
    """The paths that are a person's."""
    before, after = pattern.split(_MARK)
    match = re.compile(_regex(before) + re.escape(subject) + _regex(after)).fullmatch
    return [path for path in paths if match(path)]


def subject_of(pattern: str, path: str) -> str | None:
    """Whose a file is, by its path; None where the pattern doesn't say."""
    before, after = pattern.split(_MARK)
    found = re.fullmatch(_regex(before) + "([^/]+?)" + _regex(after), path)
    return None if found is None else found[1]


def _regex(part: str) -> str:
    translated = fnmatch.translate(part)  # (?s:…)\Z
    inner = re.fullmatch(r"\(\?s:(.*)\)\\[zZ]", translated, re.DOTALL)
    assert inner is not None
    return f"(?s:{inner[1]})"


def count_files(objects: ObjectStore, contents: Sequence[Content], pattern: str, subject: str) -> dict[str, int]:
    """How many files of each content are a person's."""
    found = {}
    for one in contents:
        if one.listing is not None:
            count = len(theirs(pattern, subject, list(_file_listing.load(objects, one.listing).entries)))
            if count:
                found[one.pk] = count
    return found


def plan_files(objects: ObjectStore, contents: Sequence[Content], pattern: str, subject: str) -> FilesPlan:
    """Write listings, and packs, without a person's files; the new bytes are durable on return, and named by nobody.

    Bytes that are another's file as well stay.

    Args:
        objects: the store.
        contents: every content of the workspace that has files: packs may be shared.
        pattern: whose a file is, by its path.
        subject: the person.
    """
    before: dict[str, dict[str, Entry]] = {}
    bases: dict[str, str | None] = {}
    for one in contents:
        if one.listing is not None and one.listing not in before:
            loaded = _file_listing.load(objects, one.listing)
            before[one.listing], bases[one.listing] = loaded.entries, loaded.base
    gone = {listing: set(theirs(pattern, subject, list(entries))) for listing, entries in before.items()}
    if not any(gone.values()):
        return FilesPlan()
    kept = {entry.sha256 for at, entries in before.items() for path, entry in entries.items() if path not in gone[at]}
    lost = {
        (entry.place, entry.offset, entry.sha256)
        for at, entries in before.items()
        for path, entry in entries.items()
        if path in gone[at] and entry.sha256 not in kept and entry.place
    }
    places = {place for place, _, _ in lost}
    moved = _repacked(objects, before, gone, places)
    plan = FilesPlan(removed=set(places))
    for one in contents:
        if one.listing is None:
            continue
        entries = {
            path: moved.get((entry.place, entry.offset, entry.size), entry)
            for path, entry in before[one.listing].items()
            if path not in gone[one.listing]
        }
        entries = {
            path: Entry(path, entry.sha256, entry.size, entry.place, entry.offset) for path, entry in entries.items()
        }
        base = bases[one.listing]
        # A listing whose base names the files would keep their names: it is written whole.
        based = base is not None and base != one.listing and bool(_named(objects, base, pattern, subject))
        if entries == before[one.listing] and not based:
            continue
        listing = _file_listing.write(objects, entries, None).digest
        said = _file_listing.content_id({path: entry.sha256 for path, entry in entries.items()})
        plan.contents.append(Listed(one, listing, said, len(gone[one.listing])))
        plan.removed |= {one.listing, *([base] if based and base is not None else [])}
    return plan


def _named(objects: ObjectStore, base: str, pattern: str, subject: str) -> set[str]:
    return set(theirs(pattern, subject, list(_file_listing.load(objects, base).entries)))


def _repacked(
    objects: ObjectStore, before: dict[str, dict[str, Entry]], gone: dict[str, set[str]], places: set[str]
) -> dict[tuple[str, int, int], Entry]:
    """Where what stays of some packs lies from now on, by where it lay."""
    staying: dict[str, dict[tuple[int, int], Entry]] = defaultdict(dict)
    for at, entries in before.items():
        for path, entry in entries.items():
            if entry.place in places and path not in gone[at]:
                staying[entry.place][entry.offset, entry.size] = entry
    moved: dict[tuple[str, int, int], Entry] = {}
    with Packer(objects) as packer:
        put = []
        for place, entries_there in staying.items():
            for (offset, size), entry in sorted(entries_there.items()):
                put.append((place, entry, packer.add(objects.read_range(place, offset, size))))
        packs, _ = packer.finish()
    for place, entry, (number, offset) in put:
        moved[place, entry.offset, entry.size] = Entry("", entry.sha256, entry.size, packs[number], offset)
    return moved
