"""The state of a serving process: routes, loaded versions, the journal, and the clock."""

import asyncio
import logging
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from clew.catalog import now
from clew.catalog.commands import RecordSegment
from clew.errors import ClewError, OutsideError, RefusedError, UsageError
from clew.serving import runtime
from clew.serving.clock import Clock, WallClock
from clew.serving.discretion import Discretion, held_for, strictest
from clew.serving.journal import Journal, Outcome, Prediction, Seal, seal_abandoned
from clew.serving.record import Request, record
from clew.serving.requests import micros
from clew.serving.routing import Route, all_endpoints, current_route, revisions
from clew.serving.runtime import Answer, Runtime
from clew.workspace import Workspace

OnAdvance = Callable[[datetime], None]
"""Called when time has moved on, after all that happened before is in the journal; it may change routes."""

_LOG = logging.getLogger(__name__)
_PATIENCE_SECONDS = 2.0
_RECOVER_SECONDS = 1.0


@dataclass
class Predicted:
    """What goes back to the client."""

    ids: list[str]
    values: list[Any]
    version: str


@dataclass(frozen=True)
class _Live:
    """Routes and the versions they need, replaced as one, so that no request sees one without the other."""

    routes: Mapping[str, Route] = field(default_factory=dict)
    runtimes: Mapping[str, Runtime] = field(default_factory=dict)
    discretions: Mapping[str, Discretion] = field(default_factory=dict)


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

    def __post_init__(self) -> None:
        self.named = list(self.endpoints)
        self._live = _Live()
        self._control = ThreadPoolExecutor(1, thread_name_prefix="control")
        self._journal: Journal | None = None
        self._recovered_at = 0.0

    @property
    def routes(self) -> Mapping[str, Route]:
        """What is live, by endpoint."""
        return self._live.routes

    @property
    def runtimes(self) -> Mapping[str, Runtime]:
        """The loaded versions, by id."""
        return self._live.runtimes

    def start(self) -> None:
        """Load what is live and open the journal. Raises NotFoundError for an unknown endpoint."""
        self.refresh()
        seal_abandoned(self.workspace.journal)
        self._journal = Journal(self.workspace.journal, self.writer, on_seal=self._sealed)

    def stop(self) -> None:
        """Write down what is on its way, and close."""
        journal, self._journal = self._journal, None
        if journal is not None:
            journal.close()
        self._control.shutdown()

    def refresh(self) -> None:
        """Take over routes that changed; versions are loaded before any request can reach them.

        What can't be loaded doesn't keep the other endpoints from changing; the first error is raised at the end.
        """
        before = self._live
        routes, runtimes = dict(before.routes), dict(before.runtimes)
        errors: list[ClewError] = []
        for name in self.named or all_endpoints(self.workspace):
            try:
                route = _without_refused(current_route(self.workspace, name))
                known = routes.get(name)
                if known is None or (known.revision, known.refused) != (route.revision, route.refused):
                    runtimes |= self._load(route, runtimes)
                    routes[name] = route
            except ClewError as error:
                errors.append(error)
        live = {target.model_version_id for route in routes.values() for target in route.targets}
        discretions = {}
        for name, route in list(routes.items()):
            try:
                discretions[name] = self._discretion(route, before.discretions.get(name))
            except ClewError as error:
                # What may not be kept isn't known, so nothing may be answered: answers are journalled.
                errors.append(error)
                del routes[name]
        self._live = _Live(routes, {key: value for key, value in runtimes.items() if key in live}, discretions)
        if errors:
            raise errors[0]

    def _discretion(self, route: Route, before: Discretion | None) -> Discretion:
        """What the journal may keep of an endpoint's requests; the one before, with its counts, if that still holds."""
        held = held_for(self.workspace, [target.model_version_id for target in route.targets])
        if before is not None and before.held == held:
            return before
        return Discretion(self.workspace, held, route.entity_column)

    def kept_back(self, endpoint: str) -> list[dict[str, Any]]:
        """What was found in an endpoint's requests since the start, and not journalled: field, kind, how often."""
        counts = self._live.discretions[endpoint].kept_back
        return [{"field": name, "kind": kind, "count": count} for (name, kind), count in sorted(counts.items())]

    def _load(self, route: Route, loaded: Mapping[str, Runtime]) -> dict[str, Runtime]:
        return {
            target.model_version_id: (runtime.load if target.role == "champion" else runtime.load_candidate)(
                self.workspace, target.model_version_id
            )
            for target in route.targets
            if target.model_version_id not in loaded
        }

    async def advance(self, to: datetime) -> None:
        """Let whoever decides decide on all that happened before `to`, and take over what follows from it."""
        await asyncio.get_running_loop().run_in_executor(self._control, self._advance, to)

    def _advance(self, to: datetime) -> None:
        self.refresh()
        self.on_advance(to)
        self.refresh()

    async def catch_up(self) -> None:
        """Under the data's clock: take over changed routes now, so that a replay doesn't depend on the machine's time.

        Under the machine's clock, `advance` does so every few seconds, and a request needn't pay for a look.
        """
        if not self.clock.replay:
            return
        try:
            newest = revisions(self.workspace)
            if any(newest.get(route.endpoint_id) != route.revision for route in self.routes.values()):
                await asyncio.get_running_loop().run_in_executor(self._control, self.refresh)
        except ClewError as error:
            _LOG.warning("routes stay as they are: %s", error)

    def route(self, name: str | None) -> Route:
        """The route of an endpoint; a bare path means the only one. Raises UsageError, KeyError."""
        routes = self.routes
        if name is None:
            if len(routes) != 1:
                raise UsageError(
                    f"this server has {len(routes)} endpoints, so the path must name one",
                    mend="POST /endpoints/NAME/invocations",
                )
            name = next(iter(routes))
        return routes[name]

    async def predict(self, route: Route, records: list[dict[str, Any]], occurred_at: datetime | None) -> Predicted:
        """Predict, journal, and only then answer.

        Raises:
            UsageError: rows that don't fit the champion's signature (the field is named).
            RefusedError: rows that trained the champion were erased, and the endpoint refuses such versions.
            PredictionError: the model failed.
            OutsideError: the journal can't be written; nothing counts as answered.
        """
        live = self._live
        route = live.routes.get(route.endpoint, route)
        when = micros(occurred_at or self.clock.now())
        champion, candidate = route.champion, route.candidate
        if champion.model_version_id in route.refused:
            raise RefusedError(
                f"rows that trained {champion.model_version} were erased, and {route.endpoint} refuses such versions",
                mend=f"train it again and roll it out; or clew endpoint erased {route.endpoint} serve",
            )
        loaded = live.runtimes[champion.model_version_id]
        answering = loaded.predict(loaded.signature.rows(records))
        shadowing = None if candidate is None else _ask(live.runtimes[candidate.model_version_id], records)
        said = {champion.model_version_id: await answering}
        if candidate is not None and shadowing is not None:
            patience = max(_PATIENCE_SECONDS, 2e-6 * said[champion.model_version_id].latency_us)
            said[candidate.model_version_id] = await _within(shadowing, patience)
        discretion = live.discretions[route.endpoint]
        request = Request(route, discretion, loaded.signature.names, said, str(uuid.uuid4()), when, micros(now()))
        predictions = [record(request, values, row) for row, values in enumerate(records)]
        await self._append(predictions)
        failed = next((one for one in predictions if one.error is not None), None)
        if failed is not None:
            raise PredictionError(failed.error or "", [one.id for one in predictions])
        versions = sorted({one.model_version for one in predictions})
        return Predicted([one.id for one in predictions], [one.output for one in predictions], ",".join(versions))

    async def add_outcomes(self, outcomes: list[Outcome]) -> int:
        """Journal outcomes; they count once they are durable. Raises OutsideError."""
        await self._append([self._kept(one) for one in outcomes])
        return len(outcomes)

    def _kept(self, outcome: Outcome) -> Outcome:
        """What is kept of an outcome; one that doesn't say its endpoint is held against all of them."""
        discretions = self._live.discretions
        if outcome.endpoint is not None:
            found = discretions.get(outcome.endpoint)
            return outcome if found is None else found.outcome(outcome)
        return strictest(list(discretions.values()))(outcome)

    async def _append(self, records: Sequence[Prediction | Outcome]) -> None:
        journal = self._journal
        if journal is None:
            raise OutsideError("the journal is closed: the server is stopping", mend="send it again")
        if journal.failure is not None and time.monotonic() - self._recovered_at > _RECOVER_SECONDS:
            # The disk may have room again. One request in a while finds out; the others are refused at once.
            self._recovered_at = time.monotonic()
            await asyncio.get_running_loop().run_in_executor(None, journal.recover)
        try:
            await journal.append_async(records)
        except UsageError as error:
            if self._journal is None:
                raise OutsideError("the journal is closed: the server is stopping", mend="send it again") from error
            raise

    def _sealed(self, seal: Seal) -> None:
        """Hand over: the journal's thread must not wait for the database."""
        self._control.submit(self._record_segment, seal)

    def _record_segment(self, seal: Seal) -> None:
        try:
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
        except ClewError as error:
            _LOG.warning("segment %d of %s is not in the catalog: %s", seal.segment, self.writer, error)


