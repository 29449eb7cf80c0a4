"""Tables between steps: written once as Arrow IPC, and mapped by whoever is handed them, without a copy."""

import hashlib
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa

from clew.data._disk import writing
from clew.data.identity import table_id
from clew.errors import IntegrityError, UsageError


class Tables:
    """The codec of tables: polars, Arrow or pandas in, what the hint asks for out."""

    kind = "table"

    def accepts(self, value: Any) -> bool:
        """Whether it is a table."""
        return isinstance(value, pl.DataFrame | pl.LazyFrame | pa.Table) or _is_pandas(value)

    def encode(self, value: Any) -> tuple[str, Callable[[Path], None], int | None]:
        """The logical content id, what writes the table to a file, and its rows."""
        frame = _to_polars(value)
        content_id = table_id(frame).id
        if pl.Categorical in _inner_types(frame):
            # The same content as text has, and yet not the same to a step.
            content_id += f"+{hashlib.sha256(str(frame.schema).encode()).hexdigest()[:8]}"

        def write(path: Path) -> None:
            with writing(path):
                frame.write_ipc(path, compression="uncompressed")

        return content_id, write, frame.height

    def decode(self, path: Path, hint: Any) -> Any:
        """The table, mapped."""
        return hand_over(mapped(path), hint)


def mapped(path: Path) -> pl.DataFrame:
    """A table of an Arrow IPC file, its columns where the file lies in memory: nothing is read until it is looked at.

    Columns that Arrow's Python library has no type for (128-bit whole numbers) are read instead. Raises IntegrityError
    for a file that is none.
    """
    # Not polars' own reader, which copies all columns whatever `memory_map` says (2.1).
    try:
        with pa.memory_map(str(path)) as file:
            table = pa.ipc.open_file(file).read_all()
        frame = typing.cast("pl.DataFrame", pl.from_arrow(table, rechunk=False))
    except pa.ArrowNotImplementedError:
        return pl.read_ipc(path)
    except pa.ArrowInvalid as error:
        raise IntegrityError(f"a stored table can't be read: {error}", mend="clew doctor") from error
    return frame if dict(frame.schema) == pl.read_ipc_schema(path) else pl.read_ipc(path)


def hand_over(frame: pl.DataFrame, hint: Any) -> Any:
    """A table as polars, Arrow or pandas."""
    if hint in (None, Any, object, pl.DataFrame):
        return frame
    if hint is pl.LazyFrame:
        return frame.lazy()
    if hint is pa.Table:
        return frame.to_arrow()
    if getattr(hint, "__module__", "").split(".")[0] == "pandas":
        return frame.to_pandas()
    raise UsageError(
        f"a table can't be handed over as {getattr(hint, '__name__', hint)}",
        mend="annotate the parameter as pl.DataFrame, pl.LazyFrame, pa.Table or pd.DataFrame",
    )


def _is_pandas(value: Any) -> bool:
    return type(value).__module__.split(".")[0] == "pandas" and type(value).__name__ == "DataFrame"


def _to_polars(value: Any) -> pl.DataFrame:
    if isinstance(value, pl.LazyFrame):
        return value.collect()
    if isinstance(value, pa.Table):
        return typing.cast("pl.DataFrame", pl.from_arrow(value))
    if isinstance(value, pl.DataFrame):
        return value
    if value.index.nlevels > 1 or value.index.name is not None:
        raise UsageError(
            f"the index {list(value.index.names)} of a pandas table would be lost",
            mend="give table.reset_index(), so that it is a column",
        )
    return pl.from_pandas(value)


def _inner_types(frame: pl.DataFrame) -> set[Any]:
    found: set[Any] = set()
    waiting: list[Any] = list(frame.dtypes)
    while waiting:
        dtype = waiting.pop()
        found.add(dtype.base_type())
        waiting += [getattr(dtype, "inner", None)] if getattr(dtype, "inner", None) else []
        waiting += [field.dtype for field in getattr(dtype, "fields", ())]
    return found
