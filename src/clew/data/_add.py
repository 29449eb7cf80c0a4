"""Adding a snapshot: read, check, refuse or store; nothing is written before all checks have passed.

Light to import: what only tables need is loaded when there is a table.
"""

import copy
import hashlib
import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from clew.catalog import now
from clew.catalog.commands import CreateDataset, RecordSnapshot, RelocateContent, check_name
from clew.catalog.tables import data, governance
from clew.data import _paths, _stamps, _stat_cache, files, snapshot
from clew.data._leases import lease
from clew.data._mend import MendingStore
from clew.data.snapshot import Snapshot
from clew.errors import RefusedError, UsageError
from clew.workspace import Workspace

if TYPE_CHECKING:
    from clew.data._add_table import TablePart
    from clew.data._erased import Forgotten
    from clew.data.contract import Contract

Report = Callable[[str, int, int | None], None]


@dataclass(frozen=True)
class Added:
    """What became of an add: the snapshot, whether it is a new version, and the bytes that were written for it.

    `compacted_bytes` were written besides, to lay a frayed table together again. `quarantine` holds the rows that the
    contract kept out, `set_apart` many, if it was asked to store the others.
    """

    snapshot: Snapshot
    changed: bool
    new_bytes: int
    compacted_bytes: int = 0
    quarantine: str | None = None
    set_apart: int = 0
    stripped_rows: int = 0
    """Rows of persons who were erased before, which were left out."""


def add(
    workspace: Workspace,
    name: str,
    source: Any = None,
    *,
    files_in: str | os.PathLike[str] | None = None,
    kind: _paths.Kind | None = None,
    key: Sequence[str] = (),
    subject: str | None = None,
    subject_files: str | None = None,
    strip_erased: bool = False,
    contract: "Contract | None" = None,
    accept_schema: bool = False,
    occurred_at: datetime | None = None,
    message: str | None = None,
    report: Report | None = None,
    repair: bool = False,
    quarantine: bool = False,
) -> Added:
    """Record a table, a folder of files, or both, as the newest version of a dataset.

    Args:
        workspace: where to.
        name: the dataset, made if there is none.
        source: a polars, pandas or Arrow table; anything that gives Arrow batches (a DuckDB relation, a reader, an
            iterator); a `clew.data.Query`; the path of a file that `readers` knows, a pattern of such files, or a
            folder.
        files_in: a folder of files that belongs to the table; both are one version.
        kind: "table" or "files", where a folder could be either.
        key: columns that identify a row.
        subject: the column that names the person a row is about.
        subject_files: whose a file of the folder is, by its path: such as "{subject}/*".
        strip_erased: leave out the rows of persons who were erased from the dataset, rather than refuse.
        contract: what the table must satisfy from now on; without it, the dataset's own contract, if it has one.
        accept_schema: take a table whose columns vanished or changed their type since the previous version.
        occurred_at: when the rows were so, in the world; now, if not given.
        message: a line for people.
        report: told what is being done: a stage, rows done, rows in all or None.
        repair: trust nothing that is stored of this content: hash it again, and store anew what is lost or damaged.
        quarantine: set rows that break the contract apart, and store the others.

    Raises:
        RefusedError: a privacy policy or the contract says no, or columns vanished. Nothing was stored; rows that
            break the contract are in a quarantine, see `clew.data.quarantine`.
        DataError: the source can't be read or represented.
        NotFoundError: there is no such source.
    """
    check_name(name)
    found = workspace.catalog.first(sa.select(data.datasets).where(data.datasets.c.name == name))
    previous = None if found is None else snapshot.latest(workspace, str(found.id))
    table, folder = _parts(source, files_in, kind, previous)
    _same_parts(name, table is not None, folder is not None, previous)
    if table is None and (key or subject or contract is not None):
        raise UsageError(
            f"{folder} is a folder of files: it has no columns for a key, a subject or a contract",
            mend="leave them out, or add a table",
        )
    if subject_files is not None:
        from clew.data.erasing.files import check_pattern

        check_pattern(subject_files)
        if folder is None:
            raise UsageError("there is no folder whose files could be somebody's", mend="leave --subject-files out")
    asked = CreateDataset(name=name, key_columns=list(key), subject_column=subject, subject_files=subject_files)
    plain = not key and subject is None and subject_files is None and contract is None
    plain = plain and not accept_schema and not repair
    if repair:
        workspace = copy.copy(workspace)
        workspace.objects = MendingStore(workspace.objects)
    if previous is not None and plain and _is_unchanged(workspace, previous, table, folder):
        return Added(previous, changed=False, new_bytes=0)
    persons = None if found is None else _forgotten(workspace, name, str(found.id))
    if persons is not None and folder is not None:
        from clew.data import _erased

        assert found is not None
        _erased.hold_files_against(folder, persons, subject_files or found.subject_files)
    part = None
    if table is not None:
        from clew.data import _add_table

        part = _add_table.read(
            workspace, name, table, previous, key=key, subject=subject, contract=contract,
            accept_schema=accept_schema, with_files=folder is not None, report=report, repair=repair,
            occurred_at=occurred_at, quarantine=quarantine,
            persons=persons, strip=strip_erased,
        )  # fmt: skip
    erasures = 0 if persons is None else persons.erasures
    with ExitStack() as open_:
        if part is not None:
            open_.enter_context(part)
        if folder is not None or part is None or not part.is_known or part.is_lost:
            open_.enter_context(lease(workspace, name))
        return _record(
            workspace, asked, part, folder, previous, occurred_at or now(), message, report, repair=repair,
            erasures=erasures,
        )  # fmt: skip


