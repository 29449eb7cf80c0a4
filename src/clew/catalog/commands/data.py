"""Commands about datasets: snapshots, contracts, policies."""

import hashlib
from typing import Any, Literal

import msgspec
import sqlalchemy as sa

from clew.catalog.command import Command, ContentId, Count, Digest, Id, Moment, Row, Transaction
from clew.catalog.tables import data, governance
from clew.errors import NotFoundError, RefusedError, UsageError

_AT_ONCE = 500  # rows named in one statement

PolicyAction = Literal["block", "allow", "drop", "pseudonym", "generalise"]


class FragmentSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An immutable Parquet file: its object, rows and bytes; `written` unless it was taken from another content."""

    digest: Digest
    rows: Count
    bytes: Count
    written: bool = True


class GroupSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A column group: which columns, the object that lists its extents, and the fragments these lie in."""

    columns: list[str]
    rope: Digest
    fragments: list[FragmentSpec]


class SourceSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where rows or files came from, as it was seen."""

    uri: str
    kind: str
    bytes: Count | None = None
    modified_ns: int | None = None
    stamp: str | None = None
    sha256: Digest | None = None


class CreateDataset(Command, frozen=True, kw_only=True):
    """Name a dataset, or state its key and subject columns."""

    name: str
    key_columns: list[str] = []
    subject_column: str | None = None
    subject_files: str | None = None

    def apply(self, tx: Transaction) -> str:
        """Give the dataset's id. What is not stated stays as it was."""
        check_name(self.name)
        found = tx.lock(data.datasets, name=self.name)
        if found is None:
            return tx.insert(
                data.datasets,
                name=self.name,
                key_columns=self.key_columns,
                subject_column=self.subject_column,
                subject_files=self.subject_files,
            )
        changes: Row = {}
        if self.key_columns:
            changes["key_columns"] = self.key_columns
        if self.subject_column is not None:
            changes["subject_column"] = self.subject_column
        if self.subject_files is not None:
            changes["subject_files"] = self.subject_files
        if changes:
            tx.update(data.datasets, data.datasets.c.id == found.id, **changes)
        return str(found.id)


