"""Content in several parts: a table, a listing of files, a profile; stamps of sources; released fragments."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"

JSON = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")


def upgrade() -> None:
    """Add the columns; the listing of a folder moves out of `manifest`, which is the schema of a table."""
    op.add_column("contents", sa.Column("column_ids", JSON, nullable=True))
    for name in ("listing", "profile"):
        op.add_column("contents", sa.Column(name, sa.String(length=64), nullable=True))
        op.create_index(f"ix_contents_{name}", "contents", [name], unique=False)
    op.execute("update contents set listing = manifest, manifest = null where kind = 'files'")
    op.add_column("fragments", sa.Column("released_at", sa.BigInteger(), nullable=True))
    op.add_column("snapshots", sa.Column("changes", JSON, nullable=True))
    op.add_column("sources", sa.Column("stamp", sa.Text(), nullable=True))
