"""References: `name@3`, `name@latest`, `name@alias`, `name@2026-11-23`, `name@` and six characters of the id."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any

import sqlalchemy as sa

from clew.catalog import Catalog
from clew.catalog.tables import governance
from clew.errors import NotFoundError, UsageError

_ID = re.compile(r"(?:([a-z]\d):)?([0-9a-f]{6,64})")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_SHOWN = 10


@dataclass(frozen=True)
class Reference:
    """A name and which of its versions."""

    name: str
    selector: str

    def __str__(self) -> str:
        return f"{self.name}@{self.selector}"


def parse(text: str) -> Reference:
    """`house-sales@3`; a bare name means its latest version. Raises UsageError."""
    name, at, selector = text.partition("@")
    odd = any(sign == "\0" or "\ud800" <= sign <= "\udfff" for sign in text)  # which no database keeps
    if odd or not name or (at and not selector) or "@" in selector:
        raise UsageError(
            f"{text!r} is no reference", mend="write name@3, name@latest, name@alias, name@2026-11-23 or name@a1b2c3"
        )
    return Reference(name, selector or "latest")


@dataclass(frozen=True)
class Versions:
    """Where the versions of a kind of thing are found, so that references mean the same everywhere."""

    kind: str  # "dataset" or "model"
    owners: sa.Table
    query: sa.Select[Any]  # selects the version's columns, joined with what its id needs
    owner_id: sa.Column[str]
    row_id: sa.Column[str]
    version: sa.Column[int]
    occurred_at: sa.Column[datetime]
    content_id: sa.ColumnElement[str]
    listing: str  # the command that lists what there is

    def resolve(self, catalog: Catalog, text: str) -> sa.Row[Any]:
        """The row of one version. Raises NotFoundError, which says what there is."""
        reference = parse(text)
        owner = catalog.first(sa.select(self.owners.c.id).where(self.owners.c.name == reference.name))
        if owner is None:
            names = [row.name for row in catalog.rows(sa.select(self.owners.c.name).order_by(self.owners.c.name))]
            more = ", …" if len(names) > _SHOWN else ""
            near = f"there are: {', '.join(names[:_SHOWN])}{more}" if names else f"there is no {self.kind} yet"
            raise NotFoundError(f"no {self.kind} is called {reference.name!r}; {near}", mend=self.listing)
        mine = self.query.where(self.owner_id == owner.id)
        row = self._select(catalog, mine, str(owner.id), reference.selector)
        if row is None:
            known = self._known(catalog, str(owner.id))
            raise NotFoundError(f"there is no {reference}; {reference.name} has {known}", mend=self.listing)
        return row

    def _known(self, catalog: Catalog, owner_id: str) -> str:
        """What there is of a thing, in words."""
        columns: list[Any] = [sa.func.max(self.version).label("newest"), sa.func.min(self.occurred_at).label("first")]
        row = catalog.first(sa.select(*columns).where(self.owner_id == owner_id))
        if row is None or row.newest is None:
            return "no version yet"
        known = "version 1" if row.newest == 1 else f"versions 1 to {row.newest}"
        table = governance.aliases.c
        mine = sa.select(table.alias).where(table.owner_kind == self.kind, table.owner_id == owner_id)
        aliases = [row.alias for row in catalog.rows(mine.order_by(table.alias).limit(_SHOWN))]
        return f"{known}, the first of {row.first:%Y-%m-%d}" + (f"; aliases: {', '.join(aliases)}" if aliases else "")

    def _select(self, catalog: Catalog, mine: sa.Select[Any], owner_id: str, selector: str) -> sa.Row[Any] | None:
        newest = self.version.desc()
        if selector == "latest":
            return catalog.first(mine.order_by(newest).limit(1))
        if selector.isascii() and selector.isdigit():
            row = catalog.first(mine.where(self.version == int(selector))) if len(selector) < 18 else None
            if row is not None:
                return row
        if not selector[0].isdigit():
            table = governance.aliases.c
            alias = catalog.first(
                sa.select(table.target_id).where(
                    table.owner_kind == self.kind, table.owner_id == owner_id, table.alias == selector
                )
            )
            if alias is not None:
                return catalog.first(mine.where(self.row_id == alias.target_id))
        day = _day(selector)
        if day is not None:
            return catalog.first(mine.where(self.occurred_at <= day).order_by(newest).limit(1))
        found = _ID.fullmatch(selector)
        if found is None:
            return None
        rows = catalog.rows(mine.where(self.content_id.like(f"{found[1] or '%'}:{found[2]}%")).order_by(newest))
        ids = {getattr(row, self.content_id.key or ""): int(row.version) for row in rows}
        if len(ids) > 1:
            fitting = ", ".join(f"{version} ({content_id[:20]}…)" for content_id, version in ids.items())
            raise UsageError(f"{selector} fits several versions: {fitting}", mend="give more characters of the id")
        return rows[0] if rows else None


def _day(text: str) -> datetime | None:
    if _DAY.fullmatch(text) is None:
        return None
    try:
        return datetime.combine(date.fromisoformat(text), time.max, UTC)
    except ValueError:
        return None
