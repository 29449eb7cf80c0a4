"""What a contract asks beyond the table itself: other datasets, the version before, the time."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import polars as pl

from clew.data.profile import Profile
from clew.errors import UsageError


class World(Protocol):
    """Where the rules about other datasets, about growth and about age find what they need."""

    @property
    def now(self) -> dt.datetime:
        """The clock."""

    @property
    def occurred_at(self) -> dt.datetime:
        """When the delivery occurred."""

    def previous_rows(self) -> int | None:
        """The rows of the version before; None where there is none. Raises ClewError."""

    def columns(self, reference: str, names: Sequence[str]) -> tuple[str, pl.LazyFrame]:
        """Columns of another dataset, and the version that the reference means. Raises ClewError."""

    def profile(self, reference: str) -> tuple[str, Profile]:
        """The counts of a snapshot, and the version that the reference means. Raises ClewError."""


@dataclass(frozen=True)
class Nowhere:
    """No workspace: only the clock is there."""

    @property
    def now(self) -> dt.datetime:
        """The clock."""
        return dt.datetime.now(dt.UTC)

    @property
    def occurred_at(self) -> dt.datetime:
        """Now."""
        return self.now

    def previous_rows(self) -> int | None:
        """Nobody knows."""
        raise _missing("the version before")

    def columns(self, reference: str, names: Sequence[str]) -> tuple[str, pl.LazyFrame]:
        """Nobody knows."""
        del names
        raise _missing(reference)

    def profile(self, reference: str) -> tuple[str, Profile]:
        """Nobody knows."""
        raise _missing(reference)


def _missing(what: str) -> UsageError:
    return UsageError(f"{what} is known in a workspace only", mend="clew contract check REF --contract FILE")
