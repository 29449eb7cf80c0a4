"""Examining a workspace: what is there, and what is wrong."""

from typing import Any

import sqlalchemy as sa

from clew.catalog import SCHEMA
from clew.catalog.tables import metadata, object_columns
from clew.data import all_of, verify
from clew.pipelines import mark_interrupted
from clew.workspace import Workspace


def examine(workspace: Workspace) -> list[dict[str, Any]]:
    """Findings, each with `what`, `found` and `ok`."""
    findings = [
        {"what": "workspace", "found": str(workspace.root), "ok": True},
        {"what": "catalog's schema", "found": SCHEMA, "ok": workspace.catalog.schema() == SCHEMA},
    ]
    named = set()
    for table, column in object_columns():
        found = metadata.tables[table].c[column]
        named |= {row[0] for row in workspace.catalog.rows(sa.select(found).where(found.is_not(None)).distinct())}
    missing = sorted(named - workspace.objects.exists_many(sorted(named)))
    findings.append(
        {
            "what": "objects",
            "found": f"{len(named)} named" + (f", {len(missing)} MISSING: {missing[0]}…" if missing else ", all there"),
            "ok": not missing,
        }
    )
    damaged = [one for one in verify(all_of(workspace)) if one.fault]
    findings.append(
        {
            "what": "snapshots",
            "found": "; ".join(f"{one.reference}: {one.fault}" for one in damaged) or "all verified",
            "ok": not damaged,
        }
    )
    dead = mark_interrupted(workspace)
    findings.append({"what": "runs", "found": f"{len(dead)} were interrupted, and are marked so now", "ok": True})
    return findings
