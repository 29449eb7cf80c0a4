"""Tailing a journal from any process: what all writers have on disk, in each writer's order, each record once.

A record is seen once fdatasync has confirmed it, hardly before its sender hears of it, and never if it could still be
lost: the writer publishes how far it is (`durable.py`). So evidence that was counted doesn't vanish with a crash.
"""

from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from clew.errors import IntegrityError
from clew.serving.journal import durable
from clew.serving.journal.raw import RawSegment
from clew.serving.journal.records import Record
from clew.serving.journal.seal import Seal, read_seal
from clew.serving.journal.segment import Position, compacted_generation, compacted_path, raw_path, segments, writers

if TYPE_CHECKING:
    from clew.serving.journal.compacted import CompactedSegment

Watermark: TypeAlias = dict[str, Position]
"""Up to where each writer's journal was read; plain JSON, in which a position is a list of two."""

_TRIES = 5


class JournalReader:
    """All records of a journal's writers, raw or compacted; holds nothing open between calls."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(
        self, after: Mapping[str, Sequence[int]] | None = None, *, limit: int | None = None
    ) -> tuple[list[Record], Watermark]:
        """The records behind a watermark (all, if None), at most `limit`, and the watermark to go on from.

        Order is kept within a writer, not between writers.

        Raises:
            IntegrityError: a record that had been acknowledged is damaged; names file and offset.
        """
        watermark = {name: Position(*place) for name, place in (after or {}).items()}
        found: list[Record] = []
        for folder in writers(self.folder):
            start = watermark.get(folder.name, durable.NOWHERE)
            for number in segments(folder):
                if limit is not None and len(found) >= limit:
                    return found, watermark
                if number < start.segment:
                    continue
                seal, stop = extent(folder, number)
                offset = start.offset if number == start.segment else 0
                if offset < stop:
                    room = None if limit is None else limit - len(found)
                    end = 0
                    with closing(_rows(folder, number, offset, stop)) as rows:
                        for end, record in islice(rows, room):  # noqa: B007  the last end is wanted
                            found.append(record)
                    if end:
                        watermark[folder.name] = Position(number, end)
                if seal is None:
                    break  # what comes behind may only be read when this is complete
        return found, watermark


def extent(folder: Path, number: int) -> tuple[Seal | None, int]:
    """A segment's seal, if it has one, and the byte up to which it may be read."""
    confirmed = durable.load(folder)  # before the seal: a segment sealed in between is then seen as sealed
    seal = read_seal(folder, number)
    if seal is not None:
        return seal, seal.end
    return None, confirmed.offset if confirmed.segment == number else 0


def open_segment(folder: Path, number: int, stop: int) -> "RawSegment | CompactedSegment | None":
    """The segment as it is now, raw or compacted; None when it was dropped in the meantime.

    Raises:
        IntegrityError: it is damaged.
    """
    for _ in range(_TRIES):  # each miss means that a compaction went one step on between two looks
        generation = compacted_generation(folder, number)
        try:
            if generation:
                from clew.serving.journal.compacted import CompactedSegment  # loads pyarrow

                return CompactedSegment(compacted_path(folder, number, generation))
            return RawSegment(folder, number, stop)
        except FileNotFoundError:
            continue
    generation = compacted_generation(folder, number)
    if generation == 0 and not raw_path(folder, number).exists():
        return None
    path = compacted_path(folder, number, generation)
    raise IntegrityError(f"{path} lacks a file", mend="restore it from a copy, or move it out of the journal")


def _rows(folder: Path, number: int, offset: int, stop: int) -> Generator[tuple[int, Record]]:
    segment = open_segment(folder, number, stop)
    if segment is not None:
        with segment:
            yield from segment.records(offset)
