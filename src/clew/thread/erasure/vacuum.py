"""Making deleted rows of the catalog unreadable: free pages, the write-ahead log, dead tuples."""

import time
from typing import Final

import sqlalchemy as sa

from clew.catalog.catalog import Catalog
from clew.catalog.tables import metadata
from clew.errors import CatalogError

_PATIENCE_SECONDS: Final = 30.0


def vacuum(catalog: Catalog) -> str:
    """Write the database anew without what was deleted; give what that doesn't reach, in words.

    Raises CatalogError when others keep the database open for so long that it can't be done.
    """
    if catalog.engine.dialect.name == "postgresql":
        with catalog.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            for table in metadata.sorted_tables:
                connection.execute(sa.text(f'VACUUM (FULL) "{table.name}"'))
        return "PostgreSQL's own write-ahead log, archives and backups keep what they hold for as long as they are kept"
    begun = time.monotonic()
    while True:
        try:
            if _vacuum_sqlite(catalog):
                return ""
        except sa.exc.OperationalError:  # somebody is writing
            pass
        if time.monotonic() - begun > _PATIENCE_SECONDS:
            raise CatalogError(
                "the catalog is in use without a pause, so what was deleted stays in its free pages and its log",
                mend="stop the processes that have the workspace open, then erase again: it goes on from here",
            )
        time.sleep(0.2)


def _vacuum_sqlite(catalog: Catalog) -> bool:
    """Whether it was done: not while a reader holds on to the log."""
    raw = catalog.engine.raw_connection()
    try:
        driver = raw.driver_connection
        assert driver is not None
        driver.execute("PRAGMA query_only=OFF")
        driver.execute("VACUUM")
        return not driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
    finally:
        raw.close()
