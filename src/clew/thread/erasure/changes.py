"""What an erasure writes before the catalog knows of it: contents, packages, rows kept apart."""

import hashlib
import io
import zipfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import polars as pl
import pyarrow as pa
import sqlalchemy as sa

from clew.catalog.affected import Affected
from clew.catalog.commands import ArtifactSpec, ContentRewrite, GroupSpec, Recoded, Repackaged, Requarantined
from clew.catalog.retention import parts
from clew.catalog.tables import builds, data
from clew.data._add import both_id
from clew.data._add_table import put_groups
from clew.data._file_listing import content_id as files_id
from clew.data._file_listing import load
from clew.data._gather import Table
from clew.data.erasing.contents import Content
from clew.data.erasing.files import FilesPlan, Listed
from clew.data.erasing.finding import Found
from clew.data.erasing.rewriting import Rewriting, Rewritten
from clew.data.erasing.subjects import is_theirs, texts
from clew.data.identity import id_of_parts
from clew.thread.erasure.packages import without_rows
from clew.workspace import Workspace

_MOST_ROWS = 100_000  # of a person, by which examples are known again


@dataclass(frozen=True)
class Changes:
    """The fields of the command that makes the new bytes count."""

    contents: list[ContentRewrite]
    fragments: list[str]


def content_changes(
    workspace: Workspace, rewriting: Rewriting, files: FilesPlan, former: Callable[[str], str]
) -> Changes:
    """Each content as the catalog is to know it; `former` gives what stands in an erased content id's place."""
    tables = {one.content.pk: one for one in rewriting.contents}
    folders = {one.content.pk: one for one in files.contents}
    found = []
    for pk in dict.fromkeys([*tables, *folders]):
        table, folder = tables.get(pk), folders.get(pk)
        content = table.content if table is not None else folder.content if folder is not None else None
        assert content is not None
        found.append(_change(workspace, content, table, folder, rewriting, former))
    return Changes(found, rewriting.removed)


def _change(
    workspace: Workspace,
    content: Content,
    table: Rewritten | None,
    folder: Listed | None,
    rewriting: Rewriting,
    former: Callable[[str], str],
) -> ContentRewrite:
    listing = content.listing if folder is None else folder.listing
    groups: list[GroupSpec] = []
    if content.groups:
        laid = content.groups if table is None else table.groups
        groups = put_groups(workspace, laid, rewriting.written)[0]
    erased = (0 if table is None else table.erased_rows) + (0 if folder is None else folder.erased)
    if not erased:
        return ContentRewrite(
            content_pk=content.pk,
            ropes=list(content.ropes),
            listing_was=content.listing,
            listing=listing,
            profile=None if table is None else table.profile,
            groups=groups,
        )
    identity = None if table is None else table.identity
    column_ids = content.column_ids if identity is None else [one.id for one in identity.columns]
    rows = content.rows if identity is None else identity.rows
    said = []
    if content.kind != "files":
        said.append(id_of_parts(content.schema or [], column_ids or [], rows or 0) if identity is None else identity.id)
    if content.kind != "table":
        said.append(_files_id(workspace, content, folder))
    return ContentRewrite(
        content_pk=content.pk,
        ropes=list(content.ropes),
        listing_was=content.listing,
        content_id=said[0] if len(said) == 1 else both_id(said),
        former=former(content.content_id),
        rows=rows,
        column_ids=column_ids,
        profile=content.profile if table is None or table.profile is None else table.profile,
        listing=listing,
        groups=groups,
        erased_rows=erased,
    )


def _files_id(workspace: Workspace, content: Content, folder: Listed | None) -> str:
    if folder is not None:
        return folder.content_id
    assert content.listing is not None
    entries = load(workspace.objects, content.listing).entries
    return files_id({path: entry.sha256 for path, entry in entries.items()})


def rows_of(workspace: Workspace, contents: Sequence[Content], found: Found) -> pl.DataFrame:
    """A person's rows of all contents, as texts, each once: by which they are known where they were copied to."""
    frames = []
    for one in contents:
        rows = found.rows.get(one.pk)
        if rows is not None:
            taken = Table(workspace.objects, one.groups).take(rows[:_MOST_ROWS])
            plain = [name for name, dtype in taken.schema.items() if not dtype.is_nested()]
            frames.append(pl.DataFrame([texts(taken[name]) for name in plain]))
    return pl.concat(frames, how="diagonal").unique() if frames else pl.DataFrame()


def packages(workspace: Workspace, affected: Affected, theirs: pl.DataFrame) -> list[Repackaged]:
    """The packages of versions that learned from the rows, with examples that hold none of them; durable on return."""
    found = []
    for row in _artifacts(workspace, affected.packages):
        spec = ArtifactSpec(
            kind=row.kind, content_id=row.content_id, digest=row.digest, bytes=row.bytes, rows=row.rows, body=row.body
        )
        if row.state == "live":
            body = workspace.objects.get(row.digest) if row.body is None else bytes(row.body)
            new = without_rows(body, theirs) if zipfile.is_zipfile(io.BytesIO(body)) else None
            if new is not None:
                info = workspace.objects.put(new)
                spec = ArtifactSpec(
                    kind=row.kind,
                    content_id=f"m1:{hashlib.sha256(new).hexdigest()}",
                    digest=info.digest,
                    bytes=info.size,
                    rows=row.rows,
                )
        found.append(Repackaged(str(row.id), spec))
    return found


def recoded(workspace: Workspace, artifacts: Iterable[str]) -> list[Recoded]:
    """Tables that steps made of versions which shared fragments with the person's, in bytes of their own; durable.

    Arrow's texts are views into buffers, and those of a few rows that were left out may be written along.
    """
    found = []
    for row in _artifacts(workspace, artifacts):
        if row.kind != "table" or row.state != "live" or row.body is not None:
            continue
        frame = pl.read_ipc(io.BytesIO(workspace.objects.get(row.digest)))
        try:
            own = pl.from_arrow(frame.to_arrow(compat_level=pl.CompatLevel.oldest()))
        except (pa.ArrowException, pl.exceptions.PolarsError):  # whole numbers of 128 bits
            own = frame
        if not isinstance(own, pl.DataFrame) or own.schema != frame.schema:
            own = frame
        body = own.write_ipc(None, compression="uncompressed").getvalue()
        info = workspace.objects.put(body)
        found.append(Recoded(str(row.id), info.digest, info.size))
    return found


def _artifacts(workspace: Workspace, ids: Iterable[str]) -> Iterable[sa.Row[object]]:
    a = builds.artifacts
    for some in parts(sorted(ids)):
        yield from workspace.catalog.rows(sa.select(a).where(a.c.id.in_(some)))


def quarantines(
    workspace: Workspace, dataset_id: str, columns: Sequence[str], wanted: Sequence[str]
) -> list[Requarantined]:
    """Rows that a contract kept apart, without the person's; durable on return.

    Rows that can't be told a person by go as a whole.
    """
    q = data.quarantines
    found = []
    for row in workspace.catalog.rows(sa.select(q).where(q.c.dataset_id == dataset_id, q.c.state == "live")):
        frame = pl.read_parquet(io.BytesIO(workspace.objects.get(row.digest)))
        mine = [name for name in columns if name in frame.columns]
        kept = frame.clear() if not mine else frame
        for name in mine:
            kept = kept.filter(~is_theirs(kept[name], wanted))
        if kept.height == frame.height:
            continue
        digest = None
        if kept.height:
            body = io.BytesIO()
            kept.write_parquet(body)
            digest = workspace.objects.put(body.getvalue()).digest
        found.append(Requarantined(str(row.id), digest, kept.height))
    return found
