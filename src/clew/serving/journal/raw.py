"""Reading the frames of one segment, up to a byte that is known to be on disk."""

import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from clew.serving.journal.frame import HEAD, frames, unframe
from clew.serving.journal.records import Outcome, Prediction, Record, decode
from clew.serving.journal.segment import HEADER_BYTES, broken, marked_commit, raw_path, read_header


class RawSegment:
    """A segment's frames in [header, `stop`), each of which must be whole and right.

    Raises:
        FileNotFoundError: the segment was compacted or dropped.
        IntegrityError: in opening, the header is damaged; in reading, a frame before `stop` is.
    """

    def __init__(self, folder: Path, number: int, stop: int) -> None:
        self._path = raw_path(folder, number)
        self._stop = stop
        self._descriptor = os.open(self._path, os.O_RDONLY)
        try:
            self._nonce = read_header(self._descriptor, self._path).nonce
        except BaseException:
            self.close()
            raise

    def records(self, after: int) -> Iterator[tuple[int, Record]]:
        """(end offset, record) of the records behind byte `after`, in order."""
        at = max(after, HEADER_BYTES)
        for end, payload in frames(self._descriptor, at, self._stop):
            if marked_commit(payload, self._nonce) is None:
                yield end, decode(payload, f"{self._path} at byte {at}")
            at = end
        if at != self._stop:
            raise broken(self._path, at, "a record is damaged")

    def prediction(self, prediction_id: str) -> Prediction | None:
        """The prediction of this id."""
        for record in self._mentioning(prediction_id):
            if isinstance(record, Prediction) and record.id == prediction_id:
                return record
        return None

    def outcomes(self, prediction_id: str) -> list[Outcome]:
        """The outcomes of this prediction, in order."""
        return [
            record
            for record in self._mentioning(prediction_id)
            if isinstance(record, Outcome) and record.prediction_id == prediction_id
        ]

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _mentioning(self, text: str) -> Iterator[Record]:
        """The records whose bytes hold `text`: found by a search of the bytes, so that only these are decoded.

        The way to a hit leads from frame to frame, so a frame that a caller hid within a value is never taken for one.
        """
        data = os.pread(self._descriptor, self._stop - HEADER_BYTES, HEADER_BYTES)
        needle = text.encode()
        at = 0
        hit = data.find(needle)
        while hit >= 0:
            end = at
            while end <= hit:
                at = end
                length = HEAD.unpack_from(data, at)[1] if at + HEAD.size <= len(data) else 0
                end = at + HEAD.size + length
                if length == 0 or end > len(data):
                    raise broken(self._path, HEADER_BYTES + at, "a record is damaged")
            payload = unframe(data, at)
            if payload is None:
                raise broken(self._path, HEADER_BYTES + at, "a record is damaged")
            if marked_commit(payload, self._nonce) is None:
                yield decode(payload, f"{self._path} at byte {HEADER_BYTES + at}")
            at = end
            hit = data.find(needle, end)
