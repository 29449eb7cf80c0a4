"""The table of a snapshot on its way in: read with the right types, checked, stored at the price of what changed."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import msgspec
import numpy as np
import polars as pl
import pyarrow as pa
import sqlalchemy as sa

from clew.catalog.commands import FragmentSpec, GroupSpec, RecordContractCheck, SourceSpec
from clew.catalog.tables import data
from clew.data import _changes, _fragments, _store, contracts, policies, readers, rope
from clew.data._erased import Forgotten, held_against
from clew.data._exact import first_line
from clew.data._gather import Group, Table
from clew.data._logical import type_name
from clew.data._source import Mapped, Source
from clew.data._verify import table_faults
from clew.data.contract import Contract
from clew.data.contracts import Checked
from clew.data.identity import TableIdentity
from clew.data.privacy import Policy
from clew.data.profile import Profile, by_column, counted, encode, frozen
from clew.data.snapshot import Snapshot, by_content
from clew.errors import ClewError, DataError, IntegrityError, NotFoundError, RefusedError, UsageError
from clew.workspace import Workspace

_TAKEN: Final = 131_072

Report = Callable[[str, int, int | None], None]


@dataclass
class TablePart:
    """A table that was read once and passed all checks. Use it as a context manager: it holds files.

    `is_newest` where the previous version has these very rows; `is_known` where some version has; `is_lost` where
    that one's bytes are gone, or damaged. It `shares` rows with the previous version unless that is damaged.
    """

    source: Source
    scanned: _store.Scanned
    check: Checked | None
    name: str
    is_newest: bool
    is_known: bool
    schema_body: bytes
    is_lost: bool = False
    shares: bool = True
    stripped: int = 0

    @property
    def identity(self) -> TableIdentity:
        """What the table says."""
        return self.scanned.identity

    @property
    def specs(self) -> list[SourceSpec]:
        """Where the rows come from; each file's stamp says which of how many it is."""
        specs = self.source.specs
        if len(specs) == 1:
            return specs
        places = [f"{i}/{len(specs)}" for i in range(len(specs))]
        return [
            one if one.stamp is None else msgspec.structs.replace(one, stamp=f"{place}:{one.stamp.partition(':')[2]}")
            for place, one in zip(places, specs, strict=True)
        ]

    def __enter__(self) -> "TablePart":
        return self

    def __exit__(self, *exception: object) -> None:
        self.scanned.hashes.close()


@dataclass
class StoredPart:
    """What the catalog is told of a table, and how many bytes are new."""

    fields: dict[str, Any]
    new_bytes: int = 0
    groups: tuple[Group, ...] = ()
    busy: bool = False


def read(
    workspace: Workspace,
    name: str,
    given: Any,
    previous: Snapshot | None,
    *,
    key: Sequence[str],
    subject: str | None,
    contract: Contract | None,
    accept_schema: bool,
    with_files: bool,
    report: Report | None,
    repair: bool = False,
    occurred_at: datetime | None = None,
    quarantine: bool = False,
    persons: Forgotten | None = None,
    strip: bool = False,
) -> TablePart:
    """Read a table, and hold it against policies and contract. Raises as `add`.

    Nothing is written but what the contract kept out; with `quarantine` the table goes on without these rows.
    A table `with_files` is a content of its own, even where the table alone is known.
    """
    declared = policies.declared(workspace, name)
    newest = previous
    shares = not (repair and previous is not None and previous.kind != "files" and table_faults(previous, {}))
    if previous is not None and not shares:
        previous = _readable(previous)
    types, hints = _types(workspace, name, previous, contract, declared, accept_schema=accept_schema)
    source = _opened(
        workspace, name, given, previous, (types, hints), declared, is_first=newest is None, accept_schema=accept_schema
    )
    named = subject or (None if previous is None else previous.subject_column)
    source, stripped = _let_in(workspace, source, declared, persons, named, strip=strip)
    _refuse_missing(name, source.schema, (*key, *([subject] if subject else [])))
    schema_body = _fragments.schema_body(pl.DataFrame(schema=source.schema))
    before = None if previous is None or previous.kind == "files" else previous.empty().schema
    hashed = _store.shared_columns(source.schema, before)
    scanned = _store.scan(source, hashed, workspace.temporary(), report or _store.silent)
    try:
        is_newest = newest is not None and _has_table(newest, scanned.identity)
        if not is_newest:
            # What the newest version holds already came in by these rules.
            policies.enforce(name, source, declared, None if before is None else before.names())
        check = None
        if contract is not None or not is_newest or _unchecked(workspace, name, newest):
            check = contracts.check_before_add(
                workspace, name, source, contract, occurred_at=occurred_at, set_apart=quarantine
            )
        if check is not None and check.kept is not None:
            source = check.source
            scanned.hashes.close()
            scanned = _store.scan(source, hashed, workspace.temporary(), report or _store.silent)
            is_newest = newest is not None and _has_table(newest, scanned.identity)
        known = is_newest or (not with_files and _is_known(workspace, scanned.identity))
        lost = repair and known and _is_lost(workspace, newest if is_newest else None, scanned.identity)
        return TablePart(source, scanned, check, name, is_newest, known, schema_body, lost, shares, stripped)
    except BaseException:
        scanned.hashes.close()
        raise


