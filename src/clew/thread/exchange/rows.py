"""The catalog's rows as JSON lines, and back: each column by its type, nothing converted on the way."""

import base64
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import msgspec
import sqlalchemy as sa

from clew.catalog.columns import Instant
from clew.catalog.tables import metadata
from clew.errors import DataError
from clew.thread.exchange.manifest import AGAIN

LEFT_OUT: Final = frozenset({"workspace", "tokens", "leases"})
"""Tables that belong to one workspace alone: its identity, its secrets, its living processes."""

_AT_ONCE: Final = 2000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def tables() -> list[sa.Table]:
    """The tables that are exchanged, each after those that it refers to."""
    return [table for table in metadata.sorted_tables if table.name not in LEFT_OUT]


def dump(connection: sa.Connection, table: sa.Table, path: Path) -> int:
    """Write the rows of a table in the order of its key; give how many."""
    columns = [
        sa.type_coerce(column, sa.BigInteger).label(column.name) if isinstance(column.type, Instant) else column
        for column in table.columns
    ]
    query = sa.select(*columns).order_by(*table.primary_key.columns)
    found = connection.execution_options(yield_per=_AT_ONCE).execute(query)
    count = 0
    with path.open("wb") as file:
        for some in found.partitions(_AT_ONCE):
            file.write(b"".join(msgspec.json.encode(dict(row._mapping)) + b"\n" for row in some))  # noqa: SLF001
            count += len(some)
    return count


def load(path: Path, table: sa.Table) -> Iterator[list[dict[str, Any]]]:
    """The rows of a table, some at a time. Raises DataError, which names file and line."""
    some: list[dict[str, Any]] = []
    names = set(table.columns.keys())
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                row = msgspec.json.decode(line)
                if not isinstance(row, dict) or set(row) != names:
                    raise DataError(f"its columns are not those of {table.name}")
                some.append({name: _value(table.c[name], value) for name, value in row.items()})
            except (msgspec.MsgspecError, UnicodeDecodeError, ValueError, TypeError, OverflowError) as error:
                raise DataError(f"{path}, line {number} can't be read: {error}", mend=AGAIN) from error
            if len(some) == _AT_ONCE:
                yield some
                some = []
    if some:
        yield some


def _value(column: sa.Column[Any], value: Any) -> Any:
    if value is None:
        return None
    if isinstance(column.type, Instant):
        return _EPOCH + timedelta(microseconds=value)
    if isinstance(column.type, sa.LargeBinary):
        return base64.b64decode(value, validate=True)
    return value


def to_itself(table: sa.Table) -> list[str]:
    """The columns that refer to rows of the same table, which may come later."""
    return [column.name for column in table.columns for key in column.foreign_keys if key.column.table is table]
