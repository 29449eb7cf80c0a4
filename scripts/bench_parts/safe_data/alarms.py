"""What a contract that was inferred from earlier rows says of later ones, and what findings say of them anew."""

from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

from clew.data.contract import Contract, check, findings, infer
from safe_data import held_out, tables


@dataclass(frozen=True, order=True)
class Alarm:
    """A rule that the later rows break, or a finding that the earlier rows didn't have."""

    column: str
    rule: str
    by: str  # "error", "warning" or "finding"

    def __str__(self) -> str:
        return f"{self.column}: {self.rule}" if self.column else self.rule


@dataclass
class Watched:
    """A table's earlier half with what is inferred and found of it; `says` holds any later rows against that."""

    earlier: pl.DataFrame
    later: pl.DataFrame
    contract: Contract
    known: set[tuple[str, str]]

    @property
    def rules(self) -> int:
        """How many rules the contract has."""
        return len(check(self.contract, self.earlier).results)

    def says(self, rows: pl.DataFrame) -> dict[Alarm, str]:
        """The alarms that rows raise, each in words."""
        found = {
            Alarm(one.column or "", one.rule, one.severity): str(one) for one in check(self.contract, rows).failures
        }
        for one in findings(rows):
            if (one.column, one.kind) not in self.known:
                found[Alarm(one.column, one.kind, "finding")] = str(one)
        return found


def watch(name: str, prepare: Callable[[pl.DataFrame], pl.DataFrame] = lambda frame: frame) -> Watched:
    """A table, its contract inferred from the earlier half."""
    halves = held_out.halves(name) if name in held_out.ORDER else tables.halves(name)
    earlier, later = (prepare(half) for half in halves)
    known = {(one.column, one.kind) for one in findings(earlier)}
    return Watched(earlier, later, infer(earlier, name), known)
