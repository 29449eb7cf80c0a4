"""Commands: the only way in which the catalog changes.

A command is a small, named, serialisable value. It is applied in one transaction, under an actor, and kept in
the table `commands`. Embedded, it runs in this process; in a team the same JSON goes to the hub.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Annotated, Any, ClassVar, TypeVar

import msgspec
import sqlalchemy as sa

from clew.catalog.columns import new_id
from clew.errors import UsageError

Row = dict[str, Any]

Id = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]
"""A row's key, as `new_id` writes it."""
Digest = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
"""An object's name: the SHA-256 of its bytes."""
ContentId = Annotated[str, msgspec.Meta(min_length=1, max_length=80)]
"""What something says, whatever its bytes: a scheme and a hash, such as `c1:…`."""
Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Moment = Annotated[datetime, msgspec.Meta(tz=True)]

_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
C = TypeVar("C", bound="Command")


@dataclass(frozen=True)
class Transaction:
    """One transaction of one command: its connection, its actor and the moment it is recorded at."""

    connection: sa.Connection
    actor_id: str
    recorded_at: datetime

    def insert(self, table: sa.Table, **values: Any) -> str:
        """Insert a row and give its `id`; `id` and `recorded_at` are filled in where the table has them."""
        if "id" in table.c and "id" not in values:
            values["id"] = new_id()
        for column, value in (("recorded_at", self.recorded_at), ("actor_id", self.actor_id)):
            if column in table.c and column not in values:
                values[column] = value
        self.connection.execute(_insert(table), values)
        return str(values.get("id", ""))

    def insert_all(self, table: sa.Table, rows: Sequence[Row]) -> list[str]:
        """Insert rows that have the same columns, in one statement; give their ids. See `insert`."""
        added = {
            name: value
            for name, value in (("recorded_at", self.recorded_at), ("actor_id", self.actor_id))
            if name in table.c
        }
        filled = [{**added, **({"id": new_id()} if "id" in table.c else {}), **row} for row in rows]
        if filled:
            self.connection.execute(_insert(table), filled)
        return [str(row.get("id", "")) for row in filled]

    def update(self, table: sa.Table, where: sa.ColumnElement[bool], **values: Any) -> int:
        """Update rows, and give how many there were."""
        return self.connection.execute(table.update().where(where).values(**values)).rowcount

    def first(self, query: sa.Select[Any]) -> sa.Row[Any] | None:
        """The first row, or None."""
        return self.connection.execute(query).first()

    def find(self, table: sa.Table, **equal: Any) -> sa.Row[Any] | None:
        """The row whose columns equal these values, or None."""
        if None in equal.values():
            return self.first(sa.select(table).where(*(table.c[name] == value for name, value in equal.items())))
        return self.connection.execute(_select_equal(table, tuple(equal)), equal).first()

    def lock(self, table: sa.Table, **equal: Any) -> sa.Row[Any] | None:
        """As `find`, and nobody else changes that row until this transaction ends."""
        where = [table.c[name] == value for name, value in equal.items()]
        # The weaker lock: others may still make rows that refer to this one.
        return self.first(sa.select(table).where(*where).with_for_update(key_share=True))

    def next_number(self, column: sa.Column[int], where: sa.ColumnElement[bool]) -> int:
        """One more than the largest number so far; lock the owner's row first."""
        largest = self.connection.execute(sa.select(sa.func.max(column)).where(where)).scalar()
        return 1 if largest is None else int(largest) + 1


@cache
def _insert(table: sa.Table) -> sa.Insert:
    """Made once: building a statement costs more than running it."""
    return table.insert()


@cache
def _select_equal(table: sa.Table, names: tuple[str, ...]) -> sa.Select[Any]:
    return sa.select(table).where(*(table.c[name] == sa.bindparam(name) for name in names))


class Command(msgspec.Struct, frozen=True, kw_only=True, tag_field="command", tag=True, forbid_unknown_fields=True):
    """A change of the catalog. Subclasses are the complete list of what can change."""

    hidden: ClassVar[frozenset[str]] = frozenset()  # fields that the command log must not keep

    def apply(self, tx: Transaction) -> Any:
        """Make the change, and give a JSON-able answer. Raises ClewError, and then nothing has changed."""
        raise NotImplementedError(f"{type(self).__name__} doesn't say how it is applied; define apply()")

    def payload(self) -> Row:
        """What the command log keeps."""
        fields: Row = msgspec.to_builtins(self)
        return {name: value for name, value in fields.items() if name not in self.hidden and name != "command"}


def all_commands() -> tuple[type[Command], ...]:
    """All commands that clew has, by name: what a hub accepts."""
    import clew.catalog.commands  # noqa: F401 - registers all commands

    def below(base: type[Command]) -> list[type[Command]]:
        return [found for cls in base.__subclasses__() for found in (cls, *below(cls))]

    found = (cls for cls in below(Command) if cls.__module__.split(".")[0] == "clew")
    return tuple(sorted(found, key=lambda cls: cls.__name__))


@cache
def _decoder(classes: tuple[type[Command], ...]) -> "msgspec.json.Decoder[Any]":
    union: Any = classes[0]
    for cls in classes[1:]:
        union = union | cls
    return msgspec.json.Decoder(union)


def _decode(body: bytes, classes: tuple[type[Command], ...]) -> Any:
    if _NUL.search(body):
        raise UsageError("a text in that command has a NUL character, which PostgreSQL can't keep")
    try:
        return _decoder(classes).decode(body)
    except msgspec.ValidationError as error:
        raise UsageError(f"that is no command: {error}", mend="correct that field") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"that is no JSON: {error}") from error


def decode(body: bytes) -> Command:
    """A command from its JSON; every field is checked. Raises UsageError, which names the field."""
    command: Command = _decode(body, all_commands())
    return command


def encode(command: Command) -> bytes:
    """The command as JSON, with its name under "command". Numbers that are not finite become null.

    Raises UsageError when a field holds what JSON can't.
    """
    try:
        return msgspec.json.encode(command)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise UsageError(
            f"{type(command).__name__} holds what JSON can't: {error}",
            mend="pass plain str, int, float, bool, None, lists and dicts",
        ) from error


def checked(command: C) -> C:
    """The command as its JSON says it, every field checked. Raises UsageError, which names the field."""
    same: C = _decode(encode(command), (type(command),))
    return same
