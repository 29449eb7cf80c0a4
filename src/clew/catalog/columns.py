"""Column types and keys that every table shares."""

import os
import threading
import time
import uuid
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.types import TypeDecorator

_last = 0
_lock = threading.Lock()


def _after_fork() -> None:
    """Another thread may have held the lock when this process was forked; nobody would ever give it back."""
    global _lock  # noqa: PLW0603 - the same lock under the same name
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_after_fork)


def new_id() -> str:
    """A UUIDv7 (RFC 9562) as text: ordered by time, and strictly increasing within one process.

    The 12 bits after the version carry the fraction of the millisecond, so that ids made in the same
    millisecond keep their order; when the clock stands still or steps back, the last value is counted up.
    """
    global _last  # noqa: PLW0603 - one counter per process is the point
    with _lock:
        tick = max(time.time_ns() * 4096 // 1_000_000, _last + 1)
        _last = tick
    value = (tick >> 12 & (1 << 48) - 1) << 80 | 7 << 76 | (tick & 0xFFF) << 64 | 0b10 << 62
    return str(uuid.UUID(int=value | int.from_bytes(os.urandom(8), "big") >> 2))


def now() -> datetime:
    """The machine's clock, UTC, in microseconds."""
    return datetime.now(UTC)


class Instant(TypeDecorator[datetime]):
    """A moment in UTC, kept as microseconds since 1970: the same in SQLite and PostgreSQL, and quick to compare."""

    impl = sa.BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> int | None:
        """An aware datetime to microseconds; a naive one is refused, since nobody knows what it means."""
        del dialect
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"a moment without a time zone: {value!r}")
        return (value - _EPOCH) // _MICROSECOND  # whole numbers: a float of seconds loses microseconds

    def process_result_value(self, value: int | None, dialect: sa.Dialect) -> datetime | None:
        """Microseconds to an aware datetime."""
        del dialect
        return None if value is None else _EPOCH + _MICROSECOND * value


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = datetime(1970, 1, 1, 0, 0, 0, 1, tzinfo=UTC) - _EPOCH


class Document(TypeDecorator[Any]):
    """JSON, kept as JSONB in PostgreSQL, whose dialect is loaded only where it is used."""

    impl = sa.JSON(none_as_null=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        """The type that a database has for it."""
        if dialect.name == "postgresql":
            from sqlalchemy.dialects.postgresql import JSONB

            return dialect.type_descriptor(JSONB(none_as_null=True))
        return dialect.type_descriptor(sa.JSON(none_as_null=True))


def key() -> sa.Column[str]:
    """The surrogate key that every thing has: `id`, a UUIDv7."""
    return sa.Column("id", sa.Uuid(as_uuid=False), primary_key=True)


def ref(
    name: str, target: str, *, nullable: bool = False, primary_key: bool = False, index: bool = True
) -> sa.Column[str]:
    """A foreign key to `target.id`, indexed so that the thread can be walked backwards too.

    Without `index` where an index of the table's own begins with it.
    """
    return sa.Column(
        name,
        sa.Uuid(as_uuid=False),
        sa.ForeignKey(f"{target}.id"),
        nullable=nullable,
        primary_key=primary_key,
        index=index,
    )


def digest(name: str = "digest", *, nullable: bool = False) -> sa.Column[str]:
    """The SHA-256 of an object in the store. What no such column names is garbage."""
    return sa.Column(name, sa.String(64), nullable=nullable, index=True, info={"object": True})


def text(name: str, *, nullable: bool = False, index: bool = False) -> sa.Column[str]:
    """A text column."""
    return sa.Column(name, sa.Text, nullable=nullable, index=index)


def number(name: str, *, nullable: bool = False) -> sa.Column[int]:
    """A whole number of up to 64 bits."""
    return sa.Column(name, sa.BigInteger, nullable=nullable)


def moment(name: str, *, nullable: bool = False) -> sa.Column[datetime]:
    """A moment: `occurred_at` in the world, `recorded_at` here."""
    return sa.Column(name, Instant, nullable=nullable)


def document(name: str, *, nullable: bool = False) -> sa.Column[Any]:
    """A JSON document (JSONB in PostgreSQL, which forgets the order of keys) for what is shown and not joined."""
    return sa.Column(name, Document, nullable=nullable)


def state(*values: str) -> sa.Column[str]:
    """A life-cycle: one of the named states, held by the database."""
    listed = ", ".join(f"'{value}'" for value in values)
    return sa.Column("state", sa.String(16), sa.CheckConstraint(f"state in ({listed})", name="state"), nullable=False)


def provenance() -> sa.Column[str]:
    """How a thing is known: recorded by clew, declared by a script, or imported from elsewhere."""
    check = sa.CheckConstraint("provenance in ('recorded', 'declared', 'imported')", name="provenance")
    return sa.Column("provenance", sa.String(16), check, nullable=False)