def _opened(
    workspace: Workspace,
    name: str,
    given: Any,
    previous: Snapshot | None,
    types: tuple[readers.Schema, readers.Schema],
    declared: Mapping[str, Policy],
    *,
    is_first: bool,
    accept_schema: bool,
) -> Source:
    """The source: right in its columns, and not yet looked into."""
    source = readers.open_source(given, *types, workspace.temporary())
    if previous is not None and not accept_schema:
        _same_schema(name, previous, source.schema, declared)
    if len(source.schema) == 0 and source.rows:
        raise DataError(f"{name}: {source.rows} rows without a column", mend="add at least one column")
    policies.refuse_blocked(name, source.schema.names(), declared)
    if is_first:
        policies.refuse_missing(name, source.schema.names(), declared)
    return source


def _let_in(
    workspace: Workspace,
    source: Source,
    declared: Mapping[str, Policy],
    persons: Forgotten | None,
    subject: str | None,
    *,
    strip: bool,
) -> tuple[Source, int]:
    """A source as the policies make it, without persons who were erased, and how many of its rows went.

    They are told by the value as it comes, and by what a policy makes of it: a pseudonym's key may be another now.
    """
    stripped = 0
    if persons is not None:
        source, stripped = held_against(source, persons, subject, strip=strip)
    if any(policy.action in ("drop", "pseudonym", "generalise") for policy in declared.values()):
        source = Mapped(source, policies.applied(workspace, declared))
        if persons is not None and (subject is None or subject in source.schema):
            source, more = held_against(source, persons, subject, strip=strip)
            stripped += more
    return source, stripped


def _refuse_missing(name: str, schema: pl.Schema, columns: Sequence[str]) -> None:
    for column in columns:
        if column not in schema:
            raise UsageError(f"{name} has no column {column!r}; it has: {', '.join(schema)}")


def _has_table(snapshot: Snapshot, identity: TableIdentity) -> bool:
    if snapshot.kind == "table":
        return snapshot.content_id == identity.id
    said = [[column.name, column.type] for column in identity.columns]
    ids = [column.id for column in identity.columns]
    return snapshot.rows == identity.rows and snapshot.schema == said and snapshot.column_ids == ids


def _is_known(workspace: Workspace, identity: TableIdentity) -> bool:
    contents = data.contents.c
    query = sa.select(contents.id).where(contents.content_id == identity.id, contents.state == "live")
    return workspace.catalog.first(query) is not None


def _readable(previous: Snapshot) -> Snapshot | None:
    """The version, if its schema at least can be read."""
    try:
        previous.empty()
    except ClewError:
        return None
    return previous


def _is_lost(workspace: Workspace, newest: Snapshot | None, identity: TableIdentity) -> bool:
    """Whether the version that has these rows, the newest if that has them, can't be read back whole."""
    found = newest or by_content(workspace, identity.id)
    return found is None or bool(table_faults(found, {}))


def _unchecked(workspace: Workspace, name: str, previous: Snapshot | None) -> bool:
    """Whether the dataset's contract hasn't passed the newest version yet."""
    return previous is None or not contracts.has_passed(workspace, name, previous.content_pk)


