"""Commands about endpoints, routing, rollouts, journals and monitors."""

from typing import Annotated, Any, Literal

import msgspec
import sqlalchemy as sa

from clew.catalog.command import Command, Count, Id, Moment, Row, Transaction
from clew.catalog.commands.data import check_name
from clew.catalog.tables import models, serving
from clew.errors import NotFoundError, RefusedError, UsageError


class Target(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A model version behind an endpoint: its role, and its share of the traffic (0 to 1)."""

    model_version_id: Id
    role: Literal["champion", "candidate"]
    share: Annotated[float, msgspec.Meta(ge=0, le=1)]


def _route(tx: Transaction, endpoint_id: str, targets: list[Target], **values: Any) -> int:
    if abs(sum(target.share for target in targets) - 1) > 1e-9:
        raise UsageError("the shares of a route must add up to 1", mend="correct the shares of its targets")
    if sum(target.role == "champion" for target in targets) != 1:
        raise UsageError("a route has exactly one champion", mend="correct the roles of its targets")
    if len({target.model_version_id for target in targets}) < len(targets):
        raise UsageError("a route names each version once", mend="add up the shares of the same version")
    tx.lock(serving.endpoints, id=endpoint_id)
    revision = tx.next_number(serving.routes.c.revision, serving.routes.c.endpoint_id == endpoint_id)
    route_id = tx.insert(serving.routes, endpoint_id=endpoint_id, revision=revision, **values)
    for target in targets:
        tx.insert(serving.route_targets, route_id=route_id, **msgspec.to_builtins(target))
    return revision


def _accepted(tx: Transaction, model_version_id: str) -> sa.Row[Any]:
    version = tx.lock(models.model_versions, id=model_version_id)  # so that it can't expire meanwhile
    if version is None:
        raise NotFoundError(f"no model version {model_version_id}", mend="clew model list")
    if version.state != "accepted":
        raise RefusedError(
            f"that version is {version.state}: {version.refused_because or ''}".rstrip(": "),
            mend="choose an accepted version: clew model list",
        )
    return version


def _champion(tx: Transaction, endpoint_id: str) -> str:
    """Who is live: the champion of the newest route."""
    routes, targets = serving.routes, serving.route_targets
    query = (
        sa.select(targets.c.model_version_id)
        .join(routes, routes.c.id == targets.c.route_id)
        .where(routes.c.endpoint_id == endpoint_id, targets.c.role == "champion")
        .order_by(routes.c.revision.desc())
    )
    return str(tx.connection.execute(query.limit(1)).scalar_one())


class CreateEndpoint(Command, frozen=True, kw_only=True):
    """Create an endpoint, and route all of its traffic to a version."""

    name: str
    model_version_id: Id
    entity_column: str | None = None
    settings: dict[str, Any] = {}
    occurred_at: Moment

    def apply(self, tx: Transaction) -> Row:
        """Give its id. An endpoint of that name, or a refused version, is refused."""
        check_name(self.name)
        if tx.find(serving.endpoints, name=self.name) is not None:
            raise RefusedError(
                f"there is an endpoint {self.name} already",
                mend=f"clew rollout start {self.name} MODEL@VERSION, or another name",
            )
        version = _accepted(tx, self.model_version_id)
        endpoint_id = tx.insert(
            serving.endpoints,
            name=self.name,
            model_id=version.model_id,
            entity_column=self.entity_column,
            settings=self.settings,
            state="live",
        )
        champion = Target(model_version_id=self.model_version_id, role="champion", share=1.0)
        revision = _route(tx, endpoint_id, [champion], reason="endpoint created", occurred_at=self.occurred_at)
        return {"endpoint_id": endpoint_id, "revision": revision}


class StartRollout(Command, frozen=True, kw_only=True):
    """Begin to change an endpoint from its champion to a candidate, by a plan. The first stage is shadow."""

    endpoint_id: Id
    champion_id: Id
    candidate_id: Id
    plan: Any
    occurred_at: Moment

    def apply(self, tx: Transaction) -> Row:
        """Give the rollout's id and the revision of the route. One rollout at a time for an endpoint."""
        if tx.lock(serving.endpoints, id=self.endpoint_id) is None:
            raise NotFoundError(f"no endpoint {self.endpoint_id}", mend="clew hub shows all endpoints")
        if tx.find(serving.rollouts, endpoint_id=self.endpoint_id, state="running") is not None:
            raise RefusedError(
                "a rollout is running at this endpoint", mend="wait for it, or: clew rollout abort ENDPOINT"
            )
        _accepted(tx, self.candidate_id)
        champion_id = _champion(tx, self.endpoint_id)
        if self.champion_id != champion_id:
            raise RefusedError(
                f"the endpoint's champion is {champion_id}, not {self.champion_id}: it changed meanwhile",
                mend="look again at who is live, and start from there",
            )
        rollout_id = tx.insert(
            serving.rollouts,
            endpoint_id=self.endpoint_id,
            champion_id=self.champion_id,
            candidate_id=self.candidate_id,
            plan=self.plan,
            state="running",
            occurred_at=self.occurred_at,
        )
        targets = [
            Target(model_version_id=self.champion_id, role="champion", share=1.0),
            Target(model_version_id=self.candidate_id, role="candidate", share=0.0),
        ]
        revision = _route(
            tx,
            self.endpoint_id,
            targets,
            reason="rollout started: the candidate answers in shadow",
            rollout_id=rollout_id,
            occurred_at=self.occurred_at,
        )
        return {"rollout_id": rollout_id, "revision": revision}


class RecordDecision(Command, frozen=True, kw_only=True):
    """Keep a decision of a rollout with its evidence, and in the same transaction the route that follows from it."""

    rollout_id: Id
    verdict: str
    reason: str
    stage_before: str
    stage_after: str
    requests: Count
    outcomes: Count
    evidence: Any
    state: Literal["running", "promoted", "rolled_back", "aborted"]
    targets: list[Target] = []
    occurred_at: Moment

    def apply(self, tx: Transaction) -> Row:
        """Give its ordinal and the route's revision (None when the routing stays). Refused once the rollout ended."""
        rollout = tx.lock(serving.rollouts, id=self.rollout_id)
        if rollout is None:
            raise NotFoundError(f"no rollout {self.rollout_id}", mend="clew rollout status ENDPOINT")
        if rollout.state != "running":
            raise RefusedError(f"that rollout has ended already: {rollout.state}", mend="clew rollout status ENDPOINT")
        if self.state != "running" and not self.targets:
            raise UsageError("a rollout that ends needs the route it ends with", mend="give the targets that stay live")
        table = serving.rollout_decisions
        ordinal = tx.next_number(table.c.ordinal, table.c.rollout_id == self.rollout_id)
        fields = {k: v for k, v in msgspec.structs.asdict(self).items() if k not in ("state", "targets")}
        tx.insert(table, ordinal=ordinal, **fields)
        if self.state != "running":
            tx.update(
                serving.rollouts, serving.rollouts.c.id == self.rollout_id, state=self.state, ended_at=tx.recorded_at
            )
        revision = None
        if self.targets:
            revision = _route(
                tx,
                rollout.endpoint_id,
                self.targets,
                reason=f"{self.verdict}: {self.reason}",
                rollout_id=self.rollout_id,
                occurred_at=self.occurred_at,
            )
        return {"ordinal": ordinal, "revision": revision}


class RecordSegment(Command, frozen=True, kw_only=True):
    """Keep what is known of a segment of a journal."""

    writer: str
    sequence: Count
    state: Literal["open", "sealed", "compacted", "erased", "expired"]
    predictions: Count = 0
    outcomes: Count = 0
    first_id: str | None = None
    last_id: str | None = None

    def apply(self, tx: Transaction) -> str:
        """Give the segment's id, made now or before."""
        found = tx.lock(serving.journal_segments, writer=self.writer, sequence=self.sequence)
        if found is None:
            return tx.insert(serving.journal_segments, **self.payload())
        tx.update(serving.journal_segments, serving.journal_segments.c.id == found.id, **self.payload())
        return str(found.id)


class CreateMonitor(Command, frozen=True, kw_only=True):
    """Watch an endpoint; the same name again states its settings anew."""

    endpoint_id: Id
    name: str
    settings: dict[str, Any]

    def apply(self, tx: Transaction) -> str:
        """Give the monitor's id."""
        found = tx.lock(serving.monitors, endpoint_id=self.endpoint_id, name=self.name)
        if found is None:
            return tx.insert(serving.monitors, state="live", **self.payload())
        tx.update(serving.monitors, serving.monitors.c.id == found.id, settings=self.settings)
        return str(found.id)


class AlertSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a monitor raises: about what, in plain words, with its evidence."""

    kind: str
    subject: str
    message: str
    evidence: Any


class RecordReport(Command, frozen=True, kw_only=True):
    """Keep what a monitor sees now, from where it goes on, and the alerts that it raises."""

    monitor_id: Id
    model_version_id: Id
    report: Any
    progress: Any
    alerts: list[AlertSpec] = []
    occurred_at: Moment

    hidden = frozenset({"report", "progress"})

    def apply(self, tx: Transaction) -> str:
        """Give the report's id. It replaces the one before it of this version; an alert is raised once."""
        key = {"monitor_id": self.monitor_id, "model_version_id": self.model_version_id}
        values = {"report": self.report, "progress": self.progress, "occurred_at": self.occurred_at}
        found = tx.lock(serving.monitor_reports, **key)
        if found is None:
            report_id = tx.insert(serving.monitor_reports, **key, **values)
        else:
            report_id = str(found.id)
            table = serving.monitor_reports
            tx.update(table, table.c.id == report_id, **values, recorded_at=tx.recorded_at)
        for alert in self.alerts:
            if tx.find(serving.alerts, **key, kind=alert.kind, subject=alert.subject) is None:
                tx.insert(
                    serving.alerts, **key, state="open", occurred_at=self.occurred_at, **msgspec.to_builtins(alert)
                )
        return report_id
