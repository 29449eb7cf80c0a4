import hashlib
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa

from clew.data import Query, add, find
from clew.data._query import _frame
from clew.data._source import Source
from clew.data._spool import gather
from clew.data.readers import open_source
from clew.errors import DataError, MissingDependencyError, OutsideError, UsageError
from clew.workspace import Workspace

SECRET = "hunter2-hunter2"
ROWS = [(1, "a", 0.5, None), (2, None, None, None), (3, "ü", 1.5, "late")]


@pytest.fixture
def url(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path / 'shop.db'}"
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE sales (id INTEGER, name TEXT, price REAL, late TEXT)")
        connection.exec_driver_sql("INSERT INTO sales VALUES (?, ?, ?, ?)", ROWS)
        connection.exec_driver_sql("CREATE TABLE odd (id INTEGER, mixed)")
        connection.exec_driver_sql("INSERT INTO odd VALUES (?, ?)", [(1, 1), (2, "x")])
    engine.dispose()
    return url


def opened(query: Query, folder: Path, types: dict[str, pl.DataType] | None = None) -> Source:
    source = open_source(query, types or {}, {}, folder)
    assert not [path for path in folder.iterdir() if path.suffix not in (".db", "") and "-" not in path.name]
    return source


def rows(source: Source) -> list[Any]:
    return [row for _, batch in source.batches() for row in batch.rows()]


SQL = "SELECT * FROM sales ORDER BY id"


def test_rows_come_through_a_url_an_engine_a_connection_and_adbc(url: str, tmp_path: Path) -> None:
    engine = sa.create_engine(url)
    for given in (url, sa.make_url(url), engine):
        source = opened(Query(SQL, given), tmp_path)
        assert rows(source) == ROWS == rows(source)
        assert dict(source.schema) == {"id": pl.Int64, "name": pl.String, "price": pl.Float64, "late": pl.String}
    with engine.connect() as connection:
        assert rows(opened(Query(SQL, connection), tmp_path)) == ROWS
        assert connection.exec_driver_sql("SELECT 1").scalar() == 1  # it is still open
    engine.dispose()
    dbapi = pytest.importorskip("adbc_driver_sqlite.dbapi")
    with dbapi.connect(url.removeprefix("sqlite:///")) as connection:
        query = Query(SQL, connection)
        assert query.uri == "sqlite:///main"
        assert rows(opened(query, tmp_path)) == ROWS
        with pytest.raises(OutsideError, match="no such table"):
            opened(Query("SELECT * FROM gone", connection), tmp_path)


def test_the_types_that_were_before_hold(url: str, tmp_path: Path) -> None:
    types = {"id": pl.Int32(), "price": pl.Decimal(10, 2), "late": pl.Enum(["late", "early"]), "gone": pl.Int8()}
    source = opened(Query(SQL, url), tmp_path, types)
    assert [*source.schema.values()] == [pl.Int32, pl.String, pl.Decimal(10, 2), pl.Enum(["late", "early"])]
    assert rows(source)[0] == (1, "a", Decimal("0.50"), None)
    none = opened(Query(SQL + " LIMIT 0", url), tmp_path, types)
    assert [*none.schema.values()] == [pl.Int32, pl.Null, pl.Decimal(10, 2), pl.Enum(["late", "early"])]
    with pytest.raises(DataError, match=r"column 'name' is Int64 in the previous snapshot.*row 1: 'a'"):
        opened(Query(SQL, url), tmp_path, {"name": pl.Int64()})


def test_values_of_no_one_type_are_refused_by_column(url: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="column 'mixed' of the query holds values that no one type keeps: int, str"):
        opened(Query("SELECT * FROM odd", url), tmp_path)
    with pytest.raises(DataError, match="columns of one name: id"):
        opened(Query("SELECT id, id FROM odd", url), tmp_path)
    assert rows(opened(Query("SELECT CAST(mixed AS TEXT) AS m FROM odd", url), tmp_path)) == [("1",), ("x",)]


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([1, 2.5], pl.Float64()),
        ([None, 2**70, 1], pl.Int128()),
        ([Decimal("1.5"), Decimal("1.25")], pl.Decimal(38, 2)),
        ([float("nan"), 1], pl.Float64()),
        ([{"a": 1}, {"a": None}], pl.Struct({"a": pl.Int64()})),
        ([memoryview(b"a"), None], pl.Binary()),
        ([2**53 + 1, 0.5], None),
        ([{"a": 1}, {"b": 1}], None),
        ([object()], None),
        ([1, "1"], None),
    ],
)
def test_what_pythons_values_are_taken_for(values: list[Any], dtype: pl.DataType | None) -> None:
    if dtype is None:
        with pytest.raises(DataError, match="'x' of the query"):
            _frame(["x"], [(value,) for value in values])
    else:
        assert _frame(["x"], [(value,) for value in values]).schema == {"x": dtype}