def _forgotten(workspace: Workspace, name: str, dataset_id: str) -> "Forgotten | None":
    """Whom the dataset has forgotten, if anybody."""
    erasures = governance.erasures.c
    if workspace.catalog.first(sa.select(erasures.id).where(erasures.dataset_id == dataset_id).limit(1)) is None:
        return None
    from clew.data._erased import forgotten

    return forgotten(workspace, name)


def _parts(
    source: Any, files_in: str | os.PathLike[str] | None, kind: _paths.Kind | None, previous: Snapshot | None
) -> tuple[Any, Path | None]:
    """The table, as a frame or a list of paths, and the folder of files."""
    folder = None if files_in is None else Path(files_in)
    if folder is not None:
        _paths.resolve(folder, "files", None)
    if isinstance(source, str | os.PathLike):
        known = None if previous is None else previous.kind
        what, paths = _paths.resolve(os.fspath(source), "table" if folder is not None else kind, known)
        if what == "files":
            return None, paths[0]
        return paths, folder
    if source is None and folder is None:
        raise UsageError("nothing to add", mend="give a table or a folder of files")
    return source, folder


def _same_parts(name: str, has_table: bool, has_files: bool, previous: Snapshot | None) -> None:
    """Refuse a version that isn't made of what the versions before were made of."""
    if previous is None:
        return
    words = {"table": "a table", "files": "a folder of files", "both": "a table and files"}
    kind = "both" if has_table and has_files else "table" if has_table else "files"
    if kind != previous.kind:
        raise RefusedError(
            f"{name} is {words[previous.kind]}, and this is {words[kind]}",
            mend="give it another name" if previous.kind != "both" else "add both: --files FOLDER beside the table",
        )


def _is_unchanged(workspace: Workspace, previous: Snapshot, table: Any, folder: Path | None) -> bool:
    """Whether the source is what the newest version was made of, judged without reading it."""
    if table is not None:
        if not (isinstance(table, list) and table and all(isinstance(path, Path) for path in table)):
            return False
        if folder is not None or _decided_since(workspace, previous):
            return False
        return _stamps.unchanged(workspace, previous.id, table)
    assert folder is not None
    return _stat_cache.unchanged(workspace.folder / "cache", folder) == previous.content_id


