"""Snapshots of tables and files, their contracts and privacy."""

from typing import TYPE_CHECKING

from clew._lazy import lazy

if TYPE_CHECKING:
    from clew.data._add import Added, add
    from clew.data._checkout import checkout
    from clew.data._diff import diff
    from clew.data._query import Query
    from clew.data._verify import Verdict, verify
    from clew.data.contract import Contract
    from clew.data.snapshot import Snapshot, all_of, by_id, find

__all__ = [
    "Added",
    "Contract",
    "Query",
    "Snapshot",
    "Verdict",
    "add",
    "all_of",
    "by_id",
    "checkout",
    "diff",
    "find",
    "verify",
]

__getattr__ = lazy(
    __name__,
    {
        "Added": "clew.data._add",
        "Contract": "clew.data.contract",
        "Query": "clew.data._query",
        "Snapshot": "clew.data.snapshot",
        "Verdict": "clew.data._verify",
        "add": "clew.data._add",
        "all_of": "clew.data.snapshot",
        "by_id": "clew.data.snapshot",
        "checkout": "clew.data._checkout",
        "diff": "clew.data._diff",
        "find": "clew.data.snapshot",
        "verify": "clew.data._verify",
    },
)
