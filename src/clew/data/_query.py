"""A query as a source: its rows are streamed out of a database, and its secrets stay out of the catalog."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import polars as pl
import pyarrow as pa
import sqlalchemy as sa

from clew.catalog.commands import SourceSpec
from clew.data._exact import first_line, from_arrow
from clew.data._source import Source
from clew.data._spool import Types, gather
from clew.data._text import fit
from clew.errors import DataError, MissingDependencyError, OutsideError, UsageError

_ROWS: Final = 16_384
_CAST: Final = "CAST the column to one type in the query"


class Query:
    """SQL and a connection to run it on. Nothing is asked before the rows are added.

    Of a connection only dialect, host and database are ever recorded or shown, and of the SQL its SHA-256.
    """

    def __init__(self, sql: str, connection: Any) -> None:
        """Take an ADBC connection, or an engine, a connection or a URL of SQLAlchemy. Raises UsageError."""
        self.sql = sql
        if isinstance(connection, str):
            connection = _parsed(connection, "the connection's URL")
        if not isinstance(connection, sa.URL | sa.Engine | sa.Connection) and not _is_adbc(connection):
            raise UsageError(
                f"a {type(connection).__name__} is no connection that clew knows",
                mend="give an ADBC connection, or an engine, a connection or a URL of SQLAlchemy",
            )
        self._connection = connection

    @classmethod
    def from_environment(cls, sql: str, variable: str) -> "Query":
        """A query on the database whose SQLAlchemy URL stands in an environment variable. Raises UsageError."""
        url = os.environ.get(variable)
        if not url:
            raise UsageError(
                f"the environment has no variable {variable}",
                mend=f"export {variable}='postgresql+psycopg://user:password@host/database'",
            )
        return cls(sql, _parsed(url, f"what {variable} holds"))

    def __repr__(self) -> str:
        return f"Query({self.uri!r}, sha256={self.sha256!r})"

    @property
    def uri(self) -> str:
        """Dialect, host and database, such as `postgresql://host:5432/shop`."""
        url = self._url
        if url is None:
            vendor = str(self._connection.adbc_get_info().get("vendor_name", "adbc")).lower()
            return f"{vendor}:///{_adbc_catalog(self._connection)}"
        port = "" if url.port is None else f":{url.port}"
        # Some drivers take settings, and so secrets, behind the name of the database.
        database = (url.database or "").split("?")[0].split(";")[0]
        return f"{url.get_backend_name()}://{url.host or ''}{port}/{database}"

    @property
    def sha256(self) -> str:
        """The hash of the SQL text."""
        return hashlib.sha256(self.sql.encode()).hexdigest()

    @property
    def _url(self) -> sa.URL | None:
        given = self._connection
        if isinstance(given, sa.Connection):
            return given.engine.url
        return given.url if isinstance(given, sa.Engine) else given if isinstance(given, sa.URL) else None

    def open(self, types: Types, folder: Path) -> Source:
        """Run the query, and read its rows to the end. `types` are preferred, where they are known.

        Raises:
            OutsideError: the database says no; MissingDependencyError when there is no driver for it.
            DataError: a column holds values that have no common type, or don't fit `types`.
        """
        types = {name: dtype for name, dtype in types.items() if dtype != pl.Null}
        batches = self._arrow_batches() if self._url is None else self._row_batches()
        specs = [SourceSpec(uri=self.uri, kind="query", sha256=self.sha256)]
        return gather(_typed(batches, types), None, specs, folder, types=types, widen=_wider)

    def _arrow_batches(self) -> Iterator[pl.DataFrame]:
        try:
            with self._connection.cursor() as cursor:
                cursor.execute(self.sql)
                reader = cursor.fetch_record_batch()
                yield from_arrow(reader.schema.empty_table(), "the query")
                for batch in reader:
                    yield from_arrow(pa.Table.from_batches([batch]), "the query")
        except (pa.ArrowException, OSError, RuntimeError) as error:
            raise self._failed(error) from None
        except Exception as error:
            if type(error).__module__.split(".")[0] != "adbc_driver_manager":
                raise
            raise self._failed(error) from None

    def _row_batches(self) -> Iterator[pl.DataFrame]:
        given = self._connection
        with ExitStack() as open_:
            try:
                if isinstance(given, sa.URL):
                    given = sa.create_engine(given, poolclass=sa.NullPool)
                if isinstance(given, sa.Engine):
                    given = open_.enter_context(given.connect())
                options = {"stream_results": True, "yield_per": _ROWS, "no_parameters": True}
                result = open_.enter_context(given.exec_driver_sql(self.sql, execution_options=options))
                if not result.returns_rows:
                    raise UsageError("the query gives no rows", mend="write a SELECT")
                names = list(result.keys())
                yield _frame(names, [])
                for rows in result.partitions(_ROWS):
                    yield _frame(names, rows)
            except (sa.exc.NoSuchModuleError, ModuleNotFoundError) as error:
                raise MissingDependencyError(
                    f"there is no driver for {self.uri}: {first_line(error)}",
                    mend="install it: 'clew[postgres]' for PostgreSQL; SQLAlchemy's documentation names the others",
                ) from None
            except (sa.exc.SQLAlchemyError, OSError) as error:
                raise self._failed(error) from None

    def _failed(self, error: BaseException) -> OutsideError:
        """The database's own words, without what the URL keeps secret."""
        said = first_line(getattr(error, "orig", None) or error)
        url = self._url
        for secret in () if url is None else (url.password, *url.query.values()):
            for one in (secret,) if isinstance(secret, str) else secret or ():
                said = said.replace(str(one), "…") if one else said
        return OutsideError(f"the query on {self.uri} failed: {said}", mend="check the SQL, the connection, the rights")


