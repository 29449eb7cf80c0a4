"""The monitor of an endpoint: one watch for each version that answers there, kept up with the journal."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import msgspec
import sqlalchemy as sa

from clew.catalog.commands import CreateMonitor, RecordReport
from clew.catalog.tables import models, serving
from clew.errors import NotFoundError
from clew.models import by_id
from clew.monitoring.watch import ALPHA, Watch, alerts
from clew.serving import current_route
from clew.serving.observations import Observations, Observed
from clew.serving.routing import marked
from clew.workspace import Workspace

NAME = "default"


@dataclass
class Monitor:
    """Follows an endpoint in the data's time. The same journal gives the same reports, at whatever speed."""

    workspace: Workspace
    endpoint: str
    look: timedelta = timedelta(days=1)
    watches: dict[str, Watch] = field(default_factory=dict)
    _unwatched: set[str] = field(default_factory=set)
    _reported: dict[str, tuple[int, int]] = field(default_factory=dict)
    _raised: set[tuple[str, str, str]] = field(default_factory=set)

    def __post_init__(self) -> None:
        route = current_route(self.workspace, self.endpoint)
        self.monitor_id: str = self.workspace.catalog.execute(
            CreateMonitor(endpoint_id=route.endpoint_id, name=NAME, settings={"alpha": ALPHA})
        )
        self._forget()

    def advance(self, now: datetime) -> list[str]:
        """Take all that happened before `now`, a day at a time, and report; give the new alerts' messages."""
        try:
            for look in self._observations.looks(now):
                self._take(look.observed)
            return self._report(now)
        except Exception:
            self._forget()  # what was taken by halves is taken again, from the journal
            raise

    def _forget(self) -> None:
        self._observations = Observations(self.workspace.journal, self.endpoint, every=self.look)
        self.watches.clear()

    def _take(self, observed: Observed) -> None:
        for version_id in dict.fromkeys(one.model_version_id for one in observed.predictions):
            if version_id not in self.watches and version_id not in self._unwatched:
                self._watch(version_id)
        for watch in self.watches.values():
            watch.take(observed)

    def _watch(self, version_id: str) -> None:
        version = by_id(self.workspace, version_id)
        try:
            artifact = version.artifact("profile")
        except NotFoundError:
            self._unwatched.add(version_id)  # registered without test rows: there is nothing to compare with
            return
        profile = msgspec.json.decode(self.workspace.objects.get(artifact.digest))
        self.watches[version_id] = Watch(version.reference, version_id, profile)

    def _report(self, now: datetime) -> list[str]:
        for version_id in marked(self.workspace, list(self.watches)):
            # What it is compared with went with a person's rows: nothing of that is written again.
            del self.watches[version_id]
            self._unwatched.add(version_id)
        raised = []
        for version_id, watch in self.watches.items():
            seen = (watch.predictions, watch.outcomes)
            if self._reported.get(version_id) == seen:
                continue
            report = watch.report()
            found = alerts(report)
            self.workspace.catalog.execute(
                RecordReport(
                    monitor_id=self.monitor_id,
                    model_version_id=version_id,
                    report=report,
                    progress={"until": now.isoformat()},
                    alerts=found,
                    occurred_at=now,
                )
            )
            self._reported[version_id] = seen
            for alert in found:
                if (version_id, alert.kind, alert.subject) not in self._raised:
                    self._raised.add((version_id, alert.kind, alert.subject))
                    raised.append(f"{watch.version}: {alert.message}")
        return raised


def status(workspace: Workspace, endpoint: str) -> dict[str, Any]:
    """The newest report of each version that answered at an endpoint, and all alerts; and what isn't watched, and why.

    Raises NotFoundError.
    """
    route = current_route(workspace, endpoint)
    m, r, v = serving.monitors.c, serving.monitor_reports.c, models.model_versions.c
    rows = workspace.catalog.rows(
        sa.select(serving.monitor_reports)
        .join(serving.monitors, m.id == r.monitor_id)
        .join(models.model_versions, v.id == r.model_version_id)
        .where(m.endpoint_id == route.endpoint_id)
        .order_by(v.version)
    )
    gone = marked(workspace, [one.model_version_id for one in route.targets])
    lost = [one.model_version for one in route.targets if one.model_version_id in gone]
    if not rows and not lost:
        raise NotFoundError(f"nothing was seen at {endpoint} yet", mend=f"clew serve {endpoint}, and send it requests")
    a = serving.alerts.c
    raised = workspace.catalog.rows(
        sa.select(serving.alerts, models.models.c.name, v.version)
        .join(serving.monitors, m.id == a.monitor_id)
        .join(models.model_versions, v.id == a.model_version_id)
        .join(models.models, models.models.c.id == v.model_id)
        .where(m.endpoint_id == route.endpoint_id)
        .order_by(a.occurred_at, a.id)
    )
    return {
        "endpoint": endpoint,
        "live": route.champion.model_version,
        "not_watched": dict.fromkeys(lost, "what it is compared with went with rows that were erased: train it again"),
        "reports": [row.report | {"until": row.occurred_at.isoformat()} for row in rows],
        "alerts": [
            {
                "at": row.occurred_at.isoformat(),
                "version": f"{row.name}@{row.version}",
                "kind": row.kind,
                "subject": row.subject,
                "message": row.message,
                "state": row.state,
            }
            for row in raised
        ],
    }
