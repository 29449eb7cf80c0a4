"""Examining a workspace: what is there, and what is wrong."""

from typing import Any

import sqlalchemy as sa

from clew.catalog import SCHEMA
from clew.catalog.retention import GONE
from clew.catalog.tables import builds, governance, metadata, object_columns
from clew.data import all_of, verify
from clew.errors import ClewError
from clew.pipelines import mark_interrupted
from clew.workspace import Workspace


def _is_whole(workspace: Workspace, digest: str) -> bool:
    try:
        workspace.objects.verify(digest)
    except ClewError:
        return False
    return True


def _faults(missing: list[str], spoilt: list[str]) -> list[tuple[list[str], str]]:
    return [(bad, how) for bad, how in ((missing, "MISSING"), (spoilt, "DAMAGED")) if bad]


def examine(workspace: Workspace) -> list[dict[str, Any]]:
    """Findings, each with `what`, `found` and `ok`."""
    findings = [
        {"what": "workspace", "found": str(workspace.root), "ok": True},
        {"what": "catalog's schema", "found": SCHEMA, "ok": workspace.catalog.schema() == SCHEMA},
    ]
    named = set()
    for table, column in object_columns():
        found = metadata.tables[table].c[column]
        there = [found.is_not(None), *([builds.artifacts.c.body.is_(None)] if table == "artifacts" else [])]
        if "state" in metadata.tables[table].c:
            there.append(metadata.tables[table].c.state.not_in(GONE))
        named |= {row[0] for row in workspace.catalog.rows(sa.select(found).where(*there).distinct())}
    missing = sorted(named - workspace.objects.exists_many(sorted(named)))
    spoilt = [digest for digest in sorted(named - set(missing)) if not _is_whole(workspace, digest)]
    told = [f"{len(named)} named", *(f"{len(bad)} {how}: {bad[0]}…" for bad, how in _faults(missing, spoilt))]
    findings.append(
        {
            "what": "objects",
            "found": ", ".join(told if missing or spoilt else [*told, "all whole"]),
            "ok": not missing and not spoilt,
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
    e = governance.erasures.c
    begun = [str(row.id) for row in workspace.catalog.rows(sa.select(e.id).where(e.state == "planned"))]
    unfinished = f"{len(begun)} begun and not ended: {', '.join(begun)}; clew data erase the same subject again ends it"
    findings.append({"what": "erasures", "found": unfinished if begun else "none under way", "ok": not begun})
    dead = mark_interrupted(workspace)
    findings.append({"what": "runs", "found": f"{len(dead)} were interrupted, and are marked so now", "ok": True})
    return findings
