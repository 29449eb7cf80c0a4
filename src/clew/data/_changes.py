"""What became of the rows from one snapshot to the next, counted while both are at hand."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np
import polars as pl

from clew.data._gather import Table
from clew.data._match import Ints
from clew.data._numbers_file import NumbersFile

_WINDOW: Final = 4 << 20
_MOST_ROWS: Final = 4 << 20  # of keys held at once: beyond that rows are counted by their place


def removed_rows(found: NumbersFile, height: int) -> Ints:
    """The old rows that no new row is."""
    kept = np.zeros(height, dtype=bool)
    for start in range(0, len(found), _WINDOW):
        part = found.read(start, _WINDOW)
        kept[part[part >= 0]] = True
    return np.flatnonzero(~kept)


def counts(
    found: NumbersFile, old: Table, removed: Ints, added: Iterable[pl.DataFrame], key: Sequence[str]
) -> dict[str, Any]:
    """Rows added, removed and changed: by key where it is unique among them, else by where they stand."""
    news = len(found) - sum(int(np.count_nonzero(found.read(at, _WINDOW) >= 0)) for at in range(0, len(found), _WINDOW))
    if key and max(news, len(removed)) <= _MOST_ROWS:
        before = old.narrowed(key).take(removed).select(key) if len(removed) else None
        after = [frame.select(key) for frame in added]
        changed = _same_keys(before, pl.concat(after) if after else None, key)
        if changed is not None:
            return {"by": "key", "added": news - changed, "removed": len(removed) - changed, "changed": changed}
    changed = _same_places(found)
    return {"by": "position", "added": news - changed, "removed": len(removed) - changed, "changed": changed}


def _same_keys(before: pl.DataFrame | None, after: pl.DataFrame | None, key: Sequence[str]) -> int | None:
    if before is None or after is None:
        return 0
    if before.is_duplicated().any() or after.is_duplicated().any():
        return None
    return before.join(after, on=list(key), how="inner", nulls_equal=True).height


def _same_places(found: NumbersFile) -> int:
    """Between two rows that stayed neighbours in order, as many rows changed as both tables have there."""
    changed, last_new, last_old = 0, -1, -1
    for start in range(0, len(found), _WINDOW):
        part = found.read(start, _WINDOW)
        at = np.flatnonzero(part >= 0)
        if not len(at):
            continue
        new_gap = np.diff(at + start, prepend=last_new) - 1
        old_gap = np.diff(part[at], prepend=last_old) - 1
        changed += int(np.minimum(new_gap, old_gap)[(new_gap > 0) & (old_gap > 0)].sum())
        last_new, last_old = int(at[-1]) + start, int(part[at[-1]])
    return changed
