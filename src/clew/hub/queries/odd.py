"""What is odd in a snapshot, and what is personal, as its page shows it."""

from typing import Any, Final

import polars as pl

from clew.data import find
from clew.data.contract import findings
from clew.data.leakage import as_json
from clew.data.privacy import plural, scan
from clew.errors import ClewError
from clew.workspace import Workspace

ROWS: Final = 20_000
"""A page looks at so many rows, from the first on: no page reads a large table."""
_KEPT: Final = 64
_found: dict[str, dict[str, Any]] = {}  # by content, which never changes; the newest of them


def findings_of(workspace: Workspace, reference: str) -> dict[str, Any] | None:
    """The findings of a table's first rows; None for files, and for what is gone."""
    try:
        snapshot = find(workspace, reference)
        if snapshot.rows is None:
            return None
        if snapshot.content_id not in _found:
            rows = snapshot.scan().head(ROWS).collect()
            while len(_found) >= _KEPT:
                _found.pop(next(iter(_found)), None)
            _found[snapshot.content_id] = {
                "read": rows.height,
                "found": as_json(findings(rows)),
                "personal": [
                    {"column": one.column, "what": plural(one.kind), "rows": one.matches, "shape": one.example_masked}
                    for one in scan(rows)
                ],
            }
    except (ClewError, pl.exceptions.PolarsError):
        return None
    return {"reference": snapshot.reference, **_found[snapshot.content_id]}
