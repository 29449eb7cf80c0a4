"""The seal of a segment: written beside it once no more will come, so that a search opens only what can hold it."""

import zlib
from pathlib import Path

import msgspec

from clew.errors import IntegrityError
from clew.serving.journal import _disk
from clew.serving.journal.records import Prediction, Record
from clew.serving.journal.segment import seal_path


class Span(msgspec.Struct, kw_only=True):
    """How many records, and the ranges of what one looks for; the ranges are None where nothing has such a value."""

    count: int = 0
    first_id: str | None = None
    last_id: str | None = None
    recorded_from: int | None = None
    recorded_to: int | None = None

    def add(self, prediction_id: str | None, recorded_at: int) -> None:
        """Count one record."""
        self.count += 1
        if self.recorded_from is None or recorded_at < self.recorded_from:
            self.recorded_from = recorded_at
        if self.recorded_to is None or recorded_at > self.recorded_to:
            self.recorded_to = recorded_at
        if prediction_id is None:
            return
        if self.first_id is None or prediction_id < self.first_id:
            self.first_id = prediction_id
        if self.last_id is None or prediction_id > self.last_id:
            self.last_id = prediction_id

    def may_hold(self, prediction_id: str) -> bool:
        """Whether a record with this prediction id can be within."""
        return self.first_id is not None and self.last_id is not None and self.first_id <= prediction_id <= self.last_id


class Seal(msgspec.Struct, kw_only=True):
    """What a sealed segment holds, up to byte `end`; the ids of `outcomes` are those of their predictions."""

    writer: str
    segment: int
    end: int
    predictions: Span = msgspec.field(default_factory=Span)
    outcomes: Span = msgspec.field(default_factory=Span)
    answered: dict[str, dict[str, int]] = msgspec.field(default_factory=dict)
    """Endpoint → id of the model version → its predictions; empty in seals of older versions of clew."""
    check: int = 0

    def checksum(self) -> int:
        """CRC32 of the seal without its `check`."""
        fields = msgspec.to_builtins(msgspec.structs.replace(self, check=0))
        if not self.answered:  # as older versions wrote it
            del fields["answered"]
        return zlib.crc32(msgspec.json.encode(fields))

    def add(self, record: Record) -> None:
        """Count one record."""
        if type(record) is Prediction:
            self.predictions.add(record.id, record.recorded_at)
            by = self.answered.setdefault(record.endpoint, {})
            by[record.model_version_id] = by.get(record.model_version_id, 0) + 1
        else:
            self.outcomes.add(record.prediction_id, record.recorded_at)  # type: ignore[union-attr]

    @property
    def count(self) -> int:
        """Records of both kinds."""
        return self.predictions.count + self.outcomes.count


def write_seal(folder: Path, seal: Seal) -> None:
    """Put the seal beside its segment, at once and durably."""
    seal.check = seal.checksum()
    _disk.write_file(seal_path(folder, seal.segment), msgspec.json.format(msgspec.json.encode(seal), indent=1))


def read_seal(folder: Path, segment: int) -> Seal | None:
    """The seal of a segment, None when it has none yet.

    Raises:
        IntegrityError: the seal is damaged.
    """
    path = seal_path(folder, segment)
    try:
        seal = msgspec.json.decode(path.read_bytes(), type=Seal)
        whole = seal.check == seal.checksum()
    except FileNotFoundError:
        return None
    except (msgspec.MsgspecError, UnicodeDecodeError):
        whole = False
    if not whole:
        mend = f"if {segment:010d}.seg is still there, delete the seal: the next start writes it again"
        raise IntegrityError(f"{path} is damaged", mend=mend)
    return seal
