"""The controller: reads what happened, decides, and writes the routing table."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec
import sqlalchemy as sa

from clew.catalog.commands import RecordDecision, Target
from clew.catalog.tables import serving
from clew.errors import RefusedError
from clew.rollouts._decide import Decision, decide
from clew.rollouts.evidence import Evidence
from clew.rollouts.plan import SHADOW, Plan
from clew.serving.journal import Prediction
from clew.serving.observations import Observations, Observed
from clew.serving.requests import from_micros
from clew.workspace import Workspace


@dataclass
class _Running:
    """A rollout under way in this process."""

    rollout_id: str
    endpoint: str
    endpoint_id: str
    champion_id: str
    candidate_id: str
    started: datetime
    evidence: Evidence
    observations: Observations
    stage: str
    day: datetime


class Controller:
    """Looks once for each day of the data's time, decides by `decide`, and writes what follows.

    A look takes all that happened before it in a fixed order, so the same journal gives the same decisions, at
    whatever speed it is replayed. After a restart the evidence is built again from the journal.
    """

    def __init__(self, workspace: Workspace, *, look: timedelta = timedelta(days=1)) -> None:
        self.workspace = workspace
        self.look = look
        self._running: dict[str, _Running] = {}

    def advance(self, now: datetime) -> list[tuple[str, Decision]]:
        """Decide on all that happened before `now`; give the decisions with the names of their endpoints."""
        decisions = []
        rows = self._rows()
        for rollout_id in set(self._running) - {str(row.id) for row in rows}:
            del self._running[rollout_id]
        for row in rows:
            running = self._running.get(str(row.id)) or self._begin(row)
            self._running[running.rollout_id] = running
            decision = self._look(running, now)
            if decision is not None:
                decisions.append((running.endpoint, decision))
        return decisions

    def _rows(self) -> list[sa.Row[Any]]:
        r = serving.rollouts.c
        return self.workspace.catalog.rows(
            sa.select(serving.rollouts, serving.endpoints.c.name)
            .join(serving.endpoints, serving.endpoints.c.id == r.endpoint_id)
            .where(r.state == "running")
            .order_by(r.id)
        )

    def _begin(self, row: sa.Row[Any]) -> _Running:
        plan = msgspec.convert(row.plan, Plan)
        running = _Running(
            rollout_id=str(row.id),
            endpoint=row.name,
            endpoint_id=str(row.endpoint_id),
            champion_id=str(row.champion_id),
            candidate_id=str(row.candidate_id),
            started=row.occurred_at,
            evidence=Evidence(plan, str(row.champion_id), str(row.candidate_id)),
            observations=Observations(self.workspace.journal),
            stage=SHADOW,
            day=row.occurred_at,
        )
        # After a restart: what was decided stays decided, and the evidence is taken again up to there.
        d = serving.rollout_decisions.c
        for decision in self.workspace.catalog.rows(
            sa.select(serving.rollout_decisions).where(d.rollout_id == running.rollout_id).order_by(d.ordinal)
        ):
            self._take(running, decision.occurred_at)
            running.stage = decision.stage_after
            running.evidence.stage_requests = 0
        return running

    def _look(self, running: _Running, now: datetime) -> Decision | None:
        last = None
        while running.day + self.look <= now:
            self._take(running, running.day + self.look)
            decision = decide(running.evidence, running.stage)
            if decision is not None:
                self._write(running, decision)
                last = decision
                if decision.state != "running":
                    return last
        return last

    def _take(self, running: _Running, moment: datetime) -> None:
        observed = running.observations.before(running.endpoint, moment)
        mine = [one for one in observed.predictions if self._counts(running, one)]
        joined = [one for one in observed.joined if self._counts(running, one.prediction)]
        running.evidence.take(Observed(mine, joined))
        running.day = moment

    @staticmethod
    def _counts(running: _Running, prediction: Prediction) -> bool:
        return prediction.rollout_id == running.rollout_id and from_micros(prediction.occurred_at) >= running.started

    def _write(self, running: _Running, decision: Decision) -> None:
        evidence = running.evidence
        champion, candidate = running.champion_id, running.candidate_id
        if decision.state == "promoted":
            targets = [Target(model_version_id=candidate, role="champion", share=1.0)]
        elif decision.state == "rolled_back":
            targets = [Target(model_version_id=champion, role="champion", share=1.0)]
        else:
            targets = [
                Target(model_version_id=champion, role="champion", share=1.0 - decision.share),
                Target(model_version_id=candidate, role="candidate", share=decision.share),
            ]
        try:
            self.workspace.catalog.execute(
                RecordDecision(
                    rollout_id=running.rollout_id,
                    verdict=decision.verdict,
                    reason=decision.reason,
                    stage_before=running.stage,
                    stage_after=decision.stage,
                    requests=evidence.requests,
                    outcomes=evidence.outcomes,
                    evidence=evidence.as_json(),
                    state=decision.state,  # type: ignore[arg-type]  # one of the states that RecordDecision checks
                    targets=targets,
                    occurred_at=running.day,
                )
            )
        except RefusedError:
            return  # someone ended it by hand in this moment
        running.stage = decision.stage
        evidence.stage_requests = 0
