"""Moments as they are shown and exchanged: ISO 8601 in UTC."""

from datetime import UTC, datetime, timedelta
from typing import overload

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@overload
def iso(moment: datetime) -> str: ...
@overload
def iso(moment: datetime | None) -> str | None: ...
def iso(moment: datetime | None) -> str | None:
    """A moment as text, to the microsecond when it has any; None stays None."""
    return None if moment is None else moment.isoformat()


def from_micros(micros: int) -> datetime | None:
    """The moment so many microseconds after 1970 (the journal's clock); None when no calendar holds it."""
    try:
        return _EPOCH + timedelta(microseconds=micros)
    except OverflowError:
        return None
