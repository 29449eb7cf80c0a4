"""A snapshot: one immutable version of a dataset."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from clew.catalog.tables import data
from clew.data import files as _files
from clew.data._gone import refuse_gone
from clew.errors import IntegrityError, MissingDependencyError, NotFoundError, UsageError
from clew.references import Versions
from clew.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

    from clew.data._batches import Batch
    from clew.data._exports import Format
    from clew.data._gather import Group
    from clew.data.profile import Profile

_s, _c, _d = data.snapshots.c, data.contents.c, data.datasets.c

VERSIONS = Versions(
    kind="dataset",
    owners=data.datasets,
    query=sa.select(
        data.snapshots,
        _c.content_id,
        _c.kind,
        _c.rows,
        _c.schema,
        _c.column_ids,
        _c.manifest,
        _c.listing,
        _c.profile,
        _c.erased_rows,
        _d.name.label("dataset"),
        _d.key_columns,
        _d.subject_column,
    ).select_from(
        data.snapshots.join(data.contents, _s.content_pk == _c.id).join(data.datasets, _s.dataset_id == _d.id)
    ),
    owner_id=_s.dataset_id,
    row_id=_s.id,
    version=_s.version,
    occurred_at=_s.occurred_at,
    content_id=_c.content_id,
    listing="clew data list",
)


@dataclass(frozen=True)
class Snapshot:
    """One immutable version of a dataset; its rows are read when they are asked for."""

    workspace: Workspace
    id: str
    dataset: str
    version: int
    content_id: str
    content_pk: str
    kind: str
    rows: int | None
    schema: list[list[str]] | None
    column_ids: list[str] | None
    manifest: str | None
    listing: str | None
    profile: str | None
    changes: dict[str, Any] | None
    new_bytes: int
    key_columns: tuple[str, ...]
    subject_column: str | None
    occurred_at: datetime
    recorded_at: datetime

    @property
    def reference(self) -> str:
        """Such as `house-sales@3`."""
        return f"{self.dataset}@{self.version}"

    def ropes(self) -> list[str]:
        """The digests of the objects that list the extents of each column group, in order."""
        return [row.rope for row in self._group_rows()]

    def groups(self) -> "tuple[Group, ...]":
        """The column groups of the table, and where their rows lie."""
        from clew.data import rope
        from clew.data._gather import Group

        rows = self._group_rows()
        return tuple(Group(tuple(row.columns), rope.decode(self.workspace.objects.get(row.rope))) for row in rows)

    def _group_rows(self) -> "list[sa.Row[Any]]":
        if self.kind == "files":
            raise UsageError(f"{self.reference} is a folder of files, not a table", mend="use .files()")
        groups = data.column_groups
        found = self.workspace.catalog.rows(
            sa.select(groups).where(groups.c.content_pk == self.content_pk).order_by(groups.c.ordinal)
        )
        if not found:
            refuse_gone(self.workspace, self.reference, self.content_pk)
            raise IntegrityError(f"{self.reference} has no column groups", mend="clew data verify")
        return found

    def column_profiles(self) -> "Profile | None":
        """What the columns look like, counted when the version was added; None for one that wasn't."""
        from clew.data import profile

        return None if self.profile is None else profile.decode(self.workspace.objects.get(self.profile))

    def scan(self) -> "pl.LazyFrame":
        """The rows, lazily, in their order; polars pushes projections and filters down to the fragments."""
        from clew.data import _gather

        return _gather.scan(self.workspace.objects, self.groups(), self.empty())

    def empty(self) -> "pl.DataFrame":
        """The table without its rows: names and types."""
        import polars as pl

        if self.kind == "files":
            raise UsageError(f"{self.reference} is a folder of files, not a table", mend="use .files()")
        if self.manifest is None:
            raise IntegrityError(f"{self.reference} has no schema", mend="clew data verify")
        return pl.read_ipc(self.workspace.objects.get(self.manifest))

    def collect(self) -> "pl.DataFrame":
        """All rows, in memory."""
        return self.scan().collect()

    def to_arrow(self) -> "pa.Table":
        """All rows as an Arrow table. Raises DataError for a type that Arrow doesn't have."""
        from clew.data import _handover

        _handover.refuse_wide_integers(self, self.empty().schema)
        return self.collect().to_arrow()

    def to_arrow_reader(self) -> "pa.RecordBatchReader":
        """The rows as a stream of Arrow record batches, in bounded memory. Raises DataError as `to_arrow`."""
        from clew.data import _handover

        return _handover.arrow_reader(self)

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        return self.to_arrow_reader().__arrow_c_stream__(requested_schema)

    def to_duckdb(self, connection: Any = None) -> Any:
        """The rows as a relation of DuckDB, streamed whenever it is evaluated; on its default connection, if none.

        Raises MissingDependencyError, DataError as `to_arrow`.
        """
        from clew.data import _handover

        return _handover.duckdb_relation(self, connection)

    def to_ray(self) -> Any:
        """The rows as a dataset of Ray. Raises MissingDependencyError, DataError as `to_arrow`."""
        from clew.data import _handover

        return _handover.ray_dataset(self)

    def batches(
        self,
        size: int,
        *,
        columns: Sequence[str] | None = None,
        shuffle: int | None = None,
        shard: tuple[int, int] = (0, 1),
    ) -> "Iterator[Batch]":
        """The rows as dicts of numpy arrays of `size` rows, in bounded memory; `clew.data._batches` tells the types.

        `shuffle` is a seed, `shard` says which of how many shares, such as (rank, ranks). Raises UsageError; DataError
        for nulls among numbers that float64 can't hold.
        """
        from clew.data import _batches

        return _batches.batches(self, size, columns, shuffle, shard)

    def to_torch(self, size: int, *, columns: Sequence[str] | None = None, shuffle: int | None = None) -> Any:
        """An iterable dataset of torch, which gives batches of tensors, split between the workers of a DataLoader.

        Give it to `DataLoader(…, batch_size=None, multiprocessing_context="spawn")`. Raises MissingDependencyError,
        UsageError.
        """
        from clew.data import _handover

        return _handover.torch_dataset(self, size, columns, shuffle)

    def export(self, dest: Path, format_: "Format" = "parquet") -> list[Path]:
        """Write the table for other tools, as Parquet or a Delta table; errors as `clew.data._exports.export`."""
        from clew.data import _exports

        return _exports.export(self, dest, format_)

    def to_pandas(self) -> "pd.DataFrame":
        """All rows as a pandas frame; needs pandas. Raises MissingDependencyError, DataError as `to_arrow`."""
        try:
            import pandas as pd  # noqa: F401 - named before polars complains in its own words
        except ImportError as error:
            raise MissingDependencyError(
                "a pandas frame needs pandas, which is not installed", mend="pip install 'clew[pandas]'"
            ) from error
        return self.collect().to_pandas()

    def entries(self) -> "dict[str, _files.Entry]":
        """The files, by relative path: their hashes, sizes, and where their bytes lie."""
        if self.listing is None:
            raise UsageError(f"{self.reference} is a table, not a folder of files", mend="use .scan()")
        refuse_gone(self.workspace, self.reference, self.content_pk)
        return _files.read(self.workspace.objects, self.listing)

    def files(self) -> dict[str, str]:
        """The files of a folder: relative path → SHA-256."""
        return {path: entry.sha256 for path, entry in self.entries().items()}

    def open(self, path: str) -> Path:
        """A local file that holds one file of a folder, to be read only. Raises NotFoundError."""
        entries = self.entries()
        if path not in entries:
            raise NotFoundError(
                f"{self.reference} has no file {path!r}; it has: {', '.join(list(entries)[:10]) or 'none'}",
                mend="name one of these",
            )
        return _files.local_path(self.workspace, entries[path])

    def __iter__(self) -> Iterator[Any]:
        raise UsageError("a snapshot is not iterated", mend="use .scan(), .collect() or .files()")


