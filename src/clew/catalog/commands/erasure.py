"""Commands that take a person's rows out of history: planned, done in one transaction, ended with a receipt."""

from datetime import timedelta
from typing import Annotated, Any, Final, Literal

import msgspec
import sqlalchemy as sa

from clew.catalog.affected import Affected, affected
from clew.catalog.command import Command, ContentId, Count, Digest, Id, Row, Transaction
from clew.catalog.commands.builds import ArtifactSpec, record_artifact
from clew.catalog.commands.data import GroupSpec, forget_groups, lay_groups
from clew.catalog.retention import on_hold, parts
from clew.catalog.tables import builds, data, governance, models, serving
from clew.errors import NotFoundError, RefusedError

_ERASING: Final = "erase"


class PlanErasure(Command, frozen=True, kw_only=True):
    """Say that a person's rows are to go: from now on no version with them is taken any more."""

    dataset_id: Id
    subject_hmac: Digest
    key_name: str
    hashes: list[Digest]
    columns: list[str] = []

    def apply(self, tx: Transaction) -> Row:
        """Give the erasure's id; of one that was begun and not ended, that one's."""
        if tx.lock(data.datasets, id=self.dataset_id) is None:
            raise NotFoundError(f"no dataset {self.dataset_id}", mend="clew data list")
        e = governance.erasures
        begun = tx.first(
            sa.select(e)
            .where(e.c.dataset_id == self.dataset_id, e.c.subject_hmac == self.subject_hmac, e.c.state == "planned")
            .limit(1)
        )
        if begun is not None:
            return {"erasure_id": str(begun.id), "begun": True}
        erasure_id = tx.insert(
            e,
            dataset_id=self.dataset_id,
            subject_hmac=self.subject_hmac,
            key_name=self.key_name,
            state="planned",
            receipt={"hashes": self.hashes, "columns": self.columns},
        )
        return {"erasure_id": erasure_id, "begun": False}


