"""The contracts of a dataset: recorded with their versions, and checked before anything is stored."""

import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import sqlalchemy as sa

from clew.catalog import now
from clew.catalog.commands import RecordContract, RecordContractCheck
from clew.catalog.tables import data
from clew.data import quarantine
from clew.data._examined import FrameRows
from clew.data._rules import Held
from clew.data._source import Source
from clew.data._without import SourceRows, Without
from clew.data._workspace_world import world_of, world_of_delivery
from clew.data.contract import CheckResult, Column, Contract
from clew.data.snapshot import Snapshot
from clew.errors import NotFoundError, RefusedError
from clew.workspace import Workspace


@dataclass(frozen=True)
class Checked:
    """A contract that a table satisfies, what each rule found, and the table: without the rows that were set apart."""

    contract: Contract
    results: list[dict[str, Any]]
    source: Source
    kept: quarantine.Kept | None = None


def read_file(named: str | Path, dataset: str, schema: pl.Schema | None = None) -> Contract:
    """The contract in `FILE.toml`, `FILE.py` or `FILE.py:NAME`; see `_contract_file.read`."""
    from clew.data import _contract_file

    return _contract_file.read(named, dataset, schema)


def newest(workspace: Workspace, name: str) -> Contract | None:
    """The contract that a dataset must satisfy now, or None."""
    row = _newest_row(workspace, name)
    return None if row is None else Contract.from_toml(row.toml)


def _newest_row(workspace: Workspace, name: str) -> sa.Row[Any] | None:
    table = data.contracts
    return workspace.catalog.first(
        sa.select(table)
        .join(data.datasets, data.datasets.c.id == table.c.dataset_id)
        .where(data.datasets.c.name == name)
        .order_by(table.c.version.desc())
        .limit(1)
    )


def types_of(contract: Contract) -> dict[str, pl.DataType]:
    """What text columns are read as."""
    return contract.read_schema()


def record(workspace: Workspace, name: str, contract: Contract) -> str:
    """Make a contract the one that a dataset must satisfy; give its id."""
    dataset = workspace.catalog.first(sa.select(data.datasets.c.id).where(data.datasets.c.name == name))
    if dataset is None:
        raise NotFoundError(f"no dataset is called {name!r}", mend="clew data list")
    answer = workspace.catalog.execute(RecordContract(dataset_id=str(dataset.id), toml=contract.to_toml()))
    return str(answer["contract_id"])


def has_passed(workspace: Workspace, name: str, content_pk: str) -> bool:
    """Whether the dataset's contract, if it has one, has passed a content already."""
    row = _newest_row(workspace, name)
    return row is None or _passed(workspace, str(row.id), content_pk)


def _passed(workspace: Workspace, contract_id: str, content_pk: str) -> bool:
    checks = data.contract_checks
    query = sa.select(checks.c.id).where(
        checks.c.contract_id == contract_id, checks.c.content_pk == content_pk, checks.c.passed.is_(True)
    )
    return workspace.catalog.first(query) is not None


def check_before_add(
    workspace: Workspace,
    name: str,
    source: Source,
    contract: Contract | None,
    *,
    occurred_at: datetime | None = None,
    set_apart: bool = False,
) -> Checked | None:
    """Check what is about to be stored; failing rows are kept in a quarantine.

    With `set_apart` the other rows are what is left to store, if nothing else is wrong with them. Raises
    RefusedError, which names each broken rule.
    """
    row = _newest_row(workspace, name)
    wanted = contract or (None if row is None else Contract.from_toml(row.toml))
    if wanted is None:
        return None
    wanted.refuse_problems()
    dataset = workspace.catalog.first(sa.select(data.datasets.c.id).where(data.datasets.c.name == name))
    moment = now()
    world = world_of_delivery(workspace, None if dataset is None else str(dataset.id), occurred_at or moment, moment)
    own = row is not None and row.toml == wanted.to_toml()
    with Held(wanted, SourceRows(source), world, workspace.temporary()) as held:
        if held.result.passed:
            return Checked(wanted, as_json(held.result), source)
        mendable = set_apart and held.speaks_of_rows
        most = None if mendable else quarantine.REFUSED_ROWS
        own_id = str(row.id) if own and row is not None else None
        kept = quarantine.keep(workspace, name, own_id, source, held.examined, as_json(held.result), most=most)
        if kept is None or not mendable:
            raise refusal(name, held.result, kept, set_apart=set_apart)
    rest = Without(source, kept.gone)
    with Held(wanted, SourceRows(rest), world, workspace.temporary()) as held:
        if not held.result.passed or not held.result.rows:
            raise refusal(name, held.result, kept, set_apart=set_apart)
        return Checked(wanted, as_json(held.result), rest, kept)


