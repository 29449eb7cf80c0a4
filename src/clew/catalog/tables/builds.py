"""Runs, their steps, and what these read and made."""

import sqlalchemy as sa

from clew.catalog.columns import digest, document, key, moment, number, provenance, ref, state, text
from clew.catalog.tables._metadata import metadata

artifacts = sa.Table(
    "artifacts",
    metadata,
    key(),
    text("kind"),
    sa.Column("content_id", sa.String(80), nullable=False, index=True),
    digest(),
    number("bytes"),
    number("rows", nullable=True),
    sa.Column("body", sa.LargeBinary),  # a small value itself, which then is no object
    state("live", "erased", "expired"),
    moment("recorded_at"),
    sa.UniqueConstraint("content_id", "digest"),
)

codes = sa.Table(
    "codes",
    metadata,
    key(),
    sa.Column("content_id", sa.String(80), nullable=False, unique=True),
    digest(),
    document("files"),
    text("git_commit", nullable=True),
    sa.Column("git_dirty", sa.Boolean),
    moment("recorded_at"),
)

environments = sa.Table(
    "environments",
    metadata,
    key(),
    sa.Column("content_id", sa.String(80), nullable=False, unique=True),
    digest(),
    text("python"),
    text("platform"),
    document("settings"),
    moment("recorded_at"),
)

runs = sa.Table(
    "runs",
    metadata,
    key(),
    text("name", index=True),
    text("pipeline"),
    text("entry"),
    state("running", "done", "failed", "interrupted", "cancelled"),
    provenance(),
    ref("code_id", "codes", nullable=True),
    ref("environment_id", "environments", nullable=True),
    document("parameters"),
    document("criteria"),
    document("plan", nullable=True),
    ref("parent_run_id", "runs", nullable=True),
    text("error", nullable=True),
    moment("occurred_at"),
    moment("recorded_at"),
    moment("ended_at", nullable=True),
    ref("actor_id", "actors"),
)

run_inputs = sa.Table(
    "run_inputs",
    metadata,
    ref("run_id", "runs", primary_key=True),
    sa.Column("role", sa.Text, primary_key=True),
    text("reference"),
    ref("snapshot_id", "snapshots", index=False),
)
sa.Index("ix_run_inputs_snapshot_id_run_id", run_inputs.c.snapshot_id, run_inputs.c.run_id)

run_metrics = sa.Table(
    "run_metrics",
    metadata,
    key(),
    ref("run_id", "runs"),
    text("name"),
    number("step"),
    sa.Column("value", sa.Double),  # null: not a finite number, such as the loss of a run that diverged
    moment("recorded_at"),
)
sa.Index("ix_run_metrics_name_value", run_metrics.c.name, run_metrics.c.value)

steps = sa.Table(
    "steps",
    metadata,
    key(),
    ref("run_id", "runs"),
    number("ordinal"),
    text("name"),
    state("running", "ran", "cached", "failed", "skipped"),
    sa.Column("cache_key", sa.String(80), index=True),
    document("key_parts", nullable=True),
    text("why"),
    text("error", nullable=True),
    digest("log", nullable=True),
    moment("recorded_at"),
    moment("ended_at", nullable=True),
    sa.UniqueConstraint("run_id", "ordinal"),
)

step_artifacts = sa.Table(
    "step_artifacts",
    metadata,
    ref("step_id", "steps", primary_key=True),
    sa.Column(
        "direction", sa.String(3), sa.CheckConstraint("direction in ('in', 'out')", name="direction"), primary_key=True
    ),
    sa.Column("name", sa.Text, primary_key=True),
    ref("artifact_id", "artifacts"),
)

# The newest finished step of each key; what it made is found through step_artifacts.
step_cache = sa.Table(
    "step_cache",
    metadata,
    sa.Column("cache_key", sa.String(80), primary_key=True),
    ref("step_id", "steps"),
    moment("recorded_at"),
)
