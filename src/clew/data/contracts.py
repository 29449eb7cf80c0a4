"""The contracts of a dataset: recorded with their versions, and checked before anything is stored."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import sqlalchemy as sa

from clew.catalog.commands import RecordContract, RecordContractCheck
from clew.catalog.tables import data
from clew.data._source import Source, as_lazy
from clew.data.contract import CheckResult, Contract, check
from clew.data.snapshot import Snapshot
from clew.errors import DataError, NotFoundError, RefusedError
from clew.workspace import Workspace


@dataclass(frozen=True)
class Checked:
    """A contract that a table satisfies, and what each rule found."""

    contract: Contract
    results: list[dict[str, Any]]


def read_file(path: Path) -> Contract:
    """The contract in a TOML file. Raises NotFoundError, DataError (the line is named)."""
    if not path.is_file():
        raise NotFoundError(f"there is no file {path}", mend="clew contract infer REF --out contract.toml")
    try:
        return Contract.from_toml(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not text in UTF-8", mend="save it as UTF-8") from error


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
    if row is None:
        return True
    checks = data.contract_checks
    query = sa.select(checks.c.id).where(
        checks.c.contract_id == row.id, checks.c.content_pk == content_pk, checks.c.passed.is_(True)
    )
    return workspace.catalog.first(query) is not None


def check_before_add(workspace: Workspace, name: str, source: Source, contract: Contract | None) -> Checked | None:
    """Check what is about to be stored. Raises RefusedError, which names each broken rule."""
    wanted = contract or newest(workspace, name)
    if wanted is None:
        return None
    result = check(wanted, as_lazy(source))
    if not result.passed:
        raise refusal(name, result)
    return Checked(wanted, as_json(result))


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
    result = check(wanted, snapshot.scan())
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


def as_json(result: CheckResult) -> list[dict[str, Any]]:
    """What each rule found, without the values of rows."""
    return [
        {
            "rule": rule.rule,
            "column": rule.column,
            "severity": rule.severity,
            "failing_rows": rule.failing_rows,
            "error": rule.error,
        }
        for rule in result.results
    ]


def refusal(name: str, result: CheckResult) -> RefusedError:
    """The refusal that names each broken rule, with rows as examples."""
    lines = [f"  {line}" for line in result.describe_failures()]
    return RefusedError(
        f"{name} breaks its contract; nothing was stored:\n" + "\n".join(lines),
        mend="correct the rows, or change the contract if what it says is no longer so",
    )
