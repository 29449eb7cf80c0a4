"""Endpoints, who is live behind them, rollouts, the journal's segments, monitors and alerts."""

import sqlalchemy as sa

from clew.catalog.columns import digest, document, key, moment, number, ref, state, text
from clew.catalog.tables._metadata import metadata

endpoints = sa.Table(
    "endpoints",
    metadata,
    key(),
    sa.Column("name", sa.Text, nullable=False, unique=True),
    ref("model_id", "models"),
    text("entity_column", nullable=True),
    document("settings"),
    state("live", "expired"),
    moment("recorded_at"),
)

# The routing table: the highest revision of an endpoint is the truth about what is live.
routes = sa.Table(
    "routes",
    metadata,
    key(),
    ref("endpoint_id", "endpoints"),
    number("revision"),
    ref("rollout_id", "rollouts", nullable=True),
    text("reason"),
    ref("actor_id", "actors"),
    moment("occurred_at"),
    moment("recorded_at"),
    sa.UniqueConstraint("endpoint_id", "revision"),
)

route_targets = sa.Table(
    "route_targets",
    metadata,
    ref("route_id", "routes", primary_key=True),
    ref("model_version_id", "model_versions", primary_key=True),
    text("role"),
    sa.Column("share", sa.Double, sa.CheckConstraint("share >= 0 and share <= 1", name="share"), nullable=False),
)

rollouts = sa.Table(
    "rollouts",
    metadata,
    key(),
    ref("endpoint_id", "endpoints"),
    ref("champion_id", "model_versions"),
    ref("candidate_id", "model_versions"),
    document("plan"),
    state("running", "promoted", "rolled_back", "aborted"),
    moment("occurred_at"),
    moment("recorded_at"),
    moment("ended_at", nullable=True),
    ref("actor_id", "actors"),
)

rollout_decisions = sa.Table(
    "rollout_decisions",
    metadata,
    key(),
    ref("rollout_id", "rollouts"),
    number("ordinal"),
    text("verdict"),
    text("reason"),
    text("stage_before"),
    text("stage_after"),
    number("requests"),
    number("outcomes"),
    document("evidence"),
    moment("occurred_at"),
    moment("recorded_at"),
    sa.UniqueConstraint("rollout_id", "ordinal"),
)

journal_segments = sa.Table(
    "journal_segments",
    metadata,
    key(),
    text("writer"),
    number("sequence"),
    state("open", "sealed", "compacted", "erased", "expired"),
    number("predictions"),
    number("outcomes"),
    text("first_id", nullable=True),
    text("last_id", nullable=True),
    digest("predictions_digest", nullable=True),
    digest("outcomes_digest", nullable=True),
    moment("recorded_at"),
    moment("expires_at", nullable=True),
    sa.UniqueConstraint("writer", "sequence"),
)

monitors = sa.Table(
    "monitors",
    metadata,
    key(),
    ref("endpoint_id", "endpoints"),
    text("name"),
    document("settings"),
    state("live", "expired"),
    moment("recorded_at"),
    sa.UniqueConstraint("endpoint_id", "name"),
)

monitor_reports = sa.Table(
    "monitor_reports",
    metadata,
    key(),
    ref("monitor_id", "monitors"),
    ref("model_version_id", "model_versions"),
    document("report"),
    document("progress"),
    moment("occurred_at"),
    moment("recorded_at"),
    sa.UniqueConstraint("monitor_id", "model_version_id"),
)

alerts = sa.Table(
    "alerts",
    metadata,
    key(),
    ref("monitor_id", "monitors"),
    ref("model_version_id", "model_versions"),
    text("kind"),
    text("subject"),
    text("message"),
    state("open", "acknowledged", "closed"),
    document("evidence"),
    moment("occurred_at"),
    moment("recorded_at"),
    sa.UniqueConstraint("monitor_id", "model_version_id", "kind", "subject"),
)