def from_row(workspace: Workspace, row: sa.Row[Any]) -> Snapshot:
    """A snapshot from a row of `VERSIONS.query`."""
    return Snapshot(
        workspace=workspace,
        id=str(row.id),
        dataset=row.dataset,
        version=int(row.version),
        content_id=row.content_id,
        content_pk=str(row.content_pk),
        kind=row.kind,
        rows=row.rows,
        schema=row.schema,
        column_ids=row.column_ids,
        manifest=row.manifest,
        listing=row.listing,
        profile=row.profile,
        changes=row.changes,
        new_bytes=int(row.new_bytes),
        key_columns=tuple(row.key_columns or ()),
        subject_column=row.subject_column,
        occurred_at=row.occurred_at,
        recorded_at=row.recorded_at,
    )


def find(workspace: Workspace, reference: str) -> Snapshot:
    """The snapshot that a reference names. Raises NotFoundError, UsageError."""
    return from_row(workspace, VERSIONS.resolve(workspace.catalog, reference))


def latest(workspace: Workspace, dataset_id: str) -> Snapshot | None:
    """The newest snapshot of a dataset, or None."""
    query = VERSIONS.query.where(_s.dataset_id == dataset_id).order_by(_s.version.desc()).limit(1)
    row = workspace.catalog.first(query)
    return None if row is None else from_row(workspace, row)


def by_id(workspace: Workspace, snapshot_id: str) -> Snapshot:
    """The snapshot with this key."""
    row = workspace.catalog.first(VERSIONS.query.where(_s.id == snapshot_id))
    if row is None:
        raise IntegrityError(f"snapshot {snapshot_id} is gone from the catalog", mend="clew data verify")
    return from_row(workspace, row)


def by_content(workspace: Workspace, content_id: str) -> Snapshot | None:
    """Some live snapshot of this content, or None."""
    query = VERSIONS.query.where(_c.content_id == content_id, _c.state == "live", _s.state == "live").limit(1)
    row = workspace.catalog.first(query)
    return None if row is None else from_row(workspace, row)


def between(workspace: Workspace, dataset: str, one: int, other: int) -> list[Snapshot]:
    """The live snapshots of a dataset that lie between two versions, the oldest first."""
    inside = (_s.version > min(one, other)) & (_s.version < max(one, other)) & (_s.state == "live")
    query = VERSIONS.query.where(_d.name == dataset, inside).order_by(_s.version)
    return [from_row(workspace, row) for row in workspace.catalog.rows(query)]


def all_of(workspace: Workspace, dataset: str | None = None) -> list[Snapshot]:
    """All snapshots, of one dataset or of all, the newest first."""
    query = VERSIONS.query.order_by(_d.name, _s.version.desc())
    if dataset is not None:
        query = query.where(_d.name == dataset)
    return [from_row(workspace, row) for row in workspace.catalog.rows(query)]
