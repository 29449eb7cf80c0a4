"""The content id of a table: same names, types and rows in the same order give the same id.

What counts as equal, and why, is written down in `docs/decisions/0002-content-identity.md`.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
import pyarrow as pa

from clew.data._canonical import BLOCK_ROWS, block_digest, plain
from clew.data._logical import LogicalType, logical_of_dtype, logical_of_field
from clew.errors import DataError, UsageError

SCHEME: Final = "c1"
# from here on pieces are joined before they are hashed: handling one costs as much as some hundred rows
_MANY_PIECES: Final = 32


@dataclass(frozen=True, slots=True)
class ColumnIdentity:
    """A column's name, logical type, and the id of its values (`c1:` and 64 hex digits)."""

    name: str
    type: str
    id: str


@dataclass(frozen=True, slots=True)
class TableIdentity:
    """A table's content id (`c1:` and 64 hex digits), its columns' ids, and its number of rows."""

    id: str
    columns: tuple[ColumnIdentity, ...]
    rows: int


def table_id(table: pa.Table | pl.DataFrame) -> TableIdentity:
    """The logical identity of a table in memory.

    Raises DataError naming the column and the type where a type can't be represented.
    """
    builder = IdentityBuilder(table.schema)
    builder.update(table)
    return builder.finish()


def id_of_columns(schema: pl.Schema, columns: Iterable[pl.Series]) -> TableIdentity:
    """The logical identity of a table whose columns come whole, one after the other, in the schema's order.

    Raises DataError when a column has another type, or another length than those before it.
    """
    names, types = _signature(schema)
    digests: list[bytes] = []
    rows = 0
    for name, kind, series in zip(names, types, columns, strict=True):
        if digests and len(series) != rows:
            raise DataError(f"column {name!r} has {len(series)} rows, and those before it {rows}")
        if (found := logical_of_dtype(series.dtype, name)).name != kind.name:
            raise DataError(f"column {name!r} is {found.name}, and {kind.name} in the schema")
        blocks = _ColumnBlocks(kind)
        blocks.add_series(series)
        digests.append(blocks.digest())
        rows = len(series)
    return _identity(names, types, digests, rows)


def id_of_parts(columns: Sequence[Sequence[str]], column_ids: Sequence[str], rows: int) -> str:
    """The content id of a table that is known by the ids of its columns; `columns` are names and logical types."""
    return _whole(
        [
            (name, kind, bytes.fromhex(one.partition(":")[2]))
            for (name, kind), one in zip(columns, column_ids, strict=True)
        ],
        rows,
    )


class IdentityBuilder:
    """The identity of a table that comes in batches, of whatever sizes: the id is that of the whole.

    Not thread-safe. Holds at most a block (65,536 rows) of each column between updates.
    """

    def __init__(self, schema: pa.Schema | pl.Schema) -> None:
        """Raises DataError for a type that can't be represented or a name that occurs twice."""
        self._names, self._types = _signature(schema)
        self._columns = [_ColumnBlocks(kind) for kind in self._types]
        self._rows = 0
        self._finished = False
        self._passed: pa.Schema | pl.Schema = schema  # the schema that the last batch came with

    def update(self, batch: pa.RecordBatch | pa.Table | pl.DataFrame) -> None:
        """Add the rows of a batch.

        Raises DataError when the batch's names or logical types are not those of the schema, and UsageError
        after `finish`.
        """
        if self._finished:
            raise UsageError("the identity is finished", mend="start another IdentityBuilder")
        self._check(batch.schema)
        if isinstance(batch, pl.DataFrame):
            for blocks, series in zip(self._columns, batch.iter_columns(), strict=True):
                blocks.add_series(series)
            self._rows += batch.height
            return
        for blocks, column in zip(self._columns, batch.columns, strict=True):
            for chunk in column.chunks if isinstance(column, pa.ChunkedArray) else (column,):
                blocks.add(chunk)
        self._rows += batch.num_rows

    def finish(self) -> TableIdentity:
        """The identity of all rows given; the builder takes no more."""
        self._finished = True
        return _identity(self._names, self._types, [blocks.digest() for blocks in self._columns], self._rows)

    def _check(self, schema: pa.Schema | pl.Schema) -> None:
        if isinstance(schema, pl.Schema) and schema == self._passed:
            return
        names, types = _signature(schema)
        if names != self._names:
            raise DataError(
                f"a batch has the columns {names}, the table {self._names}", mend="bring batches of one schema"
            )
        for name, got, wanted in zip(names, types, self._types, strict=True):
            if got.name != wanted.name:
                raise DataError(
                    f"column {name!r} is {got.name} in a batch and {wanted.name} in the table",
                    mend="cast the batch to the table's types",
                )
        self._passed = schema


