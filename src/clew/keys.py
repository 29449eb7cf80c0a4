"""The keys of pseudonyms and of receipts: kept outside of the workspace, known inside by their fingerprints.

The catalog names each key (`pseudonym-1`, `pseudonym-2`, …) and holds its fingerprint since its first use. The key
itself comes from `CLEW_PSEUDONYM_KEY` or `CLEW_ERASURE_KEY`, else from a file of this user, one folder a workspace.
A key that is lost, or another one in its place, is refused: a new one would silently part the pseudonyms of old
versions from those of new ones.
"""

import hashlib
import hmac
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, cast

import sqlalchemy as sa

from clew import _key_files as files
from clew.catalog.commands import RecordKey, RetireKey
from clew.catalog.commands.keys import Purpose
from clew.catalog.tables import data, governance
from clew.errors import NotFoundError, RefusedError, UsageError
from clew.workspace import Workspace

SHORTEST: Final = 16
VARIABLES: Final[dict[Purpose, str]] = {"pseudonym": "CLEW_PSEUDONYM_KEY", "erasure": "CLEW_ERASURE_KEY"}


@dataclass(frozen=True, slots=True)
class KnownKey:
    """A key that the catalog knows; `at` says where it is at hand: a variable, a file, or None."""

    name: str
    fingerprint: str
    recorded_at: datetime
    retired_at: datetime | None
    in_use: bool
    at: str | None


def secret_key(workspace: Workspace, purpose: Purpose) -> tuple[str, bytes]:
    """The name and the bytes of the key that is in use; made, and recorded, at its first use.

    Raises NotFoundError when the recorded key is lost, RefusedError when another one stands in its place.
    """
    rows = _rows(workspace, purpose)
    if not rows:
        return _first(workspace, purpose)
    newest, given = rows[-1], _given(purpose)
    if given is not None and fingerprint(given) != newest.fingerprint:
        raise RefusedError(
            f"{VARIABLES[purpose]} holds another key than {newest.name}, which this workspace works with since "
            f"{newest.recorded_at:%Y-%m-%d}",
            mend=f"give it that key; or begin with this one, apart from what was before: clew key rotate {purpose}",
        )
    return str(newest.name), _at_hand(workspace, newest)


def secret_key_named(workspace: Workspace, name: str) -> bytes:
    """The bytes of a key by its name, such as an older one. Raises NotFoundError, RefusedError once it is retired."""
    row = workspace.catalog.first(sa.select(governance.secret_keys).where(governance.secret_keys.c.name == name))
    if row is None:
        raise NotFoundError(f"no key is called {name!r}", mend="clew key list")
    if row.retired_at is not None:
        raise RefusedError(
            f"{name} was retired on {row.retired_at:%Y-%m-%d}", mend="use a key that is in use: clew key list"
        )
    return _at_hand(workspace, row)


def rotate(workspace: Workspace, purpose: Purpose) -> tuple[str, str | None]:
    """Begin with a new key; give its name, and that of the one before, which stays until it is retired.

    Where the key is given by its variable, that has to hold the new one. Raises RefusedError when it is the old one.
    """
    rows = _rows(workspace, purpose)
    if not rows:
        return secret_key(workspace, purpose)[0], None
    newest, given = rows[-1], _given(purpose)
    if given is None:
        return _made(workspace, purpose, len(rows) + 1, str(newest.name)), str(newest.name)
    if fingerprint(given) == newest.fingerprint:
        raise RefusedError(
            f"{VARIABLES[purpose]} still holds {newest.name}, so there is no new key to begin with",
            mend=f"keep that key in {_file(workspace, newest.name)} for what rests on it, set the variable to a new "
            "random one, and rotate again",
        )
    name = workspace.catalog.execute(RecordKey(purpose=purpose, fingerprint=fingerprint(given), after=newest.name))
    return str(name), str(newest.name)


def retire(workspace: Workspace, name: str) -> Path | None:
    """Say that an older key isn't needed any more; give its file, which may now be deleted, if it is here.

    Raises NotFoundError; RefusedError while it is in use or receipts rest on it.
    """
    workspace.catalog.execute(RetireKey(name=name))
    path = _file(workspace, name)
    return path if path.exists() else None


def known(workspace: Workspace) -> list[KnownKey]:
    """All keys that the catalog knows, the oldest first."""
    rows = _rows(workspace, None)
    newest = {_purpose(row.name): row.name for row in rows}
    return [
        KnownKey(
            name=row.name,
            fingerprint=row.fingerprint,
            recorded_at=row.recorded_at,
            retired_at=row.retired_at,
            in_use=newest[_purpose(row.name)] == row.name,
            at=next((at for at, key in _candidates(workspace, row.name) if fingerprint(key) == row.fingerprint), None),
        )
        for row in rows
    ]