@pytest.mark.parametrize("room", [0, 64 << 20])
def test_types_grow_from_batch_to_batch_without_a_change_of_values(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    monkeypatch.setattr("clew.data._query._ROWS", 2)
    monkeypatch.setattr("clew.data._spool.IN_MEMORY_BYTES", room)
    sql = """SELECT column1 AS a, column2 AS b, column3 AS c FROM
        (VALUES (NULL, 1, 1), (NULL, 2, 2), (NULL, 3.5, 3), (NULL, NULL, NULL), ('x', 4, NULL))"""
    source = opened(Query(sql, url), tmp_path)
    assert dict(source.schema) == {"a": pl.String, "b": pl.Float64, "c": pl.Int64}
    assert rows(source) == [(None, 1.0, 1), (None, 2.0, 2), (None, 3.5, 3), (None, None, None), ("x", 4.0, None)]
    with pytest.raises(
        DataError, match=r"column 'a' is Float64 over all batches, and can't hold row 1: 9007199254740993"
    ):
        rows(opened(Query("SELECT column1 AS a FROM (VALUES (9007199254740993), (1), (0.5))", url), tmp_path))
    with pytest.raises(DataError, match="column 'a' is String in batch"):
        opened(Query("SELECT column1 AS a FROM (VALUES (1), (2), ('x'))", url), tmp_path)


def test_decimals_of_other_scales_meet(tmp_path: Path) -> None:
    from clew.data._query import _wider

    batches = [pl.DataFrame({"d": [Decimal("1.5")]}), pl.DataFrame({"d": [Decimal("0.125")]})]
    source = gather(iter(batches), None, [], tmp_path, widen=_wider)
    assert rows(source) == [(Decimal("1.500"),), (Decimal("0.125"),)]


# --- secrets ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "uri"),
    [
        (f"postgresql+psycopg://anna:{SECRET}@db.example:5433/shop?sslpassword={SECRET}", "postgresql://db.example:5433/shop"),
        (f"mssql+pyodbc:///?odbc_connect=PWD%3D{SECRET}", "mssql:///"),
        (f"sqlite:////data/shop.db?key={SECRET}", "sqlite:////data/shop.db"),
        (f"duckdb:///md:shop?motherduck_token={SECRET}", "duckdb:///md:shop"),
        (f"duckdb:///md:shop;token={SECRET}", "duckdb:///md:shop"),
        (f"databricks://token:{SECRET}@host/db?http_path={SECRET}", "databricks://host/db"),
    ],
)  # fmt: skip
def test_what_is_told_of_a_connection(url: str, uri: str) -> None:
    query = Query("SELECT 1", url)
    assert query.uri == uri
    assert SECRET not in repr(query)
    assert "anna" not in repr(query)


def test_no_secret_reaches_the_catalog(
    url: str, tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    sql = f"SELECT * FROM sales WHERE name <> '{SECRET}-in-sql' OR name IS NULL"
    monkeypatch.setenv("SHOP_URL", f"{url}?timeout=7331.27182818284")
    query = Query.from_environment(sql, "SHOP_URL")
    added = add(workspace, "sales", query)
    assert added.snapshot.rows == 3
    assert not add(workspace, "sales", Query.from_environment(sql, "SHOP_URL")).changed
    source = find(workspace, "sales")
    with workspace.catalog.read() as connection:
        told = connection.exec_driver_sql("SELECT uri, kind, sha256 FROM sources").all()
    assert set(told) == {(f"sqlite:///{tmp_path / 'shop.db'}", "query", hashlib.sha256(sql.encode()).hexdigest())}
    assert source.collect().rows() == ROWS
    workspace.close()
    for path in (tmp_path / "home" / ".clew").rglob("*"):
        body = path.read_bytes() if path.is_file() else b""
        assert SECRET.encode() not in body, path
        assert b"27182818284" not in body, path


def test_errors_keep_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OutsideError, match="sqlite:///") as failed:
        opened(Query("SELECT 1", f"sqlite:///{tmp_path}/none/shop.db?timeout=4"), tmp_path)
    assert failed.value.__cause__ is None
    monkeypatch.setenv("BROKEN", f"no url {SECRET}")
    for variable, says in (("BROKEN", "no URL of SQLAlchemy"), ("NOT_THERE_AT_ALL", "no variable NOT_THERE_AT_ALL")):
        with pytest.raises(UsageError, match=says) as caught:
            Query.from_environment("SELECT 1", variable)
        assert SECRET not in str(caught.value)
        assert caught.value.__cause__ is None
    with pytest.raises(MissingDependencyError, match="no driver for nodb://host/x") as missing:
        opened(Query("SELECT 1", f"nodb://anna:{SECRET}@host/x"), tmp_path)
    assert SECRET not in str(missing.value)


def test_what_is_no_query_or_no_connection(url: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="gives no rows"):
        opened(Query("DELETE FROM sales", url), tmp_path)
    assert rows(opened(Query(SQL, url), tmp_path)) == ROWS  # nothing is ever committed
    with pytest.raises(OutsideError, match="no such table: gone"):
        opened(Query("SELECT * FROM gone", url), tmp_path)
    with pytest.raises(UsageError, match="a object is no connection"):
        Query("SELECT 1", object())


def test_signs_of_parameters_in_sql_are_left_alone(url: str, tmp_path: Path) -> None:
    sql = "SELECT ':name %s ? 100%' AS a, '12:30' AS b"
    assert rows(opened(Query(sql, url), tmp_path)) == [(":name %s ? 100%", "12:30")]
