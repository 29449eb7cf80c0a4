"""What people say that models are for, and where they end."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

ID = sa.Uuid(as_uuid=False)


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "model_descriptions",
        sa.Column("id", ID, nullable=False),
        sa.Column("model_version_id", ID, nullable=False),
        sa.Column("intended_use", sa.Text(), nullable=True),
        sa.Column("limits", sa.Text(), nullable=True),
        sa.Column("actor_id", ID, nullable=False),
        sa.Column("recorded_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["actor_id"], ["actors.id"], name="fk_model_descriptions_actor_id"),
        sa.ForeignKeyConstraint(
            ["model_version_id"], ["model_versions.id"], name="fk_model_descriptions_model_version_id"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_model_descriptions"),
    )
    op.create_index("ix_model_descriptions_actor_id", "model_descriptions", ["actor_id"], unique=False)
    op.create_index("ix_model_descriptions_model_version_id", "model_descriptions", ["model_version_id"], unique=False)
