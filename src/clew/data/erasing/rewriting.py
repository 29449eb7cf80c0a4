"""Rewriting: fragments without a person's rows, ropes that run through them, and what each version then says.

A row of a fragment goes when it is the person's in some content and nobody else's in any. Where the same bytes are
another's row as well (a version in which the person's number was corrected), the row stays, and the columns that
nobody reads of it any more are emptied. Rows that no rope runs through, left by versions that expired, go with it.
"""

import itertools
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from clew.data import _fragments
from clew.data._gather import Decoded, Group, Table
from clew.data.erasing.contents import Content
from clew.data.erasing.finding import Found, Report
from clew.data.identity import IdentityBuilder, TableIdentity
from clew.data.profile import Profile, counted, encode, frozen
from clew.data.rope import Fragment, Rope, from_places, plain
from clew.objects import ObjectStore

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Rewritten:
    """A content as it lies from now on; `identity` is None where it says what it said before.

    All get a new profile: the bins are frozen from one version to the next, and may have come from the person's rows.
    """

    content: Content
    groups: tuple[Group, ...]
    erased_rows: int
    identity: TableIdentity | None = None
    profile: str | None = None


@dataclass
class Rewriting:
    """All that changes: contents, and the fragments that go and come."""

    contents: list[Rewritten] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    written: list[_fragments.Written] = field(default_factory=list)


@dataclass
class _Plan:
    """What becomes of one fragment: which rows go, and which stay but for columns that nobody reads."""

    fragment: Fragment
    gone: Flags
    emptied: Flags
    columns: set[str]

    @property
    def touched(self) -> bool:
        return bool(self.gone.any() or self.emptied.any())


def rewrite(
    objects: ObjectStore, folder: Path, contents: Sequence[Content], found: Found, report: Report | None = None
) -> Rewriting:
    """Write what is left of every fragment that holds the rows, and say what each content is then.

    The new bytes are durable on return and named by nobody. Raises StoreError when the disk is full.

    Args:
        objects: the store.
        folder: where files on their way may lie.
        contents: all contents that run through the fragments.
        found: the person's rows.
        report: told how far it is.
    """
    plans = {digest: plan for digest, plan in _plans(contents, found).items() if plan.touched}
    done = Rewriting(removed=sorted(plans))
    news: dict[str, Fragment | None] = {}
    for number, (digest, plan) in enumerate(plans.items(), start=1):
        written = _without(objects, folder, plan)
        news[digest] = None if written is None else written.fragment
        if written is not None:
            done.written.append(written)
        if report is not None:
            report("rewriting fragments", number, len(plans))
    if not found.rows:
        return done
    profile: Profile | None = None
    for number, one in enumerate(contents, start=1):
        if one.groups:
            theirs = np.zeros(one.groups[0].rope.height, dtype=bool)
            theirs[found.rows.get(one.pk, np.zeros(0, dtype=np.int64))] = True
            groups = tuple(Group(g.columns, _rerouted(g.rope, theirs, plans, news)) for g in one.groups)
            identity, profile = _said(objects, groups, one, profile, changed=bool(theirs.any()))
            told = objects.put(encode(profile)).digest
            done.contents.append(Rewritten(one, groups, int(theirs.sum()), identity, told))
        if report is not None:
            report("hashing versions", number, len(contents))
    return done


def _plans(contents: Sequence[Content], found: Found) -> dict[str, _Plan]:
    fragments = {f.digest: f for one in contents for g in one.groups for f in g.rope.fragments}
    theirs = {digest: np.zeros(one.rows, dtype=bool) for digest, one in fragments.items()}
    others = {digest: np.zeros(one.rows, dtype=bool) for digest, one in fragments.items()}
    columns: dict[str, set[str]] = defaultdict(set)
    said: dict[str, bool] = defaultdict(bool)
    for one in contents:
        if not one.groups:
            continue
        mine = np.zeros(one.groups[0].rope.height, dtype=bool)
        mine[found.rows.get(one.pk, np.zeros(0, dtype=np.int64))] = True
        any_mine = bool(mine.any())
        for group in one.groups:
            _mark(group.rope, mine if any_mine else None, theirs, others)
            for fragment in group.rope.fragments:
                columns[fragment.digest] |= set(group.columns)
                said[fragment.digest] |= fragment.digest in found.hits
    plans = {}
    for digest, fragment in fragments.items():
        hit = np.zeros(fragment.rows, dtype=bool)
        hit[found.hits.get(digest, np.zeros(0, dtype=np.int64))] = True
        unread = ~(theirs[digest] | others[digest])
        gone = (theirs[digest] | hit) & ~others[digest]
        if gone.any() or hit.any():
            gone |= unread  # whose they were nobody can tell any more
        plans[digest] = _Plan(fragment, gone, hit & others[digest], columns[digest])
    # Where the persons' names lie in other fragments, dead rows of these can't be told apart either.
    if found.hits:
        for digest, plan in plans.items():
            if not said[digest]:
                plan.gone |= ~(theirs[digest] | others[digest])
    return plans


