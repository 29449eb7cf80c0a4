"""The privacy policy of a dataset: what was declared of each column that holds personal data."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import polars as pl
import sqlalchemy as sa

from clew import keys
from clew.catalog.commands import CreateDataset, SetPolicy, WithdrawPolicy
from clew.catalog.commands.data import PolicyAction
from clew.catalog.tables import data
from clew.data import privacy
from clew.data._source import Source
from clew.data.generalise import Generalisation, parse
from clew.errors import NotFoundError, RefusedError, UsageError
from clew.workspace import Workspace


def declare(
    workspace: Workspace,
    name: str,
    column: str,
    action: PolicyAction,
    reason: str,
    how: Generalisation | None = None,
    *,
    new: bool = False,
) -> None:
    """Say what happens to a column from now on, and why; `how` it is generalised.

    A column that the newest version hasn't, and that was never spoken of, has to be said to be `new`. Raises
    UsageError, NotFoundError.
    """
    if not reason.strip():
        raise UsageError("a policy needs its reason", mend='add --reason "why this is right"')
    if (action == "generalise") != (how is not None):
        raise UsageError(
            "to generalise has to be said how, and nothing else has",
            mend="generalise --to year, month, decade, decimals=2, step=500 or first=3",
        )
    if not new:
        _refuse_unknown(workspace, name, column)
    dataset_id = workspace.catalog.execute(CreateDataset(name=name))
    details = None if how is None else how.as_json()
    workspace.catalog.execute(
        SetPolicy(dataset_id=dataset_id, column=column, action=action, reason=reason, details=details)
    )


def withdraw(workspace: Workspace, name: str, column: str) -> None:
    """Declare nothing of a column any more. Raises NotFoundError."""
    found = workspace.catalog.first(sa.select(data.datasets.c.id).where(data.datasets.c.name == name))
    done = found is not None and workspace.catalog.execute(WithdrawPolicy(dataset_id=str(found.id), column=column))
    if not done:
        raise NotFoundError(f"{name} has no policy for {column!r}", mend=f"clew data policy {name}")


def _refuse_unknown(workspace: Workspace, name: str, column: str) -> None:
    """Raise NotFoundError for a column that the dataset's newest table hasn't, and no policy ever named."""
    newest = workspace.catalog.first(
        sa.select(data.contents.c.schema, data.snapshots.c.dataset_id)
        .join(data.snapshots, data.snapshots.c.content_pk == data.contents.c.id)
        .join(data.datasets, data.datasets.c.id == data.snapshots.c.dataset_id)
        .where(data.datasets.c.name == name)
        .order_by(data.snapshots.c.version.desc())
        .limit(1)
    )
    if newest is None or newest.schema is None or column in {known for known, _ in newest.schema}:
        return
    table = data.policies.c
    spoken_of = sa.select(table.id).where(table.dataset_id == newest.dataset_id, table.column_name == column)
    if workspace.catalog.first(spoken_of.limit(1)) is None:
        raise NotFoundError(
            f"{name} has no column {column!r}; it has: {', '.join(known for known, _ in newest.schema)}",
            mend="correct the name; if the next dump brings that column, add --new",
        )


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
    return {row.column_name: _read(row) for row in rows}


def _read(row: Any) -> privacy.Policy:
    how = None if row.details is None else parse(str(row.details["generalise"]))
    return privacy.Policy(action=row.action, reason=row.reason, how=how)


def refuse_missing(name: str, columns: Collection[str], policies: Mapping[str, privacy.Policy]) -> None:
    """Raise UsageError for policies of columns that a first table hasn't: a name that is misspelt protects nothing."""
    missing = [column for column, policy in policies.items() if column not in columns and policy.action != "block"]
    if missing:
        raise UsageError(
            f"policies of {name} name columns that the table hasn't: {', '.join(missing)}; "
            f"it has: {', '.join(columns)}",
            mend="\n        ".join(f"clew data policy {name} {column} --withdraw" for column in missing),
        )


def refuse_blocked(name: str, columns: Sequence[str], policies: Mapping[str, privacy.Policy]) -> None:
    """Raise RefusedError for columns that a policy blocks, whatever they hold."""
    blocked = [column for column in columns if column in policies and policies[column].action == "block"]
    if blocked:
        reasons = "; ".join(f"{column} ({policies[column].reason})" for column in blocked)
        raise RefusedError(
            f"{name} has columns that its policy blocks; nothing was stored: {reasons}",
            mend="take them out of the source, or "
            f'clew data policy {name} COLUMN allow|drop|pseudonym|generalise --reason "…"',
        )


def applied(workspace: Workspace, policies: Mapping[str, privacy.Policy]) -> Callable[[pl.DataFrame], pl.DataFrame]:
    """What drops columns, turns others into pseudonyms, and makes others coarser."""
    needs_key = any(policy.action == "pseudonym" for policy in policies.values())
    key = keys.secret_key(workspace, "pseudonym")[1] if needs_key else None
    return lambda frame: privacy.apply_policy(frame, [], policies, key=key)[0]


def enforce(
    name: str, source: Source, policies: Mapping[str, privacy.Policy], known: Collection[str] | None = None
) -> None:
    """Look for personal data in all rows. Raises RefusedError, which names columns without a policy, and the mend.

    Columns that a policy speaks of are settled: dropped, turned into pseudonyms, made coarser, or allowed. `known` are
    the columns of the version before; None where there is none.
    """
    settled = {column for column, policy in policies.items() if policy.action != "block"}
    findings = in_batches((batch for _, batch in source.batches()), without=settled)
    unresolved = privacy.unsettled(findings, policies)
    if unresolved:
        new = () if known is None else [one.column for one in unresolved if one.column not in known]
        raise privacy.refusal(name, unresolved, new)


def in_batches(batches: Iterable[pl.DataFrame], *, without: Collection[str] = ()) -> list[privacy.PrivacyFinding]:
    """What is found in a table that comes in batches."""
    merged: dict[tuple[str, str], privacy.PrivacyFinding] = {}
    rows = 0
    for batch in batches:
        rows += batch.height
        for one in privacy.scan(batch, without=without):
            before = merged.get((one.column, one.kind))
            merged[one.column, one.kind] = (
                one if before is None else replace(before, matches=before.matches + one.matches)
            )
    return [replace(one, rows=rows, share=one.matches / max(rows, 1)) for one in merged.values()]