class RecordSnapshot(Command, frozen=True, kw_only=True):
    """Make content the newest version of a dataset. Its bytes must be durable before."""

    dataset_id: Id
    content_id: ContentId
    kind: Literal["table", "files", "both"]
    rows: Count | None
    schema: Any
    column_ids: list[ContentId] | None = None
    manifest: Digest | None = None
    listing: Digest | None = None
    profile: Digest | None = None
    groups: list[GroupSpec] = []
    changes: Any = None
    new_bytes: Count
    sources: list[SourceSpec] = []
    occurred_at: Moment
    message: str | None = None
    erasures: Count = 0
    """How many of the dataset's erasures the rows were held against."""

    def apply(self, tx: Transaction) -> Row:
        """Give the version; the newest again, unchanged, when it already has this content."""
        dataset = tx.lock(data.datasets, id=self.dataset_id)
        if dataset is None:
            raise NotFoundError(f"no dataset {self.dataset_id}", mend="clew data list")
        e = governance.erasures.c
        known = sa.select(sa.func.count()).where(e.dataset_id == self.dataset_id)
        if int(tx.connection.execute(known).scalar_one()) > self.erasures:
            raise RefusedError("a person's rows are being erased from this dataset meanwhile", mend="try again")
        query = (
            sa.select(data.snapshots, data.contents.c.content_id)
            .join(data.contents, data.contents.c.id == data.snapshots.c.content_pk)
            .where(data.snapshots.c.dataset_id == self.dataset_id)
            .order_by(data.snapshots.c.version.desc())
        )
        newest = tx.first(query.limit(1))
        if newest is not None and newest.content_id == self.content_id and newest.state == "live":
            self._seen_again(tx, str(newest.id))
            return {"snapshot_id": str(newest.id), "version": int(newest.version), "changed": False}
        version = 1 if newest is None else int(newest.version) + 1
        snapshot_id = tx.insert(
            data.snapshots,
            dataset_id=self.dataset_id,
            version=version,
            content_pk=self._content(tx),
            parent_id=None if newest is None else newest.id,
            new_bytes=self.new_bytes,
            message=self.message,
            changes=None if newest is None or self.changes is None else self._changes(newest.content_id),
            state="live",
            occurred_at=self.occurred_at,
        )
        for source in self.sources:
            tx.insert(data.sources, snapshot_id=snapshot_id, **msgspec.to_builtins(source))
        return {"snapshot_id": snapshot_id, "version": version, "changed": True}

    def _seen_again(self, tx: Transaction, snapshot_id: str) -> None:
        """Keep where the same content was found this time, so that it can be known by its stamp the next time."""
        for source in self.sources:
            if source.stamp is None:
                continue
            mine = (data.sources.c.snapshot_id == snapshot_id) & (data.sources.c.uri == source.uri)
            fields = msgspec.to_builtins(source)
            if not tx.update(data.sources, mine, **fields):
                tx.insert(data.sources, snapshot_id=snapshot_id, **fields)

    def _changes(self, before: str) -> Any:
        """What changed, if it was found against the version that is really the one before."""
        return self.changes if self.changes.get("from") == before else None

    def _content(self, tx: Transaction) -> str:
        found = tx.lock(data.contents, content_id=self.content_id)
        if found is not None and found.state == "live":
            return str(found.id)
        if found is not None and found.state == "erased":
            raise RefusedError(
                f"content {self.content_id} was erased: it holds rows of someone who asked to be forgotten",
                mend="take these rows out of the source",
            )
        if self.manifest is None and self.listing is None and not self.groups:
            raise RefusedError(
                f"no bytes are given for content {self.content_id}, and the catalog has none for it any more",
                mend="add the source again",
            )
        described = {
            name: getattr(self, name)
            for name in ("kind", "rows", "schema", "column_ids", "manifest", "listing", "profile")
        }
        if found is None:
            content_pk = tx.insert(data.contents, content_id=self.content_id, state="live", **described)
        else:
            content_pk = str(found.id)
            tx.update(data.contents, data.contents.c.id == content_pk, state="live", **described)
            forget_groups(tx, content_pk)
        lay_groups(tx, content_pk, self.groups)
        return content_pk


class ReplaceGroups(Command, frozen=True, kw_only=True):
    """Let a content lie elsewhere: the same rows, in other column groups and fragments, as compaction leaves them."""

    content_pk: Id
    ropes: list[Digest]
    groups: list[GroupSpec]

    def apply(self, tx: Transaction) -> bool:
        """Give whether it was done: not when the ropes are no longer those that the new groups were made from."""
        found = tx.lock(data.contents, id=self.content_pk)
        if found is None or found.state != "live":
            return False
        groups = data.column_groups
        query = sa.select(groups.c.rope).where(groups.c.content_pk == self.content_pk).order_by(groups.c.ordinal)
        if [row.rope for row in tx.connection.execute(query)] != self.ropes:
            return False
        forget_groups(tx, self.content_pk)
        lay_groups(tx, self.content_pk, self.groups)
        return True


class RelocateContent(Command, frozen=True, kw_only=True):
    """Let a content whose bytes were lost lie where they were stored anew; what isn't given stays as it is."""

    content_pk: Id
    manifest: Digest | None = None
    listing: Digest | None = None
    profile: Digest | None = None
    groups: list[GroupSpec] = []

    def apply(self, tx: Transaction) -> bool:
        """Give whether it was done: not when the content has been erased, or has expired, meanwhile."""
        found = tx.lock(data.contents, id=self.content_pk)
        if found is None or found.state != "live":
            return False
        given: Row = {name: getattr(self, name) for name in ("manifest", "listing", "profile")}
        given = {name: digest for name, digest in given.items() if digest is not None}
        if given:
            tx.update(data.contents, data.contents.c.id == self.content_pk, **given)
        if self.groups:
            forget_groups(tx, self.content_pk)
            lay_groups(tx, self.content_pk, self.groups)
        return True


