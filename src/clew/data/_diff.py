"""What changed between two snapshots."""

from typing import Any

import polars as pl

from clew.data.snapshot import Snapshot
from clew.errors import UsageError


def diff(old: Snapshot, new: Snapshot) -> dict[str, Any]:
    """Rows (or files) added, removed and changed, and changes of the schema.

    Rows are matched by the dataset's key columns, when it has some and they are unique; else whole rows are
    compared as a bag.
    """
    if old.kind != new.kind:
        raise UsageError(f"{old.reference} is a {old.kind}, {new.reference} is {new.kind}: they can't be compared")
    base: dict[str, Any] = {"from": old.reference, "to": new.reference, "same": old.content_id == new.content_id}
    if old.kind == "files":
        a, b = old.files(), new.files()
        return base | {
            "added": sorted(b.keys() - a.keys()),
            "removed": sorted(a.keys() - b.keys()),
            "changed": sorted(path for path in a.keys() & b.keys() if a[path] != b[path]),
        }
    left, right = old.collect(), new.collect()
    schema = {
        "added": {name: str(kind) for name, kind in right.schema.items() if name not in left.schema},
        "removed": {name: str(kind) for name, kind in left.schema.items() if name not in right.schema},
        "changed": {
            name: [str(left.schema[name]), str(kind)]
            for name, kind in right.schema.items()
            if name in left.schema and left.schema[name] != kind
        },
    }
    return base | {"rows": [left.height, right.height], "schema": schema} | _rows(left, right, new.key_columns)


def _rows(left: pl.DataFrame, right: pl.DataFrame, key: tuple[str, ...]) -> dict[str, Any]:
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
