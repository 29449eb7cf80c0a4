"""What became of the rows between two versions that aren't neighbours, by their key, reading little of them.

The ropes tell which rows only one of the versions has; of these only the key is read. A row that was replaced by one
of its key in a single add has changed, as that add found; only where it took several adds, so that the row may be
again what it was, its columns are compared, those first whose distribution moved.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from clew.data import snapshot as snapshots
from clew.data._gather import Decoded, Group, Table
from clew.data._match import column_hashes
from clew.data._places import Places, Stretches, contains, expanded
from clew.data.rope import Ints, Rope
from clew.data.snapshot import Snapshot

_LONGEST: Final = 64  # versions between two whose ropes are read; beyond that every pair's columns are compared


def changes_by_key(old: Snapshot, new: Snapshot, columns: Sequence[str]) -> dict[str, Any] | None:
    """Rows added, removed and changed, by key; None where that can't be told so: without a key, or one that repeats.

    Both tables have one column group with the same `columns`, named here in the order in which they are compared.
    """
    key = [name for name in new.key_columns if name in columns]
    if not key or len(key) < len(new.key_columns):
        return None
    chain = _chain(old, new)
    ropes = _ropes(chain)
    places = Places(ropes)
    gone, came = places.only_in(ropes[0], ropes[-1]), places.only_in(ropes[-1], ropes[0])
    objects = old.workspace.objects
    decoded = Decoded(objects)
    before, after = (
        Table(objects, [Group(tuple(columns), places.rope(one))] if len(one[0]) else [], decoded)
        for one in (gone, came)
    )
    found = {"by": "key", "added": after.height, "removed": before.height, "changed": 0}
    if not before.height or not after.height:
        return found
    left, right = _keys(before, key), _keys(after, key)
    if left.is_duplicated().any() or right.is_duplicated().any():
        return None
    both = right.with_row_index("after").join(
        left.with_row_index("before"), on=left.columns, how="inner", nulls_equal=True
    )
    a, b = (both[name].to_numpy().astype(np.int64) for name in ("before", "after"))
    sure = np.zeros(len(a), dtype=bool)
    if len(chain) == len(ropes):
        counted = [
            _is_counted(places, *pair) for pair in zip(chain[:-1], chain[1:], ropes[:-1], ropes[1:], strict=True)
        ]
        sure = _in_one_add(ropes, counted, places, expanded(gone)[a], expanded(came)[b])
    equal = len(a) - int(np.count_nonzero(sure)) - _differing(before, after, a[~sure], b[~sure], columns)
    return {
        "by": "key",
        "added": after.height - len(a),
        "removed": before.height - len(a),
        "changed": len(a) - equal,
    }


def _chain(old: Snapshot, new: Snapshot) -> list[Snapshot]:
    """The versions from one to the other, whichever is the newer; both alone if those between don't serve."""
    distance = new.version - old.version
    if old.dataset != new.dataset or not 1 < abs(distance) <= _LONGEST:
        return [old, new]
    between = snapshots.between(old.workspace, old.dataset, old.version, new.version)
    if len(between) != abs(distance) - 1 or any(one.schema != new.schema for one in between):
        return [old, new]
    return [old, *(between if distance > 0 else reversed(between)), new]


def _ropes(chain: Sequence[Snapshot]) -> list[Rope]:
    """The rope of each version; of the first and the last alone if one between has several."""
    groups = [one.groups() for one in chain]
    return [one[0].rope for one in (groups if all(len(one) == 1 for one in groups) else (groups[0], groups[-1]))]


def _keys(table: Table, key: Sequence[str]) -> pl.DataFrame:
    """The keys of a table's rows, under names that nothing else has."""
    narrow = table.narrowed(key)
    if narrow.is_held:
        return pl.DataFrame([narrow.column(name).alias(f"key{at}") for at, name in enumerate(key)])
    return pl.concat(
        [block.select(pl.col(name).alias(f"key{at}") for at, name in enumerate(key)) for block in narrow.blocks()]
    )


def _is_counted(places: Places, one: Snapshot, other: Snapshot, rope: Rope, other_rope: Rope) -> bool:
    """Whether of two neighbours the newer one's new places are the rows that its add found new, and no more.

    Where the table was laid together, rows lie elsewhere that are what they were.
    """
    if one.version > other.version:
        one, other, rope, other_rope = other, one, other_rope, rope
    changes = other.changes
    if changes is None or changes.get("from") != one.content_id:
        return False
    begins, ends = places.only_in(other_rope, rope)
    return int((ends - begins).sum()) == int(changes["added"]) + int(changes["changed"])


def _in_one_add(
    ropes: Sequence[Rope], counted: Sequence[bool], places: Places, gone: Ints, came: Ints
) -> npt.NDArray[np.bool_]:
    """For each pair whether the one row was still there when the other came, in an add that counted its new rows."""
    sure = np.zeros(len(gone), dtype=bool)
    left = np.arange(len(gone))
    last: Stretches = places.of(ropes[0])
    for rope, known in zip(ropes[1:], counted, strict=True):
        here = places.of(rope)
        is_new = contains(here, came[left])
        if known:
            sure[left[is_new]] = contains(last, gone[left[is_new]])
        left, last = left[~is_new], here
    return sure


def _differing(before: Table, after: Table, a: Ints, b: Ints, columns: Sequence[str]) -> int:
    """How many pairs of rows differ in some column; a column is read only while some pair is undecided."""
    undecided = len(a)
    for name in columns:
        if not len(a):
            break
        hashes = [column_hashes(table.narrowed([name]).take(rows)[name]) for table, rows in ((before, a), (after, b))]
        equal = hashes[0] == hashes[1]
        a, b = a[equal], b[equal]
    return undecided - len(a)