class _ColumnBlocks:
    """One column on its way: digests of full blocks, and the pieces of the block that is filling."""

    def __init__(self, kind: LogicalType) -> None:
        self._kind = kind
        self._digests: list[bytes] = []
        self._pieces: list[pa.Array] = []
        self._pending = 0

    def add(self, array: pa.Array) -> None:
        for start, count in self._cuts(len(array)):
            self._push(array.slice(start, count))

    def add_series(self, series: pl.Series) -> None:
        for start, count in self._cuts(len(series)):
            self._push(_arrow(series.slice(start, count)))

    def digest(self) -> bytes:
        if self._pending:
            self._close()
        return _hash(b"clew.column.c1", self._kind.name.encode(), b"".join(self._digests))

    def _cuts(self, rows: int) -> Iterable[tuple[int, int]]:
        start = 0
        while start < rows:
            count = min(BLOCK_ROWS - self._pending, rows - start)
            yield start, count
            start += count

    def _push(self, piece: pa.Array) -> None:
        self._pieces.append(piece)
        self._pending += len(piece)
        if self._pending == BLOCK_ROWS:
            self._close()
        elif len(self._pieces) >= _MANY_PIECES:
            self._pieces = _joined(self._pieces)

    def _close(self) -> None:
        self._digests.append(block_digest(self._kind, self._pieces))
        self._pieces, self._pending = [], 0


def _joined(pieces: Sequence[pa.Array]) -> list[pa.Array]:
    """The pieces as one where their types allow it; joining in doubling lengths keeps it cheap."""
    flat = [plain(piece) for piece in pieces]
    kind = flat[0].type
    if pa.types.is_nested(kind) or any(piece.type != kind for piece in flat):
        return flat
    keep = 0
    # a long piece at the front isn't copied again for the sake of a few short ones
    while keep < len(flat) - 1 and len(flat[keep]) > sum(map(len, flat[keep + 1 :])):
        keep += 1
    return [*flat[:keep], pa.concat_arrays(flat[keep:])]


def _arrow(series: pl.Series) -> pa.Array:
    if series.dtype in (pl.Int128, pl.UInt128):
        return _wide_integers(series)
    if series.dtype in (pl.Categorical, pl.Enum):
        # not as a dictionary: it would carry all categories along with each block
        series = series.cast(pl.String)
    return series.to_arrow()


def _wide_integers(series: pl.Series) -> pa.Array:
    """128-bit integers have no Arrow type: their 16 bytes, little endian, as fixed-size binary."""
    signed = series.reinterpret(dtype=pl.Int128) if series.dtype == pl.UInt128 else series
    valid = signed.drop_nulls()
    halves = np.empty((len(valid), 2), dtype="<u8")
    frame = valid.to_frame("x")
    halves[:, 0] = frame.select((pl.col("x") % 2**64).cast(pl.UInt64)).to_series().to_numpy()
    halves[:, 1] = frame.select((pl.col("x") // 2**64).cast(pl.Int64)).to_series().to_numpy().view("<u8")
    values = pa.Array.from_buffers(pa.binary(16), len(valid), [None, pa.py_buffer(halves)])
    if len(valid) == len(series):
        return values
    places = pl.DataFrame({"v": series.is_not_null()}).select(
        pl.when("v").then(pl.col("v").cum_sum().cast(pl.Int64) - 1)
    )
    return values.take(places.to_series().to_arrow())


def _signature(schema: pa.Schema | pl.Schema) -> tuple[list[str], list[LogicalType]]:
    if isinstance(schema, pa.Schema):
        names = [field.name for field in schema]
        types = [logical_of_field(field) for field in schema]
    else:
        names = list(schema)
        types = [logical_of_dtype(dtype, name) for name, dtype in schema.items()]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"the columns {twice} occur more than once", mend="rename them")
    return names, types


def _identity(names: Sequence[str], types: Sequence[LogicalType], digests: Sequence[bytes], rows: int) -> TableIdentity:
    columns = list(zip(names, types, digests, strict=True))
    return TableIdentity(
        id=_whole([(name, kind.name, digest) for name, kind, digest in columns], rows),
        columns=tuple(ColumnIdentity(name, kind.name, f"{SCHEME}:{digest.hex()}") for name, kind, digest in columns),
        rows=rows,
    )


def _whole(columns: Sequence[tuple[str, str, bytes]], rows: int) -> str:
    whole = _hash(
        b"clew.table.c1",
        rows.to_bytes(8, "little"),
        *(part for name, kind, digest in columns for part in (name.encode(), kind.encode(), digest)),
    )
    return f"{SCHEME}:{whole.hex()}"


def _hash(*parts: bytes) -> bytes:
    """SHA-256 over parts, each with its length before it, so that no two lists of parts run together."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.digest()
