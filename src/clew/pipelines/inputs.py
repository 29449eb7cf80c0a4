"""What a run reads, before any of it is read: snapshots by role, as their references stand."""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from clew.catalog.tables import data
from clew.data import Snapshot
from clew.data import find as find_snapshot
from clew.errors import NotFoundError
from clew.pipelines.graph import DatasetInput, Graph
from clew.pipelines.values import Stored
from clew.workspace import Workspace

Pins = Mapping[str, Snapshot | Stored]
"""By role, what a run reads in place of what its reference names now: a snapshot, or a table of its own making."""


def named(parameters: Mapping[str, Any], graph: Graph) -> dict[str, DatasetInput]:
    """Every dataset of the run by its role: the parameter's name, or the reference itself."""
    found = {name: value for name, value in parameters.items() if isinstance(value, DatasetInput)}
    for node in graph.nodes:
        for source in node.datasets():
            found.setdefault(source.role or source.reference, source)
    return found


def snapshots_of(workspace: Workspace, parameters: Mapping[str, Any]) -> dict[str, Snapshot]:
    """The snapshots that parameters name, as they are now. Raises NotFoundError."""
    return {
        name: find_snapshot(workspace, value.reference)
        for name, value in parameters.items()
        if isinstance(value, DatasetInput)
    }


def resolve(
    workspace: Workspace, parameters: Mapping[str, Any], graph: Graph, pins: Pins | None = None
) -> dict[str, Snapshot | Stored]:
    """All that a run reads, by its role: what is pinned, else as the references stand now. Raises NotFoundError."""
    pinned = pins or {}
    found = {
        role: pinned[role] if role in pinned else find_snapshot(workspace, source.reference)
        for role, source in named(parameters, graph).items()
    }
    _refuse_gone(workspace, [one for one in found.values() if isinstance(one, Snapshot)])
    return found


def _refuse_gone(workspace: Workspace, snapshots: Sequence[Snapshot]) -> None:
    """Raise NotFoundError where the rows of a snapshot were erased, or have expired: before anything runs."""
    s, c = data.snapshots.c, data.contents.c
    rows = workspace.catalog.rows(
        sa.select(s.id, s.state, c.state.label("content_state"))
        .join(data.contents, c.id == s.content_pk)
        .where(s.id.in_([one.id for one in snapshots]))
    )
    gone = {str(row.id): (row.state, row.content_state) for row in rows if {row.state, row.content_state} != {"live"}}
    for one in snapshots:
        if one.id in gone:
            what = "was erased" if "erased" in gone[one.id] else "has expired"
            raise NotFoundError(
                f"{one.reference} {what}: there is nothing left of it to build from",
                mend=f"name a version that is there: clew data list, then --set …={one.dataset}@N",
            )