def _mark(rope: Rope, mine: Flags | None, theirs: dict[str, Flags], others: dict[str, Flags]) -> None:
    """Note which rows of fragments a rope runs through: as the person's, or as somebody else's."""
    if mine is None:
        for index, start, rows in zip(rope.fragment.tolist(), rope.start.tolist(), rope.rows.tolist(), strict=True):
            others[rope.fragments[index].digest][start : start + rows] = True
        return
    places, rows_of = rope.places()
    for index, fragment in enumerate(rope.fragments):
        here = places == index
        rows, flags = rows_of[here], mine[here]
        theirs[fragment.digest][rows[flags]] = True
        others[fragment.digest][rows[~flags]] = True


def _without(objects: ObjectStore, folder: Path, plan: _Plan) -> _fragments.Written | None:
    """A fragment's rows that stay, as a new fragment; None where none does."""
    if plan.gone.all():
        return None
    frame = pl.read_parquet(objects.open_path(plan.fragment.digest), glob=False)
    if plan.emptied.any():
        unread = [name for name in frame.columns if name not in plan.columns]
        flags = pl.Series(plan.emptied)
        frame = frame.with_columns(pl.when(~pl.lit(flags)).then(pl.col(name)).alias(name) for name in unread)
    kept = _fresh_categories(frame.filter(pl.Series(~plan.gone)))
    return _fragments.write_one(objects, folder, kept)


def _fresh_categories(frame: pl.DataFrame) -> pl.DataFrame:
    """Categories that no row has any more would be written along: they are made anew from the rows."""
    named = [name for name, dtype in frame.schema.items() if isinstance(dtype, pl.Categorical)]
    return frame.with_columns(pl.col(named).cast(pl.String).cast(pl.Categorical)) if named else frame


def _rerouted(rope: Rope, theirs: Flags, plans: dict[str, _Plan], news: dict[str, Fragment | None]) -> Rope:
    """The rope without the person's rows, through the fragments that were written anew."""
    touched = [index for index, one in enumerate(rope.fragments) if one.digest in plans]
    if not touched and not theirs.any():
        return rope
    places, rows = rope.places()
    places, rows = places[~theirs], rows[~theirs]
    fragments: list[Fragment] = []
    for index, fragment in enumerate(rope.fragments):
        if index not in touched:
            fragments.append(fragment)
            continue
        moved = np.cumsum(~plans[fragment.digest].gone) - 1
        mine = places == index
        rows[mine] = moved[rows[mine]]
        fragments.append(news[fragment.digest] or fragment)
    if not len(rows):
        return plain(())
    return from_places(fragments, places, rows)


def _said(
    objects: ObjectStore, groups: tuple[Group, ...], content: Content, before: Profile | None, *, changed: bool
) -> tuple[TableIdentity | None, Profile]:
    """What the rows say, if that changed, and what the columns look like, in one reading."""
    assert content.manifest is not None
    empty = pl.read_ipc(objects.get(content.manifest))
    builder = IdentityBuilder(empty.schema)
    names = empty.columns
    if not groups[0].rope.height:
        builder.update(empty)
        return (builder.finish() if changed else None), counted(frozen(empty, before), [])
    table = Table(objects, groups, Decoded(objects))
    blocks = (block.select(names) for block in table.blocks())
    first = next(blocks)

    def told() -> Iterator[pl.DataFrame]:
        for block in itertools.chain([first], blocks):
            if changed:
                builder.update(block)
            yield block

    profile = counted(frozen(first, before), told())
    return (builder.finish() if changed else None), profile


def written_bytes(done: Rewriting) -> int:
    """How many bytes were written anew."""
    return sum(one.bytes for one in done.written if one.created)


__all__: Sequence[Any] = ["Rewriting", "Rewritten", "rewrite", "written_bytes"]
