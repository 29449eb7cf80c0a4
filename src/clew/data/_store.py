"""Storing a table at the price of what changed against the previous snapshot, proved by reading it back."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from clew.data import _fragments, rope
from clew.data._columns import replaced_columns, replaced_in_place
from clew.data._fragments import Written
from clew.data._fray import MAX_GROUPS, is_busy, is_scattered
from clew.data._gather import Decoded, Group, Table, of_its_own
from clew.data._match import match_windows, row_hashes
from clew.data._numbers_file import NumbersFile
from clew.data._proof import read_back
from clew.data._source import Source
from clew.data.identity import IdentityBuilder, TableIdentity
from clew.errors import DataError
from clew.objects import ObjectStore

Report = Callable[[str, int, int | None], None]
"""Told what is being done, how many rows of it are, and how many there are in all, if that is known."""

_HELD_ROWS: Final = 524_288
_WORTH_SHARING: Final = 0.1
_DOUBTFUL: Final = 0.5
_WINDOW: Final = 4 << 20


def silent(stage: str, done: int, total: int | None) -> None:
    """Report to nobody."""
    del stage, done, total


@dataclass(frozen=True)
class Scanned:
    """A source that was read once: what it says, and the hashes of its rows over some columns."""

    identity: TableIdentity
    hashed: tuple[str, ...]
    hashes: NumbersFile


@dataclass(frozen=True)
class Before:
    """The snapshot that a new one may share rows with."""

    groups: tuple[Group, ...]
    schema: pl.Schema
    rows: int
    column_ids: dict[str, str]


@dataclass
class Stored:
    """Where the rows lie now, and what was written for them.

    `found` says which row of the previous snapshot (`before`) each row is over the columns `kept`, or -1; it is None
    when nothing was shared. A `busy` add leaves the laying together to a later one.
    """

    groups: list[Group]
    written: list[Written]
    found: NumbersFile | None = None
    kept: tuple[str, ...] = ()
    before: Table | None = None
    busy: bool = False

    @property
    def new_bytes(self) -> int:
        """The bytes that the store didn't have before, without those of the ropes."""
        return sum(one.bytes for one in self.written if one.created)


def shared_columns(schema: pl.Schema, before: pl.Schema | None) -> tuple[str, ...]:
    """The columns that both tables have, with the same type."""
    return tuple(name for name, dtype in schema.items() if before is not None and before.get(name) == dtype)


def scan(source: Source, hashed: tuple[str, ...], folder: Path, report: Report = silent) -> Scanned:
    """Read a source once. Close the hashes afterwards."""
    builder = IdentityBuilder(source.schema)
    hashes = NumbersFile(folder, np.uint64)
    try:
        for start, batch in source.batches():
            builder.update(batch)
            if hashed:
                hashes.append(row_hashes(batch.select(hashed)))
            report("reading", start + batch.height, source.rows)
        return Scanned(builder.finish(), hashed, hashes)
    except BaseException:
        hashes.close()
        raise


