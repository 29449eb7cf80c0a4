"""The words of the catalog that repeat what was erased: ids of former contents, which a guess could be tested with.

They are replaced by keyed hashes: equal ones stay equal, so that history still hangs together, and nobody without
the key can tell what they were of.
"""

import hmac
import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import sqlalchemy as sa

from clew.catalog.catalog import Catalog
from clew.catalog.columns import Document
from clew.catalog.tables import governance, metadata

Report = Callable[[str, int, int | None], None]

_ID: Final = re.compile(r"[0-9a-f]{64}")
_AT_ONCE: Final = 500
# What their commands are kept with: the ids of what they were about, and nothing of what it said.
_STRIPPED: Final = frozenset({"FinishStep", "FinishSteps", "RegisterModel", "RecordReport", "EndRun"})
_KEPT: Final = ("model", "run_id", "name", "state", "ordinal", "model_version_id", "monitor_id")
# Rows that say who a key or a receipt is, or what the schema is.
_SPARED: Final = frozenset({"secret_keys", "tokens", "workspace", "erasure_effects"})


def replacement(key: bytes, token: str) -> str:
    """What stands in an id's place."""
    return hmac.digest(key, f"clew erased {token}".encode(), "sha256").hex()


def hexes(tokens: Sequence[str]) -> set[str]:
    """The 64 digits of ids such as `c1:…`."""
    return {found for one in tokens for found in _ID.findall(one)}


def scrub(
    catalog: Catalog, key: bytes, tokens: Sequence[str], about: Sequence[str], report: Report | None = None
) -> int:
    """Replace ids wherever the catalog repeats them; strip the log's commands about runs and versions; give the rows.

    Each table is a transaction of its own; doing it again finds nothing left to do.
    """
    wanted, named = hexes(tokens), set(about)
    if not wanted and not named:
        return 0
    changed = 0
    tables = [table for table in metadata.sorted_tables if table.name not in _SPARED]
    for number, table in enumerate(tables, start=1):
        columns = [
            column for column in table.c if isinstance(column.type, Document | sa.String) and not column.primary_key
        ]
        if columns:
            changed += _table(catalog, table, columns, key, wanted, named)
        if report is not None:
            report("scrubbing the catalog", number, len(tables))
    return changed


def _table(
    catalog: Catalog, table: sa.Table, columns: list[sa.Column[Any]], key: bytes, wanted: set[str], about: set[str]
) -> int:
    keys = list(table.primary_key.columns)
    said = [sa.cast(column, sa.Text).label(f"said_{n}") for n, column in enumerate(columns)]
    updates: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
    with catalog.read() as connection:
        for row in _stream(connection, sa.select(*keys, *said)):
            values = _changed(table, columns, row[len(keys) :], key, wanted, about)
            if values:
                updates.append((tuple(row[: len(keys)]), values))
    for start in range(0, len(updates), _AT_ONCE):
        with catalog.engine.connect().execution_options(clew_write=True) as connection, connection.begin():
            for identity, values in updates[start : start + _AT_ONCE]:
                where = sa.and_(*(column == value for column, value in zip(keys, identity, strict=True)))
                connection.execute(table.update().where(where).values(**values))
    return len(updates)


def _stream(connection: sa.Connection, query: sa.Select[Any]) -> Iterator[sa.Row[Any]]:
    yield from connection.execution_options(yield_per=_AT_ONCE).execute(query)


def _changed(
    table: sa.Table, columns: list[sa.Column[Any]], row: Sequence[Any], key: bytes, wanted: set[str], about: set[str]
) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if table is governance.commands:
        said = dict(zip((column.name for column in columns), row, strict=True))
        if said["name"] in _STRIPPED and any(one in said["payload"] for one in _mentioned(said["payload"], about)):
            payload = json.loads(said["payload"])
            stripped = {name: payload[name] for name in _KEPT if name in payload} | {"erased": True}
            return {} if payload.get("erased") else {"payload": stripped}
    for column, text in zip(columns, row, strict=True):
        if text is None or wanted.isdisjoint(_ID.findall(text)):
            continue
        new = _ID.sub(lambda found: replacement(key, found[0]) if found[0] in wanted else found[0], text)
        values[column.name] = json.loads(new) if isinstance(column.type, Document) else new
    return values


_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def _mentioned(text: str, about: set[str]) -> set[str]:
    return about.intersection(_UUID.findall(text))


def mentions(catalog: Catalog, wanted: Sequence[str]) -> list[str]:
    """Where the catalog's free words hold a person's value: messages, parameters, reasons, contracts."""
    found = []
    texts = [value for value in wanted if len(value) >= 3]
    if not texts:
        return []
    for table in metadata.sorted_tables:
        if table.name in _SPARED | {"erasures"}:
            continue
        for column in table.c:
            if not (isinstance(column.type, Document | sa.String)):
                continue
            text = sa.cast(column, sa.Text)
            like = sa.or_(*(text.contains(json.dumps(value)[1:-1], autoescape=True) for value in texts))
            count = int(catalog.rows(sa.select(sa.func.count()).select_from(table).where(like))[0][0])
            if count:
                found.append(f"{table.name}.{column.name}: {count}")
    return found
