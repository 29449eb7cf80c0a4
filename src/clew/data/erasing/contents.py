"""The contents that may hold a person's rows: those of the dataset, and all that share bytes with them."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from clew.catalog.retention import parts
from clew.catalog.tables import data
from clew.data import rope
from clew.data._gather import Group
from clew.objects import ObjectStore
from clew.workspace import Workspace


@dataclass(frozen=True)
class Content:
    """What a content is made of; `references` are the versions that say it, such as `house-sales@3`."""

    pk: str
    content_id: str
    kind: str
    rows: int | None
    schema: list[list[str]] | None
    column_ids: list[str] | None
    manifest: str | None
    listing: str | None
    profile: str | None
    references: tuple[str, ...]
    ropes: tuple[str, ...] = ()
    groups: tuple[Group, ...] = field(default=(), repr=False)

    @property
    def name(self) -> str:
        """The first version that says it."""
        return self.references[0] if self.references else self.content_id[:15]


def examine(workspace: Workspace, dataset_id: str) -> list[Content]:
    """The contents of a dataset's versions that are still there, and those that run through the same fragments."""
    c, s = data.contents.c, data.snapshots.c
    known = {dataset_id}
    with workspace.catalog.read() as connection:
        own = sa.select(c.id).join(data.snapshots, s.content_pk == c.id)
        wanted: set[str] = set()
        datasets = {dataset_id}
        while datasets:
            rows = connection.execute(own.where(s.dataset_id.in_(datasets), c.state == "live").distinct())
            wanted |= {str(row.id) for row in rows}
            wanted |= _sharing(connection, wanted)
            # Of a dataset that shares them, all versions: bins of profiles go from one to the next.
            datasets = _datasets(connection, wanted) - known
            known |= datasets
        found = [_content(row) for row in _rows(connection, sorted(wanted))]
        names = _references(connection, wanted)
        laid = _groups(connection, wanted)
    return [_with_groups(workspace.objects, one, names.get(one.pk, ()), laid.get(one.pk, [])) for one in found]


def with_files(workspace: Workspace) -> list[Content]:
    """Every content of the workspace that has files: they may share packs."""
    c = data.contents.c
    with workspace.catalog.read() as connection:
        query = sa.select(c.id).where(c.listing.is_not(None), c.state == "live")
        wanted = {str(one) for one in connection.execute(query).scalars()}
        found = [_content(row) for row in _rows(connection, sorted(wanted))]
        names = _references(connection, wanted)
        laid = _groups(connection, wanted)
    return [_with_groups(workspace.objects, one, names.get(one.pk, ()), laid.get(one.pk, [])) for one in found]


def _sharing(connection: sa.Connection, contents: set[str]) -> set[str]:
    """Contents that run through the fragments of some, at whatever remove."""
    u, g, c = data.group_fragments.c, data.column_groups.c, data.contents.c
    known, news, fragments = set(contents), set(contents), set[str]()
    while news:
        through: set[str] = set()
        for some in parts(sorted(news)):
            query = sa.select(u.fragment_id).join(data.column_groups, g.id == u.group_id).where(g.content_pk.in_(some))
            through |= {str(one) for one in connection.execute(query.distinct()).scalars()}
        news = set()
        for some in parts(sorted(through - fragments)):
            query = (
                sa.select(g.content_pk)
                .join(data.group_fragments, g.id == u.group_id)
                .join(data.contents, c.id == g.content_pk)
                .where(u.fragment_id.in_(some), c.state == "live")
                .distinct()
            )
            news |= {str(one) for one in connection.execute(query).scalars()}
        fragments |= through
        news -= known
        known |= news
    return known - contents


def _datasets(connection: sa.Connection, contents: set[str]) -> set[str]:
    s = data.snapshots.c
    found: set[str] = set()
    for some in parts(sorted(contents)):
        query = sa.select(s.dataset_id).where(s.content_pk.in_(some)).distinct()
        found |= {str(one) for one in connection.execute(query).scalars()}
    return found


def _rows(connection: sa.Connection, ids: list[str]) -> Iterable[sa.Row[Any]]:
    for some in parts(ids):
        yield from connection.execute(
            sa.select(data.contents).where(data.contents.c.id.in_(some)).order_by(data.contents.c.id)
        ).all()


def _content(row: sa.Row[Any]) -> Content:
    return Content(
        pk=str(row.id),
        content_id=row.content_id,
        kind=row.kind,
        rows=row.rows,
        schema=row.schema,
        column_ids=row.column_ids,
        manifest=row.manifest,
        listing=row.listing,
        profile=row.profile,
        references=(),
    )


def _references(connection: sa.Connection, ids: set[str]) -> dict[str, tuple[str, ...]]:
    s, d = data.snapshots.c, data.datasets.c
    found: dict[str, list[str]] = defaultdict(list)
    for some in parts(sorted(ids)):
        query = (
            sa.select(s.content_pk, d.name, s.version)
            .join(data.datasets, d.id == s.dataset_id)
            .where(s.content_pk.in_(some), s.state == "live")
            .order_by(d.name, s.version)
        )
        for row in connection.execute(query):
            found[str(row.content_pk)].append(f"{row.name}@{row.version}")
    return {key: tuple(names) for key, names in found.items()}


def _groups(connection: sa.Connection, ids: set[str]) -> dict[str, list[sa.Row[Any]]]:
    g = data.column_groups
    found: dict[str, list[sa.Row[Any]]] = defaultdict(list)
    for some in parts(sorted(ids)):
        for row in connection.execute(sa.select(g).where(g.c.content_pk.in_(some)).order_by(g.c.ordinal)):
            found[str(row.content_pk)].append(row)
    return found


def _with_groups(objects: ObjectStore, one: Content, names: tuple[str, ...], rows: list[sa.Row[Any]]) -> Content:
    groups = tuple(Group(tuple(row.columns), rope.decode(objects.get(row.rope))) for row in rows)
    fields = {name: getattr(one, name) for name in one.__dataclass_fields__}
    return Content(**{**fields, "references": names, "ropes": tuple(row.rope for row in rows), "groups": groups})
