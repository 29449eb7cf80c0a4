"""How many predictions each model version answered, from the seals of a journal: no record is read for it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from clew.serving.journal.reader import extent, open_segment
from clew.serving.journal.records import Prediction
from clew.serving.journal.seal import Seal
from clew.serving.journal.segment import HEADER_BYTES, segments, writers

_READ_AT_MOST: Final = 1 << 20  # bytes of an open segment that are read for its count: some 10 ms


@dataclass
class Answered:
    """Predictions by (endpoint, model version id).

    `uncounted` are predictions in seals of older versions of clew, which don't say whose they are; `open_bytes` is
    what open segments hold and wasn't read. Where both are 0, the counts are exact.
    """

    by: dict[tuple[str, str], int] = field(default_factory=dict)
    uncounted: int = 0
    open_bytes: int = 0

    def add(self, endpoint: str, version_id: str, count: int) -> None:
        """Count some more."""
        self.by[endpoint, version_id] = self.by.get((endpoint, version_id), 0) + count


def seals(journal: Path) -> Iterator[tuple[Path, int, Seal | None, int]]:
    """(writer's folder, number, seal if there is one, readable bytes) of each segment.

    Raises:
        IntegrityError: a seal is damaged.
    """
    for folder in writers(journal):
        for number in segments(folder):
            yield folder, number, *extent(folder, number)


def answered(journal: Path) -> Answered:
    """The predictions of a journal by endpoint and version.

    Raises:
        IntegrityError: a seal is damaged.
    """
    found = Answered()
    for folder, number, seal, stop in seals(journal):
        if seal is not None:
            for endpoint, versions in seal.answered.items():
                for version_id, count in versions.items():
                    found.add(endpoint, version_id, count)
            found.uncounted += seal.predictions.count if not seal.answered else 0
        elif HEADER_BYTES < stop <= _READ_AT_MOST:
            _read(found, folder, number, stop)
        else:
            found.open_bytes += max(0, stop - HEADER_BYTES)
    return found


def _read(found: Answered, folder: Path, number: int, stop: int) -> None:
    segment = open_segment(folder, number, stop)
    if segment is not None:
        with segment:
            for _, record in segment.records(0):
                if isinstance(record, Prediction):
                    found.add(record.endpoint, record.model_version_id, 1)
