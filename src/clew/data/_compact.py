"""Compaction: laying a frayed table together again, in new fragments; what older versions need stays where it is."""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from clew.catalog.commands import ReplaceGroups
from clew.data import _fragments, rope
from clew.data._add_table import put_groups
from clew.data._fray import SMALL_ROWS, is_frayed
from clew.data._gather import Group, Table
from clew.data._leases import lease
from clew.data._proof import read_back
from clew.data.rope import Rope
from clew.data.snapshot import Snapshot
from clew.errors import IntegrityError
from clew.workspace import Workspace

Flags = npt.NDArray[np.bool_]

_LONG_ROWS: Final = 65_536


def compact(
    workspace: Workspace,
    snapshot: Snapshot,
    *,
    groups: Sequence[Group] = (),
    busy: bool = False,
    force: bool = False,
    report: Callable[[str, int, int | None], None] | None = None,
) -> int:
    """Lay a snapshot's table together again if it is frayed (or `force`); give the bytes written.

    `groups` are the snapshot's, where they are at hand; `busy` says that its add had much else to do.

    The content stays what it is, and so does every other version. Long stretches that lie well are left where they
    are. Raises IntegrityError when what was written doesn't read back as the content.
    """
    if snapshot.kind == "files" or not snapshot.rows:
        return 0
    groups = groups or snapshot.groups()
    if not (force or is_frayed(groups, busy=busy)):
        return 0
    ropes = snapshot.ropes()
    with lease(workspace, snapshot.reference):
        table = Table(workspace.objects, groups)
        names = tuple(snapshot.empty().columns)
        kept = _kept(groups[0].rope) if len(groups) == 1 else np.zeros(0, dtype=bool)
        written: list[_fragments.Written] = []
        parts: list[Rope] = []
        for start, rows, stays in _stretches(groups[0].rope, kept, table.height):
            if stays:
                parts.append(groups[0].rope.cut(start, rows))
                continue
            news = _fragments.write(workspace.objects, workspace.temporary(), _rows(table, names, start, rows, report))
            parts.append(rope.plain([one.fragment for one in news]))
            written += news
        laid = [Group(names, rope.join(parts))]
        _prove(workspace, snapshot, laid)
        specs, rope_bytes = put_groups(workspace, laid, written)
        done = workspace.catalog.execute(ReplaceGroups(content_pk=snapshot.content_pk, ropes=ropes, groups=specs))
    return sum(one.bytes for one in written if one.created) + rope_bytes if done else 0


def _kept(one: Rope) -> Flags:
    """Which extents stay: long ones, in fragments of which most is in use."""
    used = np.bincount(one.fragment, weights=one.rows, minlength=len(one.fragments))
    held = np.array([fragment.rows for fragment in one.fragments])
    return (one.rows >= _LONG_ROWS) & (used * 2 > held)[one.fragment]


def _stretches(one: Rope, kept: Flags, height: int) -> Iterator[tuple[int, int, bool]]:
    """The rows from beginning to end, in stretches (start, rows, whether they stay)."""
    if not kept.any():
        yield 0, height, False
        return
    ends = np.cumsum(one.rows)
    firsts = np.flatnonzero(np.append(True, kept[1:] != kept[:-1]))
    begins = (ends - one.rows)[firsts]
    for begin, end, stays in zip(begins, np.append(begins[1:], height), kept[firsts], strict=True):
        yield int(begin), int(end - begin), bool(stays)


def _rows(
    table: Table, names: Sequence[str], start: int, rows: int, report: Callable[[str, int, int | None], None] | None
) -> Iterator[pl.DataFrame]:
    for at in range(start, start + rows, SMALL_ROWS):
        count = min(SMALL_ROWS, start + rows - at)
        yield table.rows(at, count).select(names)
        if report is not None:
            report("compacting", at + count, table.height)


def _prove(workspace: Workspace, snapshot: Snapshot, groups: Sequence[Group]) -> None:
    found = read_back(Table(workspace.objects, groups), snapshot.empty().schema)
    same = (
        found.id == snapshot.content_id
        if snapshot.kind == "table"
        else ([column.id for column in found.columns] == snapshot.column_ids)
    )
    if not same:
        raise IntegrityError(
            f"{snapshot.reference} doesn't read as the content that it is; nothing was changed", mend="clew data verify"
        )
