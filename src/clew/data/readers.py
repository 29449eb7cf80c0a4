"""Reading what people have into one table: frames, Parquet, CSV, JSON lines, Arrow IPC."""

import csv
import gzip
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import polars as pl
import pyarrow as pa

from clew.catalog.commands import SourceSpec
from clew.errors import DataError, NotFoundError

Schema = dict[str, pl.DataType]
_TEXT = {".csv", ".csv.gz", ".jsonl", ".ndjson"}
_SHOWN = 5


@dataclass(frozen=True)
class Loaded:
    """A table, and where it came from."""

    frame: pl.DataFrame
    sources: list[SourceSpec]


def load(source: Any, types: Schema | None = None) -> Loaded:
    """Read a table from a frame (polars, pandas, Arrow) or a file.

    Args:
        source: the frame, or the path of a .parquet, .csv, .csv.gz, .jsonl, .ndjson, .arrow or .feather file.
        types: what text columns are read as (of the previous snapshot or the contract), so that one odd value
            doesn't change a column's type from dump to dump. Columns that are not named are inferred.

    Raises:
        NotFoundError: no such file.
        DataError: the file is empty, broken (its row is named), or of a kind that clew can't read.
    """
    if isinstance(source, pl.LazyFrame):
        source = source.collect()
    if isinstance(source, pl.DataFrame):
        return Loaded(source, [SourceSpec(uri="memory:polars", kind="frame")])
    if isinstance(source, pa.Table):
        return Loaded(_frame(pl.from_arrow(source)), [SourceSpec(uri="memory:arrow", kind="frame")])
    if type(source).__module__.split(".")[0] == "pandas":
        return Loaded(_frame(pl.from_pandas(source)), [SourceSpec(uri="memory:pandas", kind="frame")])
    return _load_file(Path(source), types or {})


def _frame(value: pl.DataFrame | pl.Series) -> pl.DataFrame:
    return value if isinstance(value, pl.DataFrame) else value.to_frame()


def suffix(path: Path) -> str:
    """The ending that says what a file is; `.csv.gz` counts as one."""
    name = path.name.lower()
    return ".csv.gz" if name.endswith(".csv.gz") else path.suffix.lower()


def _load_file(path: Path, types: Schema) -> Loaded:
    if not path.is_file():
        raise NotFoundError(f"there is no file {path}", mend="check the path")
    if path.stat().st_size == 0:
        raise DataError(f"{path} is empty: not even a header", mend="check what wrote it")
    kind = suffix(path)
    seen = describe_file(path, kind)
    try:
        if kind in (".csv", ".csv.gz"):
            frame = _read_csv(path, types)
        elif kind in (".jsonl", ".ndjson"):
            frame = pl.read_ndjson(path, infer_schema_length=None, schema_overrides=types or None)
        elif kind in (".parquet", ".pq"):
            frame = pl.read_parquet(path, glob=False)
        elif kind in (".arrow", ".ipc", ".feather"):
            frame = pl.read_ipc(path)
        else:
            raise DataError(
                f"{path} has an ending that clew doesn't know: {kind or 'none'}",
                mend="give .parquet, .csv, .csv.gz, .jsonl, .arrow, or a folder of files",
            )
    except (pl.exceptions.PolarsError, OSError, UnicodeDecodeError, EOFError) as error:
        raise DataError(f"{path} can't be read: {_first_line(error)}", mend="check what wrote it") from error
    return Loaded(frame, [seen])


def describe_file(path: Path, kind: str) -> SourceSpec:
    """A file as it is now: size, time, SHA-256."""
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    stat = path.stat()
    return SourceSpec(
        uri=str(path.resolve()),
        kind=kind.lstrip("."),
        bytes=stat.st_size,
        modified_ns=stat.st_mtime_ns,
        sha256=sha256,
    )


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _open_text(path: Path) -> TextIO:
    if suffix(path) == ".csv.gz":
        return gzip.open(path, "rt", encoding="utf-8", newline="")
    return path.open(encoding="utf-8", newline="")


