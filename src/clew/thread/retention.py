"""Retention by rule: what would go and what could then no longer be had; and letting it go, in one transaction."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from clew.catalog.commands import ApplyRetention, SegmentSpec
from clew.catalog.retention import Plan, Rule, on_hold, parts, plan
from clew.catalog.tables import builds, data, models, serving
from clew.serving.journal import Seal, drop_segment, seals
from clew.workspace import Workspace

Fact = dict[str, Any]


@dataclass(frozen=True)
class Retention:
    """A rule, and since when predictions and outcomes are kept (None: as long as everything else)."""

    newer_than: datetime
    keep_last: int = 1
    journal_newer_than: datetime | None = None

    @property
    def rule(self) -> Rule:
        """The part that the catalog applies."""
        return Rule(self.newer_than, self.keep_last)


def plan_retention(workspace: Workspace, retention: Retention) -> Fact:
    """What would go by a rule, what stays and why, and what could then no longer be had. Nothing changes.

    Raises IntegrityError: a seal of the journal is damaged.
    """
    with workspace.catalog.read() as connection:
        found = plan(connection, retention.rule)
        going = [seal for _, seal in _segments(workspace, connection, retention)]
        return _told(connection, retention, found, going)


def apply_retention(workspace: Workspace, retention: Retention) -> Fact:
    """Let what a rule doesn't keep expire, then delete the segments of the journal that have.

    The catalog's part is one transaction. Whoever is killed after it has segments left that the catalog calls
    expired: the next call deletes them. The bytes of snapshots, runs and models are removed by `clew data gc`.

    Raises:
        NotPermittedError: another process is compacting the journal; what the catalog says holds already.
        IntegrityError: a seal of the journal is damaged.
    """
    with workspace.catalog.read() as connection:
        going = [seal for _, seal in _segments(workspace, connection, retention)]
    done: Fact = workspace.catalog.execute(
        ApplyRetention(
            newer_than=retention.newer_than,
            keep_last=retention.keep_last,
            segments=[
                SegmentSpec(
                    writer=seal.writer,
                    sequence=seal.segment,
                    predictions=seal.predictions.count,
                    outcomes=seal.outcomes.count,
                    first_id=seal.predictions.first_id,
                    last_id=seal.predictions.last_id,
                )
                for seal in going
            ],
        )
    )
    return {**done, "segments_deleted": delete_expired_segments(workspace)}


def delete_expired_segments(workspace: Workspace) -> int:
    """Delete the segments that the catalog calls expired and that are still there; give how many."""
    j = serving.journal_segments.c
    rows = workspace.catalog.rows(sa.select(j.writer, j.sequence).where(j.state == "expired"))
    expired = {(row.writer, int(row.sequence)) for row in rows}
    count = 0
    for folder, number, seal, _ in list(seals(workspace.journal)):
        if seal is not None and (folder.name, number) in expired:
            count += drop_segment(folder, number)
    return count


def _segments(workspace: Workspace, connection: sa.Connection, retention: Retention) -> list[tuple[Any, Seal]]:
    """The sealed segments that are past their time and hold no prediction of anything on hold.

    The newest segment of each writer stays: its numbers go on from there.
    """
    before = int((retention.journal_newer_than or retention.newer_than).timestamp() * 1_000_000)
    held = on_hold(connection)
    names = set(
        connection.execute(
            sa.select(serving.endpoints.c.name).where(serving.endpoints.c.id.in_(sorted(held.endpoints)))
        ).scalars()
    )
    found = []
    everything = list(seals(workspace.journal))
    newest = {folder: number for folder, number, _, _ in everything}
    for folder, number, seal, _ in everything:
        if seal is None or number == newest[folder] or _newest(seal) >= before:
            continue
        versions = {version_id for counts in seal.answered.values() for version_id in counts}
        unsure = bool(names or held.versions) and bool(seal.predictions.count) and not seal.answered
        if not unsure and not (names & seal.answered.keys()) and not (held.versions & versions):
            found.append((folder, seal))
    return found


def _newest(seal: Seal) -> int:
    return max(span.recorded_to for span in (seal.predictions, seal.outcomes) if span.recorded_to is not None)


def _told(connection: sa.Connection, retention: Retention, found: Plan, segments: list[Seal]) -> Fact:
    versions, snapshots = _version_names(connection, found.versions), _snapshot_names(connection, found.snapshots)
    runs = _repeatable(connection, found)
    lost = [f"{name} can no longer be restored, rebuilt or served" for name in versions]
    lost += [f"{name} can no longer be checked out or trained on" for name in snapshots]
    if runs:
        lost.append(f"{runs:,} runs can no longer be repeated: snapshots that they read are gone")
    if segments:
        predictions = sum(seal.predictions.count for seal in segments)
        lost.append(f"{predictions:,} predictions can no longer be asked why")
    return {
        "rule": {
            "newer_than": retention.newer_than.isoformat(),
            "keep_last": retention.keep_last,
            "journal_newer_than": (retention.journal_newer_than or retention.newer_than).isoformat(),
        },
        "goes": {
            "model_versions": versions,
            "snapshots": snapshots,
            "contents": len(found.contents),
            "artifacts": len(found.artifacts),
            "bytes": _bytes(connection, found),
            "segments": [
                {
                    "writer": seal.writer,
                    "segment": seal.segment,
                    "predictions": seal.predictions.count,
                    "outcomes": seal.outcomes.count,
                }
                for seal in segments
            ],
        },
        "stays": {
            "model_versions": _reasons(_version_names, connection, found.kept_versions),
            "snapshots": _reasons(_snapshot_names, connection, found.kept_snapshots),
        },
        "lost": lost,
    }


_MOST_NAMED = 20


def _reasons(names: Any, connection: sa.Connection, kept: dict[str, str]) -> Fact:
    """Why things stay: how many for each reason, and the first of them by name."""
    counts = Counter(kept.values())
    found: Fact = {}
    for reason, count in sorted(counts.items()):
        ids = sorted((key for key, why in kept.items() if why == reason), reverse=True)[:_MOST_NAMED]
        found[reason] = {"count": count, "such_as": names(connection, ids)}
    return found


def _version_names(connection: sa.Connection, ids: list[str]) -> list[str]:
    v, m = models.model_versions.c, models.models.c
    found: list[tuple[str, int]] = []
    for some in parts(ids):
        rows = connection.execute(
            sa.select(m.name, v.version).join(models.models, m.id == v.model_id).where(v.id.in_(some))
        )
        found += [(row.name, int(row.version)) for row in rows]
    return [f"{name}@{version}" for name, version in sorted(found)]


def _snapshot_names(connection: sa.Connection, ids: list[str]) -> list[str]:
    s, d = data.snapshots.c, data.datasets.c
    found: list[tuple[str, int]] = []
    for some in parts(ids):
        rows = connection.execute(
            sa.select(d.name, s.version).join(data.datasets, d.id == s.dataset_id).where(s.id.in_(some))
        )
        found += [(row.name, int(row.version)) for row in rows]
    return [f"{name}@{version}" for name, version in sorted(found)]


def _repeatable(connection: sa.Connection, found: Plan) -> int:
    """How many runs read a snapshot that goes."""
    i = builds.run_inputs.c
    runs: set[str] = set()
    for some in parts(found.snapshots):
        runs |= {str(one) for one in connection.execute(sa.select(i.run_id).where(i.snapshot_id.in_(some))).scalars()}
    return len(runs)


def _bytes(connection: sa.Connection, found: Plan) -> int:
    """About how many bytes become garbage: artifacts, and fragments that no other content runs through."""
    a, g, u, f = builds.artifacts.c, data.column_groups.c, data.group_fragments.c, data.fragments.c
    total = 0
    for some in parts(found.artifacts):
        total += int(
            connection.execute(
                sa.select(sa.func.coalesce(sa.func.sum(a.bytes), 0)).where(a.id.in_(some), a.body.is_(None))
            ).scalar_one()
        )
    going = set(found.contents)
    touched: set[str] = set()
    for some in parts(found.contents):
        query = (
            sa.select(u.fragment_id)
            .join(data.column_groups, g.id == u.group_id)
            .where(g.content_pk.in_(some))
            .distinct()
        )
        touched |= {str(one) for one in connection.execute(query).scalars()}
    for some in parts(sorted(touched)):
        rows = connection.execute(
            sa.select(f.id, f.bytes, g.content_pk)
            .join(data.group_fragments, u.fragment_id == f.id)
            .join(data.column_groups, g.id == u.group_id)
            .where(f.id.in_(some))
        )
        sizes: dict[str, int] = {}
        stays: set[str] = set()
        for row in rows:
            sizes[str(row.id)] = int(row.bytes)
            if str(row.content_pk) not in going:
                stays.add(str(row.id))
        total += sum(size for key, size in sizes.items() if key not in stays)
    return total