def _parsed(url: str, what: str) -> sa.URL:
    try:
        return sa.make_url(url)
    except sa.exc.ArgumentError:
        raise UsageError(
            f"{what} is no URL of SQLAlchemy", mend="write dialect+driver://user:password@host:port/database"
        ) from None


def _is_adbc(connection: Any) -> bool:
    return hasattr(connection, "adbc_get_info") and hasattr(connection, "cursor")


def _adbc_catalog(connection: Any) -> str:
    try:
        return str(connection.adbc_current_catalog)
    except Exception as error:
        if type(error).__module__.split(".")[0] != "adbc_driver_manager":
            raise
        return ""  # not every database has catalogs


def _frame(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> pl.DataFrame:
    doubled = sorted({name for name in names if list(names).count(name) > 1})
    if doubled:
        raise DataError(f"the query gives columns of one name: {', '.join(doubled)}", mend="rename them with AS")
    columns = zip(*rows, strict=True) if rows else [()] * len(names)
    return pl.DataFrame([_series(name, list(values)) for name, values in zip(names, columns, strict=True)])


def _series(name: str, values: list[Any]) -> pl.Series:
    """A column from Python values, none of which is changed. Raises DataError where their types don't go together."""
    kinds = {type(value) for value in values if value is not None}
    if kinds == {memoryview}:
        values = [None if value is None else bytes(value) for value in values]
    try:
        series = pl.Series(name, values, dtype=pl.Float64 if kinds == {int, float} else None, strict=False)
        if kinds == {int, float}:
            kept = all(type(value) is not int or float(value) == value for value in values)
        elif len(kinds) > 1 or series.dtype.is_nested():
            back = series.to_list()
            kept = back == values or repr(back) == repr(values)  # which takes one NaN for another
        else:
            kept = series.dtype != pl.Object and series.null_count() == values.count(None)
    except (TypeError, ValueError, OverflowError, pl.exceptions.PolarsError):
        kept = False
    if not kept:
        raise DataError(
            f"column {name!r} of the query holds values that no one type keeps: "
            f"{', '.join(sorted(kind.__name__ for kind in kinds))}",
            mend=_CAST,
        )
    return series


def _typed(batches: Iterator[pl.DataFrame], types: Types) -> Iterator[pl.DataFrame]:
    start = 0
    for batch in batches:
        label = Path("the query" if start == 0 else f"the query, counted from row {start + 1}")
        series = [fit(label, one, types[one.name]) if one.name in types else one for one in batch.get_columns()]
        yield pl.DataFrame(series)
        start += batch.height


def _wider(one: pl.DataType, other: pl.DataType) -> pl.DataType | None:
    """The type that holds what Python's values were taken for in two batches."""
    if one == other:
        return one
    if one.is_integer() and other.is_integer():
        return pl.Int128()
    if {one.is_float(), other.is_float()} == {True, False} and (one.is_integer() or other.is_integer()):
        return pl.Float64()
    if isinstance(one, pl.Decimal) and isinstance(other, pl.Decimal):
        return pl.Decimal(38, max(one.scale, other.scale))
    return None