def fingerprint(key: bytes) -> str:
    """What tells a key from others; a random key can't be guessed from it."""
    return hmac.new(key, b"clew: fingerprint of a key", hashlib.sha256).hexdigest()


def _rows(workspace: Workspace, purpose: Purpose | None) -> list[Any]:
    keys = governance.secret_keys
    query = sa.select(keys).order_by(keys.c.recorded_at, keys.c.id)
    return workspace.catalog.rows(query if purpose is None else query.where(keys.c.name.like(f"{purpose}-%")))


def _first(workspace: Workspace, purpose: Purpose) -> tuple[str, bytes]:
    """Take the key that is given, or that was used before keys were recorded, or a new one; record it."""
    key = _given(purpose)
    if key is None and purpose == "pseudonym" and _has_unrecorded_pseudonyms(workspace):
        old = files.settings_folder() / "pseudonym.key"
        key = files.read(old)
        if key is None:
            raise NotFoundError(
                f"the pseudonyms of this workspace were made with the key in {old}, and it is not there any more",
                mend="put it back, or set CLEW_PSEUDONYM_KEY to it",
            )
        files.write_once(_file(workspace, "pseudonym-1"), key)
    if key is None:
        name = _made(workspace, purpose, 1, None)
        return name, secret_key_named(workspace, name)
    name = str(workspace.catalog.execute(RecordKey(purpose=purpose, fingerprint=fingerprint(key))))
    return name, key


def _made(workspace: Workspace, purpose: Purpose, number: int, after: str | None) -> str:
    """Make a key, durable before it is recorded; what a broken-off attempt left was never used, and will do."""
    path = _file(workspace, f"{purpose}-{number}")
    key = files.write_once(path, secrets.token_hex(32).encode())
    try:
        return str(workspace.catalog.execute(RecordKey(purpose=purpose, fingerprint=fingerprint(key), after=after)))
    except RefusedError:
        path.unlink(missing_ok=True)
        raise


def _given(purpose: Purpose) -> bytes | None:
    """The key in its variable. Raises UsageError for one that could be guessed."""
    key = os.environ.get(VARIABLES[purpose], "").encode()
    if key and len(key) < SHORTEST:
        raise UsageError(
            f"{VARIABLES[purpose]} holds {len(key)} bytes, and a key has at least {SHORTEST}",
            mend="python -c 'import secrets; print(secrets.token_hex(32))' makes one",
        )
    return key or None


def _at_hand(workspace: Workspace, row: Any) -> bytes:
    """The recorded key, wherever it is found."""
    for _, key in _candidates(workspace, row.name):
        if fingerprint(key) == row.fingerprint:
            return key
    path = _file(workspace, row.name)
    mend = f"put it back into {path} or {VARIABLES[_purpose(row.name)]}"
    since = f"{row.name}, in use since {row.recorded_at:%Y-%m-%d},"
    if path.exists():
        raise RefusedError(
            f"{path} holds another key than {since} which the workspace knows by its fingerprint", mend=mend
        )
    raise NotFoundError(
        f"key {since} is not on this machine; a new one would give every person another pseudonym",
        mend=f"{mend}; if it is lost: clew key rotate {_purpose(row.name)}",
    )


def _candidates(workspace: Workspace, name: str) -> Iterator[tuple[str, bytes]]:
    purpose = _purpose(name)
    given = _given(purpose)
    if given is not None:
        yield VARIABLES[purpose], given
    own = _file(workspace, name)
    for path in (own, *files.elsewhere(own.parent.name, name)):
        key = files.read(path)
        if key:
            yield str(path), key


def _file(workspace: Workspace, name: str) -> Path:
    return files.file_of(str(workspace.catalog.rows(sa.select(governance.workspace.c.id))[0].id), name)


def _purpose(name: str) -> Purpose:
    return cast("Purpose", name.rpartition("-")[0])


def _has_unrecorded_pseudonyms(workspace: Workspace) -> bool:
    """Whether a version came after a policy that makes pseudonyms, from before keys were recorded."""
    policies, snapshots = data.policies.c, data.snapshots.c
    query = sa.select(policies.id).where(
        policies.action == "pseudonym",
        sa.exists().where(
            snapshots.dataset_id == policies.dataset_id,
            snapshots.recorded_at > policies.recorded_at,
            policies.superseded_at.is_(None) | (snapshots.recorded_at < policies.superseded_at),
        ),
    )
    return workspace.catalog.first(query.limit(1)) is not None