def store(
    workspace: Workspace, part: TablePart, previous: Snapshot | None, key: Sequence[str], report: Report | None
) -> StoredPart:
    """Write what is new of a table; give what the catalog is told of it. `key` is the columns that identify a row."""
    identity = part.identity
    fields: dict[str, Any] = {
        "rows": identity.rows,
        "schema": [[column.name, column.type] for column in identity.columns],
        "column_ids": [column.id for column in identity.columns],
    }
    if part.is_newest and previous is not None and not part.is_lost:
        # The same rows with other files beside them: the groups as they are.
        specs, new_bytes = put_groups(workspace, previous.groups(), [])
        return StoredPart(fields | {"manifest": previous.manifest, "groups": specs}, new_bytes)
    if part.is_known and not part.is_lost:
        return StoredPart(fields)
    previous = previous if part.shares else None
    with _said_of_damage(previous):
        before = None if previous is None else _before(previous)
        with _store.Storage(workspace.objects, workspace.temporary(), part.source, report or _store.silent) as storage:
            stored = storage.store(part.scanned, before)
            manifest = workspace.objects.put(part.schema_body)
            specs, rope_bytes = put_groups(workspace, stored.groups, stored.written)
            profile, changes = _described(storage, part.source, stored, previous, key)
            told = workspace.objects.put(encode(profile))
            new_bytes = stored.new_bytes + rope_bytes + sum(info.size for info in (manifest, told) if info.created)
    fields |= {"manifest": manifest.digest, "groups": specs, "profile": told.digest}
    if changes is not None and previous is not None:
        fields["changes"] = {"from": previous.content_id, **changes}
    return StoredPart(fields, new_bytes, tuple(stored.groups), stored.busy)


def _before(previous: Snapshot) -> _store.Before | None:
    """The table of the previous version, if it has one."""
    if previous.kind == "files":
        return None
    schema = previous.empty().schema
    ids = dict(zip(schema, previous.column_ids or (), strict=False))
    return _store.Before(previous.groups(), schema, previous.rows or 0, ids)


@contextmanager
def _said_of_damage(previous: Snapshot | None) -> Iterator[None]:
    """Say how to go on where the bytes of the previous version are gone, or can't be read."""
    try:
        yield
    except (NotFoundError, IntegrityError, pl.exceptions.PolarsError, pa.ArrowException) as error:
        if previous is None or not table_faults(previous, {}):
            raise
        raise IntegrityError(
            f"{previous.reference}, whose rows would be shared, is damaged: {first_line(error)}; nothing was recorded",
            mend="add the source with --repair, which shares nothing with what is damaged",
        ) from error


def _described(
    storage: _store.Storage,
    source: Source,
    stored: _store.Stored,
    previous: Snapshot | None,
    key: Sequence[str],
) -> tuple[Profile, dict[str, Any] | None]:
    """The profile of a table, counted by its changed rows where most are known; and what changed."""
    known = None if previous is None else previous.column_profiles()
    sample = next((batch for _, batch in source.batches()), pl.DataFrame(schema=source.schema))
    empty = frozen(sample, known)
    if stored.found is None or stored.before is None or known is None:
        return counted(empty, (batch for _, batch in source.batches())), None
    found, old = stored.found, stored.before
    removed = _changes.removed_rows(found, old.height)
    names = [name for name in stored.kept if name in known.columns]
    part = Profile(0, by_column(empty.columns, names))
    gone = counted(part, _taken(old.narrowed(names), removed))
    came = counted(part, storage.unmatched(names, found))
    rest = Profile(0, {name: one for name, one in empty.columns.items() if name not in names})
    others = counted(rest, (batch.select(list(rest.columns)) for _, batch in source.batches()) if rest.columns else ())
    columns = known.plus(gone, -1).plus(came).columns | others.columns
    profile = Profile(len(found), by_column(columns, source.schema))
    keys = key if set(key) <= set(stored.kept) else ()
    return profile, _changes.counts(found, old, removed, storage.unmatched(keys, found) if keys else (), keys)


def _taken(table: Table, rows: "np.ndarray[Any, np.dtype[np.int64]]") -> Iterator[pl.DataFrame]:
    for start in range(0, len(rows), _TAKEN):
        yield table.take(rows[start : start + _TAKEN])


