"""What a database's failure means to the caller: whose fault it is, what has become of the change, and the mend."""

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from clew.errors import CatalogError, ClewError, SchemaError, UsageError

# Unique violation, serialization failure, deadlock (PostgreSQL, appendix A): two made the same thing at once.
# SQLite has one writer at a time and never gets there.
_RACES = frozenset({"23505", "40001", "40P01"})
_NO_TABLE = frozenset({"42P01"})


def is_race(error: sa.exc.DBAPIError) -> bool:
    """Whether the same transaction, begun again, may find what another one made meanwhile."""
    return getattr(error.orig, "sqlstate", None) in _RACES


def translate(error: sa.exc.StatementError, doing: str) -> ClewError:
    """The error to raise instead; `doing` says what was tried, such as "the catalog could not be read"."""
    said = " ".join(str(error.orig).split())
    if not isinstance(error, sa.exc.DBAPIError) or isinstance(error, sa.exc.DataError):
        return UsageError(f"{doing}: a value can't be kept: {said}", mend="correct that value")
    if isinstance(error, sa.exc.IntegrityError):
        return UsageError(
            f"{doing}, since it would contradict what is there: {said}",
            mend="name things that exist, and values that their tables allow (docs/data-model.md)",
        )
    if getattr(error.orig, "sqlstate", None) in _NO_TABLE or said.startswith("no such table"):
        return SchemaError(f"{doing}: {said}", mend="clew upgrade")
    if error.connection_invalidated:
        return CatalogError(
            f"{doing}: the connection to the database broke: {said}",
            mend="look whether the change was made before you repeat it: it broke too late to know",
        )
    return CatalogError(
        f"{doing}: {said}",
        mend="check that the database runs, its URL, rights and free space; put a damaged file back from a backup",
    )


@contextmanager
def failures(doing: str) -> Iterator[None]:
    """Raise ClewErrors for the database's errors within."""
    try:
        yield
    except sa.exc.StatementError as error:
        raise translate(error, doing) from error