class ContentRewrite(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A content that loses rows or files, or whose remaining ones lie elsewhere from now on.

    `content_id` is what it says now, `former` what stands in its old place from now on; without them it says what it
    said. `ropes` are those that the rewriting was made from.
    """

    content_pk: Id
    ropes: list[Digest]
    listing_was: Digest | None = None
    content_id: ContentId | None = None
    former: ContentId | None = None
    rows: Count | None = None
    column_ids: list[ContentId] | None = None
    profile: Digest | None = None
    listing: Digest | None = None
    groups: list[GroupSpec] = []
    erased_rows: Count = 0


class Repackaged(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A model's package without the example rows that were the person's."""

    artifact_id: Id
    artifact: ArtifactSpec


class Recoded(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A step's table in other bytes: what it says stays, and bytes of rows that it never held are gone."""

    artifact_id: Id
    digest: Digest
    bytes: Count


class Requarantined(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Rows kept apart, without the person's: None where none is left."""

    quarantine_id: Id
    digest: Digest | None
    rows: Count


class EraseRows(Command, frozen=True, kw_only=True):
    """Let contents say what they say without a person's rows, and drop all that was derived from them.

    Args:
        erasure_id: the erasure, planned before.
        examined: the contents that were looked at; any other of the dataset is a reason to look again.
        contents: those that change.
        fragments: the digests of the fragments that go.
        packages: what models are packaged as from now on.
        recoded: tables that were made of other versions, in bytes of their own.
        quarantines: what is left of rows kept apart.
    """

    erasure_id: Id
    examined: list[Id]
    contents: list[ContentRewrite]
    fragments: list[Digest]
    packages: list[Repackaged] = []
    recoded: list[Recoded] = []
    quarantines: list[Requarantined] = []

    hidden = frozenset({"examined", "contents", "fragments", "packages", "recoded", "quarantines"})

    def apply(self, tx: Transaction) -> Row:
        """Give whether it was done: not when something came in between, so that it has to be planned again."""
        erasure = tx.lock(governance.erasures, id=self.erasure_id)
        if erasure is None or erasure.state != "planned":
            raise NotFoundError(f"no erasure {self.erasure_id} is under way", mend="clew data erase NAME --subject …")
        if not self._still_so(tx, str(erasure.dataset_id)):
            return {"done": False}
        erased = [one.content_pk for one in self.contents if one.content_id is not None]
        found = affected(tx.connection, erased)
        if found.packages - {one.artifact_id for one in self.packages}:
            return {"done": False}
        refuse_held(tx.connection, found)
        refuse_running(tx.connection, found)
        work = _Work(tx, self.erasure_id)
        work.take_rows(self.contents, found)
        work.strike(self.fragments)
        work.drop_derived(found)
        work.repackage(self.packages, found)
        work.recode(self.recoded)
        work.requarantine(self.quarantines)
        receipt = dict(erasure.receipt or {})
        receipt["work"] = work.left(found, receipt.get("work", {}))
        tx.update(governance.erasures, governance.erasures.c.id == self.erasure_id, receipt=receipt)
        return {"done": True}

    def _still_so(self, tx: Transaction, dataset_id: str) -> bool:
        c, s, g = data.contents.c, data.snapshots.c, data.column_groups.c
        owners = sorted(
            {
                str(one)
                for some in parts([one.content_pk for one in self.contents])
                for one in tx.connection.execute(
                    sa.select(s.dataset_id).where(s.content_pk.in_(some)).distinct()
                ).scalars()
            }
            | {dataset_id}
        )
        for owner in owners:
            tx.lock(data.datasets, id=owner)
        looked_at = set(self.examined)
        live = sa.select(c.id).join(data.snapshots, s.content_pk == c.id).where(c.state == "live")
        if {str(one) for one in tx.connection.execute(live.where(s.dataset_id == dataset_id)).scalars()} - looked_at:
            return False
        u, f = data.group_fragments.c, data.fragments.c
        changed = {one.content_pk for one in self.contents}
        for some in parts(self.fragments):
            through = (
                sa.select(g.content_pk)
                .join(data.group_fragments, u.group_id == g.id)
                .join(data.fragments, f.id == u.fragment_id)
                .where(f.digest.in_(some))
                .distinct()
            )
            if {str(one) for one in tx.connection.execute(through).scalars()} - changed:
                return False
        for one in self.contents:
            row = tx.lock(data.contents, id=one.content_pk)
            query = sa.select(g.rope).where(g.content_pk == one.content_pk).order_by(g.ordinal)
            if row is None or row.state != "live" or list(tx.connection.execute(query).scalars()) != one.ropes:
                return False
            if row.listing != one.listing_was:
                return False
        return True


class FinishErasure(Command, frozen=True, kw_only=True):
    """Write the receipt of an erasure, and end it once nothing of the rows is left."""

    erasure_id: Id
    receipt: Any
    done: bool = True

    hidden = frozenset({"receipt"})

    def apply(self, tx: Transaction) -> bool:
        """Give whether it was under way."""
        e = governance.erasures
        mine = (e.c.id == self.erasure_id) & (e.c.state == "planned")
        ended: Row = {"state": "done", "ended_at": tx.recorded_at} if self.done else {}
        return tx.update(e, mine, receipt=self.receipt, **ended) > 0


class AbandonErasure(Command, frozen=True, kw_only=True):
    """Take back an erasure that found nothing; the log needn't name what is no more."""

    erasure_id: Id

    hidden = frozenset({"erasure_id"})

    def apply(self, tx: Transaction) -> bool:
        """Give whether it was only planned."""
        e, f = governance.erasures, governance.erasure_effects
        touched = sa.exists().where(f.c.erasure_id == e.c.id)
        mine = (e.c.id == self.erasure_id) & (e.c.state == "planned") & ~touched
        return tx.connection.execute(e.delete().where(mine)).rowcount > 0


class BeginErasing(Command, frozen=True, kw_only=True):
    """Keep writers out for a while: whoever stores what no version names yet could bring back what goes."""

    holder: str
    seconds: Annotated[int, msgspec.Meta(gt=0, le=86_400)]

    def apply(self, tx: Transaction) -> str:
        """Give the lease's id. Raises RefusedError while another erasure is under way."""
        leases = governance.leases
        tx.find(governance.workspace)
        others = tx.first(
            sa.select(leases).where(leases.c.kind == _ERASING, leases.c.expires_at > tx.recorded_at).limit(1)
        )
        if others is not None and others.holder != self.holder:
            raise RefusedError("another erasure is under way", mend="wait for it to end, then try again")
        return tx.insert(
            leases,
            holder=self.holder,
            kind=_ERASING,
            target="",
            expires_at=tx.recorded_at + timedelta(seconds=self.seconds),
        )


class SetErasedPolicy(Command, frozen=True, kw_only=True):
    """Say whether an endpoint may answer with a version that was trained on rows which were erased since."""

    endpoint_id: Id
    erased_data: Literal["serve", "refuse"]
    reason: str = ""

    def apply(self, tx: Transaction) -> bool:
        """Give whether that changed."""
        found = tx.lock(serving.endpoints, id=self.endpoint_id)
        if found is None:
            raise NotFoundError(f"no endpoint {self.endpoint_id}", mend="clew endpoint list")
        if found.settings.get("erased_data", "serve") == self.erased_data:
            return False
        settings = {**found.settings, "erased_data": self.erased_data}
        tx.update(serving.endpoints, serving.endpoints.c.id == self.endpoint_id, settings=settings)
        return True


def refuse_held(connection: sa.Connection, found: Affected) -> None:
    """Raise RefusedError, which names each hold on what an erasure would change: by whom, since when and why."""
    held = on_hold(connection)
    targets = (held.snapshots & found.snapshots) | (held.versions & found.versions) | (held.runs & found.runs)
    h, s, v = governance.holds.c, data.snapshots.c, models.model_versions.c
    owners = {
        str(one)
        for column, key, ids in ((s.dataset_id, s.id, found.snapshots), (v.model_id, v.id, found.versions))
        for some in parts(sorted(ids))
        for one in connection.execute(sa.select(column).where(key.in_(some)).distinct()).scalars()
    }
    if not targets:
        return
    rows = connection.execute(
        sa.select(h.kind, h.target_id, h.reason, h.recorded_at, governance.actors.c.name)
        .join(governance.actors, governance.actors.c.id == h.actor_id)
        .where(h.released_at.is_(None))
        .order_by(h.id)
    )
    reasons = [
        f"a {row.kind} is held since {row.recorded_at:%Y-%m-%d} by {row.name}: {row.reason}"
        for row in rows
        if str(row.target_id) in targets | owners or row.kind == "endpoint"
    ]
    raise RefusedError(
        "a hold keeps what would be erased; nothing was changed:\n  " + "\n  ".join(dict.fromkeys(reasons)),
        mend="clew hold list names it; clew hold release REF, once its reason is gone, then erase again",
    )


def refuse_running(connection: sa.Connection, found: Affected) -> None:
    """Raise RefusedError while a run is reading what would be erased: what it makes would come after."""
    r = builds.runs.c
    for some in parts(sorted(found.runs)):
        running = connection.execute(sa.select(r.id).where(r.id.in_(some), r.state == "running")).scalars().all()
        if running:
            raise RefusedError(
                f"a run is reading the rows that would be erased: {', '.join(map(str, running))}",
                mend="wait for it to end, or end it; then erase again",
            )


class _Work:
    """The changes of one erasure, in its transaction."""

    def __init__(self, tx: Transaction, erasure_id: str) -> None:
        self.tx, self.erasure_id = tx, erasure_id
        self.gone: set[str] = set()  # digests of objects that go
        self.tokens: set[str] = set()  # ids of what was said before, wherever they are repeated

    def effect(self, kind: str, target_id: str, rows: int | None = None) -> None:
        self.tx.insert(
            governance.erasure_effects, erasure_id=self.erasure_id, kind=kind, target_id=target_id, rows=rows
        )

    def take_rows(self, contents: list[ContentRewrite], found: Affected) -> None:
        tx, table, s = self.tx, data.contents, data.snapshots
        lost: dict[str, int] = {}
        for one in contents:
            row = tx.find(table, id=one.content_pk)
            assert row is not None
            if one.content_id is None:
                forget_groups(tx, one.content_pk)
                lay_groups(tx, one.content_pk, one.groups)
                news = {"listing": one.listing, "profile": one.profile}
                for name, digest in news.items():
                    if digest is not None and digest != getattr(row, name):
                        self.gone |= {getattr(row, name)} - {None}
                        tx.update(table, table.c.id == one.content_pk, **{name: digest})
                continue
            self.tokens |= {row.content_id, *(row.column_ids or ())}
            self.gone |= {digest for digest in (row.profile, row.listing, *one.ropes) if digest is not None}
            forget_groups(tx, one.content_pk)
            gone = {"manifest": None, "listing": None, "profile": None, "column_ids": None}
            tx.update(table, table.c.id == one.content_pk, content_id=one.former, state="erased", **gone)
            successor = self._successor(one, row)
            tx.update(table, table.c.id == one.content_pk, superseded_by_id=successor, erased_rows=one.erased_rows)
            tx.update(s, s.c.content_pk == one.content_pk, content_pk=successor)
            checks = data.contract_checks
            tx.update(checks, checks.c.content_pk == one.content_pk, content_pk=successor)
            lost[successor] = one.erased_rows
        for snapshot_id in sorted(found.snapshots):
            content_pk = str(tx.connection.execute(sa.select(s.c.content_pk).where(s.c.id == snapshot_id)).scalar())
            self.effect("snapshot", snapshot_id, lost.get(content_pk))
        for some in parts(sorted(found.snapshots)):
            # What a source looked like tells an unchanged one unread; this one is to be read again.
            sources = data.sources
            tx.update(sources, sources.c.snapshot_id.in_(some), stamp=None, sha256=None)
            tx.update(s, s.c.id.in_(some) | s.c.parent_id.in_(some), changes=sa.null())

    def _successor(self, one: ContentRewrite, row: sa.Row[Any]) -> str:
        tx, table = self.tx, data.contents
        there = tx.find(table, content_id=one.content_id)
        if there is not None and there.state == "live":
            tx.update(table, table.c.id == there.id, erased_rows=max(int(there.erased_rows), one.erased_rows))
            return str(there.id)
        said: Row = {
            "kind": row.kind,
            "rows": one.rows,
            "schema": row.schema,
            "column_ids": one.column_ids,
            "manifest": row.manifest,
            "listing": one.listing,
            "profile": one.profile,
            "state": "live",
            "erased_rows": int(row.erased_rows) + one.erased_rows,
        }
        if there is None:
            successor = tx.insert(table, content_id=one.content_id, **said)
        else:
            successor = str(there.id)
            forget_groups(tx, successor)
            tx.update(table, table.c.id == successor, **said)
        lay_groups(tx, successor, one.groups)
        return successor

    def strike(self, digests: list[str]) -> None:
        """Take fragments out of the catalog: those that held the rows, and all others that no rope runs through."""
        tx, f, used = self.tx, data.fragments, data.group_fragments.c
        free = ~sa.exists().where(used.fragment_id == f.c.id)
        rows = tx.connection.execute(sa.select(f.c.id, f.c.digest).where(free)).all()
        for some in parts([str(row.id) for row in rows]):
            tx.connection.execute(f.delete().where(f.c.id.in_(some)))
        self.gone |= {str(row.digest) for row in rows} | set(digests)

    def drop_derived(self, found: Affected) -> None:
        tx, a, k, c = self.tx, builds.artifacts, builds.step_artifacts.c, builds.step_cache
        for some in parts(sorted(found.artifacts)):
            for row in tx.connection.execute(sa.select(a).where(a.c.id.in_(some), a.c.state != "erased")).all():
                self._drop_artifact(row)
            made = sa.select(k.step_id).where(k.artifact_id.in_(some), k.direction == "out")
            tx.connection.execute(c.delete().where(c.c.step_id.in_(made)))
        steps, reports = builds.steps, serving.monitor_reports
        for some in parts(sorted(found.steps)):
            logs = tx.connection.execute(sa.select(steps.c.log).where(steps.c.id.in_(some), steps.c.log.is_not(None)))
            self.gone |= {str(one) for one in logs.scalars()}
            tx.update(steps, steps.c.id.in_(some), log=None)
            failed = steps.c.id.in_(some) & steps.c.error.is_not(None)
            tx.update(steps, failed, error="its words went with rows that were erased")
        for some in parts(sorted(found.runs)):
            failed = builds.runs.c.id.in_(some) & builds.runs.c.error.is_not(None)
            tx.update(builds.runs, failed, error="its words went with rows that were erased")
        for some in parts(sorted(found.versions)):
            tx.connection.execute(reports.delete().where(reports.c.model_version_id.in_(some)))
            alerts = serving.alerts
            gone = {"message": "its words went with rows that were erased", "evidence": {}}
            tx.update(alerts, alerts.c.model_version_id.in_(some), **gone)
            e = models.model_evaluations
            tx.update(e, e.c.model_version_id.in_(some), slices=[])

    def _drop_artifact(self, row: sa.Row[Any]) -> None:
        a = builds.artifacts
        self.tokens |= {row.content_id, row.digest}
        if row.body is None:
            self.gone.add(row.digest)
        # The id is no content's any more: what is made again is another artifact.
        said = {"content_id": f"erased:{row.id}", "state": "erased", "body": None}
        self.tx.update(a, a.c.id == row.id, **said)
        self.effect("artifact", str(row.id), row.rows)

    def repackage(self, packages: list[Repackaged], found: Affected) -> None:
        tx, a, v = self.tx, builds.artifacts, models.model_versions
        for one in packages:
            former = tx.find(a, id=one.artifact_id)
            if one.artifact_id not in found.packages or former is None or former.digest == one.artifact.digest:
                continue
            tx.update(v, v.c.artifact_id == one.artifact_id, artifact_id=record_artifact(tx, one.artifact))
            self._drop_artifact(former)
        for version_id in sorted(found.versions):
            self.effect("model_version", version_id)

    def recode(self, tables: list[Recoded]) -> None:
        tx, a = self.tx, builds.artifacts
        for one in tables:
            row = tx.lock(a, id=one.artifact_id)
            if row is not None and row.state == "live" and row.digest != one.digest:
                self.gone.add(row.digest)
                tx.update(a, a.c.id == row.id, digest=one.digest, bytes=one.bytes)

    def requarantine(self, quarantines: list[Requarantined]) -> None:
        tx, q = self.tx, data.quarantines
        for one in quarantines:
            row = tx.lock(q, id=one.quarantine_id)
            if row is None or row.state != "live" or row.digest == one.digest:
                continue
            self.gone.add(row.digest)
            self.effect("quarantine", one.quarantine_id, int(row.rows) - one.rows)
            if one.digest is None:
                tx.update(q, q.c.id == row.id, state="erased", rows=0)
            else:
                tx.update(q, q.c.id == row.id, digest=one.digest, rows=one.rows)

    def left(self, found: Affected, before: Row) -> Row:
        """What is still to be done once this is committed, and was before; it goes when that is done."""
        now = {
            "objects": self.gone,
            "tokens": self.tokens | self.gone,
            "runs": found.runs,
            "versions": found.versions,
        }
        return {name: sorted(values.union(before.get(name, ()))) for name, values in now.items()}
