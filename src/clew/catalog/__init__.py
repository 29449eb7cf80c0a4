"""What exists and how it hangs together: tables, commands, migrations; on SQLite and PostgreSQL."""

from clew.catalog.catalog import SCHEMA, Actor, Catalog, current_user
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
