"""Adding a snapshot: read, check, refuse or store; nothing is written before all checks have passed."""

from collections.abc import Sequence
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
from clew.data.contract import Contract
from clew.data.identity import table_id
from clew.data.snapshot import Snapshot
from clew.errors import NotFoundError, RefusedError, UsageError
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
        return _add_folder(workspace, name, source, previous, when, message)
    loaded = readers.load(source, _types(workspace, name, previous, contract, accept_schema))
    if previous is not None:
        _same_schema(name, previous, loaded.frame, accept_schema=accept_schema)
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
    workspace: Workspace, name: str, previous: Snapshot | None, contract: Contract | None, accept_schema: bool
) -> readers.Schema:
    """What text is read as: the previous snapshot's types, over the contract's."""
    contract = contract or contracts.newest(workspace, name)
    types: readers.Schema = {} if contract is None else contracts.types_of(contract)
    if previous is not None and previous.kind == "table" and not accept_schema:
        types |= dict(previous.scan().collect_schema())
    return types


def _same_schema(name: str, previous: Snapshot, frame: pl.DataFrame, *, accept_schema: bool) -> None:
    if accept_schema or previous.kind != "table":
        return
    old, new = previous.scan().collect_schema(), frame.schema
    vanished = [column for column in old if column not in new]
    changed = [
        f"{column}: {old[column]} → {new[column]}" for column in old if column in new and old[column] != new[column]
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
    schema_file = frame.clear().write_ipc(None).getvalue()
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
