"""Connections to the two databases that the catalog runs on."""

import os
import sqlite3
import weakref
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.pool import ConnectionPoolEntry

from clew.errors import CatalogError, MissingDependencyError

_BUSY_SECONDS = 60
_CONNECT_SECONDS = "10"
_PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "secure_delete=ON")

_files: "weakref.WeakSet[sa.Engine]" = weakref.WeakSet()
_servers: "weakref.WeakSet[sa.Engine]" = weakref.WeakSet()


def connect(url: str) -> sa.Engine:
    """An engine for `sqlite:///path` or `postgresql+psycopg://…`.

    A connection whose execution option `clew_write` is set may write; any other only reads.

    Raises:
        CatalogError: the URL names another kind of database, or can't be read, or its folder can't be made.
        MissingDependencyError: psycopg is not installed.
    """
    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError as error:
        raise CatalogError("the catalog's URL can't be read", mend="write sqlite:///PATH or postgresql://…") from error
    backend = parsed.get_backend_name()
    if backend == "sqlite":
        return _sqlite(parsed)
    if backend == "postgresql":
        return _postgresql(parsed)
    raise CatalogError(f"a catalog can't live in {backend}", mend="use SQLite (a folder) or PostgreSQL")


def _postgresql(url: sa.URL) -> sa.Engine:
    if "connect_timeout" not in url.query:
        url = url.update_query_dict({"connect_timeout": _CONNECT_SECONDS})
    try:
        engine = sa.create_engine(url.set(drivername="postgresql+psycopg"), pool_pre_ping=True)
    except ImportError as error:
        raise MissingDependencyError(
            "a catalog in PostgreSQL needs psycopg, which is not installed", mend="pip install 'clew[postgres]'"
        ) from error
    _servers.add(engine)
    return engine


def _sqlite(url: sa.URL) -> sa.Engine:
    if url.database:
        try:
            Path(url.database).parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CatalogError(
                f"the catalog's folder can't be made: {error}", mend="check the path and its rights"
            ) from error
    engine = sa.create_engine(url, connect_args={"timeout": _BUSY_SECONDS, "check_same_thread": False})

    @sa.event.listens_for(engine, "connect")
    def _settings(connection: sqlite3.Connection, record: ConnectionPoolEntry) -> None:
        del record
        connection.isolation_level = None  # transactions begin where SQLAlchemy says, below
        try:
            for pragma in _PRAGMAS:
                connection.execute(f"PRAGMA {pragma}")
        except sqlite3.Error:  # no database, or a damaged one
            connection.close()
            raise

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        # A write lock taken at once can wait for its turn; one asked for after a read can only fail.
        write: Any = connection.get_execution_options().get("clew_write", False)
        connection.exec_driver_sql(f"PRAGMA query_only={'OFF' if write else 'ON'}")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

    if url.database and url.database != ":memory:":
        _files.add(engine)
    return engine


def _before_fork() -> None:
    """SQLite's locks belong to a process: a child that inherits an open database would believe it held them."""
    for engine in list(_files):
        engine.dispose()


def _after_fork() -> None:
    """Parent and child must not talk over the same connection; the parent keeps it."""
    for engine in [*_files, *_servers]:
        engine.dispose(close=False)


os.register_at_fork(before=_before_fork, after_in_child=_after_fork)
