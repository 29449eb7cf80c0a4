"""Handing the rows of a snapshot over to other libraries: Arrow, DuckDB, Ray, torch."""

from collections.abc import Iterator, Sequence
from typing import Any

import polars as pl
import pyarrow as pa

from clew.data._gather import Table
from clew.data.snapshot import Snapshot
from clew.errors import DataError, MissingDependencyError


def blocks(snapshot: Snapshot) -> Iterator[pl.DataFrame]:
    """The rows, block by block, in their order; nothing is read before the first is asked for."""
    names = snapshot.empty().columns
    if snapshot.rows:
        for block in Table(snapshot.workspace.objects, snapshot.groups()).blocks():
            yield block.select(names)


def arrow_reader(snapshot: Snapshot) -> pa.RecordBatchReader:
    """The rows as a stream of Arrow record batches. Raises DataError for a type that Arrow doesn't have."""
    empty = snapshot.empty()
    refuse_wide_integers(snapshot, empty.schema)
    schema = empty.to_arrow().schema

    def batches() -> Iterator[pa.RecordBatch]:
        for block in blocks(snapshot):
            yield from block.to_arrow().cast(schema).to_batches()

    return pa.RecordBatchReader.from_batches(schema, batches())


def refuse_wide_integers(snapshot: Snapshot, schema: pl.Schema) -> None:
    """Pass if there are no integers of 128 bits. Raises DataError, which names the columns."""
    wide = [name for name, dtype in schema.items() if dtype in (pl.Int128, pl.UInt128)]
    if wide:
        raise DataError(
            f"{snapshot.reference}: Arrow has no integers of 128 bits, and these columns hold some: {', '.join(wide)}",
            mend="use .collect() or .scan(), and cast them",
        )


def duckdb_relation(snapshot: Snapshot, connection: Any) -> Any:
    """The rows as a relation of DuckDB, which streams them each time it is evaluated."""
    try:
        import duckdb
    except ImportError as error:
        raise _missing("a relation", "duckdb") from error
    refuse_wide_integers(snapshot, snapshot.empty().schema)
    return (duckdb if connection is None else connection).from_arrow(snapshot)


def ray_dataset(snapshot: Snapshot) -> Any:
    """The rows as a dataset of Ray; its blocks go to Ray's object store one by one."""
    try:
        import ray.data
    except ImportError as error:
        raise _missing("a dataset of Ray", "ray") from error
    reader = arrow_reader(snapshot)
    parts: Any = [ray.put(pa.Table.from_batches([batch])) for batch in reader]
    return ray.data.from_arrow_refs(parts or [ray.put(reader.schema.empty_table())])


def torch_dataset(snapshot: Snapshot, size: int, columns: Sequence[str] | None, shuffle: int | None) -> Any:
    """The rows as an iterable dataset of torch."""
    try:
        import torch  # noqa: F401 - so that what is missing is told apart from what is broken
    except ImportError as error:
        raise _missing("a dataset of torch", "torch") from error
    from clew.data._torch import TorchDataset

    return TorchDataset(snapshot, size, columns, shuffle)


def _missing(what: str, library: str) -> MissingDependencyError:
    return MissingDependencyError(
        f"{what} needs {library}, which is not installed", mend=f"pip install 'clew[{library}]'"
    )
