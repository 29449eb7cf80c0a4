"""The routing table: the truth about what is live behind an endpoint."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from clew.catalog.commands import CreateEndpoint
from clew.catalog.tables import governance, models, serving
from clew.errors import NotFoundError
from clew.models import find as find_model
from clew.workspace import Workspace

_BUCKETS = 1_000_000


@dataclass(frozen=True)
class Target:
    """A version behind an endpoint, its role, and its share of the traffic."""

    model_version_id: str
    model_version: str
    role: str
    share: float


@dataclass(frozen=True)
class Route:
    """One revision of an endpoint's routing."""

    endpoint_id: str
    endpoint: str
    entity_column: str | None
    settings: Mapping[str, Any]
    revision: int
    reason: str
    rollout_id: str | None
    targets: tuple[Target, ...]
    occurred_at: datetime
    refused: frozenset[str] = frozenset()
    """Versions that may not answer here: rows that trained them were erased, and the endpoint refuses such."""

    @property
    def champion(self) -> Target:
        """The version that answers by default."""
        return next(target for target in self.targets if target.role == "champion")

    @property
    def candidate(self) -> Target | None:
        """The version that is being rolled out, or None."""
        return next((target for target in self.targets if target.role == "candidate"), None)

    def choose(self, entity: str) -> tuple[Target, str]:
        """Who answers for an entity, and why in words.

        An entity stays with its version while shares grow: its place in [0, 1) is a hash of the endpoint, the
        candidate and the entity, and the candidate has the places below its share.
        """
        candidate = self.candidate
        if candidate is None:
            return self.champion, "the champion has all of the traffic"
        if candidate.share == 0:
            return self.champion, f"the champion answers; {candidate.model_version} answers in shadow"
        place = _place(self.endpoint, candidate.model_version, entity)
        share = f"{candidate.share * 100:.6g}% of the traffic"
        if place < candidate.share:
            return candidate, f"place {place:.4f} is within the candidate's share, {share}"
        return self.champion, f"place {place:.4f} is outside of the candidate's share, {share}"


def _place(endpoint: str, candidate: str, entity: str) -> float:
    digest = hashlib.sha256(f"{endpoint}\0{candidate}\0{entity}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % _BUCKETS / _BUCKETS


def current_route(workspace: Workspace, endpoint: str) -> Route:
    """The newest route of an endpoint. Raises NotFoundError."""
    e, r = serving.endpoints.c, serving.routes.c
    row = workspace.catalog.first(
        sa.select(serving.routes, e.name, e.entity_column, e.settings)
        .join(serving.endpoints, e.id == r.endpoint_id)
        .where(e.name == endpoint)
        .order_by(r.revision.desc())
        .limit(1)
    )
    if row is None:
        names = all_endpoints(workspace)
        raise NotFoundError(
            f"no endpoint is called {endpoint!r}; there {'are: ' + ', '.join(names) if names else 'is none'}",
            mend=f"clew endpoint create {endpoint} --model MODEL@VERSION",
        )
    t = serving.route_targets.c
    targets = workspace.catalog.rows(
        sa.select(t.model_version_id, t.role, t.share, models.models.c.name, models.model_versions.c.version)
        .join(models.model_versions, models.model_versions.c.id == t.model_version_id)
        .join(models.models, models.models.c.id == models.model_versions.c.model_id)
        .where(t.route_id == row.id)
        .order_by(t.role.desc())
    )
    return Route(
        endpoint_id=str(row.endpoint_id),
        endpoint=row.name,
        entity_column=row.entity_column,
        settings=row.settings,
        revision=int(row.revision),
        reason=row.reason,
        rollout_id=None if row.rollout_id is None else str(row.rollout_id),
        targets=tuple(
            Target(str(one.model_version_id), f"{one.name}@{one.version}", one.role, float(one.share))
            for one in targets
        ),
        occurred_at=row.occurred_at,
        refused=_refused(workspace, row.settings, [str(one.model_version_id) for one in targets]),
    )


def _refused(workspace: Workspace, settings: Mapping[str, Any], versions: list[str]) -> frozenset[str]:
    """Those of some versions that an endpoint's policy keeps from answering."""
    if settings.get("erased_data", "serve") != "refuse":
        return frozenset()
    return frozenset(marked(workspace, versions))


def marked(workspace: Workspace, versions: list[str]) -> set[str]:
    """Those of some versions that were trained on rows which were erased since."""
    f = governance.erasure_effects.c
    query = sa.select(f.target_id).where(f.kind == "model_version", f.target_id.in_(versions)).distinct()
    return {str(row.target_id) for row in workspace.catalog.rows(query)}


def revisions(workspace: Workspace) -> dict[str, int]:
    """The newest revision of each endpoint's routing, by the endpoint's key: whether anything changed, cheaply."""
    r = serving.routes.c
    rows = workspace.catalog.rows(
        sa.select(r.endpoint_id, sa.func.max(r.revision).label("newest")).group_by(r.endpoint_id)
    )
    return {str(row.endpoint_id): int(row.newest) for row in rows}


def all_endpoints(workspace: Workspace) -> list[str]:
    """The names of all live endpoints."""
    e = serving.endpoints.c
    return [row.name for row in workspace.catalog.rows(sa.select(e.name).where(e.state == "live").order_by(e.name))]


def create_endpoint(
    workspace: Workspace,
    name: str,
    model: str,
    *,
    entity_column: str | None,
    occurred_at: datetime,
    settings: Mapping[str, Any] | None = None,
) -> Route:
    """Create an endpoint that answers with one version. Raises RefusedError for a refused version or a taken name."""
    version = find_model(workspace, model)
    workspace.catalog.execute(
        CreateEndpoint(
            name=name,
            model_version_id=version.id,
            entity_column=entity_column,
            settings=dict(settings or {}),
            occurred_at=occurred_at,
        )
    )
    return current_route(workspace, name)
