"""Adding a snapshot: read, check, refuse or store; nothing is written before all checks have passed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import sqlalchemy as sa

from clew.catalog import now
from clew.catalog.commands import (
    CreateDataset,
    FragmentSpec,
    GroupSpec,
    RecordContractCheck,
    RecordSnapshot,
    SourceSpec,
    check_name,
)
from clew.catalog.tables import data
from clew.data import contracts, files, policies, readers, rope, snapshot
from clew.data._logical import type_name
from clew.data.contract import Contract
from clew.data.identity import table_id
from clew.data.privacy import Policy
from clew.data.snapshot import Snapshot
from clew.errors import DataError, NotFoundError, RefusedError, UsageError
from clew.workspace import Workspace


@dataclass(frozen=True)
class Added:
    """What became of an add: the snapshot, whether it is a new version, and the bytes that were written."""

    snapshot: Snapshot
    changed: bool
    new_bytes: int


def add(
    workspace: Workspace,
    name: str,
    source: Any,
    *,
    key: Sequence[str] = (),
    subject: str | None = None,
    contract: Contract | None = None,
    accept_schema: bool = False,
    occurred_at: datetime | None = None,
    message: str | None = None,
) -> Added:
    """Record a table or a folder of files as the newest version of a dataset.

    Args:
        workspace: where to.
        name: the dataset, made if there is none.
        source: a polars, pandas or Arrow table, a file that `readers.load` knows, or a folder of files.
        key: columns that identify a row.
        subject: the column that names the person a row is about.
        contract: what the table must satisfy from now on; without it, the dataset's own contract, if it has one.
        accept_schema: take a table whose columns vanished or changed their type since the previous version.
        occurred_at: when the rows were so, in the world; now, if not given.
        message: a line for people.

    Raises:
        RefusedError: a privacy policy or the contract says no, or columns vanished. Nothing was written.
        DataError: the source can't be read or represented.
        NotFoundError: there is no such source.
    """
    check_name(name)
    if isinstance(source, str | Path):
        source = Path(source)
        if not source.exists():
            raise NotFoundError(f"there is no file or folder {source}", mend="check the path")
    found = workspace.catalog.first(sa.select(data.datasets).where(data.datasets.c.name == name))
    previous = None if found is None else snapshot.latest(workspace, str(found.id))
    when = occurred_at or now()
    if isinstance(source, Path) and source.is_dir():
        if key or subject or contract is not None:
            raise UsageError(
                f"{source} is a folder of files: it has no columns for a key, a subject or a contract",
                mend="leave them out, or add a table",
            )
        return _add_folder(workspace, name, source, previous, when, message)
    if previous is not None and previous.kind != "table":
        raise RefusedError(f"{name} is a folder of files, and {source} is a table", mend="give it another name")
    declared = policies.declared(workspace, name)
    types, hints = _types(workspace, name, previous, contract, declared, accept_schema=accept_schema)
    loaded = readers.load(source, types, hints)
    if previous is not None and not accept_schema:
        _same_schema(name, previous, loaded.frame, declared)
    frame = policies.enforce(workspace, name, loaded.frame)
    for column in (*key, *([subject] if subject else [])):
        if column not in frame.columns:
            raise UsageError(f"{name} has no column {column!r}; it has: {', '.join(frame.columns)}")
    check = contracts.check_before_add(workspace, name, frame, contract)
    dataset = CreateDataset(name=name, key_columns=list(key), subject_column=subject)
    added = _store_table(workspace, dataset, frame, loaded.sources, previous, when, message)
    if check is not None:
        contract_id = contracts.record(workspace, name, check.contract)
        workspace.catalog.execute(
            RecordContractCheck(
                contract_id=contract_id,
                content_pk=added.snapshot.content_pk,
                passed=True,
                results=check.results,
            )
        )
    return added


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
        before = dict(previous.scan().collect_schema())
        if accept_schema:
            empty = _without_value(previous, [column for column, dtype in before.items() if dtype == pl.String])
            hints = {column: dtype for column, dtype in before.items() if column not in empty}
        else:
            types |= before
    # A pseudonym is made of the text as it stands, the first time and every time.
    texts: readers.Schema = {
        column: pl.String() for column, policy in declared.items() if policy.action in ("pseudonym", "drop")
    }
    return types | texts, hints


def _without_value(previous: Snapshot, columns: list[str]) -> set[str]:
    if not columns:
        return set()
    found = previous.scan().select(pl.col(columns).is_not_null().any()).collect()
    return {column for column in columns if not found[column].item()}


def _same_schema(name: str, previous: Snapshot, frame: pl.DataFrame, declared: Mapping[str, Policy]) -> None:
    """Refuse vanished and retyped columns; what a policy drops or turns into pseudonyms is meant to change."""
    old, new = previous.scan().collect_schema(), frame.schema
    action = {column: policy.action for column, policy in declared.items()}
    vanished = [column for column in old if column not in new and action.get(column) != "drop"]
    changed = [
        f"{column}: {old[column]} → {new[column]}"
        for column in old
        if column in new
        and action.get(column) not in ("drop", "pseudonym")
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


def _store_table(
    workspace: Workspace,
    dataset: CreateDataset,
    frame: pl.DataFrame,
    sources: list[SourceSpec],
    previous: Snapshot | None,
    when: datetime,
    message: str | None,
) -> Added:
    identity = table_id(frame)
    groups: list[GroupSpec] = []
    manifest, new_bytes = None, 0
    known = workspace.catalog.first(
        sa.select(data.contents.c.id).where(data.contents.c.content_id == identity.id, data.contents.c.state == "live")
    )
    if frame.height and not frame.width:
        raise DataError(f"{dataset.name}: {frame.height} rows without a column", mend="add at least one column")
    if known is None:
        manifest, groups, new_bytes = _write(workspace, frame, previous)
    dataset_id = workspace.catalog.execute(dataset)
    answer = workspace.catalog.execute(
        RecordSnapshot(
            dataset_id=dataset_id,
            content_id=identity.id,
            kind="table",
            rows=frame.height,
            schema=[[column.name, column.type] for column in identity.columns],
            manifest=manifest,
            groups=groups,
            new_bytes=new_bytes,
            sources=sources,
            occurred_at=when,
            message=message,
        )
    )
    return Added(snapshot.by_id(workspace, answer["snapshot_id"]), answer["changed"], new_bytes)


def _write(workspace: Workspace, frame: pl.DataFrame, previous: Snapshot | None) -> tuple[str, list[GroupSpec], int]:
    """Write what the previous snapshot doesn't hold; give the schema's object, the groups, and the new bytes."""
    objects = workspace.objects
    schema_file = rope.schema_body(frame)
    head = tail = 0
    old: list[rope.Extent] = []
    if previous is not None and previous.kind == "table":
        old = previous.extents()
        head, tail = rope.shared_ends(previous.collect(), frame)
    new_bytes = 0
    middle = frame.slice(head, frame.height - head - tail)
    written: list[rope.Extent] = []
    sizes: dict[str, tuple[int, int]] = {}
    if middle.height and middle.width:
        digest, size, created = rope.write_fragment(objects, workspace.temporary(), middle)
        written = [rope.Extent(digest, 0, middle.height)]
        sizes[digest] = (middle.height, size)
        new_bytes += size if created else 0
    end = (previous.rows or 0) - tail if previous is not None else 0
    extents = rope.join(rope.cut(old, 0, head), written, rope.cut(old, end, tail))
    listing = objects.put(rope.encode(extents))
    schema = objects.put(schema_file)
    new_bytes += sum(info.size for info in (listing, schema) if info.created)
    known = {
        row.digest: (int(row.rows), int(row.bytes))
        for row in workspace.catalog.rows(
            sa.select(data.fragments).where(data.fragments.c.digest.in_({extent.fragment for extent in extents}))
        )
    }
    fragments = [
        FragmentSpec(digest=digest, rows=rows, bytes=size)
        for digest in dict.fromkeys(extent.fragment for extent in extents)
        for rows, size in [known.get(digest) or sizes[digest]]
    ]
    return schema.digest, [GroupSpec(columns=frame.columns, rope=listing.digest, fragments=fragments)], new_bytes


def _add_folder(
    workspace: Workspace,
    name: str,
    folder: Path,
    previous: Snapshot | None,
    when: datetime,
    message: str | None,
) -> Added:
    if previous is not None and previous.kind != "files":
        raise RefusedError(f"{name} is a table, and {folder} is a folder of files", mend="give it another name")
    paths = files.list_folder(folder)
    content_id, manifest, new_bytes = files.store(workspace.objects, folder, paths)
    dataset_id = workspace.catalog.execute(CreateDataset(name=name))
    answer = workspace.catalog.execute(
        RecordSnapshot(
            dataset_id=dataset_id,
            content_id=content_id,
            kind="files",
            rows=None,
            schema=None,
            manifest=manifest,
            new_bytes=new_bytes,
            sources=[files.describe(folder, paths)],
            occurred_at=when,
            message=message,
        )
    )
    return Added(snapshot.by_id(workspace, answer["snapshot_id"]), answer["changed"], new_bytes)
