"""What is known of personal data in a version: findings, what was decided of them, and how many people share what."""

from typing import Any

from clew.data import contracts, policies, privacy
from clew.data.anonymity import Anonymity, measure
from clew.data.contract import Privacy
from clew.data.snapshot import Snapshot
from clew.errors import UsageError
from clew.workspace import Workspace

_ROWS = 131_072


def report(
    workspace: Workspace,
    snapshot: Snapshot,
    declared: Privacy | None = None,
) -> dict[str, Any]:
    """The findings of all rows, each with its column's policy; the policies; k and l of quasi-identifiers.

    These are `declared`, or those that the dataset's contract declares, if any.
    A finding of a column that was let in by a policy is no fault: `open` are those that none speaks of, as of a
    version from before clew could find them. Raises UsageError for columns that aren't there.
    """
    if snapshot.kind == "files":
        raise UsageError(
            f"{snapshot.reference} is a folder of files: it has no columns to look into",
            mend="add what is in them as a table",
        )
    held = policies.declared(workspace, snapshot.dataset)
    contract = contracts.newest(workspace, snapshot.dataset)
    wanted = [declared] if declared is not None else [] if contract is None else contract.privacy
    people = [measure(snapshot.scan(), one.quasi, one.sensitive, min_k=one.min_k, min_l=one.min_l) for one in wanted]
    found = policies.in_batches(snapshot.scan().collect_batches(chunk_size=_ROWS, maintain_order=True))
    unsettled = privacy.unsettled(found, held)
    return {
        "reference": snapshot.reference,
        "rows": snapshot.rows,
        "findings": [
            {
                "column": one.column,
                "kind": one.kind,
                "what": privacy.plural(one.kind),
                "matches": one.matches,
                "share": one.share,
                "shape": one.example_masked,
                "policy": str(held[one.column]) if one.column in held else None,
                "open": one in unsettled,
            }
            for one in found
        ],
        "policies": [
            {"column": column, "policy": str(policy), "reason": policy.reason} for column, policy in held.items()
        ],
        "anonymity": [_as_json(one) for one in people],
    }


def _as_json(found: Anonymity) -> dict[str, Any]:
    return {
        "quasi": list(found.quasi),
        "k": found.k,
        "groups": found.groups,
        "below_k": found.below,
        "l": found.diversity,
        "min_k": found.min_k,
        "min_l": found.min_l,
        "holds": found.holds,
    }
