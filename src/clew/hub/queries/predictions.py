"""Predictions: the newest of the journal, read from the end of its newest segments, and the thread of one."""

import os
from pathlib import Path
from typing import Any, Final

from clew.errors import IntegrityError
from clew.serving.journal import Prediction
from clew.serving.journal.compacted import CompactedSegment
from clew.serving.journal.frame import HEAD
from clew.serving.journal.reader import extent, open_segment
from clew.serving.journal.segment import HEADER_BYTES, raw_path, segments, writers
from clew.thread.times import from_micros, iso
from clew.thread.why import why
from clew.workspace import Workspace

Fact = dict[str, Any]

NEWEST: Final = 50
_TAIL: Final = 256 << 10
_MOST_WRITERS: Final = 16
_CHUNK: Final = 1 << 20


def prediction(workspace: Workspace, prediction_id: str) -> Fact:
    """The thread of one prediction. Raises NotFoundError."""
    return why(workspace, prediction_id)


def predictions(workspace: Workspace) -> Fact:
    """The newest predictions: at most 50 of each writer's newest segment that has any, the newest first."""
    found: list[Prediction] = []
    damage: list[str] = []
    for writer in _lately_written(workspace.journal):
        try:
            found += _tail(writer)
        except IntegrityError as error:
            damage.append(error.message)
    found.sort(key=lambda one: (one.recorded_at, one.id), reverse=True)
    return {
        "predictions": [
            {
                "id": one.id,
                "endpoint": one.endpoint,
                "entity": one.entity,
                "model_version": one.model_version,
                "role": one.role,
                "output": one.output,
                "error": one.error,
                "latency_us": one.latency_us,
                "occurred_at": iso(from_micros(one.occurred_at)),
            }
            for one in found[:NEWEST]
        ],
        "damage": damage,
    }


def _lately_written(journal: Path) -> list[Path]:
    """The writers that wrote last: every restart under a new name leaves one behind."""
    return sorted(writers(journal), key=_changed, reverse=True)[:_MOST_WRITERS]


def _changed(folder: Path) -> float:
    numbers = segments(folder)
    try:
        return raw_path(folder, numbers[-1]).stat().st_mtime if numbers else 0.0
    except FileNotFoundError:  # compacted meanwhile
        return folder.stat().st_mtime


def _tail(writer: Path) -> list[Prediction]:
    """The last predictions of the newest segment, or of the one before when that is empty yet."""
    for number in reversed(segments(writer)[-2:]):
        _, stop = extent(writer, number)
        segment = open_segment(writer, number, stop) if stop > HEADER_BYTES else None
        if segment is None:
            continue
        with segment:
            if isinstance(segment, CompactedSegment):
                start = max(0, stop - _TAIL)  # it has no frames: any byte will do
            else:
                start = _boundary(raw_path(writer, number), stop)
            records = [record for _, record in segment.records(start)]
        found = [record for record in records if isinstance(record, Prediction)]
        if found:
            return found[-NEWEST:]
    return []


def _boundary(path: Path, stop: int) -> int:
    """A byte near the end at which a record begins: found by leaping from length to length, decoding nothing."""
    target = stop - _TAIL
    at = HEADER_BYTES
    if target <= at:
        return at
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:  # compacted since it was opened
        return at
    try:
        base, buffer = at, b""
        while at < target:
            if at - base + HEAD.size > len(buffer):
                base, buffer = at, os.pread(descriptor, _CHUNK, at)
            length = HEAD.unpack_from(buffer, at - base)[1] if len(buffer) - (at - base) >= HEAD.size else 0
            if length == 0:
                raise IntegrityError(
                    f"{path} at byte {at}: a record is damaged", mend=f"restore {path.name} from a copy"
                )
            at += HEAD.size + length
    finally:
        os.close(descriptor)
    return min(at, stop)