class Storage:
    """The storing of one table: matched with the previous snapshot, written, read back.

    Use it as a context manager: it holds files and decoded fragments.
    """

    def __init__(self, objects: ObjectStore, folder: Path, source: Source, report: Report = silent) -> None:
        self._objects, self._folder, self._source, self._report = objects, folder, source, report
        self._decoded = Decoded(objects)
        self._missing: list[pl.DataFrame] | None = None
        self._open = ExitStack()

    def __enter__(self) -> "Storage":
        return self

    def __exit__(self, *exception: object) -> None:
        self._open.close()

    def store(self, scanned: Scanned, before: Before | None) -> Stored:
        """Write what the previous snapshot doesn't hold. Nothing is stored under a wrong identity.

        Raises DataError when the source doesn't give the same rows again, or its types can't be kept.
        """
        stored = None if before is None else self._sharing(scanned, before)
        if stored is not None and self._proved(scanned, stored):
            return stored
        self._decoded.clear()
        fresh = self._fresh()
        if not self._proved(scanned, fresh):
            self._refuse()
        return fresh

    def _fresh(self) -> Stored:
        names = tuple(self._source.schema)
        written = _fragments.write(self._objects, self._folder, self._all(names))
        return Stored([Group(names, rope.plain([one.fragment for one in written]))], written)

    def _all(self, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        for start, batch in self._source.batches():
            yield batch.select(columns)
            self._report("writing", start + batch.height, self._source.rows)

    def _sharing(self, scanned: Scanned, before: Before) -> Stored | None:
        """The table with what the previous snapshot holds of it taken from there; None where that isn't worth it."""
        rows = scanned.identity.rows
        if not scanned.hashed or not rows or not before.rows:
            return None
        table = Table(self._objects, before.groups, self._decoded)
        kept = scanned.hashed
        found: NumbersFile | None = None
        same = {one.name for one in scanned.identity.columns if before.column_ids.get(one.name) == one.id}
        if rows == before.rows and same:
            # Columns that are equal say that the rows stand where they stood; the others were edited, or replaced.
            changed = [name for name in kept if name not in same]
            replaced = replaced_in_place(table.narrowed(changed), self._source, changed)
            kept = tuple(name for name in kept if name not in replaced)
            if same.issuperset(kept):
                found = self._in_place(rows)
            elif replaced:
                found = self._matched_again(table, kept)
        if found is None:
            found = self._matched(table.narrowed(kept), scanned.hashes)
        if _count(found) < _DOUBTFUL * min(table.height, rows) and len(kept) > 1:
            replaced = replaced_columns(table.narrowed(kept), self._source, kept)
            if replaced:
                kept = tuple(name for name in kept if name not in replaced)
                found = self._matched_again(table, kept)
        groups = [Group(tuple(c for c in group.columns if c in kept), group.rope) for group in before.groups]
        groups = [group for group in groups if group.columns]
        others = tuple(name for name in self._source.schema if name not in kept)
        if _count(found) < _WORTH_SHARING * rows or len(groups) + bool(others) > MAX_GROUPS:
            return None
        stored = self._laid(groups, kept, others, found)
        stored.before = table
        return stored

    def _in_place(self, rows: int) -> NumbersFile:
        found = self._open.enter_context(NumbersFile(self._folder, np.int64))
        for start in range(0, rows, _WINDOW):
            found.append(np.arange(start, min(start + _WINDOW, rows), dtype=np.int64))
        return found

    def _matched_again(self, table: Table, columns: tuple[str, ...]) -> NumbersFile:
        again = scan(self._source, columns, self._folder)
        with again.hashes:
            return self._matched(table.narrowed(columns), again.hashes)

    def _matched(self, table: Table, hashes: NumbersFile) -> NumbersFile:
        with NumbersFile(self._folder, np.uint64) as old:
            for block in table.hashes(row_hashes):
                old.append(block)
                self._report("comparing", len(old), table.height)
            found = self._open.enter_context(NumbersFile(self._folder, np.int64))
            match_windows(old, hashes, found)
        return found

    def _laid(self, groups: list[Group], kept: Sequence[str], others: Sequence[str], found: NumbersFile) -> Stored:
        """Write the rows that weren't found, and whole the columns that are new; give all groups."""
        fresh = rope.Fragment("", len(found) - _count(found))  # what the rows will be in, once they are written
        ropes = [_rerouted(group.rope, [fresh] if fresh.rows else [], found) for group in groups]
        busy = is_busy(fresh.rows, len(found))
        if any(is_scattered(one, busy=busy) for one in ropes):
            # The whole anew, and compact: it costs less than to share first and to lay together then.
            stored = self._fresh()
            stored.found, stored.kept = found, tuple(kept)
            return stored
        written = _fragments.write(self._objects, self._folder, self.unmatched(kept, found))
        news = [one.fragment for one in written]
        if len(news) == 1:
            ropes = [one.with_fragment(fresh, news[0]) for one in ropes]
        elif news:
            ropes = [_rerouted(group.rope, news, found) for group in groups]
        laid = [Group(group.columns, one) for group, one in zip(groups, ropes, strict=True)]
        if others:
            columns = _fragments.write(self._objects, self._folder, self._all(others))
            laid.append(Group(tuple(others), rope.plain([one.fragment for one in columns])))
            written += columns
        return Stored(laid, written, found, tuple(kept), busy=busy)

    def unmatched(self, columns: Sequence[str], found: NumbersFile) -> Iterator[pl.DataFrame]:
        """The rows that weren't found, of a source's batches."""
        if self._missing is not None:
            for frame in self._missing:
                yield frame.select(columns)
            return
        held: list[pl.DataFrame] | None = [] if len(found) - _count(found) <= _HELD_ROWS else None
        for start, batch in self._unmatched(found):
            if held is not None:
                held.append(batch)
            yield batch.select(columns)
            self._report("writing", start + batch.height, self._source.rows)
        self._missing = held

    def _unmatched(self, found: NumbersFile) -> Iterator[tuple[int, pl.DataFrame]]:
        def wanted(start: int, rows: int) -> bool:
            return bool((found.read(start, rows) < 0).any())

        for start, batch in self._source.batches(wanted):
            missing = found.read(start, batch.height) < 0
            yield start, of_its_own(batch.filter(pl.Series(missing)), batch.height)

    def _proved(self, scanned: Scanned, stored: Stored) -> bool:
        """Whether what was written gives the same identity when it is read back, in its order."""
        try:
            table = Table(self._objects, stored.groups, self._decoded)
            return read_back(table, self._source.schema).id == scanned.identity.id
        except (DataError, pl.exceptions.PolarsError):
            return False

    def _refuse(self) -> None:
        """Say why what was written isn't what was read. Raises DataError."""
        for _, batch in self._source.batches():
            error = _fragments.unkept(batch.head(1000))
            if "all of them together" not in error.message:
                raise error
        raise DataError(
            "the source gave other rows when it was read again: it changed meanwhile",
            mend="add it again when nobody writes to it, or a copy of it",
        )


def _count(found: NumbersFile) -> int:
    return sum(int(np.count_nonzero(found.read(at, _WINDOW) >= 0)) for at in range(0, len(found), _WINDOW))


def _rerouted(old: rope.Rope, news: Sequence[rope.Fragment], found: NumbersFile) -> rope.Rope:
    """The rope of the new rows: through the old fragments where they were found, else through the new ones in turn."""
    ends = np.cumsum([0, *(fragment.rows for fragment in news)])
    fragments = (*old.fragments, *news)
    parts, done = [], 0
    for start in range(0, len(found), _WINDOW):
        part = found.read(start, _WINDOW)
        known = part >= 0
        if known.all() and len(part):
            low, high = int(part.min()), int(part.max())
            old_fragment, old_row = old.cut(low, high - low + 1).places()
            parts.append(rope.from_places(fragments, old_fragment[part - low], old_row[part - low]))
            continue
        fragment = np.empty(len(part), dtype=np.int32)
        row = np.empty(len(part), dtype=np.int64)
        if known.any():
            at = part[known]
            low, high = int(at.min()), int(at.max())
            old_fragment, old_row = old.cut(low, high - low + 1).places()
            fragment[known], row[known] = old_fragment[at - low], old_row[at - low]
        rank = np.arange(done, done + len(part) - np.count_nonzero(known))
        index = np.searchsorted(ends, rank, side="right") - 1
        fragment[~known], row[~known] = index + len(old.fragments), rank - ends[index]
        done += len(rank)
        parts.append(rope.from_places(fragments, fragment, row))
    return parts[0] if len(parts) == 1 else rope.join(parts)
