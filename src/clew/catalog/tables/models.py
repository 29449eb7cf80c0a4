"""Models, their versions, and what trained and tested them."""

import sqlalchemy as sa

from clew.catalog.columns import document, key, moment, number, provenance, ref, state, text
from clew.catalog.tables._metadata import metadata

models = sa.Table(
    "models",
    metadata,
    key(),
    sa.Column("name", sa.Text, nullable=False, unique=True),
    moment("recorded_at"),
)

model_versions = sa.Table(
    "model_versions",
    metadata,
    key(),
    ref("model_id", "models"),
    number("version"),
    ref("artifact_id", "artifacts"),
    ref("run_id", "runs"),
    provenance(),
    state("accepted", "refused", "erased", "expired"),
    sa.Column("identity", sa.String(80), nullable=False, index=True),
    document("signature"),
    document("metrics"),
    document("verdicts"),
    text("refused_because", nullable=True),
    moment("occurred_at"),
    moment("recorded_at"),
    ref("actor_id", "actors"),
    sa.UniqueConstraint("model_id", "version"),
)

# Source snapshots, and the very rows (artifacts of steps) that trained and tested the version.
model_inputs = sa.Table(
    "model_inputs",
    metadata,
    key(),
    ref("model_version_id", "model_versions"),
    text("role"),
    ref("snapshot_id", "snapshots", nullable=True, index=False),
    ref("artifact_id", "artifacts", nullable=True),
    sa.CheckConstraint("(snapshot_id is null) <> (artifact_id is null)", name="one_target"),
)
sa.Index("ix_model_inputs_snapshot_id_model_version_id", model_inputs.c.snapshot_id, model_inputs.c.model_version_id)

# A run may arrive at a version that another run registered: both are kept.
run_models = sa.Table(
    "run_models",
    metadata,
    ref("run_id", "runs", primary_key=True),
    ref("model_version_id", "model_versions", primary_key=True),
)

model_evaluations = sa.Table(
    "model_evaluations",
    metadata,
    key(),
    ref("model_version_id", "model_versions"),
    text("name"),
    document("metrics"),
    document("slices"),
    ref("test_artifact_id", "artifacts", nullable=True),
    ref("predictions_artifact_id", "artifacts", nullable=True),
    ref("profile_artifact_id", "artifacts", nullable=True),
    moment("recorded_at"),
)

# What people say that a version, and those after it, are for. The newest counts; the earlier ones stay.
model_descriptions = sa.Table(
    "model_descriptions",
    metadata,
    key(),
    ref("model_version_id", "model_versions"),
    text("intended_use", nullable=True),
    text("limits", nullable=True),
    ref("actor_id", "actors"),
    moment("recorded_at"),
)
