"""What happened at an endpoint, in the order of its own time: predictions, and outcomes joined to them."""

import bisect
import heapq
import itertools
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import TypeAlias

import msgspec

from clew.serving.journal import JournalReader, Outcome, Position, Prediction, Record, Watermark, find_prediction
from clew.serving.requests import from_micros, micros
from clew.serving.tail import advanced, read_until

_Waiting: TypeAlias = tuple[int, int, int, Outcome]
"""An outcome with when it happened, a running number, and the number of the read that brought it."""

_MOST_HELD = 200_000
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
    """All that happened before a moment and was in the journal by then, without what an earlier look took.

    `read` is how far the journal was read since the look before, for each writer that wrote: together with `moment`
    all that `Observations.again` needs.
    """

    moment: datetime
    read: Watermark
    observed: Observed


class Observations:
    """Follows the journal for one endpoint, or one rollout at it, and gives what happened, once each, in looks.

    Looks are taken at fixed moments of the data's time, `every` after the other, and left out where nothing happened.
    What comes late, when its moment was looked at already, is given by the next look. Of several labels of one name
    for one prediction the first counts: a repeated delivery changes nothing.

    Args:
        folder: the journal.
        endpoint: its name.
        rollout_id: if given, only predictions under this rollout, and without their inputs.
        begins: where the moments are counted from; midnight before the first prediction, if None.
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
        self.day = begins
        self.every = every
        self._folder = folder
        self._reader = JournalReader(folder)
        self._reads = 0
        self._read_to: Watermark = {}
        self._looked_to: Watermark = {}
        self._order = itertools.count()
        self._new: list[tuple[int, int, Prediction]] = []  # a heap, by occurred_at
        self._outcomes: list[_Waiting] = []  # a heap, by occurred_at
        self._unmatched: list[_Waiting] = []
        self._tried = 0
        self._known: dict[str, Prediction] = {}
        self._forgotten = ""  # predictions up to this id are looked up in the journal
        self._entities: dict[str, list[tuple[int, str]]] | None = None
        self._labelled: dict[str, set[str]] = {}

    def looks(self, now: datetime) -> Iterator[Look]:
        """The looks that are due up to `now`. The journal is read once, when the first one is asked for."""
        records, self._read_to = self._reader.read(self._read_to)
        self._hold(records)
        while True:
            first = self._first()
            if self.day is None:
                if first is None:
                    return
                self.day = datetime.combine(first.date(), time(), first.tzinfo)
            # Moments before which nothing happened need no look.
            target = now if first is None else min(first, now)
            self.day += self.every * max((target - self.day) // self.every, 0)
            if first is None or self.day + self.every > now:
                return
            self.day += self.every
            observed = self._before(self.day)
            if observed.predictions or observed.joined:
                read = advanced(self._looked_to, self._read_to)
                self._looked_to = dict(self._read_to)
                yield Look(self.day, read, observed)

    def again(self, moment: datetime, read: Mapping[str, Sequence[int]]) -> Observed:
        """What the look at that moment gave, from the journal as far as it was read then."""
        self._hold(read_until(self._folder, self._read_to, read))
        self._read_to = self._read_to | {writer: Position(*place) for writer, place in read.items()}
        self._looked_to = dict(self._read_to)
        self.day = moment
        return self._before(moment)

    def _hold(self, records: Sequence[Record]) -> None:
        self._reads += 1
        for record in records:
            if isinstance(record, Outcome):
                heapq.heappush(self._outcomes, (record.occurred_at, next(self._order), self._reads, record))
            elif record.endpoint == self.endpoint and self.rollout_id in (None, record.rollout_id):
                held = record if self.rollout_id is None else _slim(record)
                heapq.heappush(self._new, (record.occurred_at, next(self._order), held))
                self._know(held)
        while len(self._known) > _MOST_HELD:
            oldest = next(iter(self._known))
            del self._known[oldest]
            self._labelled.pop(oldest, None)
            self._forgotten = max(self._forgotten, oldest)

    def _know(self, prediction: Prediction) -> None:
        self._known[prediction.id] = prediction
        if self._entities is not None and prediction.entity is not None:
            bisect.insort(self._entities.setdefault(prediction.entity, []), (prediction.occurred_at, prediction.id))

    def _first(self) -> datetime | None:
        """When the first thing happened that no look took yet."""
        tops = [heap[0][0] for heap in (self._new, self._outcomes) if heap]
        return from_micros(min(tops)) if tops else None

    def _before(self, moment: datetime) -> Observed:
        limit = micros(moment)
        predictions = []
        while self._new and self._new[0][0] < limit:
            predictions.append(heapq.heappop(self._new)[2])
        due = []
        if self._tried != self._reads:
            due, self._unmatched, self._tried = self._unmatched, [], self._reads
        while self._outcomes and self._outcomes[0][0] < limit:
            due.append(heapq.heappop(self._outcomes))
        joined = []
        for entry in due:
            _, _, read, outcome = entry
            prediction = self._prediction_of(outcome)
            if prediction is not None:
                joined.append(Joined(prediction, outcome))
            elif read == self._reads:
                # A client knows an id only once the prediction is on disk, so the next read has it at the latest;
                # what it hasn't is about another endpoint, or about nothing.
                self._unmatched.append(entry)
        predictions.sort(key=_place)
        joined.sort(key=_joined_place)
        if self.rollout_id is None:
            for prediction in predictions:
                if prediction.id in self._known:
                    self._known[prediction.id] = _slim(prediction)
        return Observed(predictions, [one for one in joined if self._counts(one)])

    def _counts(self, joined: Joined) -> bool:
        """Whether this is news: a label is the truth, which there is once."""
        if joined.outcome.kind != "label":
            return True
        names = self._labelled.setdefault(joined.prediction.id, set())
        if joined.outcome.name in names:
            return False
        names.add(sys.intern(joined.outcome.name))
        return True

    def _prediction_of(self, outcome: Outcome) -> Prediction | None:
        prediction_id = outcome.prediction_id
        if prediction_id is None:
            if outcome.endpoint != self.endpoint or outcome.entity is None:
                return None
            prediction_id = self._newest_of(outcome.entity, outcome.occurred_at)
        if prediction_id is None or prediction_id in self._known:
            return None if prediction_id is None else self._known[prediction_id]
        found = find_prediction(self._folder, prediction_id) if prediction_id <= self._forgotten else None
        if found is None or found.endpoint != self.endpoint or self.rollout_id not in (None, found.rollout_id):
            return None
        return _slim(found)

    def _newest_of(self, entity: str, occurred_at: int) -> str | None:
        """The id of the last prediction about an entity that happened by then."""
        if self._entities is None:
            self._entities = {}
            for prediction in self._known.values():
                self._know(prediction)
        places = self._entities.get(entity, [])
        at = bisect.bisect_right(places, (occurred_at, "~"))
        return places[at - 1][1] if at else None


def _slim(prediction: Prediction) -> Prediction:
    """What joins and evidence need, with shared strings: a server holds many of these."""
    return msgspec.structs.replace(
        prediction,
        endpoint=sys.intern(prediction.endpoint),
        model_version=sys.intern(prediction.model_version),
        model_version_id=sys.intern(prediction.model_version_id),
        role=sys.intern(prediction.role),
        rollout_id=None if prediction.rollout_id is None else sys.intern(prediction.rollout_id),
        request_id="",
        reason="",
        inputs={},
        others=[
            msgspec.structs.replace(
                other,
                model_version=sys.intern(other.model_version),
                model_version_id=sys.intern(other.model_version_id),
                role=sys.intern(other.role),
            )
            for other in prediction.others
        ],
    )


def _said(prediction: Prediction) -> bytes:
    """What all versions said, in a fixed order: puts equal times of one entity in an order that arrival doesn't set."""
    said = [(prediction.model_version_id, prediction.output)]
    said += [(other.model_version_id, other.output) for other in prediction.others]
    return msgspec.msgpack.encode(sorted(said, key=lambda one: one[0]))


def _place(prediction: Prediction) -> tuple[int, str, bytes, bytes, str]:
    inputs = msgspec.msgpack.encode(prediction.inputs)
    return (prediction.occurred_at, prediction.entity or "", inputs, _said(prediction), prediction.id)


def _joined_place(joined: Joined) -> tuple[int, int, str, bytes, str, str, str]:
    prediction, outcome = joined.prediction, joined.outcome
    return (
        outcome.occurred_at,
        prediction.occurred_at,
        prediction.entity or "",
        _said(prediction),
        outcome.name,
        repr(outcome.value),
        outcome.id,
    )
