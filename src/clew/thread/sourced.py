"""Snapshots as the thread shows them: their content, where it came from, what held for it."""

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from clew.catalog.tables import data, governance
from clew.thread.times import iso

Fact = dict[str, Any]

_s, _c, _d = data.snapshots.c, data.contents.c, data.datasets.c
_later = data.contents.alias("later")


def snapshots(connection: sa.Connection, wanted: Iterable[tuple[str, str]]) -> list[Fact]:
    """Each (role, snapshot id) with its sources, contract checks and the policies that held when it was taken."""
    return [
        {"role": role, **found}
        for role, snapshot_id in wanted
        if (found := snapshot(connection, snapshot_id)) is not None
    ]


def snapshot(connection: sa.Connection, snapshot_id: str) -> Fact | None:
    """One snapshot, or None."""
    row = connection.execute(
        sa.select(
            data.snapshots,
            _c.content_id,
            _c.kind,
            _c.rows,
            _c.state.label("content_state"),
            _c.erased_rows,
            _later.c.content_id.label("superseded_by"),
            _d.name.label("dataset"),
            governance.actors.c.name.label("actor"),
        )
        .select_from(data.snapshots)
        .join(data.contents, _c.id == _s.content_pk)
        .join(data.datasets, _d.id == _s.dataset_id)
        .join(governance.actors, governance.actors.c.id == _s.actor_id)
        .outerjoin(_later, _later.c.id == _c.superseded_by_id)
        .where(_s.id == snapshot_id)
    ).first()
    if row is None:
        return None
    return {
        "reference": f"{row.dataset}@{row.version}",
        "dataset": row.dataset,
        "version": int(row.version),
        "content_id": row.content_id,
        "kind": row.kind,
        "rows": row.rows,
        "state": row.state if row.state != "live" else row.content_state,
        "erased_rows": int(row.erased_rows),
        "superseded_by": row.superseded_by,
        "message": row.message,
        "occurred_at": iso(row.occurred_at),
        "recorded_at": iso(row.recorded_at),
        "actor": row.actor,
        "sources": sources(connection, snapshot_id),
        "checks": checks(connection, str(row.content_pk)),
        "policies": policies(connection, str(row.dataset_id), row.recorded_at),
    }


def sources(connection: sa.Connection, snapshot_id: str) -> list[Fact]:
    """The files that a snapshot was read from, as they were seen."""
    table = data.sources
    rows = connection.execute(sa.select(table).where(table.c.snapshot_id == snapshot_id).order_by(table.c.id))
    return [{"uri": row.uri, "kind": row.kind, "bytes": row.bytes, "sha256": row.sha256} for row in rows]


def checks(connection: sa.Connection, content_pk: str) -> list[Fact]:
    """What each contract found in a content, the newest check of each contract, with the rules that found something."""
    k = data.contract_checks.c
    rows = connection.execute(
        sa.select(data.contract_checks, data.contracts.c.version, _d.name.label("dataset"))
        .join(data.contracts, data.contracts.c.id == k.contract_id)
        .join(data.datasets, _d.id == data.contracts.c.dataset_id)
        .where(k.content_pk == content_pk, k.run_id.is_(None))
        .order_by(k.id.desc())
    )
    newest: dict[str, Fact] = {}
    for row in rows:
        results = row.results if isinstance(row.results, list) else []
        found = [rule for rule in results if isinstance(rule, dict) and _is_finding(rule)]
        newest.setdefault(
            str(row.contract_id),
            {
                "contract": f"{row.dataset} contract {row.version}",
                "passed": bool(row.passed),
                "rules": len(results),
                "findings": found,
                "recorded_at": iso(row.recorded_at),
            },
        )
    return list(newest.values())


def _is_finding(rule: Fact) -> bool:
    return bool(rule.get("failing_rows") or rule.get("error") or rule.get("passed") is False)


def policies(connection: sa.Connection, dataset_id: str, at: Any) -> list[Fact]:
    """The privacy policies that held for a dataset at a moment."""
    p = data.policies.c
    rows = connection.execute(
        sa.select(data.policies)
        .where(
            p.dataset_id == dataset_id,
            p.recorded_at <= at,
            sa.or_(p.superseded_at.is_(None), p.superseded_at > at),
        )
        .order_by(p.column_name)
    )
    return [
        {"column": row.column_name, "action": row.action, "reason": row.reason, "recorded_at": iso(row.recorded_at)}
        for row in rows
    ]
