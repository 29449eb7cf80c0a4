"""The thread around anything, and two model versions side by side."""

from typing import Any

from clew.errors import UsageError
from clew.thread.compared import compare_versions
from clew.thread.network import KINDS, network
from clew.workspace import Workspace

Fact = dict[str, Any]


def thread(workspace: Workspace, kind: str, reference: str, opened: str | None) -> Fact:
    """The thread around a thing; `opened` is the column that is shown whole. Raises NotFoundError, UsageError."""
    if opened is not None and opened not in KINDS:
        raise UsageError(f"there is no column {opened!r}", mend=f"choose {', '.join(KINDS)}")
    found = network(workspace, kind, reference)
    here = next(box for column in found["columns"] for box in column["boxes"] if box["id"] == found["focus"])
    return {**found, "kind": kind, "here": here, "opened": opened}


def against(workspace: Workspace, first: str, second: str) -> Fact:
    """Two model versions side by side. Raises NotFoundError, UsageError."""
    return compare_versions(workspace, first, second)
