"""The privacy policy of a dataset: what was declared of each column that holds personal data."""

import polars as pl
import sqlalchemy as sa

from clew.catalog.commands import CreateDataset, SetPolicy
from clew.catalog.commands.data import PolicyAction
from clew.catalog.tables import data
from clew.data import privacy
from clew.errors import RefusedError, UsageError
from clew.workspace import Workspace


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


def enforce(workspace: Workspace, name: str, frame: pl.DataFrame) -> pl.DataFrame:
    """The table as it may be stored. Raises RefusedError, which names the columns and the mend."""
    found = privacy.scan(frame)
    policies = declared(workspace, name)
    blocked = [column for column in frame.columns if column in policies and policies[column].action == "block"]
    if blocked:
        reasons = "; ".join(f"{column} ({policies[column].reason})" for column in blocked)
        raise RefusedError(
            f"{name} has columns that its policy blocks; nothing was stored: {reasons}",
            mend=f'take them out of the source, or clew data policy {name} COLUMN allow|drop|pseudonym --reason "…"',
        )
    if not found and not policies:
        return frame
    needs_key = any(policy.action == "pseudonym" for policy in policies.values())
    allowed, unresolved = privacy.apply_policy(
        frame, found, policies, key=workspace.pseudonym_key() if needs_key else None
    )
    if unresolved:
        raise privacy.refusal(name, unresolved)
    return allowed