def _read_csv(path: Path, types: Schema) -> pl.DataFrame:
    """Read all as text first, so that a value that doesn't fit can be named by its row."""
    try:
        raw = pl.read_csv(path, infer_schema=False)
    except pl.exceptions.PolarsError as error:
        raise _broken_row(path, error) from error
    if raw.width == 0:
        raise DataError(f"{path} is empty: not even a header", mend="check what wrote it")
    _same_width(path, raw)
    doubled = [name for name in raw.columns if "_duplicated_" in name]
    if doubled:
        names = sorted({name.split("_duplicated_")[0] for name in doubled})
        raise DataError(f"{path} has columns of one name: {', '.join(names)}", mend="rename them")
    wanted = {name: types[name] for name in raw.columns if name in types}
    free = [name for name in raw.columns if name not in types]
    inferred = _infer(raw.select(free)).get_columns() if free else []
    found = {series.name: series for series in inferred}
    return pl.DataFrame([found.get(name, _typed(path, raw[name], wanted.get(name))) for name in raw.columns])


def _same_width(path: Path, raw: pl.DataFrame) -> None:
    """A row that is too short is padded by the reader without a word: only rows with a null at the end can be."""
    short = raw.with_row_index("__row").filter(pl.col(raw.columns[-1]).is_null())
    if raw.width > 1 and short.height:
        broken = _find_broken_row(path)
        if broken is not None:
            raise broken


def _infer(raw: pl.DataFrame) -> pl.DataFrame:
    """Types from all values: whole numbers, numbers, dates, times, booleans, else text."""
    columns = []
    for series in raw.get_columns():
        filled = series.drop_nulls()
        for to in (_int, _float, _bool, _date, _datetime):
            typed = to(series) if len(filled) else None
            if typed is not None and typed.null_count() == series.null_count():
                columns.append(typed)
                break
        else:
            columns.append(series)
    return pl.DataFrame(columns)


_LEADING_ZERO = r"^[+-]?0\d"


def _int(series: pl.Series) -> pl.Series | None:
    if series.str.contains(_LEADING_ZERO).any():
        return None  # 01234 is a code, and a number would lose its zero
    return series.cast(pl.Int64, strict=False)


def _float(series: pl.Series) -> pl.Series | None:
    if series.str.contains(_LEADING_ZERO).any():
        return None
    return series.cast(pl.Float64, strict=False)


def _bool(series: pl.Series) -> pl.Series | None:
    return series.str.to_lowercase().replace_strict({"true": True, "false": False}, default=None)


def _date(series: pl.Series) -> pl.Series | None:
    return series.str.to_date("%Y-%m-%d", strict=False)


def _datetime(series: pl.Series) -> pl.Series | None:
    for form in ("%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f"):
        typed = series.str.to_datetime(form, strict=False, time_unit="us")
        if typed.null_count() == series.null_count():
            return typed
    return None


def _typed(path: Path, series: pl.Series, wanted: pl.DataType | None) -> pl.Series:
    if wanted is None or wanted == pl.String:
        return series
    if wanted == pl.Boolean:
        typed = series.str.to_lowercase().replace_strict({"true": True, "false": False}, default=None)
    elif wanted == pl.Date:
        typed = series.str.to_date("%Y-%m-%d", strict=False)
    elif isinstance(wanted, pl.Datetime):
        typed = _datetime(series) if series.null_count() < len(series) else series.cast(wanted, strict=False)
        typed = series.cast(wanted, strict=False) if typed is None else typed.cast(wanted, strict=False)
    else:
        typed = series.cast(wanted, strict=False)
    lost = typed.is_null() & series.is_not_null()
    if lost.any():
        rows = lost.arg_true()
        shown = ", ".join(f"row {int(row) + 1}: {series[int(row)]!r}" for row in rows[:_SHOWN])
        raise DataError(
            f"{path}: column {series.name!r} is {wanted} in the previous snapshot or the contract, "
            f"and {len(rows)} values don't fit it ({shown})",
            mend="correct these values, or declare the change with --accept-schema",
        )
    return typed.alias(series.name)


def _broken_row(path: Path, error: Exception) -> DataError:
    found = _find_broken_row(path)
    if found is not None:
        return found
    return DataError(f"{path} can't be read as CSV: {_first_line(error)}", mend="check what wrote it")


def _find_broken_row(path: Path) -> DataError | None:
    """The first row whose number of fields is not the header's."""
    with _open_text(path) as file:
        try:
            rows = csv.reader(file, strict=True)
            header = next(rows, [])
            for number, row in enumerate(rows, start=1):
                if row and len(row) != len(header):
                    return DataError(
                        f"{path}: row {number} (line {rows.line_num}) has {len(row)} fields, "
                        f"and the header has {len(header)}",
                        mend="correct that row; nothing was stored",
                    )
        except (csv.Error, UnicodeDecodeError) as error:
            return DataError(f"{path}: line {rows.line_num + 1} is broken: {error}", mend="correct that line")
    return None
