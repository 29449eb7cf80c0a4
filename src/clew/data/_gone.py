"""Snapshots whose rows are gone, by retention or by erasure: they stay known, and say so."""

import sqlalchemy as sa

from clew.catalog.retention import GONE
from clew.catalog.tables import data
from clew.errors import RefusedError
from clew.workspace import Workspace


def gone(workspace: Workspace, content_pk: str) -> str | None:
    """Whether a content's bytes are gone, and how: expired or erased; else None."""
    row = workspace.catalog.first(sa.select(data.contents.c.state).where(data.contents.c.id == content_pk))
    return str(row.state) if row is not None and row.state in GONE else None


def refuse_gone(workspace: Workspace, reference: str, content_pk: str) -> None:
    """Raise RefusedError when a snapshot's bytes are gone."""
    state = gone(workspace, content_pk)
    if state == "expired":
        raise RefusedError(
            f"{reference} expired by a rule of retention: what it was is known, its rows are gone",
            mend="add its source again; clew hold add keeps what must stay",
        )
    if state == "erased":
        raise RefusedError(
            f"{reference} was erased: what it was is known, its rows are gone",
            mend="use a later version of the dataset",
        )
