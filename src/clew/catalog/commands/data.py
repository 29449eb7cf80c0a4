"""Commands about datasets: snapshots, contracts, policies."""

import hashlib
from typing import Any, Literal

import msgspec
import sqlalchemy as sa

from clew.catalog.command import Command, ContentId, Count, Digest, Id, Moment, Row, Transaction
from clew.catalog.tables import data
from clew.errors import NotFoundError, RefusedError, UsageError

PolicyAction = Literal["block", "allow", "drop", "pseudonym"]


class FragmentSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An immutable Parquet file: its object, rows and bytes."""

    digest: Digest
    rows: Count
    bytes: Count


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
    sha256: Digest | None = None


class CreateDataset(Command, frozen=True, kw_only=True):
    """Name a dataset, or state its key and subject columns."""

    name: str
    key_columns: list[str] = []
    subject_column: str | None = None

    def apply(self, tx: Transaction) -> str:
        """Give the dataset's id. What is not stated stays as it was."""
        check_name(self.name)
        found = tx.lock(data.datasets, name=self.name)
        if found is None:
            return tx.insert(
                data.datasets, name=self.name, key_columns=self.key_columns, subject_column=self.subject_column
            )
        changes: Row = {}
        if self.key_columns:
            changes["key_columns"] = self.key_columns
        if self.subject_column is not None:
            changes["subject_column"] = self.subject_column
        if changes:
            tx.update(data.datasets, data.datasets.c.id == found.id, **changes)
        return str(found.id)


class RecordSnapshot(Command, frozen=True, kw_only=True):
    """Make content the newest version of a dataset. Its bytes must be durable before."""

    dataset_id: Id
    content_id: ContentId
    kind: Literal["table", "files"]
    rows: Count | None
    schema: Any
    manifest: Digest | None = None
    groups: list[GroupSpec] = []
    new_bytes: Count
    sources: list[SourceSpec] = []
    occurred_at: Moment
    message: str | None = None

    def apply(self, tx: Transaction) -> Row:
        """Give the version; the newest again, unchanged, when it already has this content."""
        dataset = tx.lock(data.datasets, id=self.dataset_id)
        if dataset is None:
            raise NotFoundError(f"no dataset {self.dataset_id}", mend="clew data list")
        query = (
            sa.select(data.snapshots, data.contents.c.content_id)
            .join(data.contents, data.contents.c.id == data.snapshots.c.content_pk)
            .where(data.snapshots.c.dataset_id == self.dataset_id)
            .order_by(data.snapshots.c.version.desc())
        )
        newest = tx.first(query.limit(1))
        if newest is not None and newest.content_id == self.content_id and newest.state == "live":
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
            state="live",
            occurred_at=self.occurred_at,
        )
        for source in self.sources:
            tx.insert(data.sources, snapshot_id=snapshot_id, **msgspec.to_builtins(source))
        return {"snapshot_id": snapshot_id, "version": version, "changed": True}

    def _content(self, tx: Transaction) -> str:
        found = tx.lock(data.contents, content_id=self.content_id)
        if found is not None and found.state == "live":
            return str(found.id)
        if found is not None and found.state == "erased":
            raise RefusedError(
                f"content {self.content_id} was erased: it holds rows of someone who asked to be forgotten",
                mend="take these rows out of the source",
            )
        if self.manifest is None and not self.groups:
            raise RefusedError(
                f"no bytes are given for content {self.content_id}, and the catalog has none for it any more",
                mend="add the source again",
            )
        described = {"kind": self.kind, "rows": self.rows, "schema": self.schema, "manifest": self.manifest}
        if found is None:
            content_pk = tx.insert(data.contents, content_id=self.content_id, state="live", **described)
        else:
            content_pk = str(found.id)
            tx.update(data.contents, data.contents.c.id == content_pk, state="live", **described)
            self._forget_groups(tx, content_pk)
        for ordinal, group in enumerate(self.groups):
            group_id = tx.insert(
                data.column_groups, content_pk=content_pk, ordinal=ordinal, columns=group.columns, rope=group.rope
            )
            for fragment in {fragment.digest: fragment for fragment in group.fragments}.values():
                known = tx.find(data.fragments, digest=fragment.digest)
                fragment_id = known.id if known else tx.insert(data.fragments, **msgspec.to_builtins(fragment))
                tx.insert(data.group_fragments, group_id=group_id, fragment_id=fragment_id)
        return content_pk

    def _forget_groups(self, tx: Transaction, content_pk: str) -> None:
        """Take away where the bytes lay before they expired: they were written anew."""
        groups = data.column_groups
        old = sa.select(groups.c.id).where(groups.c.content_pk == content_pk)
        tx.connection.execute(data.group_fragments.delete().where(data.group_fragments.c.group_id.in_(old)))
        tx.connection.execute(groups.delete().where(groups.c.content_pk == content_pk))


class SetPolicy(Command, frozen=True, kw_only=True):
    """Say what happens to a column that holds personal data."""

    dataset_id: Id
    column: str
    action: PolicyAction
    reason: str

    def apply(self, tx: Transaction) -> str:
        """Give the policy's id; the one before it is superseded, and kept."""
        if not self.reason.strip():
            raise UsageError("a policy needs its reason", mend='add --reason "why this is right"')
        if tx.lock(data.datasets, id=self.dataset_id) is None:
            raise NotFoundError(f"no dataset {self.dataset_id}", mend="clew data list")
        tx.update(
            data.policies,
            (data.policies.c.dataset_id == self.dataset_id)
            & (data.policies.c.column_name == self.column)
            & data.policies.c.superseded_at.is_(None),
            superseded_at=tx.recorded_at,
        )
        return tx.insert(
            data.policies,
            dataset_id=self.dataset_id,
            column_name=self.column,
            action=self.action,
            reason=self.reason,
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


def check_name(name: str) -> None:
    """Names stand in references, paths and URLs. Raises UsageError."""
    plain = name.replace("-", "").replace("_", "").replace(".", "")
    if not (plain.isascii() and plain.isalnum() and name[0].isalnum() and len(name) <= 100):
        raise UsageError(
            f"{name!r} can't be a name", mend="use up to 100 letters, digits, '-', '_' and '.', such as house-sales"
        )