def put_groups(
    workspace: Workspace, groups: Sequence[Group], written: Sequence[_fragments.Written]
) -> tuple[list[GroupSpec], int]:
    """Store the ropes of groups; give the groups as a command says them, and the bytes that are new."""
    sizes = {one.fragment.digest: one.bytes for one in written}
    others = {one.digest for group in groups for one in group.rope.fragments} - sizes.keys()
    known = _known_bytes(workspace, sorted(others))
    specs, new = [], 0
    for group in groups:
        info = workspace.objects.put(rope.encode(group.rope))
        new += info.size if info.created else 0
        fragments = [
            FragmentSpec(one.digest, one.rows, sizes.get(one.digest, known.get(one.digest, 0)), one.digest in sizes)
            for one in group.rope.fragments
        ]
        specs.append(GroupSpec(list(group.columns), info.digest, fragments))
    return specs, new


def _known_bytes(workspace: Workspace, digests: Sequence[str]) -> dict[str, int]:
    table = data.fragments.c
    found: dict[str, int] = {}
    for start in range(0, len(digests), 500):
        query = sa.select(table.digest, table.bytes).where(table.digest.in_(digests[start : start + 500]))
        found |= {row.digest: int(row.bytes) for row in workspace.catalog.rows(query)}
    return found


def finish(workspace: Workspace, part: TablePart, snapshot: Snapshot) -> None:
    """Record what the contract found in the new version."""
    if part.check is None:
        return
    workspace.catalog.execute(
        RecordContractCheck(
            contract_id=contracts.record(workspace, part.name, part.check.contract),
            content_pk=snapshot.content_pk,
            passed=True,
            results=part.check.results,
        )
    )


def _types(
    workspace: Workspace,
    name: str,
    previous: Snapshot | None,
    contract: Contract | None,
    declared: Mapping[str, Policy],
    *,
    accept_schema: bool,
) -> tuple[readers.Schema, readers.Schema]:
    """What text must be read as, and what it is read as where that fits.

    The previous snapshot's types go before the contract's. When another schema is accepted they only hold where all
    values fit, and not at all for text without one value: an empty column told nothing.
    """
    contract = contract or contracts.newest(workspace, name)
    types: readers.Schema = {} if contract is None else contracts.types_of(contract)
    hints: readers.Schema = {}
    if previous is not None:
        before = dict(previous.empty().schema)
        if accept_schema:
            empty = _without_value(previous, [column for column, dtype in before.items() if dtype == pl.String])
            hints = {column: dtype for column, dtype in before.items() if column not in empty}
        else:
            types |= before
    # A pseudonym is made of the text as it stands, the first time and every time, and so are its first letters.
    texts: readers.Schema = {
        column: pl.String()
        for column, policy in declared.items()
        if policy.action in ("pseudonym", "drop") or (policy.how is not None and policy.how.how == "first")
    }
    # What is stored of a date is a year; the next dump has dates again.
    dates = {column for column, policy in declared.items() if policy.how is not None and column not in texts}
    kept = {column: dtype for column, dtype in types.items() if column not in dates}
    return kept | texts, {column: dtype for column, dtype in hints.items() if column not in dates}


def _without_value(previous: Snapshot, columns: list[str]) -> set[str]:
    if not columns:
        return set()
    found = previous.scan().select(pl.col(columns).is_not_null().any()).collect()
    return {column for column in columns if not found[column].item()}


def _same_schema(name: str, previous: Snapshot, new: pl.Schema, declared: Mapping[str, Policy]) -> None:
    """Refuse vanished and retyped columns; what a policy drops or turns into pseudonyms is meant to change."""
    old = previous.empty().schema
    action = {column: policy.action for column, policy in declared.items()}
    vanished = [column for column in old if column not in new and action.get(column) != "drop"]
    changed = [
        f"{column}: {old[column]} → {new[column]}"
        for column in old
        if column in new
        and action.get(column) not in ("drop", "pseudonym", "generalise")
        and type_name(old[column], column) != type_name(new[column], column)
    ]
    if vanished or changed:
        parts = []
        if vanished:
            parts.append(f"columns vanished: {', '.join(vanished)}")
        if changed:
            parts.append(f"types changed: {', '.join(changed)}")
        raise RefusedError(
            f"{name} has another schema than {previous.reference}: {'; '.join(parts)}",
            mend="correct the source, or add it with --accept-schema if this is meant",
        )
