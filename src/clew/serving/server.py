"""The state of a serving process: routes, loaded versions, the journal, and the clock."""

import asyncio
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import polars as pl

from clew.catalog import new_id, now
from clew.catalog.commands import RecordSegment
from clew.errors import OutsideError, UsageError
from clew.serving import runtime
from clew.serving.clock import Clock, WallClock
from clew.serving.journal import Journal, Outcome, Prediction, Seal, Shadow, seal_abandoned
from clew.serving.requests import micros
from clew.serving.routing import Route, Target, all_endpoints, current_route
from clew.serving.runtime import Answer, Runtime
from clew.workspace import Workspace

OnAdvance = Callable[[datetime], None]
"""Called when time has moved on, after all that happened before is in the journal; it may change routes."""


@dataclass
class Predicted:
    """What goes back to the client."""

    ids: list[str]
    values: list[Any]
    version: str


@dataclass
class Server:
    """Serves endpoints of a workspace. Use `start` and `stop`; one event loop owns it.

    Every prediction is in the journal, durably, before it is answered.
    """

    workspace: Workspace
    endpoints: Sequence[str]
    writer: str
    clock: Clock = field(default_factory=WallClock)
    on_advance: OnAdvance = lambda _now: None
    routes: dict[str, Route] = field(default_factory=dict)
    runtimes: dict[str, Runtime] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.named = list(self.endpoints)
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="predict")
        self._control = ThreadPoolExecutor(1, thread_name_prefix="control")
        self._journal: Journal | None = None

    def start(self) -> None:
        """Load what is live and open the journal. Raises NotFoundError for an unknown endpoint."""
        self.refresh()
        seal_abandoned(self.workspace.journal)
        self._journal = Journal(self.workspace.journal, self.writer, on_seal=self._sealed)

    def stop(self) -> None:
        """Write down what is on its way, and close."""
        if self._journal is not None:
            self._journal.close()
        self._pool.shutdown()
        self._control.shutdown()

    def refresh(self) -> None:
        """Take over routes that changed; versions are loaded before any request can reach them."""
        for name in self.named or all_endpoints(self.workspace):
            route = current_route(self.workspace, name)
            if name in self.routes and self.routes[name].revision == route.revision:
                continue
            for target in route.targets:
                if target.model_version_id not in self.runtimes:
                    self.runtimes[target.model_version_id] = runtime.load(self.workspace, target.model_version_id)
            self.routes[name] = route
        live = {target.model_version_id for route in self.routes.values() for target in route.targets}
        for version_id in set(self.runtimes) - live:
            del self.runtimes[version_id]

    async def advance(self, to: datetime) -> None:
        """Let whoever decides decide on all that happened before `to`, and take over what follows from it."""
        await asyncio.get_running_loop().run_in_executor(self._control, self._advance, to)

    def _advance(self, to: datetime) -> None:
        self.refresh()
        self.on_advance(to)
        self.refresh()

    def route(self, name: str | None) -> Route:
        """The route of an endpoint; a bare path means the only one. Raises UsageError, KeyError."""
        if name is None:
            if len(self.routes) != 1:
                raise UsageError(
                    f"this server has {len(self.routes)} endpoints, so the path must name one",
                    mend="POST /endpoints/NAME/invocations",
                )
            name = next(iter(self.routes))
        return self.routes[name]

    async def predict(self, route: Route, records: list[dict[str, Any]], occurred_at: datetime | None) -> Predicted:
        """Predict, journal, and only then answer. Raises UsageError for rows that don't fit (the field is named)."""
        when = micros(occurred_at or self.clock.now())
        champion = route.champion
        runtime_ = self.runtimes[champion.model_version_id]
        table = runtime_.model.signature.table(records)
        answers = {champion.model_version_id: runtime_.predict(table, self._pool)}
        candidate = route.candidate
        if candidate is not None:
            answers[candidate.model_version_id] = self._candidate(candidate, records)
        said = dict(zip(answers, await asyncio.gather(*answers.values()), strict=True))
        request_id, recorded = str(uuid.uuid4()), micros(now())
        predictions = [
            self._record(route, record, table, row, said, request_id, when, recorded)
            for row, record in enumerate(records)
        ]
        if self._journal is None:
            raise OutsideError("the journal is closed: the server is stopping", mend="send it again")
        await self._journal.append_async(predictions)
        failed = next((one for one in predictions if one.error is not None), None)
        if failed is not None:
            raise PredictionError(failed.error or "", [one.id for one in predictions])
        versions = sorted({one.model_version for one in predictions})
        return Predicted([one.id for one in predictions], [one.output for one in predictions], ",".join(versions))

    async def _candidate(self, target: Target, records: list[dict[str, Any]]) -> Answer:
        """A candidate's failure is evidence about the candidate, and never the client's trouble."""
        loaded = self.runtimes[target.model_version_id]
        try:
            rows = loaded.model.signature.table(records)
        except UsageError as error:
            return Answer(None, f"its signature refuses the request: {error.message}", 0)
        return await loaded.predict(rows, self._pool)

    def _record(
        self,
        route: Route,
        record: dict[str, Any],
        table: pl.DataFrame,
        row: int,
        said: dict[str, Answer],
        request_id: str,
        when: int,
        recorded: int,
    ) -> Prediction:
        prediction_id = new_id()
        entity = None if route.entity_column is None else record.get(route.entity_column)
        chosen, reason = route.choose(str(entity) if entity is not None else prediction_id)
        answer = said[chosen.model_version_id]
        if answer.error is not None and chosen.role == "candidate":
            reason = f"the candidate failed ({answer.error}), so the champion answered"
            chosen = route.champion
            answer = said[chosen.model_version_id]
        others = [
            Shadow(
                model_version=target.model_version,
                model_version_id=target.model_version_id,
                role="candidate" if target.role == "candidate" else "champion",
                output=_at(said[target.model_version_id], row),
                error=said[target.model_version_id].error,
                latency_us=said[target.model_version_id].latency_us,
            )
            for target in route.targets
            if target is not chosen
        ]
        return Prediction(
            id=prediction_id,
            endpoint=route.endpoint,
            request_id=request_id,
            row=row,
            model_version=chosen.model_version,
            model_version_id=chosen.model_version_id,
            role="candidate" if chosen.role == "candidate" else "champion",
            share=chosen.share,
            reason=reason,
            route_revision=route.revision,
            rollout_id=route.rollout_id,
            entity=None if entity is None else str(entity)[:200],
            occurred_at=when,
            recorded_at=recorded,
            inputs={name: record[name] for name in table.columns},
            output=_at(answer, row),
            others=others,
            error=answer.error,
            latency_us=answer.latency_us,
        )

    async def add_outcomes(self, outcomes: list[Outcome]) -> int:
        """Journal outcomes; they count once they are durable."""
        if self._journal is None:
            raise OutsideError("the journal is closed: the server is stopping", mend="send it again")
        await self._journal.append_async(outcomes)
        return len(outcomes)

    def _sealed(self, seal: Seal) -> None:
        self.workspace.catalog.execute(
            RecordSegment(
                writer=self.writer,
                sequence=seal.segment,
                state="sealed",
                predictions=seal.predictions.count,
                outcomes=seal.outcomes.count,
                first_id=seal.predictions.first_id,
                last_id=seal.predictions.last_id,
            )
        )


class PredictionError(Exception):
    """The model raised; the failed predictions are in the journal."""

    def __init__(self, message: str, ids: list[str]) -> None:
        super().__init__(message)
        self.message = message
        self.ids = ids


def _at(answer: Answer, row: int) -> Any:
    return None if answer.values is None else answer.values[row]
