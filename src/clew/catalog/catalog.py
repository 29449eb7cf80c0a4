"""The catalog: one database, read freely, changed by commands alone."""

import getpass
import random
import socket
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from clew.catalog._failures import failures, is_race
from clew.catalog._schema import SCHEMA
from clew.catalog.columns import new_id, now
from clew.catalog.command import Command, Transaction, checked
from clew.catalog.engine import connect
from clew.catalog.tables import governance
from clew.errors import NotFoundError, SchemaError

_ATTEMPTS = 5


@dataclass(frozen=True)
class Actor:
    """Who changes something: a user, a token, or a part of the system."""

    kind: str
    name: str


def current_user() -> Actor:
    """The user that this process runs as."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container without a passwd entry
        user = "unknown"
    return Actor("user", f"{user}@{socket.gethostname()}")


class Catalog:
    """What exists and how it hangs together. Thread-safe: each call takes a connection of its own.

    Reads are plain SQLAlchemy selects over `clew.catalog.tables`; every change is a `Command`.
    """

    def __init__(self, url: str, actor: Actor | None = None) -> None:
        self.url = url
        self.engine = connect(url)
        self.actor = actor or current_user()
        self._actor_ids: dict[Actor, str] = {}

    def schema(self) -> str | None:
        """The migration that the database stands at; None when it is empty."""
        with failures("the catalog's database can't be opened"), self.engine.connect() as connection:
            if not sa.inspect(connection).has_table("alembic_version"):
                return None
            return connection.exec_driver_sql("select version_num from alembic_version").scalar()

    def require_schema(self) -> None:
        """Refuse to work on a database of another schema. Raises SchemaError."""
        found = self.schema()
        if found == SCHEMA:
            return
        if found is None:
            raise SchemaError("the catalog's database is empty", mend="clew init")
        if found < SCHEMA:
            raise SchemaError(f"the catalog has schema {found}, and this clew works with {SCHEMA}", mend="clew upgrade")
        raise SchemaError(
            f"the catalog has schema {found}, which is newer than this clew knows ({SCHEMA})",
            mend="pip install --upgrade clew",
        )

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A connection in a read transaction: one consistent view, in which nothing can be changed.

        Raises CatalogError when the database fails.
        """
        with failures("the catalog could not be read"), self.engine.connect() as connection:
            if connection.dialect.name == "postgresql":
                # Its default gives each statement a view of its own.
                connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            with connection.begin():
                yield connection

    def rows(self, query: sa.Select[Any], values: Mapping[str, Any] | None = None) -> list[sa.Row[Any]]:
        """All rows of one query; `values` are those of its parameters, where it has any."""
        with self.read() as connection:
            return list(connection.execute(query, values))

    def first(self, query: sa.Select[Any]) -> sa.Row[Any] | None:
        """The first row of one query, or None."""
        with self.read() as connection:
            return connection.execute(query).first()

    def get(self, table: sa.Table, row_id: str) -> sa.Row[Any]:
        """The row with this key. Raises NotFoundError."""
        row = self.first(sa.select(table).where(table.c.id == row_id)) if _is_id(row_id) else None
        if row is None:
            raise NotFoundError(f"no row {row_id} in {table.name}")
        return row

    def execute(
        self, command: Command, actor: Actor | None = None, *, bulk: Callable[[sa.Connection], None] | None = None
    ) -> Any:
        """Apply one command in one transaction, and keep it in the command log.

        The command is taken as its JSON says it, so that it does the same here as through a hub. When two make the
        same thing at once, the later one is applied again and finds what the other made. `bulk` writes in the same
        transaction, after the command, what is too much for one: the rows of an import.

        Raises:
            UsageError: a field is wrong, or names what isn't there; nothing has changed.
            ClewError: the command refuses; nothing has changed.
            CatalogError: the database failed; nothing has changed, unless it says that this can't be known.
        """
        command = checked(command)
        who = actor or self.actor
        with failures(f"{type(command).__name__} could not be written"):
            for attempt in range(1, _ATTEMPTS + 1):
                try:
                    return self._execute_once(command, who, bulk)
                except sa.exc.DBAPIError as error:
                    if attempt == _ATTEMPTS or not is_race(error):
                        raise
                time.sleep(random.uniform(0, 0.02 * 2**attempt))  # noqa: S311 - so that two don't meet again
        raise AssertionError("the last attempt returns or raises")

    def _execute_once(self, command: Command, who: Actor, bulk: Callable[[sa.Connection], None] | None) -> Any:
        with self.engine.connect().execution_options(clew_write=True) as connection, connection.begin():
            tx = Transaction(connection, self._actor_id(connection, who), now())
            answer = command.apply(tx)
            if bulk is not None:
                bulk(connection)
            tx.insert(governance.commands, name=type(command).__name__, payload=command.payload())
        self._actor_ids[who] = tx.actor_id
        return answer

    def _actor_id(self, connection: sa.Connection, actor: Actor) -> str:
        if actor in self._actor_ids:
            return self._actor_ids[actor]
        table = governance.actors
        query = sa.select(table.c.id).where(table.c.kind == actor.kind, table.c.name == actor.name)
        found = connection.execute(query).scalar()
        if found is None:
            values = {"id": new_id(), "kind": actor.kind, "name": actor.name}
            if connection.dialect.name == "postgresql":
                from sqlalchemy.dialects.postgresql import insert
            else:
                from sqlalchemy.dialects.sqlite import insert  # type: ignore[assignment]
            connection.execute(insert(table).values(**values).on_conflict_do_nothing())
            found = connection.execute(query).scalar_one()
        return str(found)

    def upgrade(self) -> list[str]:
        """Bring the database to this version's schema. Gives the migrations that were run.

        Raises SchemaError when it is newer than this version of clew.
        """
        from clew.catalog.migrations import migrate

        before = self.schema()
        if before is not None and before > SCHEMA:
            self.require_schema()
        with failures("the catalog could not be upgraded"):
            return migrate(self.engine)

    def close(self) -> None:
        """Give all connections back."""
        self.engine.dispose()

    def __enter__(self) -> "Catalog":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _is_id(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False
