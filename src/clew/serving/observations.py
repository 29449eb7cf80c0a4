"""What happened at an endpoint, in the order of its own time: predictions, and outcomes joined to them."""

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from clew.serving.journal import JournalReader, Outcome, Prediction, Watermark
from clew.serving.requests import micros


@dataclass(frozen=True)
class Joined:
    """An outcome with the prediction that it is about."""

    prediction: Prediction
    outcome: Outcome


@dataclass(frozen=True)
class Observed:
    """All that happened between two moments, each in a fixed order: by time, then entity, then id."""

    predictions: list[Prediction]
    joined: list[Joined]


@dataclass
class Observations:
    """Follows the journal, and gives what happened before a moment, once each.

    What comes late (it happened before a moment that was asked for already) is given with the next answer.
    """

    folder: Path
    _watermark: Watermark | None = None
    _predictions: dict[str, Prediction] = field(default_factory=dict)
    _by_entity: dict[tuple[str, str], str] = field(default_factory=dict)
    _waiting: dict[str, list[Prediction]] = field(default_factory=lambda: defaultdict(list))
    _outcomes: list[Outcome] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._reader = JournalReader(self.folder)

    def before(self, endpoint: str, moment: datetime) -> Observed:
        """What happened at an endpoint before a moment, and wasn't given yet."""
        self._read()
        limit = micros(moment)
        waiting = self._waiting[endpoint]
        due = [one for one in waiting if one.occurred_at < limit]
        self._waiting[endpoint] = [one for one in waiting if one.occurred_at >= limit]
        joined, later = [], []
        for outcome in self._outcomes:
            prediction = self._prediction_of(outcome)
            if prediction is None or prediction.endpoint != endpoint or outcome.occurred_at >= limit:
                later.append(outcome)
            else:
                joined.append(Joined(prediction, outcome))
        self._outcomes = later
        due.sort(key=lambda one: (one.occurred_at, one.entity or "", one.id))
        joined.sort(
            key=lambda one: (
                one.outcome.occurred_at,
                one.prediction.occurred_at,
                one.prediction.entity or "",
                one.outcome.id,
            )
        )
        return Observed(due, joined)

    def first(self, endpoint: str) -> int | None:
        """When the first prediction at an endpoint that wasn't given yet happened, in microseconds; None without."""
        self._read()
        return min((one.occurred_at for one in self._waiting[endpoint]), default=None)

    def _read(self) -> None:
        records, self._watermark = self._reader.read(self._watermark)
        for record in records:
            if isinstance(record, Outcome):
                self._outcomes.append(record)
                continue
            self._predictions[record.id] = record
            self._waiting[record.endpoint].append(record)
            if record.entity is not None:
                self._by_entity[record.endpoint, record.entity] = record.id

    def _prediction_of(self, outcome: Outcome) -> Prediction | None:
        if outcome.prediction_id is not None:
            return self._predictions.get(outcome.prediction_id)
        found = self._by_entity.get((outcome.endpoint or "", outcome.entity or ""))
        return None if found is None else self._predictions.get(found)
