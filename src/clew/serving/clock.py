"""The clock that decisions go by: the machine's, or one that is moved by whoever replays data."""

from datetime import datetime
from typing import Protocol

from clew.catalog import now
from clew.errors import UsageError


class Clock(Protocol):
    """Tells what time it is in the world that is served."""

    replay: bool

    def now(self) -> datetime:
        """The moment, with its zone."""


class WallClock:
    """The machine's clock."""

    replay = False

    def now(self) -> datetime:
        """The moment."""
        return now()


class DataClock:
    """A clock that stands still until it is moved, and never goes back: years can be replayed in minutes."""

    replay = True

    def __init__(self) -> None:
        self._now: datetime | None = None

    @property
    def is_set(self) -> bool:
        """Whether it was ever moved."""
        return self._now is not None

    def now(self) -> datetime:
        """The moment it was moved to last. Raises UsageError before the first move."""
        if self._now is None:
            raise UsageError("the data's clock has not been set", mend='POST /clock {"now": "1996-01-01"}')
        return self._now

    def move(self, to: datetime) -> None:
        """Move on. Raises UsageError for a move back."""
        if self._now is not None and to < self._now:
            raise UsageError(
                f"field 'now': time doesn't go back: it is {self._now.isoformat()}, and {to.isoformat()} was asked for",
                mend="move it on, or start a server anew",
            )
        self._now = to
