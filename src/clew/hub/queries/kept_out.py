"""What contracts found in a dataset's versions, and the rows they kept out."""

from typing import Any, Final

import sqlalchemy as sa

from clew.catalog.tables import data
from clew.data import policies, quarantine
from clew.errors import ClewError
from clew.thread import sourced
from clew.thread.times import iso
from clew.workspace import Workspace

Fact = dict[str, Any]
_MOST: Final = 20
_ROWS: Final = 5
HIDDEN: Final = "•••"


def checks(workspace: Workspace, name: str) -> list[Fact]:
    """What the newest contract that looked at each version found in it, the newest version first."""
    s, d = data.snapshots.c, data.datasets.c
    with workspace.catalog.read() as connection:
        rows = connection.execute(
            sa.select(s.version, s.content_pk)
            .join(data.datasets, d.id == s.dataset_id)
            .where(d.name == name)
            .order_by(s.version.desc())
            .limit(_MOST)
        ).all()
        found = [(int(row.version), sourced.checks(connection, str(row.content_pk))[:1]) for row in rows]
    return [{"version": version, **check} for version, some in found for check in some]


def quarantines(workspace: Workspace, name: str) -> list[Fact]:
    """The rows that were kept out: how many, by which rules, and of the newest the first ones.

    Values are shown of columns that no policy speaks of, or that one allows.
    """
    found = quarantine.quarantines(workspace, name)[:_MOST]
    return [
        {
            "id": one.id,
            "uri": one.uri,
            "rows": one.rows,
            "of": one.results.get("rows"),
            "state": one.state,
            "recorded_at": iso(one.recorded_at),
            "rules": one.rules(),
            "first": _first(workspace, one) if at == 0 and one.state == "live" else [],
        }
        for at, one in enumerate(found)
    ]


def _first(workspace: Workspace, one: quarantine.Quarantine) -> list[Fact]:
    """The first rows, as text, with what a policy keeps to itself hidden."""
    held = policies.declared(workspace, one.dataset)
    hidden = {column for column, policy in held.items() if policy.action != "allow"}
    try:
        rows = quarantine.scan(workspace, one).head(_ROWS).collect().to_dicts()
    except ClewError:
        return []  # its bytes are lost: `clew data verify` says so, a page goes on
    return [{name: HIDDEN if name in hidden else _text(value) for name, value in row.items()} for row in rows]


def _text(value: Any) -> str | None:
    if value is None:
        return None
    return "; ".join(map(str, value)) if isinstance(value, list) else str(value)
