"""Partial indexes. They are apart, since naming a dialect's option loads the dialect, and light commands need none.

Whoever makes or compares schemas imports this module; the migrations do.
"""

import sqlalchemy as sa

from clew.catalog.tables import serving

# One rollout at a time for an endpoint, held by the database.
running_rollouts = sa.Index(
    "uq_rollouts_running",
    serving.rollouts.c.endpoint_id,
    unique=True,
    sqlite_where=serving.rollouts.c.state == "running",
    postgresql_where=serving.rollouts.c.state == "running",
)

__all__ = ["running_rollouts"]