class PredictionError(Exception):
    """The model raised; the failed predictions are in the journal."""

    def __init__(self, message: str, ids: list[str]) -> None:
        super().__init__(message)
        self.message = message
        self.ids = ids


def _ask(candidate: Runtime, records: list[dict[str, Any]]) -> "asyncio.Future[Answer] | Answer":
    """A candidate's failure is evidence about the candidate, and never the client's trouble."""
    busy = candidate.busy_seconds
    if busy > _PATIENCE_SECONDS:
        return Answer(None, f"it still works on rows that it was given {busy:.1f} s ago", 0)
    try:
        return candidate.predict(candidate.signature.rows(records))
    except UsageError as error:
        return Answer(None, f"its signature refuses the request: {error.message}", 0)


def _without_refused(route: Route) -> Route:
    """The route without a candidate that may not answer; the champion stays, and says so when it is asked."""
    stays = tuple(one for one in route.targets if one.role == "champion" or one.model_version_id not in route.refused)
    return route if len(stays) == len(route.targets) else replace(route, targets=stays)


async def _within(answer: "asyncio.Future[Answer] | Answer", seconds: float) -> Answer:
    if isinstance(answer, Answer):
        return answer
    try:
        return await asyncio.wait_for(answer, seconds)
    except TimeoutError:
        return Answer(None, f"it had not answered {seconds:.3g} s after the champion", round(seconds * 1e6))
