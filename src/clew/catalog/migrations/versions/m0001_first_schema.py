"""The first schema: all tables of the data model.

They are here from the start, also where only later parts of clew fill them, so that no workspace has to be
migrated from a shape that could not say who made what, from which content, and when.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None

ID = sa.Uuid(as_uuid=False)
JSON = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")


def upgrade() -> None:
    """Create all tables."""
    op.create_table(
        "actors",
        sa.Column("id", ID, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_actors"),
        sa.UniqueConstraint("kind", "name", name="uq_actors_kind_name"),
    )
    op.create_table(
        "aliases",
        sa.Column("owner_kind", sa.String(length=16), nullable=False),
        sa.Column("owner_id", ID, nullable=False),
        sa.Column("alias", sa.Text(), nullable=False),
        sa.Column("target_id", ID, nullable=False),
        sa.PrimaryKeyConstraint("owner_kind", "owner_id", "alias", name="pk_aliases"),
    )
    op.create_index("ix_aliases_target_id", "aliases", ["target_id"], unique=False)
    op.create_table(
        "artifacts",
        sa.Column("id", ID, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("content_id", sa.String(length=80), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("recorded_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("state in ('live', 'erased', 'expired')", name="ck_artifacts_state"),
        sa.PrimaryKeyConstraint("id", name="pk_artifacts"),
        sa.UniqueConstraint("content_id", "digest", name="uq_artifacts_content_id_digest"),
    )
    op.create_index("ix_artifacts_content_id", "artifacts", ["content_id"], unique=False)
    op.create_index("ix_artifacts_digest", "artifacts", ["digest"], unique=False)
    op.create_table(
        "codes",
        sa.Column("id", ID, nullable=False),
        sa.Column("content_id", sa.String(length=80), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("files", JSON, nullable=False),
        sa.Column("git_commit", sa.Text(), nullable=True),
        sa.Column("git_dirty", sa.Boolean(), nullable=True),
        sa.Column("recorded_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_codes"),
        sa.UniqueConstraint("content_id", name="uq_codes_content_id"),
    )
    op.create_index("ix_codes_digest", "codes", ["digest"], unique=False)
    op.create_table(
        "contents",
        sa.Column("id", ID, nullable=False),
        sa.Column("content_id", sa.String(length=80), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=True),
        sa.Column("schema", JSON, nullable=True),
        sa.Column("manifest", sa.String(length=64), nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("superseded_by_id", ID, nullable=True),
        sa.Column("erased_rows", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("recorded_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["superseded_by_id"], ["contents.id"], name="fk_contents_superseded_by_id"),
        sa.CheckConstraint("state in ('live', 'erased', 'expired')", name="ck_contents_state"),
        sa.PrimaryKeyConstraint("id", name="pk_contents"),
        sa.UniqueConstraint("content_id", name="uq_contents_content_id"),
    )
    op.create_index("ix_contents_manifest", "contents", ["manifest"], unique=False)
    op.create_index("ix_contents_superseded_by_id", "contents", ["superseded_by_id"], unique=False)
    op.create_table(
        "datasets",
        sa.Column("id", ID, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("key_columns", JSON, nullable=False),
        sa.Column("subject_column", sa.Text(), nullable=True),
        sa.Column("recorded_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_datasets"),
        sa.UniqueConstraint("name", name="uq_datasets_name"),
    )
    op.create_table(
        "environments",
        sa.Column("id", ID, nullable=False),
        sa.Column("content_id", sa.String(length=80), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("python", sa.Text(), nullable=False),
        sa.Column("platform", sa.Text(), nullable=False),
        sa.Column("settings", JSON, nullable=False),
        sa.Column("recorded_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_environments"),
        sa.UniqueConstraint("content_id", name="uq_environments_content_id"),
    )
    op.create_index("ix_environments_digest", "environments", ["digest"], unique=False)
    op.create_table(
        "fragments",
        sa.Column("id", ID, nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("recorded_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_fragments"),
        sa.UniqueConstraint("digest", name="uq_fragments_digest"),
    )
    op.create_table(
        "journal_segments",
        sa.Column("id", ID, nullable=False),
        sa.Column("writer", sa.Text(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("predictions", sa.BigInteger(), nullable=False),
        sa.Column("outcomes", sa.BigInteger(), nullable=False),
        sa.Column("first_id", sa.Text(), nullable=True),
        sa.Column("last_id", sa.Text(), nullable=True),
        sa.Column("predictions_digest", sa.String(length=64), nullable=True),
        sa.Column("outcomes_digest", sa.String(length=64), nullable=True),
        sa.Column("recorded_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "state in ('open', 'sealed', 'compacted', 'erased', 'expired')", name="ck_journal_segments_state"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_journal_segments"),
        sa.UniqueConstraint("writer", "sequence", name="uq_journal_segments_writer_sequence"),
    )
    op.create_index("ix_journal_segments_outcomes_digest", "journal_segments", ["outcomes_digest"], unique=False)
    op.create_index("ix_journal_segments_predictions_digest", "journal_segments", ["predictions_digest"], unique=False)
    op.create_table(
        "leases",
        sa.Column("id", ID, nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("recorded_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_leases"),
    )
    op.create_index("ix_leases_target", "leases", ["target"], unique=False)
    op.create_table(
        "models",
        sa.Column("id", ID, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("recorded_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_models"),
        sa.UniqueConstraint("name", name="uq_models_name"),
    )
    op.create_table(
        "workspace",
        sa.Column("id", ID, nullable=False),
        sa.Column("single", sa.BigInteger(), server_default="1", nullable=False),
        sa.Column("clew_version", sa.Text(), nullable=False),
        sa.Column("recorded_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("single = 1", name="ck_workspace_single"),
        sa.PrimaryKeyConstraint("id", name="pk_workspace"),
        sa.UniqueConstraint("single", name="uq_workspace_single"),
    )
    op.create_table(
        "alias_moves",
        sa.Column("id", ID, nullable=False),
        sa.Column("owner_kind", sa.String(length=16), nullable=False),
        sa.Column("owner_id", ID, nullable=False),
        sa.Column("alias", sa.Text(), nullable=False),
        sa.Column("from_id", ID, nullable=True),
        sa.Column("to_id", ID, nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("actor_id", ID, nullable=False),
        sa.Column("recorded_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["actor_id"], ["actors.id"], name="fk_alias_moves_actor_id"),
        sa.PrimaryKeyConstraint("id", name="pk_alias_moves"),
    )
    op.create_index("ix_alias_moves_actor_id", "alias_moves", ["actor_id"], unique=False)
    op.create_index("ix_alias_moves_owner_id", "alias_moves", ["owner_id"], unique=False)
    op.create_table(
        "column_groups",
        sa.Column("id", ID, nullable=False),
        sa.Column("content_pk", ID, nullable=False),
        sa.Column("ordinal", sa.BigInteger(), nullable=False),
        sa.Column("columns", JSON, nullable=False),
        sa.Column("rope", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["content_pk"], ["contents.id"], name="fk_column_groups_content_pk"),
        sa.PrimaryKeyConstraint("id", name="pk_column_groups"),
        sa.UniqueConstraint("content_pk", "ordinal", name="uq_column_groups_content_pk_ordinal"),
    )
    op.create_index("ix_column_groups_content_pk", "column_groups", ["content_pk"], unique=False)
    op.create_index("ix_column_groups_rope", "column_groups", ["rope"], unique=False)
    op.create_table(
        "commands",
        sa.Column("id", ID, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("actor_id", ID, nullable=False),
        sa.Column("recorded_at", sa.BigInteger(), nullable=False),
        sa.Column("payload", JSON, nullable=False),
        sa.ForeignKeyConstraint(["actor_id"], ["actors.id"], name="fk_commands_actor_id"),
        sa.PrimaryKeyConstraint("id", name="pk_commands"),
    )
    op.create_index("ix_commands_actor_id", "commands", ["actor_id"], unique=False)
    op.create_index("ix_commands_name", "commands", ["name"], unique=False)
    op.create_table(
        "contracts",
        sa.Column("id", ID, nullable=False),
        sa.Column("dataset_id", ID, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("toml", sa.Text(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("recorded_at", sa.BigInteger(), nullable=False),
        sa.Column("actor_id", ID, nullable=False),
        sa.ForeignKeyConstraint(["actor_id"], ["actors.id"], name="fk_contracts_actor_id"),
        sa.ForeignKeyConstraint(["dataset_id"], ["datasets.id"], name="fk_contracts_dataset_id"),
        sa.PrimaryKeyConstraint("id", name="pk_contracts"),
        sa.UniqueConstraint("dataset_id", "version", name="uq_contracts_dataset_id_version"),
    )
    op.create_index("ix_contracts_actor_id", "contracts", ["actor_id"], unique=False)
    op.create_index("ix_contracts_dataset_id", "contracts", ["dataset_id"], unique=False)
    op.create_table(
        "endpoints",
        sa.Column("id", ID, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("model_id", ID, nullable=False),
        sa.Column("entity_column", sa.Text(), nullable=True),
        sa.Column("settings", JSON, nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("recorded_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"], name="fk_endpoints_model_id"),
        sa.CheckConstraint("state in ('live', 'expired')", name="ck_endpoints_state"),
        sa.PrimaryKeyConstraint("id", name="pk_endpoints"),
        sa.UniqueConstraint("name", name="uq_endpoints_name"),
    )
    op.create_index("ix_endpoints_model_id", "endpoints", ["model_id"], unique=False)
    op.create_table(
        "erasures",
        sa.Column("id", ID, nullable=False),
        sa.Column("dataset_id", ID, nullable=False),
        sa.Column("subject_hmac", sa.String(length=64), nullable=False),
        sa.Column("key_name", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("receipt", JSON, nullable=True),
        sa.Column("actor_id", ID, nullable=False),
        sa.Column("recorded_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["actor_id"], ["actors.id"], name="fk_erasures_actor_id"),
        sa.ForeignKeyConstraint(["dataset_id"], ["datasets.id"], name="fk_erasures_dataset_id"),
        sa.CheckConstraint("state in ('planned', 'done')", name="ck_erasures_state"),
        sa.PrimaryKeyConstraint("id", name="pk_erasures"),
    )
    op.create_index("ix_erasures_actor_id", "erasures", ["actor_id"], unique=False)
    op.create_index("ix_erasures_dataset_id", "erasures", ["dataset_id"], unique=False)
    op.create_index("ix_erasures_subject_hmac", "erasures", ["subject_hmac"], unique=False)
    op.create_table(
        "holds",
        sa.Column("id", ID, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("target_id", ID, nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("actor_id", ID, nullable=False),
        sa.Column("recorded_at", sa.BigInteger(), nullable=False),
        sa.Column("released_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["actor_id"], ["actors.id"], name="fk_holds_actor_id"),
        sa.PrimaryKeyConstraint("id", name="pk_holds"),
    )
    op.create_index("ix_holds_actor_id", "holds", ["actor_id"], unique=False)
    op.create_index("ix_holds_target_id", "holds", ["target_id"], unique=False)
    op.create_table(
        "policies",
        sa.Column("id", ID, nullable=False),
        sa.Column("dataset_id", ID, nullable=False),
        sa.Column("column_name", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("actor_id", ID, nullable=False),
        sa.Column("recorded_at", sa.BigInteger(), nullable=False),
        sa.Column("superseded_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["actor_id"], ["actors.id"], name="fk_policies_actor_id"),
        sa.ForeignKeyConstraint(["dataset_id"], ["datasets.id"], name="fk_policies_dataset_id"),
        sa.PrimaryKeyConstraint("id", name="pk_policies"),
    )
    op.create_index("ix_policies_actor_id", "policies", ["actor_id"], unique=False)
    op.create_index("ix_policies_dataset_id", "policies", ["dataset_id"], unique=False)
    op.create_table(
        "runs",
        sa.Column("id", ID, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("pipeline", sa.Text(), nullable=False),
        sa.Column("entry", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("provenance", sa.String(length=16), nullable=False),
        sa.Column("code_id", ID, nullable=True),
        sa.Column("environment_id", ID, nullable=True),
        sa.Column("parameters", JSON, nullable=False),
        sa.Column("criteria", JSON, nullable=False),
        sa.Column("parent_run_id", ID, nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("occurred_at", sa.BigInteger(), nullable=False),
        sa.Column("recorded_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("actor_id", ID, nullable=False),
        sa.ForeignKeyConstraint(["actor_id"], ["actors.id"], name="fk_runs_actor_id"),
        sa.ForeignKeyConstraint(["code_id"], ["codes.id"], name="fk_runs_code_id"),
        sa.ForeignKeyConstraint(["environment_id"], ["environments.id"], name="fk_runs_environment_id"),
        sa.ForeignKeyConstraint(["parent_run_id"], ["runs.id"], name="fk_runs_parent_run_id"),
        sa.CheckConstraint("state in ('running', 'done', 'failed', 'interrupted', 'cancelled')", name="ck_runs_state"),
        sa.CheckConstraint("provenance in ('recorded', 'declared', 'imported')", name="ck_runs_provenance"),
        sa.PrimaryKeyConstraint("id", name="pk_runs"),
    )
    op.create_index("ix_runs_actor_id", "runs", ["actor_id"], unique=False)
    op.create_index("ix_runs_code_id", "runs", ["code_id"], unique=False)
    op.create_index("ix_runs_environment_id", "runs", ["environment_id"], unique=False)
    op.create_index("ix_runs_name", "runs", ["name"], unique=False)
    op.create_index("ix_runs_parent_run_id", "runs", ["parent_run_id"], unique=False)
    op.create_table(
        "snapshots",
        sa.Column("id", ID, nullable=False),
        sa.Column("dataset_id", ID, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("content_pk", ID, nullable=False),
        sa.Column("parent_id", ID, nullable=True),
        sa.Column("new_bytes", sa.BigInteger(), nullable=False),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("occurred_at", sa.BigInteger(), nullable=False),
        sa.Column("recorded_at", sa.BigInteger(), nullable=False),
        sa.Column("actor_id", ID, nullable=False),
        sa.ForeignKeyConstraint(["actor_id"], ["actors.id"], name="fk_snapshots_actor_id"),
        sa.ForeignKeyConstraint(["content_pk"], ["contents.id"], name="fk_snapshots_content_pk"),
        sa.ForeignKeyConstraint(["dataset_id"], ["datasets.id"], name="fk_snapshots_dataset_id"),
        sa.ForeignKeyConstraint(["parent_id"], ["snapshots.id"], name="fk_snapshots_parent_id"),
        sa.CheckConstraint("state in ('live', 'erased', 'expired')", name="ck_snapshots_state"),
        sa.PrimaryKeyConstraint("id", name="pk_snapshots"),
        sa.UniqueConstraint("dataset_id", "version", name="uq_snapshots_dataset_id_version"),
    )
    op.create_index("ix_snapshots_actor_id", "snapshots", ["actor_id"], unique=False)
    op.create_index("ix_snapshots_content_pk", "snapshots", ["content_pk"], unique=False)
    op.create_index("ix_snapshots_dataset_id", "snapshots", ["dataset_id"], unique=False)
    op.create_index("ix_snapshots_parent_id", "snapshots", ["parent_id"], unique=False)
    op.create_table(
        "tokens",
        sa.Column("id", ID, nullable=False),
        sa.Column("actor_id", ID, nullable=False),
        sa.Column("secret_sha256", sa.String(length=64), nullable=False),
        sa.Column("scopes", JSON, nullable=False),
        sa.Column("recorded_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["actor_id"], ["actors.id"], name="fk_tokens_actor_id"),
        sa.PrimaryKeyConstraint("id", name="pk_tokens"),
        sa.UniqueConstraint("secret_sha256", name="uq_tokens_secret_sha256"),
    )
    op.create_index("ix_tokens_actor_id", "tokens", ["actor_id"], unique=False)
    op.create_table(
        "contract_checks",
        sa.Column("id", ID, nullable=False),
        sa.Column("contract_id", ID, nullable=False),
        sa.Column("content_pk", ID, nullable=False),
        sa.Column("run_id", ID, nullable=True),
        sa.Column("passed", sa.Boolean(), nullable=False),
        sa.Column("results", JSON, nullable=False),
        sa.Column("recorded_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["content_pk"], ["contents.id"], name="fk_contract_checks_content_pk"),
        sa.ForeignKeyConstraint(["contract_id"], ["contracts.id"], name="fk_contract_checks_contract_id"),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name="fk_contract_checks_run_id"),
        sa.PrimaryKeyConstraint("id", name="pk_contract_checks"),
    )
    op.create_index("ix_contract_checks_content_pk", "contract_checks", ["content_pk"], unique=False)
    op.create_index("ix_contract_checks_contract_id", "contract_checks", ["contract_id"], unique=False)
    op.create_index("ix_contract_checks_run_id", "contract_checks", ["run_id"], unique=False)
    op.create_table(
        "erasure_effects",
        sa.Column("id", ID, nullable=False),
        sa.Column("erasure_id", ID, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("target_id", ID, nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["erasure_id"], ["erasures.id"], name="fk_erasure_effects_erasure_id"),
        sa.PrimaryKeyConstraint("id", name="pk_erasure_effects"),
    )
    op.create_index("ix_erasure_effects_erasure_id", "erasure_effects", ["erasure_id"], unique=False)
    op.create_index("ix_erasure_effects_target_id", "erasure_effects", ["target_id"], unique=False)
    op.create_table(
        "group_fragments",
        sa.Column("group_id", ID, nullable=False),
        sa.Column("fragment_id", ID, nullable=False),
        sa.ForeignKeyConstraint(["fragment_id"], ["fragments.id"], name="fk_group_fragments_fragment_id"),
        sa.ForeignKeyConstraint(["group_id"], ["column_groups.id"], name="fk_group_fragments_group_id"),
        sa.PrimaryKeyConstraint("group_id", "fragment_id", name="pk_group_fragments"),
    )
    op.create_index("ix_group_fragments_fragment_id", "group_fragments", ["fragment_id"], unique=False)
    op.create_index("ix_group_fragments_group_id", "group_fragments", ["group_id"], unique=False)
    op.create_table(
        "model_versions",
        sa.Column("id", ID, nullable=False),
        sa.Column("model_id", ID, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("artifact_id", ID, nullable=False),
        sa.Column("run_id", ID, nullable=False),
        sa.Column("provenance", sa.String(length=16), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("identity", sa.String(length=80), nullable=False),
        sa.Column("signature", JSON, nullable=False),
        sa.Column("metrics", JSON, nullable=False),
        sa.Column("verdicts", JSON, nullable=False),
        sa.Column("refused_because", sa.Text(), nullable=True),
        sa.Column("occurred_at", sa.BigInteger(), nullable=False),
        sa.Column("recorded_at", sa.BigInteger(), nullable=False),
        sa.Column("actor_id", ID, nullable=False),
        sa.ForeignKeyConstraint(["actor_id"], ["actors.id"], name="fk_model_versions_actor_id"),
        sa.ForeignKeyConstraint(["artifact_id"], ["artifacts.id"], name="fk_model_versions_artifact_id"),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"], name="fk_model_versions_model_id"),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name="fk_model_versions_run_id"),
        sa.CheckConstraint("provenance in ('recorded', 'declared', 'imported')", name="ck_model_versions_provenance"),
        sa.CheckConstraint("state in ('accepted', 'refused', 'erased', 'expired')", name="ck_model_versions_state"),
        sa.PrimaryKeyConstraint("id", name="pk_model_versions"),
        sa.UniqueConstraint("model_id", "version", name="uq_model_versions_model_id_version"),
    )
    op.create_index("ix_model_versions_actor_id", "model_versions", ["actor_id"], unique=False)
    op.create_index("ix_model_versions_artifact_id", "model_versions", ["artifact_id"], unique=False)
    op.create_index("ix_model_versions_identity", "model_versions", ["identity"], unique=False)
    op.create_index("ix_model_versions_model_id", "model_versions", ["model_id"], unique=False)
    op.create_index("ix_model_versions_run_id", "model_versions", ["run_id"], unique=False)
    op.create_table(
        "monitors",
        sa.Column("id", ID, nullable=False),
        sa.Column("endpoint_id", ID, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("settings", JSON, nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("recorded_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["endpoint_id"], ["endpoints.id"], name="fk_monitors_endpoint_id"),
        sa.CheckConstraint("state in ('live', 'expired')", name="ck_monitors_state"),
        sa.PrimaryKeyConstraint("id", name="pk_monitors"),
        sa.UniqueConstraint("endpoint_id", "name", name="uq_monitors_endpoint_id_name"),
    )
    op.create_index("ix_monitors_endpoint_id", "monitors", ["endpoint_id"], unique=False)
    op.create_table(
        "run_inputs",
        sa.Column("run_id", ID, nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("snapshot_id", ID, nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name="fk_run_inputs_run_id"),
        sa.ForeignKeyConstraint(["snapshot_id"], ["snapshots.id"], name="fk_run_inputs_snapshot_id"),
        sa.PrimaryKeyConstraint("run_id", "role", name="pk_run_inputs"),
    )
    op.create_index("ix_run_inputs_run_id", "run_inputs", ["run_id"], unique=False)
    op.create_index("ix_run_inputs_snapshot_id", "run_inputs", ["snapshot_id"], unique=False)
    op.create_table(
        "run_metrics",
        sa.Column("id", ID, nullable=False),
        sa.Column("run_id", ID, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("step", sa.BigInteger(), nullable=False),
        sa.Column("value", sa.Double(), nullable=True),
        sa.Column("recorded_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name="fk_run_metrics_run_id"),
        sa.PrimaryKeyConstraint("id", name="pk_run_metrics"),
    )
    op.create_index("ix_run_metrics_name_value", "run_metrics", ["name", "value"], unique=False)
    op.create_index("ix_run_metrics_run_id", "run_metrics", ["run_id"], unique=False)
    op.create_table(
        "sources",
        sa.Column("id", ID, nullable=False),
        sa.Column("snapshot_id", ID, nullable=False),
        sa.Column("uri", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=True),
        sa.Column("modified_ns", sa.BigInteger(), nullable=True),
        sa.Column("sha256", sa.String(length=64), nullable=True),
        sa.Column("recorded_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["snapshot_id"], ["snapshots.id"], name="fk_sources_snapshot_id"),
        sa.PrimaryKeyConstraint("id", name="pk_sources"),
    )
    op.create_index("ix_sources_snapshot_id", "sources", ["snapshot_id"], unique=False)
    op.create_table(
        "steps",
        sa.Column("id", ID, nullable=False),
        sa.Column("run_id", ID, nullable=False),
        sa.Column("ordinal", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("cache_key", sa.String(length=80), nullable=True),
        sa.Column("key_parts", JSON, nullable=True),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("log", sa.String(length=64), nullable=True),
        sa.Column("recorded_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name="fk_steps_run_id"),
        sa.CheckConstraint("state in ('running', 'ran', 'cached', 'failed', 'skipped')", name="ck_steps_state"),
        sa.PrimaryKeyConstraint("id", name="pk_steps"),
        sa.UniqueConstraint("run_id", "ordinal", name="uq_steps_run_id_ordinal"),
    )
    op.create_index("ix_steps_cache_key", "steps", ["cache_key"], unique=False)
    op.create_index("ix_steps_log", "steps", ["log"], unique=False)
    op.create_index("ix_steps_run_id", "steps", ["run_id"], unique=False)
    op.create_table(
        "alerts",
        sa.Column("id", ID, nullable=False),
        sa.Column("monitor_id", ID, nullable=False),
        sa.Column("model_version_id", ID, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("evidence", JSON, nullable=False),
        sa.Column("occurred_at", sa.BigInteger(), nullable=False),
        sa.Column("recorded_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["model_version_id"], ["model_versions.id"], name="fk_alerts_model_version_id"),
        sa.ForeignKeyConstraint(["monitor_id"], ["monitors.id"], name="fk_alerts_monitor_id"),
        sa.CheckConstraint("state in ('open', 'acknowledged', 'closed')", name="ck_alerts_state"),
        sa.PrimaryKeyConstraint("id", name="pk_alerts"),
        sa.UniqueConstraint(
            "monitor_id",
            "model_version_id",
            "kind",
            "subject",
            name="uq_alerts_monitor_id_model_version_id_kind_subject",
        ),
    )
    op.create_index("ix_alerts_model_version_id", "alerts", ["model_version_id"], unique=False)
    op.create_index("ix_alerts_monitor_id", "alerts", ["monitor_id"], unique=False)
    op.create_table(
        "model_evaluations",
        sa.Column("id", ID, nullable=False),
        sa.Column("model_version_id", ID, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("metrics", JSON, nullable=False),
        sa.Column("slices", JSON, nullable=False),
        sa.Column("test_artifact_id", ID, nullable=True),
        sa.Column("predictions_artifact_id", ID, nullable=True),
        sa.Column("profile_artifact_id", ID, nullable=True),
        sa.Column("recorded_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["model_version_id"], ["model_versions.id"], name="fk_model_evaluations_model_version_id"
        ),
        sa.ForeignKeyConstraint(
            ["predictions_artifact_id"], ["artifacts.id"], name="fk_model_evaluations_predictions_artifact_id"
        ),
        sa.ForeignKeyConstraint(
            ["profile_artifact_id"], ["artifacts.id"], name="fk_model_evaluations_profile_artifact_id"
        ),
        sa.ForeignKeyConstraint(["test_artifact_id"], ["artifacts.id"], name="fk_model_evaluations_test_artifact_id"),
        sa.PrimaryKeyConstraint("id", name="pk_model_evaluations"),
    )
    op.create_index("ix_model_evaluations_model_version_id", "model_evaluations", ["model_version_id"], unique=False)
    op.create_index(
        "ix_model_evaluations_predictions_artifact_id", "model_evaluations", ["predictions_artifact_id"], unique=False
    )
    op.create_index(
        "ix_model_evaluations_profile_artifact_id", "model_evaluations", ["profile_artifact_id"], unique=False
    )
    op.create_index("ix_model_evaluations_test_artifact_id", "model_evaluations", ["test_artifact_id"], unique=False)
    op.create_table(
        "model_inputs",
        sa.Column("id", ID, nullable=False),
        sa.Column("model_version_id", ID, nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("snapshot_id", ID, nullable=True),
        sa.Column("artifact_id", ID, nullable=True),
        sa.CheckConstraint("(snapshot_id is null) <> (artifact_id is null)", name="ck_model_inputs_one_target"),
        sa.ForeignKeyConstraint(["artifact_id"], ["artifacts.id"], name="fk_model_inputs_artifact_id"),
        sa.ForeignKeyConstraint(["model_version_id"], ["model_versions.id"], name="fk_model_inputs_model_version_id"),
        sa.ForeignKeyConstraint(["snapshot_id"], ["snapshots.id"], name="fk_model_inputs_snapshot_id"),
        sa.PrimaryKeyConstraint("id", name="pk_model_inputs"),
    )
    op.create_index("ix_model_inputs_artifact_id", "model_inputs", ["artifact_id"], unique=False)
    op.create_index("ix_model_inputs_model_version_id", "model_inputs", ["model_version_id"], unique=False)
    op.create_index("ix_model_inputs_snapshot_id", "model_inputs", ["snapshot_id"], unique=False)
    op.create_table(
        "monitor_reports",
        sa.Column("id", ID, nullable=False),
        sa.Column("monitor_id", ID, nullable=False),
        sa.Column("model_version_id", ID, nullable=False),
        sa.Column("report", JSON, nullable=False),
        sa.Column("progress", JSON, nullable=False),
        sa.Column("occurred_at", sa.BigInteger(), nullable=False),
        sa.Column("recorded_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["model_version_id"], ["model_versions.id"], name="fk_monitor_reports_model_version_id"
        ),
        sa.ForeignKeyConstraint(["monitor_id"], ["monitors.id"], name="fk_monitor_reports_monitor_id"),
        sa.PrimaryKeyConstraint("id", name="pk_monitor_reports"),
        sa.UniqueConstraint("monitor_id", "model_version_id", name="uq_monitor_reports_monitor_id_model_version_id"),
    )
    op.create_index("ix_monitor_reports_model_version_id", "monitor_reports", ["model_version_id"], unique=False)
    op.create_index("ix_monitor_reports_monitor_id", "monitor_reports", ["monitor_id"], unique=False)
    op.create_table(
        "rollouts",
        sa.Column("id", ID, nullable=False),
        sa.Column("endpoint_id", ID, nullable=False),
        sa.Column("champion_id", ID, nullable=False),
        sa.Column("candidate_id", ID, nullable=False),
        sa.Column("plan", JSON, nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("occurred_at", sa.BigInteger(), nullable=False),
        sa.Column("recorded_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("actor_id", ID, nullable=False),
        sa.ForeignKeyConstraint(["actor_id"], ["actors.id"], name="fk_rollouts_actor_id"),
        sa.ForeignKeyConstraint(["candidate_id"], ["model_versions.id"], name="fk_rollouts_candidate_id"),
        sa.ForeignKeyConstraint(["champion_id"], ["model_versions.id"], name="fk_rollouts_champion_id"),
        sa.ForeignKeyConstraint(["endpoint_id"], ["endpoints.id"], name="fk_rollouts_endpoint_id"),
        sa.CheckConstraint("state in ('running', 'promoted', 'rolled_back', 'aborted')", name="ck_rollouts_state"),
        sa.PrimaryKeyConstraint("id", name="pk_rollouts"),
    )
    op.create_index("ix_rollouts_actor_id", "rollouts", ["actor_id"], unique=False)
    op.create_index("ix_rollouts_candidate_id", "rollouts", ["candidate_id"], unique=False)
    op.create_index("ix_rollouts_champion_id", "rollouts", ["champion_id"], unique=False)
    op.create_index("ix_rollouts_endpoint_id", "rollouts", ["endpoint_id"], unique=False)
    op.create_index(
        "uq_rollouts_running",
        "rollouts",
        ["endpoint_id"],
        unique=True,
        sqlite_where=sa.text("state = 'running'"),
        postgresql_where=sa.text("state = 'running'"),
    )
    op.create_table(
        "run_models",
        sa.Column("run_id", ID, nullable=False),
        sa.Column("model_version_id", ID, nullable=False),
        sa.ForeignKeyConstraint(["model_version_id"], ["model_versions.id"], name="fk_run_models_model_version_id"),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name="fk_run_models_run_id"),
        sa.PrimaryKeyConstraint("run_id", "model_version_id", name="pk_run_models"),
    )
    op.create_index("ix_run_models_model_version_id", "run_models", ["model_version_id"], unique=False)
    op.create_index("ix_run_models_run_id", "run_models", ["run_id"], unique=False)
    op.create_table(
        "step_artifacts",
        sa.Column("step_id", ID, nullable=False),
        sa.Column("direction", sa.String(length=3), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("artifact_id", ID, nullable=False),
        sa.ForeignKeyConstraint(["artifact_id"], ["artifacts.id"], name="fk_step_artifacts_artifact_id"),
        sa.ForeignKeyConstraint(["step_id"], ["steps.id"], name="fk_step_artifacts_step_id"),
        sa.CheckConstraint("direction in ('in', 'out')", name="ck_step_artifacts_direction"),
        sa.PrimaryKeyConstraint("step_id", "direction", "name", name="pk_step_artifacts"),
    )
    op.create_index("ix_step_artifacts_artifact_id", "step_artifacts", ["artifact_id"], unique=False)
    op.create_index("ix_step_artifacts_step_id", "step_artifacts", ["step_id"], unique=False)
    op.create_table(
        "step_cache",
        sa.Column("cache_key", sa.String(length=80), nullable=False),
        sa.Column("step_id", ID, nullable=False),
        sa.Column("recorded_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["step_id"], ["steps.id"], name="fk_step_cache_step_id"),
        sa.PrimaryKeyConstraint("cache_key", name="pk_step_cache"),
    )
    op.create_index("ix_step_cache_step_id", "step_cache", ["step_id"], unique=False)
    op.create_table(
        "rollout_decisions",
        sa.Column("id", ID, nullable=False),
        sa.Column("rollout_id", ID, nullable=False),
        sa.Column("ordinal", sa.BigInteger(), nullable=False),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("stage_before", sa.Text(), nullable=False),
        sa.Column("stage_after", sa.Text(), nullable=False),
        sa.Column("requests", sa.BigInteger(), nullable=False),
        sa.Column("outcomes", sa.BigInteger(), nullable=False),
        sa.Column("evidence", JSON, nullable=False),
        sa.Column("occurred_at", sa.BigInteger(), nullable=False),
        sa.Column("recorded_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["rollout_id"], ["rollouts.id"], name="fk_rollout_decisions_rollout_id"),
        sa.PrimaryKeyConstraint("id", name="pk_rollout_decisions"),
        sa.UniqueConstraint("rollout_id", "ordinal", name="uq_rollout_decisions_rollout_id_ordinal"),
    )
    op.create_index("ix_rollout_decisions_rollout_id", "rollout_decisions", ["rollout_id"], unique=False)
    op.create_table(
        "routes",
        sa.Column("id", ID, nullable=False),
        sa.Column("endpoint_id", ID, nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("rollout_id", ID, nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("actor_id", ID, nullable=False),
        sa.Column("occurred_at", sa.BigInteger(), nullable=False),
        sa.Column("recorded_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["actor_id"], ["actors.id"], name="fk_routes_actor_id"),
        sa.ForeignKeyConstraint(["endpoint_id"], ["endpoints.id"], name="fk_routes_endpoint_id"),
        sa.ForeignKeyConstraint(["rollout_id"], ["rollouts.id"], name="fk_routes_rollout_id"),
        sa.PrimaryKeyConstraint("id", name="pk_routes"),
        sa.UniqueConstraint("endpoint_id", "revision", name="uq_routes_endpoint_id_revision"),
    )
    op.create_index("ix_routes_actor_id", "routes", ["actor_id"], unique=False)
    op.create_index("ix_routes_endpoint_id", "routes", ["endpoint_id"], unique=False)
    op.create_index("ix_routes_rollout_id", "routes", ["rollout_id"], unique=False)
    op.create_table(
        "route_targets",
        sa.Column("route_id", ID, nullable=False),
        sa.Column("model_version_id", ID, nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("share", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["model_version_id"], ["model_versions.id"], name="fk_route_targets_model_version_id"),
        sa.ForeignKeyConstraint(["route_id"], ["routes.id"], name="fk_route_targets_route_id"),
        sa.CheckConstraint("share >= 0 and share <= 1", name="ck_route_targets_share"),
        sa.PrimaryKeyConstraint("route_id", "model_version_id", name="pk_route_targets"),
    )
    op.create_index("ix_route_targets_model_version_id", "route_targets", ["model_version_id"], unique=False)
    op.create_index("ix_route_targets_route_id", "route_targets", ["route_id"], unique=False)
