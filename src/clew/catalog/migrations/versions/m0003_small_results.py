"""Small results in the catalog itself, and the plan of a run: its steps, and what comes before which."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"

JSON = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")


def upgrade() -> None:
    """Add the columns; what was made before stays where it is."""
    op.add_column("artifacts", sa.Column("body", sa.LargeBinary(), nullable=True))
    op.add_column("runs", sa.Column("plan", JSON, nullable=True))