def check_snapshot(workspace: Workspace, snapshot: Snapshot, contract: Contract | None = None) -> CheckResult:
    """Check a snapshot against a contract, or its dataset's own.

    A contract that is kept becomes the dataset's own, and the result is recorded; one that is broken and isn't the
    dataset's own changes nothing.
    """
    own = newest(workspace, snapshot.dataset)
    wanted = contract or own
    if wanted is None:
        raise NotFoundError(
            f"{snapshot.dataset} has no contract",
            mend=f"clew contract infer {snapshot.reference} --out contract.toml, "
            f"then clew contract check {snapshot.reference} --contract contract.toml",
        )
    wanted.refuse_problems()
    result = held(snapshot, wanted)
    if not result.passed and (own is None or wanted.to_toml() != own.to_toml()):
        return result
    contract_id = record(workspace, snapshot.dataset, wanted)
    workspace.catalog.execute(
        RecordContractCheck(
            contract_id=contract_id,
            content_pk=snapshot.content_pk,
            passed=result.passed,
            results=as_json(result),
        )
    )
    return result


def held(snapshot: Snapshot, contract: Contract) -> CheckResult:
    """Hold a snapshot against a contract; nothing is recorded."""
    world = world_of(snapshot, now())
    with Held(contract, FrameRows(snapshot.scan()), world, snapshot.workspace.temporary()) as held:
        return held.result


def timely(contract: Contract) -> Contract | None:
    """What of a contract may be kept at one moment and broken at the next; None where nothing is."""
    pinned = re.compile(r".+@\d+")
    references = tuple(one for one in contract.references if not pinned.fullmatch(one.of))
    fresh = tuple(one for one in contract.fresh if one.against == "clock")
    drift = tuple(one for one in contract.drift if not pinned.fullmatch(one.since))
    if not (references or fresh or drift):
        return None
    named = {name for one in references for name in one.columns}
    named |= {one.column for one in fresh} | {one.column for one in drift}
    columns = {name: Column(type=contract.columns[name].type) for name in named}
    return Contract(
        dataset=contract.dataset,
        columns=columns,
        extra_columns="ignore",
        references=references,
        fresh=fresh,
        drift=drift,
    )


def as_json(result: CheckResult) -> list[dict[str, Any]]:
    """What each rule found, without the values of rows."""
    return [
        {
            "rule": rule.rule,
            "column": rule.column,
            "severity": rule.severity,
            "passed": rule.passed,
            "failing_rows": rule.failing_rows,
            "error": rule.error,
            "detail": rule.detail,
        }
        for rule in result.results
    ]


def refusal(
    name: str,
    result: CheckResult,
    kept: quarantine.Kept | None = None,
    *,
    set_apart: bool = False,
) -> RefusedError:
    """The refusal that names each broken rule, with rows as examples, and where the failing rows are."""
    lines = [f"  {line}" for line in result.describe_failures()]
    mend = "correct the rows, or change the contract if what it says is no longer so"
    if kept is not None:
        rows = "1 failing row is" if kept.rows == 1 else f"{kept.rows:,} failing rows are"
        lines.append(f"  {rows} in quarantine {kept.id}")
        mend = f"clew contract quarantine show {kept.id}; {mend}"
        if set_apart:
            lines.append("  without them the contract is broken all the same" if result.rows else "  no row is left")
        else:
            mend += "; or store the others: clew data add … --quarantine"
    return RefusedError(f"{name} breaks its contract; nothing was stored:\n" + "\n".join(lines), mend=mend)
