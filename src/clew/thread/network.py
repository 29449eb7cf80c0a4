"""The thread around one thing, in both directions, as columns of boxes: what it came from, and what came of it.

Columns are in the order of the thread (`KINDS`). Each holds at most `MOST` boxes, the newest first, and says how many
there are in all; `edges` join boxes by their ids, from left to right.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final, Literal, get_args

import sqlalchemy as sa

from clew.catalog.tables import builds, data, models, serving
from clew.data import find as find_snapshot
from clew.errors import NotFoundError, UsageError
from clew.models import find as find_version
from clew.pipelines.history import find_run
from clew.thread.times import iso
from clew.thread.why import why
from clew.thread.words import amount
from clew.workspace import Workspace

Fact = dict[str, Any]
Kind = Literal["snapshot", "run", "model", "endpoint", "prediction"]

KINDS: Final = ("source", "snapshot", "run", "model", "endpoint", "prediction", "outcome")
MOST: Final = 200

_s, _d, _c = data.snapshots.c, data.datasets.c, data.contents.c
_r, _i = builds.runs.c, builds.run_inputs.c
_v, _m, _rm = models.model_versions.c, models.models.c, models.run_models.c
_t, _o, _e = serving.route_targets.c, serving.routes.c, serving.endpoints.c


@dataclass
class _Network:
    """Boxes by kind and id, and what joins them."""

    boxes: dict[str, dict[str, Fact]] = field(default_factory=lambda: {kind: {} for kind in KINDS})
    edges: set[tuple[str, str]] = field(default_factory=set)
    in_all: dict[str, int] = field(default_factory=dict)

    def add(self, kind: str, id_: str, title: str, note: str, *, state: str = "live", reference: str = "") -> str:
        """Put a box in, and give its name among the edges."""
        name = f"{kind}:{id_}"
        self.boxes[kind].setdefault(
            name,
            {"id": name, "kind": kind, "title": title, "note": note, "state": state, "reference": reference or title},
        )
        return name

    def join(self, start: str, end: str) -> None:
        """An edge between two boxes; one to a box that isn't shown is left out."""
        self.edges.add((start, end))

    def facts(self, focus: str) -> Fact:
        """The columns that have boxes, as JSON-able facts."""
        shown = {name for boxes in self.boxes.values() for name in boxes}
        return {
            "focus": focus,
            "columns": [
                {
                    "kind": kind,
                    "boxes": list(self.boxes[kind].values()),
                    "in_all": max(len(self.boxes[kind]), self.in_all.get(kind, 0)),
                }
                for kind in KINDS
                if self.boxes[kind]
            ],
            "edges": sorted([a, b] for a, b in self.edges if a in shown and b in shown),
        }


def network(workspace: Workspace, kind: str, reference: str) -> Fact:
    """The thread around a snapshot, a run, a model version, an endpoint or a prediction.

    Gives `focus` (the id of its box), `columns` (`kind`, `boxes`, `in_all`) and `edges` (pairs of ids).

    Raises:
        UsageError: there is no such kind.
        NotFoundError: there is no such thing.
    """
    net = _Network()
    if kind == "snapshot":
        found = find_snapshot(workspace, reference)
        with workspace.catalog.read() as connection:
            focus = _snapshots(net, connection, [found.id])[0]
            _after_snapshot(net, connection, found.id)
    elif kind == "run":
        run_id = str(find_run(workspace, reference).id)
        with workspace.catalog.read() as connection:
            focus = _runs(net, connection, [run_id])[0]
            _before_runs(net, connection, [run_id])
            _after_versions(net, connection, _versions_of_runs(net, connection, [run_id]))
    elif kind == "model":
        version_id = find_version(workspace, reference).id
        with workspace.catalog.read() as connection:
            focus = _versions(net, connection, [version_id])[0]
            _before_versions(net, connection, [version_id])
            _after_versions(net, connection, [version_id])
    elif kind == "endpoint":
        with workspace.catalog.read() as connection:
            focus = _endpoint(net, connection, reference)
    elif kind == "prediction":
        focus = _prediction(net, workspace, reference)
    else:
        raise UsageError(f"nothing is called a {kind!r}", mend=f"choose {', '.join(get_args(Kind))}")
    return net.facts(focus)


def _some(ids: Iterable[Any]) -> list[str]:
    """The first `MOST` ids, each once."""
    return list(dict.fromkeys(str(one) for one in ids))[:MOST]


