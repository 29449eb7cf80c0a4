"""What exists and how it hangs together: tables, commands, migrations; on SQLite and PostgreSQL."""

from typing import TYPE_CHECKING

from clew._lazy import lazy
from clew.catalog._schema import SCHEMA

if TYPE_CHECKING:
    from clew.catalog.catalog import Actor, Catalog, current_user
    from clew.catalog.columns import new_id, now
    from clew.catalog.command import Command, Transaction, decode, encode

__all__ = [
    "SCHEMA",
    "Actor",
    "Catalog",
    "Command",
    "Transaction",
    "current_user",
    "decode",
    "encode",
    "new_id",
    "now",
]

__getattr__ = lazy(
    __name__,
    {
        "Actor": "clew.catalog.catalog",
        "Catalog": "clew.catalog.catalog",
        "Command": "clew.catalog.command",
        "Transaction": "clew.catalog.command",
        "current_user": "clew.catalog.catalog",
        "decode": "clew.catalog.command",
        "encode": "clew.catalog.command",
        "new_id": "clew.catalog.columns",
        "now": "clew.catalog.columns",
    },
)
