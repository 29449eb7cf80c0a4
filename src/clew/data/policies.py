"""The privacy policy of a dataset: what was declared of each column that holds personal data."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

import polars as pl
import sqlalchemy as sa

from clew import keys
from clew.catalog.commands import CreateDataset, SetPolicy
from clew.catalog.commands.data import PolicyAction
from clew.catalog.tables import data
from clew.data import privacy
from clew.data._source import Source
from clew.errors import RefusedError, UsageError
from clew.workspace import Workspace

_UNDECLARED: Final = privacy.Policy("block", "")


def declare(workspace: Workspace, name: str, column: str, action: PolicyAction, reason: str) -> None:
    """Say what happens to a column from now on, and why. Raises UsageError."""
    if not reason.strip():
        raise UsageError("a policy needs its reason", mend='add --reason "why this is right"')
    dataset_id = workspace.catalog.execute(CreateDataset(name=name))
    workspace.catalog.execute(SetPolicy(dataset_id=dataset_id, column=column, action=action, reason=reason))


def exists(workspace: Workspace, name: str) -> bool:
    """Whether there is such a dataset, be it with policies alone."""
    return workspace.catalog.first(sa.select(data.datasets.c.id).where(data.datasets.c.name == name)) is not None


def declared(workspace: Workspace, name: str) -> dict[str, privacy.Policy]:
    """What holds now, by column."""
    table = data.policies
    rows = workspace.catalog.rows(
        sa.select(table)
        .join(data.datasets, data.datasets.c.id == table.c.dataset_id)
        .where(data.datasets.c.name == name, table.c.superseded_at.is_(None))
        .order_by(table.c.column_name)
    )
    return {row.column_name: privacy.Policy(action=row.action, reason=row.reason) for row in rows}


def refuse_blocked(name: str, columns: Sequence[str], policies: Mapping[str, privacy.Policy]) -> None:
    """Raise RefusedError for columns that a policy blocks, whatever they hold."""
    blocked = [column for column in columns if column in policies and policies[column].action == "block"]
    if blocked:
        reasons = "; ".join(f"{column} ({policies[column].reason})" for column in blocked)
        raise RefusedError(
            f"{name} has columns that its policy blocks; nothing was stored: {reasons}",
            mend=f'take them out of the source, or clew data policy {name} COLUMN allow|drop|pseudonym --reason "…"',
        )


def applied(workspace: Workspace, policies: Mapping[str, privacy.Policy]) -> Callable[[pl.DataFrame], pl.DataFrame]:
    """What drops columns, and turns others into pseudonyms."""
    needs_key = any(policy.action == "pseudonym" for policy in policies.values())
    key = keys.secret_key(workspace, "pseudonym")[1] if needs_key else None
    return lambda frame: privacy.apply_policy(frame, [], policies, key=key)[0]


def enforce(name: str, source: Source, policies: Mapping[str, privacy.Policy]) -> None:
    """Look for personal data in all rows. Raises RefusedError, which names columns without a policy, and the mend.

    What a policy has dropped is no longer there, and what it turned into pseudonyms is settled.
    """
    merged: dict[tuple[str, str], privacy.PrivacyFinding] = {}
    rows = 0
    for _, batch in source.batches():
        rows += batch.height
        for one in privacy.scan(batch):
            before = merged.get((one.column, one.kind))
            merged[one.column, one.kind] = (
                one if before is None else replace(before, matches=before.matches + one.matches)
            )
    findings = [replace(one, rows=rows, share=one.matches / max(rows, 1)) for one in merged.values()]
    unresolved = [one for one in findings if policies.get(one.column, _UNDECLARED).action == "block"]
    if unresolved:
        raise privacy.refusal(name, unresolved)
