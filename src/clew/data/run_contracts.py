"""The contracts of what a run reads: held before it starts, and recorded with it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import sqlalchemy as sa

from clew.catalog.commands import RecordContractCheck
from clew.catalog.tables import data
from clew.data.snapshot import Snapshot
from clew.errors import RefusedError
from clew.workspace import Workspace


@dataclass(frozen=True)
class HeldInput:
    """A snapshot that its dataset's newest contract passed: in the check with this id, or by what was found now."""

    contract_id: str
    content_pk: str
    results: Any


def hold(workspace: Workspace, snapshots: Mapping[str, Any]) -> list[HeldInput]:
    """Hold each snapshot of a run against its dataset's newest contract.

    A snapshot that this contract was never held against is checked now, and the result recorded. What depends on the
    moment (the age against the clock, the newest versions of other datasets) is asked again each time. Raises
    RefusedError, which names each broken rule.
    """
    unique = {one.id: one for one in snapshots.values() if isinstance(one, Snapshot) and one.kind != "files"}
    if not unique:
        return []
    newest = _contracts(workspace, unique)
    found = []
    for one in unique.values():
        row = newest.get(one.dataset)
        if row is not None:
            found.append(_held(workspace, one, str(row.id), row.toml))
    return found


def record(workspace: Workspace, run_id: str, held: Iterable[HeldInput]) -> None:
    """Keep which contracts a run's snapshots passed: by the check that found it, or with what was found for it."""
    for one in held:
        workspace.catalog.execute(
            RecordContractCheck(
                contract_id=one.contract_id, content_pk=one.content_pk, run_id=run_id, passed=True, results=one.results
            )
        )


def passed_by(connection: sa.Connection, run_id: str) -> dict[str, str]:
    """Which contract each of a run's inputs passed, such as "house-sales contract 2", by the input's content id."""
    k = data.contract_checks.c
    rows = connection.execute(
        sa.select(data.contents.c.content_id, data.contracts.c.version, data.datasets.c.name)
        .join(data.contents, data.contents.c.id == k.content_pk)
        .join(data.contracts, data.contracts.c.id == k.contract_id)
        .join(data.datasets, data.datasets.c.id == data.contracts.c.dataset_id)
        .where(k.run_id == run_id, k.passed.is_(True))
    )
    return {row.content_id: f"{row.name} contract {row.version}" for row in rows}


def _contracts(workspace: Workspace, snapshots: Mapping[str, Snapshot]) -> dict[str, sa.Row[Any]]:
    """The newest contract of each dataset that has one."""
    d, k = data.datasets.c, data.contracts.c
    names = sorted({one.dataset for one in snapshots.values()})
    query = (
        sa.select(k.id, k.toml, d.name)
        .join(data.datasets, d.id == k.dataset_id)
        .where(d.name.in_(names))
        .order_by(k.version)
    )
    return {row.name: row for row in workspace.catalog.rows(query)}


def _held(workspace: Workspace, snapshot: Snapshot, contract_id: str, toml: str) -> HeldInput:
    k = data.contract_checks.c
    query = (
        sa.select(k.id, k.passed)
        .where(k.contract_id == contract_id, k.content_pk == snapshot.content_pk, k.run_id.is_(None))
        .order_by(k.id.desc())
        .limit(1)
    )
    known = workspace.catalog.first(query)
    timely = "[[fresh]]" in toml or "[[references]]" in toml or "[[drift]]" in toml
    if known is not None and known.passed and not timely:
        return HeldInput(contract_id, snapshot.content_pk, {"check": str(known.id)})
    from clew.data import contracts
    from clew.data.contract import Contract

    if known is None or not known.passed:
        result = contracts.check_snapshot(workspace, snapshot)
        if not result.passed:
            raise _refusal(snapshot, result.describe_failures())
        return HeldInput(contract_id, snapshot.content_pk, contracts.as_json(result))
    part = contracts.timely(Contract.from_toml(toml))
    if part is None:
        return HeldInput(contract_id, snapshot.content_pk, {"check": str(known.id)})
    result = contracts.held(snapshot, part)
    if not result.passed:
        raise _refusal(snapshot, result.describe_failures())
    said = {"check": str(known.id), "again": contracts.as_json(result)}
    return HeldInput(contract_id, snapshot.content_pk, msgspec.to_builtins(said))


def _refusal(snapshot: Snapshot, lines: list[str]) -> RefusedError:
    return RefusedError(
        f"{snapshot.reference} breaks its contract; nothing was run:\n" + "\n".join(f"  {line}" for line in lines),
        mend=f"read a version that keeps it (clew data list), or see clew contract check {snapshot.reference} and "
        "correct the rows, or the contract",
    )
