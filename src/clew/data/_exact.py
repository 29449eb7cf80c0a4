"""Frames of other libraries as polars frames, exactly what they were, or refused by column and type."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import polars as pl
import pyarrow as pa

from clew.data._logical import logical_of_dtype, logical_of_field
from clew.errors import DataError


def from_pandas(source: Any) -> pl.DataFrame:
    """A pandas frame or series: NaN means missing there, and so it does here. Raises DataError, as `from_arrow`.

    An index with a name is a column that was put aside: it is refused, as it would be lost.
    """
    if hasattr(source, "to_frame"):
        source = source.to_frame()
    named = [str(name) for name in source.index.names if name is not None]
    if named:
        raise DataError(
            f"the frame's index {', '.join(named)} would be lost", mend="frame.reset_index() makes columns of it"
        )
    with readable("the frame"):
        return from_arrow(pa.Table.from_pandas(source, preserve_index=False), "the frame")


def from_arrow(table: pa.Table, what: str) -> pl.DataFrame:
    """An Arrow table. Raises DataError, which names columns whose type polars doesn't have or would change."""
    refuse_unknown(table.schema)
    with readable(what):
        frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    same_types(table.schema, frame)
    return frame


def refuse_unknown(schema: pa.Schema, *, precision: int = 0) -> None:
    """Pass if all types can be represented. Raises DataError, which names the column and the type.

    Decimals of 256 bits pass up to so many digits.
    """
    for field in schema:
        logical_of_field(field)
        if _too_wide(field.type, precision=precision):
            raise DataError(
                f"column {field.name!r} of type {field.type} can't be represented: polars has decimals of 128 bits",
                mend="cast or drop the column before adding the table",
            )


def _too_wide(kind: pa.DataType, *, precision: int) -> bool:
    """Whether there is a decimal of 256 bits with more digits than these."""
    if pa.types.is_dictionary(kind):
        return _too_wide(kind.value_type, precision=precision)
    if pa.types.is_decimal256(kind) and kind.precision > precision:
        return True
    return any(_too_wide(kind.field(at).type, precision=precision) for at in range(kind.num_fields))


def same_types(schema: pa.Schema, frame: pl.DataFrame) -> None:
    """Pass if polars made of each column what it was. Raises DataError, which names those that it changed."""
    changed = [
        f"{field.name!r}: {was} → {now}"
        for field in schema
        if field.name in frame.columns
        for was, now in [(logical_of_field(field).name, logical_of_dtype(frame.schema[field.name], field.name).name)]
        if was != now
    ]
    if changed:
        raise DataError(
            f"columns of a type that can't be kept as it is: {'; '.join(changed)}",
            mend="cast these columns before adding the table (as shown after the arrow, if that is right)",
        )


@contextmanager
def readable(what: str) -> Iterator[None]:
    """Raise DataError for what the readers raise; among them a panic, which is no Exception."""
    try:
        yield
    except (pl.exceptions.PolarsError, pa.ArrowException, OSError, EOFError, UnicodeError) as error:
        raise DataError(f"{what} can't be read: {first_line(error)}", mend="check what wrote it") from error
    except pl.exceptions.PanicException as error:
        raise DataError(f"{what} is broken: {first_line(error)}", mend="check what wrote it") from error


def first_line(error: BaseException) -> str:
    """What an error says, in one line."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