def _snapshots(net: _Network, connection: sa.Connection, ids: list[str]) -> list[str]:
    """Boxes of snapshots, with the files that they came from."""
    rows = connection.execute(
        sa.select(_s.id, _s.version, _s.state, _d.name, _c.rows, _c.kind)
        .join(data.datasets, _d.id == _s.dataset_id)
        .join(data.contents, _c.id == _s.content_pk)
        .where(_s.id.in_(ids))
        .order_by(_s.id.desc())
    ).all()
    boxes = []
    for row in rows:
        size = row.kind if row.rows is None else f"{amount(int(row.rows))} rows"
        note = size if row.state == "live" else row.state
        boxes.append(net.add("snapshot", str(row.id), f"{row.name}@{row.version}", note, state=row.state))
    x = data.sources.c
    each = (
        sa.select(
            x.id,
            x.snapshot_id,
            x.uri,
            sa.func.row_number().over(partition_by=x.snapshot_id, order_by=x.id).label("number"),
            sa.func.count().over(partition_by=x.snapshot_id).label("files"),
        )
        .where(x.snapshot_id.in_(ids))
        .subquery()
    )
    for row in connection.execute(sa.select(each).where(each.c.number == 1)):
        reference = net.boxes["snapshot"][f"snapshot:{row.snapshot_id}"]["reference"]
        name = str(row.uri).rstrip("/").rpartition("/")[2] or str(row.uri)
        note = "1 file" if row.files == 1 else f"and {row.files - 1} more files"
        net.join(net.add("source", str(row.id), name, note, reference=reference), f"snapshot:{row.snapshot_id}")
    return boxes


def _runs(net: _Network, connection: sa.Connection, ids: list[str]) -> list[str]:
    rows = connection.execute(
        sa.select(_r.id, _r.name, _r.state, _r.occurred_at).where(_r.id.in_(ids)).order_by(_r.id.desc())
    )
    return [
        net.add("run", str(row.id), row.name, f"{row.state}, {iso(row.occurred_at)[:10]}", reference=str(row.id))
        for row in rows
    ]


def _versions(net: _Network, connection: sa.Connection, ids: list[str]) -> list[str]:
    rows = connection.execute(
        sa.select(_v.id, _v.version, _v.state, _m.name)
        .join(models.models, _m.id == _v.model_id)
        .where(_v.id.in_(ids))
        .order_by(_v.id.desc())
    )
    return [
        net.add("model", str(row.id), f"{row.name}@{row.version}", row.state, state=_gone(row.state)) for row in rows
    ]


def _gone(state: str) -> str:
    return state if state in ("erased", "expired") else "live"


def _after_snapshot(net: _Network, connection: sa.Connection, snapshot_id: str) -> None:
    here = f"snapshot:{snapshot_id}"
    read = connection.execute(
        sa.select(_i.run_id).where(_i.snapshot_id == snapshot_id).order_by(_i.run_id.desc()).limit(MOST)
    ).scalars()
    runs = _some(read)
    net.in_all["run"] = int(
        connection.execute(
            sa.select(sa.func.count(_i.run_id.distinct())).where(_i.snapshot_id == snapshot_id)
        ).scalar_one()
    )
    for name in _runs(net, connection, runs):
        net.join(here, name)
    i = models.model_inputs.c
    trained = connection.execute(
        sa.select(i.model_version_id)
        .where(i.snapshot_id == snapshot_id)
        .order_by(i.model_version_id.desc())
        .limit(MOST)
    ).scalars()
    versions = _some(trained)
    net.in_all["model"] = int(
        connection.execute(
            sa.select(sa.func.count(i.model_version_id.distinct())).where(i.snapshot_id == snapshot_id)
        ).scalar_one()
    )
    joined = _join_runs(net, connection, versions)
    for name in _versions(net, connection, versions):
        if name not in joined:  # a run that isn't among those that are shown
            net.join(here, name)
    _after_versions(net, connection, versions)


def _join_runs(net: _Network, connection: sa.Connection, versions: list[str]) -> set[str]:
    """Edges from the runs that are shown to versions; gives the versions that have one."""
    rows = connection.execute(sa.select(_rm.run_id, _rm.model_version_id).where(_rm.model_version_id.in_(versions)))
    joined = set()
    for row in rows:
        if f"run:{row.run_id}" in net.boxes["run"]:
            net.join(f"run:{row.run_id}", f"model:{row.model_version_id}")
            joined.add(f"model:{row.model_version_id}")
    return joined


def _versions_of_runs(net: _Network, connection: sa.Connection, runs: list[str]) -> list[str]:
    found = _some(
        connection.execute(
            sa.select(_rm.model_version_id).where(_rm.run_id.in_(runs)).order_by(_rm.model_version_id.desc())
        ).scalars()
    )
    _versions(net, connection, found)
    _join_runs(net, connection, found)
    return found