def _decided_since(workspace: Workspace, previous: Snapshot) -> bool:
    """Whether a policy, a contract or a key of pseudonyms came after a version: then that has to be made anew."""
    dataset = sa.select(data.snapshots.c.dataset_id).where(data.snapshots.c.id == previous.id).scalar_subquery()
    policy = sa.select(data.policies.c.id).where(
        data.policies.c.dataset_id == dataset, data.policies.c.recorded_at > previous.recorded_at
    )
    newest = (
        sa.select(data.contracts.c.id)
        .where(data.contracts.c.dataset_id == dataset)
        .order_by(data.contracts.c.version.desc())
        .limit(1)
        .scalar_subquery()
    )
    checks = data.contract_checks.c
    contract = sa.select(data.contracts.c.id).where(
        data.contracts.c.id == newest,
        ~sa.exists().where(
            checks.contract_id == newest, checks.content_pk == previous.content_pk, checks.passed.is_(True)
        ),
    )
    pseudonyms = sa.select(data.policies.c.id).where(
        data.policies.c.dataset_id == dataset,
        data.policies.c.action == "pseudonym",
        data.policies.c.superseded_at.is_(None),
        sa.exists().where(
            governance.secret_keys.c.name.like("pseudonym-%"),
            governance.secret_keys.c.recorded_at > previous.recorded_at,
        ),
    )
    with workspace.catalog.read() as connection:
        return any(connection.execute(query.limit(1)).first() is not None for query in (policy, contract, pseudonyms))


def _record(
    workspace: Workspace,
    dataset: CreateDataset,
    part: "TablePart | None",
    folder: Path | None,
    previous: Snapshot | None,
    when: datetime,
    message: str | None,
    report: Report | None,
    *,
    repair: bool,
    erasures: int,
) -> Added:
    """Write what is new of the parts, and then, in one transaction, the version that is made of them."""
    content_ids, sources, new_bytes = [], [], 0
    fields: dict[str, Any] = {"rows": None, "schema": None}
    if part is not None:
        from clew.data import _add_table

        keys = dataset.key_columns or (() if previous is None else previous.key_columns)
        stored = _add_table.store(workspace, part, previous, keys, report)
        fields |= stored.fields
        content_ids.append(part.identity.id)
        sources += part.specs
        new_bytes += stored.new_bytes
    if folder is not None:
        kept = files.store(workspace, folder, None if previous is None else previous.listing, repair=repair)
        fields["listing"] = kept.listing
        content_ids.append(kept.content_id)
        sources.append(kept.source)
        new_bytes += kept.new_bytes
    answer = workspace.catalog.execute(
        RecordSnapshot(
            dataset_id=workspace.catalog.execute(dataset),
            content_id=both_id(content_ids) if len(content_ids) > 1 else content_ids[0],
            kind="both" if len(content_ids) > 1 else "table" if part is not None else "files",
            new_bytes=new_bytes,
            sources=sources,
            occurred_at=when,
            message=message,
            erasures=erasures,
            **fields,
        )
    )
    stripped = 0 if part is None else part.stripped
    added = Added(
        snapshot.by_id(workspace, answer["snapshot_id"]), answer["changed"], new_bytes, stripped_rows=stripped
    )
    if repair:
        places = {name: fields[name] for name in ("manifest", "listing", "profile", "groups") if fields.get(name)}
        workspace.catalog.execute(RelocateContent(content_pk=added.snapshot.content_pk, **places))
        added = replace(added, snapshot=snapshot.by_id(workspace, added.snapshot.id))
    if part is not None:
        from clew.data import _add_table

        _add_table.finish(workspace, part, added.snapshot)
        if part.check is not None and part.check.kept is not None:
            added = replace(added, quarantine=part.check.kept.id, set_apart=part.check.kept.rows)
        if added.changed:
            from clew.data._compact import compact

            added = replace(
                added,
                compacted_bytes=compact(
                    workspace, added.snapshot, groups=stored.groups, busy=stored.busy, report=report
                ),
            )
    return added


def both_id(parts: Sequence[str]) -> str:
    """The content id of a table together with files: a hash of both ids."""
    return f"b1:{hashlib.sha256(' '.join(parts).encode()).hexdigest()}"
