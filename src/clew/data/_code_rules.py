"""Rules that are another library's code, run as they are over their columns at once, from a file that must be there."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from clew.data._results import RuleResult
from clew.data._row_rules import Aside
from clew.data._table_terms import Code
from clew.data._terms import first_line
from clew.errors import ClewError, UsageError


@dataclass
class Foreign(Aside):
    """A check of dataframely or pandera; a table that it judges as a whole fails as a whole."""

    run: Callable[[pl.LazyFrame], pl.Series] | None = None
    whole: bool = False

    def ask(self, frame: pl.LazyFrame) -> None:
        """Run it; it may raise anything, which is a failure that says so."""
        assert self.run is not None
        try:
            table = frame.select(self.roots) if self.roots else frame
            rows = int(table.select(pl.len()).collect(engine="streaming").item())
            kept = self.run(table).fill_null(value=True)
        except Exception as error:  # noqa: BLE001  the user's own code
            self.error = f"{type(error).__name__}: {first_line(error)}"
            return
        self.whole = len(kept) == 1 != rows
        mask = ~kept
        self.mask = mask.new_from_index(0, rows) if self.whole else mask
        self.count = int(self.mask.sum())

    @property
    def names_rows(self) -> bool:
        """Not where it judges the table as a whole."""
        return not self.whole


def of_code(one: Code, schema: pl.Schema) -> Foreign | RuleResult:
    """The check, or why it can't be run."""
    try:
        check = _loaded(one)
    except ClewError as error:
        mend = f" (mend: {error.mend})" if error.mend else ""
        return RuleResult(one.name, None, one.severity, passed=False, error=f"{error.message}{mend}")
    roots = (one.column,) if one.column is not None else tuple(schema)
    if one.column is not None and one.column not in schema:
        return RuleResult(one.name, None, one.severity, passed=False, error=f"{one.column} vanished")
    return Foreign(one.name, None, one.severity, roots, roots[:1] if one.column else (), run=check)


def _loaded(one: Code) -> Callable[[pl.LazyFrame], pl.Series]:
    """What says of each row whether it is right. Raises UsageError."""
    file = Path(one.file)
    mend = f"check with the file as it is now: --contract {one.file}:{one.schema}"
    if not file.is_file():
        raise UsageError(
            f"its code is in {file}, which isn't there", mend=f"come from the folder that has it, or {mend}"
        )
    if hashlib.sha256(file.read_bytes()).hexdigest() != one.sha256:
        raise UsageError(f"its code, {file}, has changed since it was kept", mend=mend)
    from clew.data._contract_file import object_in

    schema = object_in(file, one.schema)
    return _dataframely(schema, one) if one.kind == "dataframely" else _pandera(schema, one)


def _dataframely(schema: Any, one: Code) -> Callable[[pl.LazyFrame], pl.Series]:
    expr = schema._validation_rules(with_cast=False)[one.check].expr  # noqa: SLF001  they have no public list of them
    return lambda frame: frame.select(expr.alias("")).collect().to_series()


def _pandera(schema: Any, one: Code) -> Callable[[pl.LazyFrame], pl.Series]:
    made = schema.to_schema() if isinstance(schema, type) else schema  # type: ignore[attr-defined]
    check = (made if one.column is None else made.columns[one.column]).checks[int(one.check)]

    def run(frame: pl.LazyFrame) -> pl.Series:
        found = check(frame, one.column) if one.column is not None else check(frame)
        output: pl.Series = found.check_output.collect().to_series()
        return output

    return run