def _before_runs(net: _Network, connection: sa.Connection, runs: list[str]) -> None:
    rows = connection.execute(sa.select(_i.run_id, _i.snapshot_id).where(_i.run_id.in_(runs))).all()
    _snapshots(net, connection, _some(row.snapshot_id for row in rows))
    for row in rows:
        net.join(f"snapshot:{row.snapshot_id}", f"run:{row.run_id}")


def _before_versions(net: _Network, connection: sa.Connection, versions: list[str]) -> None:
    """The runs that arrived at versions, and the snapshots behind them."""
    found = connection.execute(
        sa.select(_rm.run_id).where(_rm.model_version_id.in_(versions)).order_by(_rm.run_id.desc()).limit(MOST)
    ).scalars()
    runs = _some(found)
    net.in_all["run"] = int(
        connection.execute(
            sa.select(sa.func.count(_rm.run_id.distinct())).where(_rm.model_version_id.in_(versions))
        ).scalar_one()
    )
    _runs(net, connection, runs)
    _join_runs(net, connection, versions)
    _before_runs(net, connection, runs)


def _after_versions(net: _Network, connection: sa.Connection, versions: list[str]) -> None:
    """The endpoints whose routes ever named versions, and who of them is live."""
    named = connection.execute(
        sa.select(_o.endpoint_id, _t.model_version_id, sa.func.max(_o.revision).label("last"))
        .join(serving.routes, _o.id == _t.route_id)
        .where(_t.model_version_id.in_(versions))
        .group_by(_o.endpoint_id, _t.model_version_id)
    ).all()
    ids = _some(row.endpoint_id for row in named)
    newest = connection.execute(
        sa.select(_e.id, _e.name, sa.func.max(_o.revision).label("revision"))
        .join(serving.routes, _o.endpoint_id == _e.id)
        .where(_e.id.in_(ids))
        .group_by(_e.id, _e.name)
        .order_by(_e.name)
    ).all()
    last = {str(row.id): int(row.revision) for row in newest}
    live = {str(row.endpoint_id) for row in named if row.last == last[str(row.endpoint_id)]}
    for row in newest:
        note = "answers now" if str(row.id) in live else "answered before"
        net.add("endpoint", str(row.id), row.name, note)
    for row in named:
        net.join(f"model:{row.model_version_id}", f"endpoint:{row.endpoint_id}")


def _endpoint(net: _Network, connection: sa.Connection, name: str) -> str:
    row = connection.execute(sa.select(_e.id, _e.name, _e.state).where(_e.name == name)).first()
    if row is None:
        raise NotFoundError(f"no endpoint is called {name!r}", mend="clew hub shows all endpoints")
    focus = net.add("endpoint", str(row.id), row.name, row.state, state=_gone(row.state))
    routed = sa.select(_t.model_version_id).distinct().join(serving.routes, _o.id == _t.route_id)
    mine = routed.where(_o.endpoint_id == row.id)
    ids = _some(connection.execute(sa.select(_v.id).where(_v.id.in_(mine)).order_by(_v.id.desc())).scalars())
    net.in_all["model"] = int(connection.execute(sa.select(sa.func.count()).select_from(mine.subquery())).scalar_one())
    for version in _versions(net, connection, ids):
        net.join(version, focus)
    _before_versions(net, connection, ids)
    return focus


def _prediction(net: _Network, workspace: Workspace, prediction_id: str) -> str:
    thread = why(workspace, prediction_id)
    found, model, endpoint = thread["prediction"], thread["model"], thread["endpoint"]
    said = "failed" if found["error"] else amount(found["output"])
    focus = net.add("prediction", found["id"], said, found["entity"] or found["role"], reference=found["id"])
    if model is not None:
        with workspace.catalog.read() as connection:
            _versions(net, connection, [model["id"]])
            _before_versions(net, connection, [model["id"]])
    name = net.add(
        "endpoint",
        "of it" if endpoint is None else endpoint["id"],
        found["endpoint"],
        f"revision {found['route_revision']}",
        state="expired" if endpoint is None else "live",
    )
    if model is not None:
        net.join(f"model:{model['id']}", name)
    net.join(name, focus)
    for one in thread["outcomes"]:
        label = f"{one['name']}, {one['delay_days']:.0f} days"
        net.join(focus, net.add("outcome", one["id"], amount(one["value"]), label, reference=found["id"]))
    return focus
