"""Reading a journal again exactly as far as it was read before: how a look at it can be repeated."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from clew.serving.journal import Position, Record, Watermark
from clew.serving.journal.reader import extent, open_segment
from clew.serving.journal.segment import segments


def advanced(before: Watermark, after: Watermark) -> Watermark:
    """What a watermark says anew: the writers that wrote since, and how far each is now."""
    return {writer: place for writer, place in after.items() if before.get(writer) != place}


def read_until(journal: Path, after: Watermark, until: Mapping[str, Sequence[int]]) -> list[Record]:
    """The records behind one watermark up to another, for the writers that the other one names.

    Raises IntegrityError for a damaged record. What was erased or has expired since isn't there any more.
    """
    found: list[Record] = []
    for writer in sorted(until):
        folder, start, stop = journal / writer, after.get(writer, Position(0, 0)), Position(*until[writer])
        if not folder.is_dir():
            continue
        for number in segments(folder):
            if not start.segment <= number <= stop.segment:
                continue
            end = stop.offset if number == stop.segment else extent(folder, number)[1]
            segment = open_segment(folder, number, end)
            if segment is None:
                continue
            with segment:
                for at, record in segment.records(start.offset if number == start.segment else 0):
                    if at <= end:
                        found.append(record)
    return found