class ForgetFragments(Command, frozen=True, kw_only=True):
    """Strike fragments that no rope has run through since a moment; their bytes may go afterwards."""

    released_before: Moment

    def apply(self, tx: Transaction) -> list[str]:
        """Give the digests of those that were struck."""
        fragments, used = data.fragments.c, data.group_fragments.c
        free = sa.select(fragments.id, fragments.digest).where(
            fragments.released_at < self.released_before,
            ~sa.exists().where(used.fragment_id == fragments.id),
        )
        found = tx.connection.execute(free).all()
        for start in range(0, len(found), _AT_ONCE):
            ids = [row.id for row in found[start : start + _AT_ONCE]]
            tx.connection.execute(data.fragments.delete().where(fragments.id.in_(ids)))
        return [str(row.digest) for row in found]


def lay_groups(tx: Transaction, content_pk: str, groups: list[GroupSpec]) -> None:
    """Write the groups of a content. Raises RefusedError when a fragment taken from elsewhere is gone."""
    for ordinal, group in enumerate(groups):
        group_id = tx.insert(
            data.column_groups, content_pk=content_pk, ordinal=ordinal, columns=group.columns, rope=group.rope
        )
        wanted = {fragment.digest: fragment for fragment in group.fragments}
        known: dict[str, str] = {}
        for start in range(0, len(wanted), _AT_ONCE):
            part = list(wanted)[start : start + _AT_ONCE]
            # Locked: the collector must not strike what this content is about to need.
            query = sa.select(data.fragments).where(data.fragments.c.digest.in_(part)).order_by(data.fragments.c.digest)
            rows = tx.connection.execute(query.with_for_update(key_share=True)).all()
            known |= {row.digest: str(row.id) for row in rows}
            freed = [row.id for row in rows if row.released_at is not None]
            if freed:
                tx.update(data.fragments, data.fragments.c.id.in_(freed), released_at=None)
        for fragment in wanted.values():
            if fragment.digest not in known:
                if not fragment.written:
                    raise RefusedError(
                        f"fragment {fragment.digest[:12]}… was collected as garbage meanwhile", mend="try again"
                    )
                known[fragment.digest] = tx.insert(
                    data.fragments, digest=fragment.digest, rows=fragment.rows, bytes=fragment.bytes
                )
            tx.insert(data.group_fragments, group_id=group_id, fragment_id=known[fragment.digest])


def forget_groups(tx: Transaction, content_pk: str) -> None:
    """Take away where a content's rows lay; a fragment that no other content needs is released from now on."""
    groups, used, fragments = data.column_groups, data.group_fragments.c, data.fragments.c
    mine = sa.select(groups.c.id).where(groups.c.content_pk == content_pk)
    touched = sa.select(used.fragment_id).where(used.group_id.in_(mine))
    others = sa.exists().where(used.fragment_id == fragments.id, used.group_id.not_in(mine))
    tx.update(data.fragments, fragments.id.in_(touched) & ~others, released_at=tx.recorded_at)
    tx.connection.execute(data.group_fragments.delete().where(used.group_id.in_(mine)))
    tx.connection.execute(groups.delete().where(groups.c.content_pk == content_pk))


class SetPolicy(Command, frozen=True, kw_only=True):
    """Say what happens to a column that holds personal data; `details` how it is generalised."""

    dataset_id: Id
    column: str
    action: PolicyAction
    reason: str
    details: Any = None

    def apply(self, tx: Transaction) -> str:
        """Give the policy's id; the one before it is superseded, and kept."""
        if not self.reason.strip():
            raise UsageError("a policy needs its reason", mend='add --reason "why this is right"')
        if (self.action == "generalise") != (self.details is not None):
            raise UsageError("to generalise needs to be said how, and nothing else does", mend="--to year")
        if tx.lock(data.datasets, id=self.dataset_id) is None:
            raise NotFoundError(f"no dataset {self.dataset_id}", mend="clew data list")
        _supersede(tx, self.dataset_id, self.column)
        return tx.insert(
            data.policies,
            dataset_id=self.dataset_id,
            column_name=self.column,
            action=self.action,
            reason=self.reason,
            details=self.details,
        )


class WithdrawPolicy(Command, frozen=True, kw_only=True):
    """Let nothing be declared of a column any more; what was declared is kept as superseded."""

    dataset_id: Id
    column: str

    def apply(self, tx: Transaction) -> bool:
        """Give whether there was one."""
        if tx.lock(data.datasets, id=self.dataset_id) is None:
            raise NotFoundError(f"no dataset {self.dataset_id}", mend="clew data list")
        return _supersede(tx, self.dataset_id, self.column) > 0


