"""A glance at a folder's catalog without SQLAlchemy, whose start takes longer than many an answer.

Only for what is asked so often that its start counts, and only for what is there and whole: whoever gets None asks
the catalog itself, which knows all cases and words all errors. Tests hold both to the same answers.
"""

import contextlib
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from clew.catalog._schema import SCHEMA

_BUSY_SECONDS: Final = 60
_QUERY: Final = """
    select s.version, c.content_id, c.kind, c.listing
    from snapshots s
    join datasets d on d.id = s.dataset_id
    join contents c on c.id = s.content_pk
    where d.name = ? and s.state = 'live' and c.state = 'live' and s.version = coalesce(
        ?, (select max(version) from snapshots where dataset_id = d.id)
    )
"""


@dataclass(frozen=True)
class Seen:
    """A version of a dataset, as far as a glance shows it."""

    version: int
    content_id: str
    kind: str
    listing: str | None


def version_of(database: Path, dataset: str, version: int | None = None) -> Seen | None:
    """A live version of a dataset, the newest if none is named; None where the catalog itself should be asked."""
    try:
        uri = f"{database.absolute().as_uri()}?mode=rw"
        with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=_BUSY_SECONDS)) as connection:
            connection.execute("pragma query_only = on")
            if connection.execute("select version_num from alembic_version").fetchall() != [(SCHEMA,)]:
                return None
            row = connection.execute(_QUERY, (dataset, version)).fetchone()
    except (sqlite3.Error, OverflowError):
        return None
    return None if row is None else Seen(int(row[0]), str(row[1]), str(row[2]), row[3])
