"""What changed between two snapshots; found when the newer one was added, or by the rows that they don't share."""

from typing import Any

import polars as pl

from clew.data import profile
from clew.data._between import changes_by_key
from clew.data._gather import Group, Table
from clew.data._places import Places
from clew.data.rope import Rope
from clew.data.snapshot import Snapshot
from clew.errors import UsageError


def diff(old: Snapshot, new: Snapshot) -> dict[str, Any]:
    """Rows (or files) added, removed and changed, changes of the schema, and how each column's distribution moved.

    Rows are told apart by the dataset's key columns where these are unique among the rows that differ ("by": "key");
    else a row that differs where both tables have one is changed ("by": "position"); else whole rows are compared
    as a bag ("by": "whole rows"). For neighbouring versions all of it was counted when the newer one was added.

    Raises UsageError when a table is compared with files.
    """
    if old.kind != new.kind:
        raise UsageError(f"{old.reference} is a {old.kind}, {new.reference} is {new.kind}: they can't be compared")
    found: dict[str, Any] = {
        "from": old.reference,
        "to": new.reference,
        "same": old.content_id == new.content_id,
    }
    if old.kind != "table":
        listed = _files(old, new)
        found |= listed if old.kind == "files" else {"files": listed}
    if old.kind != "files":
        before, after = old.column_profiles(), new.column_profiles()
        moved = {} if before is None or after is None else profile.moved(before, after)
        found |= {"rows": [old.rows, new.rows], "schema": _schema(old, new)} | _rows(old, new, list(moved))
        found["columns"] = moved
    return found


def _files(old: Snapshot, new: Snapshot) -> dict[str, Any]:
    a, b = old.files(), new.files()
    return {
        "added": sorted(b.keys() - a.keys()),
        "removed": sorted(a.keys() - b.keys()),
        "changed": sorted(path for path in a.keys() & b.keys() if a[path] != b[path]),
    }


def _schema(old: Snapshot, new: Snapshot) -> dict[str, Any]:
    if old.manifest == new.manifest:
        return {"added": {}, "removed": {}, "changed": {}}
    left, right = old.empty().schema, new.empty().schema
    return {
        "added": {name: str(kind) for name, kind in right.items() if name not in left},
        "removed": {name: str(kind) for name, kind in left.items() if name not in right},
        "changed": {
            name: [str(left[name]), str(kind)] for name, kind in right.items() if name in left and left[name] != kind
        },
    }


def _rows(old: Snapshot, new: Snapshot, moved: list[str]) -> dict[str, Any]:
    """What became of the rows; `moved` names columns, those first that are likely to differ."""
    if old.content_id == new.content_id:
        return {"by": "content", "added": 0, "removed": 0, "changed": 0}
    if new.changes is not None and new.changes.get("from") == old.content_id:
        return {name: new.changes[name] for name in ("by", "added", "removed", "changed")}
    a, b = old.groups(), new.groups()
    columns, before = new.empty().schema, old.empty().schema
    if len(a) == len(b) == 1 and dict(columns) == dict(before):
        order = [name for name in moved if name in columns]
        order += [name for name in columns if name not in order]
        found = changes_by_key(old, new, order)
        if found is not None:
            return found
        places = Places([a[0].rope, b[0].rope])
        removed, added = (
            _collected(old, places.rope(places.only_in(one.rope, other.rope)))
            for one, other in ((a[0], b[0]), (b[0], a[0]))
        )
        return _compared(removed, added, new.key_columns)
    return _compared(old.collect(), new.collect(), new.key_columns)


def _collected(snapshot: Snapshot, rope: Rope) -> pl.DataFrame:
    """The rows of a snapshot's fragments that a rope runs through."""
    empty = snapshot.empty()
    if not rope.extents:
        return empty
    table = Table(snapshot.workspace.objects, [Group(tuple(empty.columns), rope)])
    return pl.concat(list(table.blocks()))


def _compared(left: pl.DataFrame, right: pl.DataFrame, key: tuple[str, ...]) -> dict[str, Any]:
    shared = [name for name in right.columns if name in left.columns and left.schema[name] == right.schema[name]]
    if not shared:
        return {"by": "nothing in common", "added": right.height, "removed": left.height, "changed": 0}
    # A column may bear any name, so the hash gets one that none has.
    hashed = "hash" + "_" * max(map(len, shared))
    a = left.select(shared).with_columns(left.select(shared).hash_rows().alias(hashed))
    b = right.select(shared).with_columns(right.select(shared).hash_rows().alias(hashed))
    names = list(key)
    if names and set(names) <= set(shared) and not _doubled(a, names) and not _doubled(b, names):
        before = a.select(*names, pl.col(hashed).alias(hashed + "before"))
        both = b.select(*names, hashed).join(before, on=names, how="inner", nulls_equal=True)
        return {
            "by": "key",
            "added": b.height - both.height,
            "removed": a.height - both.height,
            "changed": both.filter(pl.col(hashed) != pl.col(hashed + "before")).height,
        }
    counts = (
        a.select(hash=hashed)
        .group_by("hash")
        .len("before")
        .join(b.select(hash=hashed).group_by("hash").len("after"), on="hash", how="full", coalesce=True)
        .with_columns(pl.col("before", "after").fill_null(0).cast(pl.Int64))
    )
    grown = counts.select(pl.col("after") - pl.col("before")).to_series()
    return {
        "by": "whole rows",
        "added": int(grown.filter(grown > 0).sum()),
        "removed": int(-grown.filter(grown < 0).sum()),
        "changed": 0,
    }


def _doubled(frame: pl.DataFrame, names: list[str]) -> bool:
    return bool(frame.select(names).is_duplicated().any())
