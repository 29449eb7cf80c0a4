"""What a new version of a model has to stand up to: the one that is live, else the newest that was accepted."""

from dataclasses import dataclass

import sqlalchemy as sa

from clew.catalog.tables import models, serving
from clew.models.registry import VERSIONS, ModelVersion, by_id, from_row
from clew.workspace import Workspace


@dataclass(frozen=True)
class Live:
    """A version, and why it is the one to compare with."""

    version: ModelVersion
    because: str


def live_version(workspace: Workspace, model: str, *, but: str | None = None) -> Live | None:
    """The champion of the endpoint that serves this model; of several, the one whose route changed last.

    Without one it is the newest accepted version. None when there is neither.

    Args:
        workspace: where.
        model: its name.
        but: the key of a version that is not to be compared with itself.
    """
    e, r, t, m = serving.endpoints.c, serving.routes.c, serving.route_targets.c, models.models.c
    newest = (
        sa.select(r.endpoint_id, sa.func.max(r.revision).label("revision")).group_by(r.endpoint_id).subquery("newest")
    )
    row = workspace.catalog.first(
        sa.select(t.model_version_id, e.name)
        .select_from(serving.routes)
        .join(newest, (newest.c.endpoint_id == r.endpoint_id) & (newest.c.revision == r.revision))
        .join(serving.endpoints, e.id == r.endpoint_id)
        .join(models.models, m.id == e.model_id)
        .join(serving.route_targets, t.route_id == r.id)
        .where(m.name == model, e.state == "live", t.role == "champion")
        .order_by(r.id.desc())
        .limit(1)
    )
    if row is not None and str(row.model_version_id) != but:
        return Live(by_id(workspace, str(row.model_version_id)), f"champion of endpoint {row.name}")
    v = models.model_versions.c
    query = VERSIONS.query.where(m.name == model, v.state == "accepted")
    if but is not None:
        query = query.where(v.id != but)
    found = workspace.catalog.first(query.order_by(v.version.desc()).limit(1))
    return None if found is None else Live(from_row(workspace, found), "the newest accepted version")
