"""Commands about names, and about the workspace itself."""

from datetime import timedelta
from typing import Annotated, Literal

import msgspec
import sqlalchemy as sa

from clew.catalog.command import Command, Count, Digest, Id, Row, Transaction
from clew.catalog.tables import builds, data, governance, models
from clew.errors import NotFoundError, RefusedError, UsageError

OwnerKind = Literal["dataset", "model"]
_LISTED = {"dataset": "data", "model": "model"}


class CreateWorkspace(Command, frozen=True, kw_only=True):
    """Give the workspace its identity; done once, by `clew init`."""

    clew_version: str

    def apply(self, tx: Transaction) -> str:
        """Give the workspace's id, made now or before."""
        found = tx.find(governance.workspace)
        return str(found.id) if found else tx.insert(governance.workspace, clew_version=self.clew_version)


class ImportWorkspace(Command, frozen=True, kw_only=True):
    """Say that this workspace was made from an export, whose rows are written in the same transaction."""

    manifest_sha256: Digest
    workspace_id: Id
    clew_version: str
    rows: dict[str, Count]

    def apply(self, tx: Transaction) -> str:
        """Give the id of the workspace that it goes into. Refused when that has a dataset, a run or a model already."""
        for table in (data.datasets, builds.runs, models.models):
            if tx.first(sa.select(table.c.id).limit(1)) is not None:
                raise RefusedError(
                    f"the workspace is not empty: there are {table.name}",
                    mend="clew init an empty one first",
                )
        found = tx.find(governance.workspace)
        if found is None:
            raise NotFoundError("the catalog has no workspace yet", mend="clew init")
        tx.update(governance.workspace, governance.workspace.c.id == found.id, clew_version=self.clew_version)
        return str(found.id)


class MoveAlias(Command, frozen=True, kw_only=True):
    """Point an alias of a dataset or model at one of its versions; the move is kept for ever."""

    owner_kind: OwnerKind
    owner_id: Id
    alias: str
    to_id: Id
    reason: str | None = None

    def apply(self, tx: Transaction) -> Row:
        """Give where the alias pointed before."""
        check_alias(self.alias)
        self._check_target(tx)
        owner = {"owner_kind": self.owner_kind, "owner_id": self.owner_id, "alias": self.alias}
        found = tx.lock(governance.aliases, **owner)
        before = None if found is None else str(found.target_id)
        if before == self.to_id:
            return {"from_id": before, "moved": False}
        if found is None:
            tx.insert(governance.aliases, **owner, target_id=self.to_id)
        else:
            table = governance.aliases.c
            tx.update(
                governance.aliases,
                (table.owner_id == self.owner_id) & (table.owner_kind == self.owner_kind) & (table.alias == self.alias),
                target_id=self.to_id,
            )
        tx.insert(governance.alias_moves, **owner, from_id=before, to_id=self.to_id, reason=self.reason)
        return {"from_id": before, "moved": True}

    def _check_target(self, tx: Transaction) -> None:
        """Two kinds of owners share the table, so it can't have foreign keys."""
        if self.owner_kind == "dataset":
            found = tx.lock(data.snapshots, id=self.to_id, dataset_id=self.owner_id)
        else:
            found = tx.lock(models.model_versions, id=self.to_id, model_id=self.owner_id)
        if found is None:
            raise NotFoundError(
                f"no version {self.to_id} of that {self.owner_kind}", mend=f"clew {_LISTED[self.owner_kind]} list"
            )


def check_alias(alias: str) -> None:
    """An alias can't be read as a version, a date or an id. Raises UsageError."""
    plain = alias.replace("-", "").replace("_", "")
    if alias == "latest" or not plain.isalnum() or not alias[0].isalpha() or len(alias) > 100:
        raise UsageError(
            f"{alias!r} can't be an alias",
            mend="use up to 100 letters, digits, - and _, beginning with a letter; 'latest' is taken",
        )


def refuse_while_erasing(tx: Transaction) -> None:
    """Raise RefusedError while an erasure keeps writers out."""
    leases = governance.leases.c
    query = sa.select(leases.id).where(leases.kind == "erase", leases.expires_at > tx.recorded_at).limit(1)
    if tx.first(query) is not None:
        raise RefusedError(
            "a person's rows are being erased, and nobody may write meanwhile", mend="try again in a minute"
        )


class TakeLease(Command, frozen=True, kw_only=True):
    """Say that a process is writing what no version names yet: garbage collection leaves alone what came since."""

    holder: str
    kind: Literal["write"] = "write"
    target: str
    seconds: Annotated[int, msgspec.Meta(gt=0, le=7 * 86_400)]

    def apply(self, tx: Transaction) -> str:
        """Give the lease's id. Raises RefusedError while a person is being erased."""
        refuse_while_erasing(tx)
        return tx.insert(
            governance.leases,
            holder=self.holder,
            kind=self.kind,
            target=self.target,
            expires_at=tx.recorded_at + timedelta(seconds=self.seconds),
        )


class RenewLease(Command, frozen=True, kw_only=True):
    """Prolong a lease, counted from now."""

    lease_id: Id
    seconds: Annotated[int, msgspec.Meta(gt=0, le=7 * 86_400)]

    def apply(self, tx: Transaction) -> bool:
        """Give whether it was still there."""
        until = tx.recorded_at + timedelta(seconds=self.seconds)
        return tx.update(governance.leases, governance.leases.c.id == self.lease_id, expires_at=until) > 0


class EndLease(Command, frozen=True, kw_only=True):
    """Give a lease back; those that ran out go with it."""

    lease_id: Id

    def apply(self, tx: Transaction) -> None:
        """Take the lease away."""
        table = governance.leases
        tx.connection.execute(
            table.delete().where((table.c.id == self.lease_id) | (table.c.expires_at < tx.recorded_at))
        )
