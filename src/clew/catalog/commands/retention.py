"""Commands about what stays: holds, and retention by rule."""

from typing import Annotated, Literal

import msgspec
import sqlalchemy as sa

from clew.catalog.command import Command, Count, Id, Moment, Row, Transaction
from clew.catalog.retention import Plan, Rule, parts, plan
from clew.catalog.tables import builds, data, governance, models, serving
from clew.errors import NotFoundError, UsageError

HoldKind = Literal["snapshot", "version", "run", "endpoint", "dataset", "model"]
_TARGETS = {
    "snapshot": data.snapshots,
    "version": models.model_versions,
    "run": builds.runs,
    "endpoint": serving.endpoints,
    "dataset": data.datasets,
    "model": models.models,
}


class PlaceHold(Command, frozen=True, kw_only=True):
    """Hold something: it doesn't expire until the hold is released, whatever a rule says."""

    kind: HoldKind
    target_id: Id
    reason: str

    def apply(self, tx: Transaction) -> str:
        """Give the hold's id; the same hold for the same reason again is the one that is there."""
        if not self.reason.strip():
            raise UsageError("a hold needs its reason", mend='add --reason "case 2026-17"')
        if tx.lock(_TARGETS[self.kind], id=self.target_id) is None:
            raise NotFoundError(f"no {self.kind} {self.target_id} to hold", mend="clew data list, clew model list")
        there = tx.find(
            governance.holds, kind=self.kind, target_id=self.target_id, reason=self.reason, released_at=None
        )
        if there is not None:
            return str(there.id)
        return tx.insert(governance.holds, kind=self.kind, target_id=self.target_id, reason=self.reason)


class ReleaseHold(Command, frozen=True, kw_only=True):
    """Release all holds of a thing; they stay in the catalog, with the moment of their release."""

    kind: HoldKind
    target_id: Id

    def apply(self, tx: Transaction) -> int:
        """Give how many were released."""
        h = governance.holds.c
        mine = (h.kind == self.kind) & (h.target_id == self.target_id) & h.released_at.is_(None)
        return tx.update(governance.holds, mine, released_at=tx.recorded_at)


class SegmentSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A segment of a journal that is past its time, as its seal says."""

    writer: str
    sequence: Count
    predictions: Count
    outcomes: Count
    first_id: str | None = None
    last_id: str | None = None


class ApplyRetention(Command, frozen=True, kw_only=True):
    """Let expire what a rule doesn't keep: it stays known, and its bytes become garbage.

    What goes is found in the same transaction, so nothing that came to be live, aliased or held meanwhile goes.
    """

    newer_than: Moment
    keep_last: Annotated[int, msgspec.Meta(ge=1)] = 1
    segments: list[SegmentSpec] = []

    def apply(self, tx: Transaction) -> Row:
        """Give how many of each went."""
        rule = Rule(self.newer_than, self.keep_last)
        going = self._locked(tx, rule)
        _state(tx, models.model_versions, going.versions)
        _state(tx, data.snapshots, going.snapshots)
        _state(tx, data.contents, going.contents)
        _forget_groups(tx, going.contents)
        _state(tx, builds.artifacts, going.artifacts)
        _forget_steps(tx, going.artifacts)
        for segment in self.segments:
            _segment(tx, segment)
        return {
            "model_versions": len(going.versions),
            "snapshots": len(going.snapshots),
            "contents": len(going.contents),
            "artifacts": len(going.artifacts),
            "segments": len(self.segments),
        }

    def _locked(self, tx: Transaction, rule: Rule) -> Plan:
        """What goes, in rows that nobody else changes until the end; found again once they are locked."""
        first = plan(tx.connection, rule)
        for table, ids in ((models.model_versions, first.versions), (data.snapshots, first.snapshots)):
            for some in parts(sorted(ids)):
                query = sa.select(table.c.id).where(table.c.id.in_(some)).order_by(table.c.id)
                tx.connection.execute(query.with_for_update(key_share=True)).all()
        again = plan(tx.connection, rule)
        again.versions = sorted(set(again.versions) & set(first.versions))
        again.snapshots = sorted(set(again.snapshots) & set(first.snapshots))
        again.contents = sorted(set(again.contents) & set(first.contents))
        again.artifacts = sorted(set(again.artifacts) & set(first.artifacts))
        return again


def _state(tx: Transaction, table: sa.Table, ids: list[str]) -> None:
    for some in parts(ids):
        tx.update(table, table.c.id.in_(some), state="expired")


def _forget_groups(tx: Transaction, contents: list[str]) -> None:
    """Take away where contents lay; fragments that none runs through any more are released from now on."""
    groups, used, fragments = data.column_groups, data.group_fragments, data.fragments
    for some in parts(contents):
        mine = sa.select(groups.c.id).where(groups.c.content_pk.in_(some))
        query = sa.select(used.c.fragment_id).where(used.c.group_id.in_(mine)).distinct()
        touched = [str(one) for one in tx.connection.execute(query).scalars()]
        tx.connection.execute(used.delete().where(used.c.group_id.in_(mine)))
        tx.connection.execute(groups.delete().where(groups.c.content_pk.in_(some)))
        free = ~sa.exists().where(used.c.fragment_id == fragments.c.id)
        for few in parts(touched):
            tx.update(fragments, fragments.c.id.in_(few) & free, released_at=tx.recorded_at)


def _forget_steps(tx: Transaction, artifacts: list[str]) -> None:
    """Take the steps that made them out of the cache."""
    k, c = builds.step_artifacts.c, builds.step_cache
    for some in parts(artifacts):
        made = sa.select(k.step_id).where(k.artifact_id.in_(some), k.direction == "out")
        tx.connection.execute(c.delete().where(c.c.step_id.in_(made)))


def _segment(tx: Transaction, segment: SegmentSpec) -> None:
    table, values = serving.journal_segments, msgspec.structs.asdict(segment)
    values |= {"state": "expired", "expires_at": tx.recorded_at}
    found = tx.lock(table, writer=segment.writer, sequence=segment.sequence)
    if found is None:
        tx.insert(table, **values)
    else:
        tx.update(table, table.c.id == found.id, **values)