def _supersede(tx: Transaction, dataset_id: str, column: str) -> int:
    policies = data.policies.c
    return tx.update(
        data.policies,
        (policies.dataset_id == dataset_id) & (policies.column_name == column) & policies.superseded_at.is_(None),
        superseded_at=tx.recorded_at,
    )


class RecordContract(Command, frozen=True, kw_only=True):
    """Keep a contract of a dataset; the same text again gives the same version."""

    dataset_id: Id
    toml: str

    def apply(self, tx: Transaction) -> Row:
        """Give its id and version."""
        if tx.lock(data.datasets, id=self.dataset_id) is None:
            raise NotFoundError(f"no dataset {self.dataset_id}", mend="clew data list")
        sha256 = hashlib.sha256(self.toml.encode()).hexdigest()
        mine = data.contracts.c.dataset_id == self.dataset_id
        newest = tx.first(sa.select(data.contracts).where(mine).order_by(data.contracts.c.version.desc()).limit(1))
        if newest is not None and newest.sha256 == sha256:
            return {"contract_id": str(newest.id), "version": int(newest.version)}
        version = tx.next_number(data.contracts.c.version, mine)
        contract_id = tx.insert(
            data.contracts, dataset_id=self.dataset_id, version=version, toml=self.toml, sha256=sha256
        )
        return {"contract_id": contract_id, "version": version}


class RecordContractCheck(Command, frozen=True, kw_only=True):
    """Keep what a contract found in a content."""

    contract_id: Id
    content_pk: Id
    run_id: Id | None = None
    passed: bool
    results: Any

    def apply(self, tx: Transaction) -> str:
        """Give the check's id."""
        return tx.insert(
            data.contract_checks,
            contract_id=self.contract_id,
            content_pk=self.content_pk,
            run_id=self.run_id,
            passed=self.passed,
            results=self.results,
        )


class RecordQuarantine(Command, frozen=True, kw_only=True):
    """Keep which rows of a delivery a contract kept out, and why; the bytes of the rows must be durable before."""

    dataset_id: Id
    contract_id: Id | None = None
    uri: str
    rows: Count
    results: Any
    digest: Digest

    def apply(self, tx: Transaction) -> str:
        """Give its id; the same rows again, while they are kept, are the same quarantine."""
        if tx.lock(data.datasets, id=self.dataset_id) is None:
            raise NotFoundError(f"no dataset {self.dataset_id}", mend="clew data list")
        q = data.quarantines.c
        same = (q.dataset_id == self.dataset_id) & (q.digest == self.digest) & (q.state == "live")
        found = tx.first(sa.select(q.id).where(same).limit(1))
        if found is not None:
            tx.update(data.quarantines, q.id == found.id, results=self.results)
            return str(found.id)
        return tx.insert(
            data.quarantines,
            dataset_id=self.dataset_id,
            contract_id=self.contract_id,
            uri=self.uri,
            rows=self.rows,
            results=self.results,
            digest=self.digest,
            state="live",
        )


class ForgetQuarantine(Command, frozen=True, kw_only=True):
    """Let the rows of a quarantine go: its bytes may be collected; what it was stays known."""

    quarantine_id: Id

    def apply(self, tx: Transaction) -> bool:
        """Give whether it was live."""
        found = tx.lock(data.quarantines, id=self.quarantine_id)
        if found is None:
            raise NotFoundError(f"no quarantine {self.quarantine_id}", mend="clew contract quarantine list")
        if found.state == "live":
            tx.update(data.quarantines, data.quarantines.c.id == self.quarantine_id, state="expired")
        return bool(found.state == "live")


def check_name(name: str) -> None:
    """Names stand in references, paths and URLs. Raises UsageError."""
    plain = name.replace("-", "").replace("_", "").replace(".", "")
    if not (plain.isascii() and plain.isalnum() and name[0].isalnum() and len(name) <= 100):
        raise UsageError(
            f"{name!r} can't be a name", mend="use up to 100 letters, digits, '-', '_' and '.', such as house-sales"
        )
