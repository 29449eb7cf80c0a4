"""Rows that a contract kept apart, whose files are whose, the keys that pseudonyms and receipts are made with."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"

ID = sa.Uuid(as_uuid=False)
JSON = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")


def upgrade() -> None:
    """Create the tables and columns."""
    op.create_table(
        "quarantines",
        sa.Column("id", ID, nullable=False),
        sa.Column("dataset_id", ID, nullable=False),
        sa.Column("contract_id", ID, nullable=True),
        sa.Column("uri", sa.Text(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("results", JSON, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("actor_id", ID, nullable=False),
        sa.Column("recorded_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("state in ('live', 'erased', 'expired')", name="ck_quarantines_state"),
        sa.ForeignKeyConstraint(["dataset_id"], ["datasets.id"], name="fk_quarantines_dataset_id"),
        sa.ForeignKeyConstraint(["contract_id"], ["contracts.id"], name="fk_quarantines_contract_id"),
        sa.ForeignKeyConstraint(["actor_id"], ["actors.id"], name="fk_quarantines_actor_id"),
        sa.PrimaryKeyConstraint("id", name="pk_quarantines"),
    )
    for column in ("dataset_id", "contract_id", "digest", "actor_id"):
        op.create_index(f"ix_quarantines_{column}", "quarantines", [column], unique=False)
    op.create_table(
        "secret_keys",
        sa.Column("id", ID, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("actor_id", ID, nullable=False),
        sa.Column("recorded_at", sa.BigInteger(), nullable=False),
        sa.Column("retired_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["actor_id"], ["actors.id"], name="fk_secret_keys_actor_id"),
        sa.PrimaryKeyConstraint("id", name="pk_secret_keys"),
        sa.UniqueConstraint("name", name="uq_secret_keys_name"),
    )
    op.create_index("ix_secret_keys_actor_id", "secret_keys", ["actor_id"], unique=False)
    op.add_column("policies", sa.Column("details", JSON, nullable=True))
    op.add_column("datasets", sa.Column("subject_files", sa.Text(), nullable=True))
    op.create_index("ix_contract_checks_content_pk_run_id", "contract_checks", ["content_pk", "run_id"], unique=False)
