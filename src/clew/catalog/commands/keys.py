"""Commands about keys that are kept outside of the workspace: which one is the right one, and until when."""

from typing import Literal

import sqlalchemy as sa

from clew.catalog.command import Command, Digest, Transaction
from clew.catalog.tables import governance
from clew.errors import NotFoundError, RefusedError

Purpose = Literal["pseudonym", "erasure"]


class RecordKey(Command, frozen=True, kw_only=True):
    """Say by its fingerprint which key is used from now on, in place of the one it comes `after`."""

    purpose: Purpose
    fingerprint: Digest
    after: str | None = None

    def apply(self, tx: Transaction) -> str:
        """Give the key's name; the newest one again when it is this very key."""
        keys = governance.secret_keys
        mine = keys.c.name.like(f"{self.purpose}-%")
        rows = tx.connection.execute(sa.select(keys).where(mine).order_by(keys.c.recorded_at, keys.c.id)).all()
        newest = rows[-1] if rows else None
        if newest is not None and newest.fingerprint == self.fingerprint:
            return str(newest.name)
        if (None if newest is None else newest.name) != self.after:
            raise RefusedError(
                f"another key of {self.purpose}s was recorded meanwhile",
                mend="clew key list says which; put that key here",
            )
        if any(row.fingerprint == self.fingerprint for row in rows):
            raise RefusedError(f"that key of {self.purpose}s was used before", mend="begin with a new one")
        return self._named(tx, len(rows) + 1)

    def _named(self, tx: Transaction, number: int) -> str:
        name = f"{self.purpose}-{number}"
        tx.insert(governance.secret_keys, name=name, fingerprint=self.fingerprint)
        return name


class RetireKey(Command, frozen=True, kw_only=True):
    """Say that an older key isn't needed any more. Refused while it is in use, or while receipts rest on it."""

    name: str

    def apply(self, tx: Transaction) -> bool:
        """Give whether it was still there to be retired."""
        keys = governance.secret_keys
        found = tx.lock(keys, name=self.name)
        if found is None:
            raise NotFoundError(f"no key is called {self.name!r}", mend="clew key list")
        purpose = self.name.rpartition("-")[0]
        newest = tx.first(
            sa.select(keys.c.name)
            .where(keys.c.name.like(f"{purpose}-%"))
            .order_by(keys.c.recorded_at.desc(), keys.c.id.desc())
            .limit(1)
        )
        if newest is not None and newest.name == self.name:
            raise RefusedError(f"{self.name} is in use", mend=f"clew key rotate {purpose}, then retire it")
        erasures = governance.erasures.c
        receipts = tx.connection.execute(sa.select(sa.func.count()).where(erasures.key_name == self.name)).scalar()
        if receipts:
            raise RefusedError(
                f"{receipts} receipts of erasures were made with {self.name}: without it, an erased person who comes "
                "back in a later dump would not be known",
                mend="keep the key",
            )
        if found.retired_at is not None:
            return False
        return tx.update(keys, keys.c.id == found.id, retired_at=tx.recorded_at) > 0
