"""What happened at an endpoint, in the order of its own time: predictions, and outcomes joined to them."""

import heapq
import itertools
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from pathlib import Path

import msgspec

from clew.serving.journal import JournalReader, Outcome, Prediction, Watermark, find_prediction
from clew.serving.requests import from_micros, micros
from clew.serving.tail import advanced, read_until

_MOST_HELD = 500_000
_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Joined:
    """An outcome with the prediction that it is about."""

    prediction: Prediction
    outcome: Outcome


@dataclass(frozen=True)
class Observed:
    """All that is new, each in a fixed order: by time, then entity, then content, then id."""

    predictions: list[Prediction]
    joined: list[Joined]


@dataclass(frozen=True)
class Look:
    """All that happened before a moment and was in the journal by then, without what a look before it took.

    `read` is how far the journal was read since the look before, for each writer that wrote: with `moment` it is all
    that is needed to take the same look again.
    """

    moment: datetime
    read: Watermark
    observed: Observed


class Observations:
    """Follows the journal for one endpoint (or one rollout at it), and gives what happened, once each, in looks.

    Looks are taken at fixed moments of the data's time, `every` after the other, and left out where nothing happened.
    What comes late, after its moment was looked at, is given by the next look. Of several labels of one name for one
    prediction the first counts: repeated deliveries change nothing.

    Args:
        folder: the journal.
        endpoint: its name.
        rollout_id: only predictions under this rollout, and without their inputs.
        begins: where the moments are counted from; the day of the first prediction, if None.
        every: the time between two looks.
    """

    def __init__(
        self,
        folder: Path,
        endpoint: str,
        *,
        rollout_id: str | None = None,
        begins: datetime | None = None,
        every: timedelta = _DAY,
    ) -> None:
        self.endpoint = endpoint
        self.rollout_id = rollout_id
        self.every = every
        self.day = begins
        self._folder = folder
        self._reader = JournalReader(folder)
        self._read_to: Watermark = {}
        self._looked_to: Watermark = {}
        self._order = itertools.count()
        self._new: list[tuple[int, int, Prediction]] = []  # heaps by occurred_at
        self._outcomes: list[tuple[int, int, Outcome]] = []
        self._unmatched: list[Outcome] = []  # one look ago
        self._known: dict[str, Prediction] = {}
        self._forgotten = ""  # predictions up to this id are only in the journal
        self._by_entity: dict[str, list[tuple[int, str]]] | None = None
        self._labelled: set[tuple[str, str]] = set()

    def looks(self, now: datetime) -> Iterator[Look]:
        """The looks that are due up to `now`. Reads the journal once, when the first one is asked for."""
        records, self._read_to = self._reader.read(self._read_to)
        self._hold(records)
        while True:
            first = self._first()
            if self.day is None:
                if first is None:
                    return
                self.day = datetime.combine(first.date(), time(), first.tzinfo)
            # Moments without anything before them need no look.
            self.day += self.every * max((now if first is None else min(first, now)) // self.every_from(self.day), 0)
            if first is None or self.day + self.every > now:
                return
            self.day += self.every
            read = advanced(self._looked_to, self._read_to)
            self._looked_to = dict(self._read_to)
            yield Look(self.day, read, self._before(self.day))
