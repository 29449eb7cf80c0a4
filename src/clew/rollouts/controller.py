"""The controller: reads what happened, decides, and writes the routing table."""

from dataclasses import dataclass, field
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
from clew.serving.observations import Look, Observations
from clew.serving.requests import from_micros, micros
from clew.workspace import Workspace


@dataclass
class _Running:
    """A rollout under way in this process."""

    rollout_id: str
    champion_id: str
    candidate_id: str
    evidence: Evidence
    observations: Observations
    stage: str = SHADOW
    decisions: int = 0
    looks: list[Any] = field(default_factory=list)
    """Those since the last decision."""


class Controller:
    """Looks once for each day of the data's time, decides by `decide`, and writes what follows.

    A look takes all that happened before it in a fixed order, and each decision keeps the looks that led to it, with
    how far the journal was read at each: so the same journal gives the same decisions, at whatever speed it is
    replayed and however late outcomes come. After a restart the evidence is built again from there.
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
            rollout_id = str(row.id)
            try:
                if rollout_id not in self._running:
                    self._running[rollout_id] = self._begin(row, now)
                decision = self._look(self._running[rollout_id], now)
            except Exception:
                # What was taken and not decided on must be taken again, from the journal.
                self._running.pop(rollout_id, None)
                raise
            if decision is not None:
                decisions.append((row.name, decision))
        return decisions

    def _rows(self) -> list[sa.Row[Any]]:
        r = serving.rollouts.c
        return self.workspace.catalog.rows(
            sa.select(serving.rollouts, serving.endpoints.c.name)
            .join(serving.endpoints, serving.endpoints.c.id == r.endpoint_id)
            .where(r.state == "running")
            .order_by(r.id)
        )

    def _begin(self, row: sa.Row[Any], now: datetime) -> _Running:
        # One that was started without saying when, in the middle of a replay, begins with its first prediction.
        begins = row.occurred_at if row.occurred_at <= now else None
        running = _Running(
            rollout_id=str(row.id),
            champion_id=str(row.champion_id),
            candidate_id=str(row.candidate_id),
            evidence=Evidence(msgspec.convert(row.plan, Plan), str(row.champion_id), str(row.candidate_id)),
            observations=Observations(
                self.workspace.journal, row.name, rollout_id=str(row.id), begins=begins, every=self.look
            ),
        )
        # After a restart: what was decided stays decided, and the evidence is what it was decided on.
        d = serving.rollout_decisions.c
        for decision in self.workspace.catalog.rows(
            sa.select(serving.rollout_decisions).where(d.rollout_id == running.rollout_id).order_by(d.ordinal)
        ):
            for moment, read in decision.evidence.get("looks", []):
                running.evidence.take(running.observations.again(from_micros(moment), read))
            running.stage = decision.stage_after
            running.evidence.stage_requests = 0
            running.decisions += 1
        return running

    def _look(self, running: _Running, now: datetime) -> Decision | None:
        last = None
        for look in running.observations.looks(now):
            running.evidence.take(look.observed)
            running.looks.append([micros(look.moment), look.read])
            decision = decide(running.evidence, running.stage)
            if decision is None:
                continue
            if not self._write(running, decision, look):
                del self._running[running.rollout_id]
                return last
            last = decision
            if decision.state != "running":
                break
        return last

    def _write(self, running: _Running, decision: Decision, look: Look) -> bool:
        """Write the decision and its route; False when someone else decided meanwhile, and nothing was written."""
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
        d = serving.rollout_decisions.c
        known = self.workspace.catalog.rows(sa.select(d.ordinal).where(d.rollout_id == running.rollout_id))
        if len(known) != running.decisions:
            return False
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
                    evidence=evidence.as_json() | {"looks": running.looks},
                    state=decision.state,  # type: ignore[arg-type]  # one of the states that RecordDecision checks
                    targets=targets,
                    occurred_at=look.moment,
                )
            )
        except RefusedError:
            return False  # someone ended it by hand in this moment
        running.stage = decision.stage
        running.decisions += 1
        running.looks = []
        evidence.stage_requests = 0
        return True
