"""Holding a table against a contract: every term becomes a rule that is asked of the table's one scan."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import polars as pl

from clew.data._asked import Asked
from clew.data._code_rules import of_code
from clew.data._examined import Examined, Rows, name_of
from clew.data._key_rules import Among, Unique, key_types, own_types
from clew.data._logical import dtype_of, type_name
from clew.data._results import CheckResult, RuleResult
from clew.data._row_rules import Order, Probe, of_column, of_rule
from clew.data._separable import is_separable
from clew.data._table_terms import Drift, Fresh, Reference, Slice, span_of
from clew.data._terms import Column, Severity, first_line
from clew.data._whole_rules import Cover, Moved, Newest
from clew.data._world import World
from clew.errors import ClewError, DataError, UsageError

if TYPE_CHECKING:
    from clew.data.contract import Contract

_EVERYWHERE: Final = frozenset({"present", "type"})
Made = Iterator[Asked | RuleResult]


class Held:
    """A table held against a contract. Use it as a context manager: what it found may lie in files."""

    def __init__(self, contract: "Contract", rows: Rows, world: World, folder: Path | None = None) -> None:
        self._contract, self._schema, self._world, self._folder = contract, rows.schema, world, folder
        if contract.columns and not any(name in rows.schema for name in contract.columns):
            named, found = ", ".join(list(contract.columns)[:5]), ", ".join(rows.schema.names()[:5]) or "no column"
            raise UsageError(
                f"the contract of {contract.dataset} is for another table: it speaks of {named}, and here are {found}",
                mend="name the contract that belongs to it: --contract FILE",
            )
        settled: list[RuleResult] = []  # known before a row is read
        asked: list[Asked] = []
        for item in self._all():
            (settled if isinstance(item, RuleResult) else asked).append(item)  # type: ignore[arg-type]
        self.examined = Examined(rows, asked)
        height = self.examined.height
        everywhere = [
            replace(one, failing_rows=height, share=1.0 if height else 0.0) if one.rule in _EVERYWHERE else one
            for one in settled
        ]
        results = (*everywhere, *self._counts(height), *self.examined.results())
        self.result = CheckResult(contract.dataset, height, results)

    def __enter__(self) -> "Held":
        return self

    def __exit__(self, *exception: object) -> None:
        self.examined.close()

    @property
    def speaks_of_rows(self) -> bool:
        """Whether all that is broken, but for warnings, is broken by rows that can be named."""
        named = self.examined.named
        return all(name_of(one) in named for one in self.result.failures if one.severity == "error")

    def _all(self) -> Made:
        contract, schema = self._contract, self._schema
        sound: set[str] = set()
        for name, column in contract.columns.items():
            problem = _schema_problem(name, column, schema)
            if problem is not None:
                if column.required or name in schema:
                    yield problem
                continue
            sound.add(name)
            yield from self._of_column(name, column)
        if contract.extra_columns != "ignore":
            severity: Severity = "error" if contract.extra_columns == "error" else "warning"
            said = "a column that the contract doesn't know"
            extra = [name for name in schema if name not in contract.columns]
            yield from (RuleResult("known column", name, severity, passed=False, detail=said) for name in extra)
        self._sound = sound
        yield from self._of_keys()
        for name in contract.monotone:
            rule = f"monotone {name}"
            yield self._lost(rule, [name]) or Order(rule, name, "error", (name,), (name,))
        yield from (of_rule(rule, schema) for rule in contract.rules)
        yield from (of_code(one, schema) for one in contract.code)
        yield from map(self._reference, contract.references)
        yield from map(self._fresh, contract.fresh)
        yield from map(self._drift, contract.drift)
        yield from map(self._slice, contract.slices)

    def _of_column(self, name: str, column: Column) -> Made:
        dtype = self._schema[name]
        yield from of_column(name, column, dtype)
        if column.unique:
            unless = pl.col(name).is_nan() if dtype.is_float() else None
            if column.zero_means_unknown:
                unless = pl.col(name) == 0 if unless is None else unless | (pl.col(name) == 0)
            yield self._unique("unique", name, (name,), column.severity, unless)

    def _of_keys(self) -> Made:
        key = self._contract.key
        if key:
            rule = f"key {', '.join(key)}"
            lost = self._lost(rule, key)
            if lost is not None:
                yield lost
            else:
                fails = pl.any_horizontal(pl.col(key).is_null())
                yield Probe(f"{rule} is never missing", None, "error", key, key, fails)
                yield self._unique(f"{rule} is unique", None, key)
        for columns in self._contract.unique:
            rule = f"unique {', '.join(columns)}"
            yield self._lost(rule, columns) or self._unique(rule, None, columns)

    def _unique(
        self,
        rule: str,
        column: str | None,
        columns: tuple[str, ...],
        severity: Severity = "error",
        unless: pl.Expr | None = None,
    ) -> Unique:
        types = own_types([self._schema[name] for name in columns])
        return Unique(rule, column, severity, columns, columns, self._folder, types, unless)

    def _reference(self, one: Reference) -> Asked | RuleResult:
        rule = f"{', '.join(one.columns)} in {one.of}"
        lost = self._lost(rule, one.columns, one.severity)
        if lost is not None:
            return lost
        try:
            version, others = self._world.columns(one.of, one.to or one.columns)
        except ClewError as error:
            return _unknown(rule, one.severity, error)
        theirs = others.collect_schema().dtypes()
        types = key_types([self._schema[name] for name in one.columns], theirs)
        if types is None:
            mine = ", ".join(str(self._schema[name]) for name in one.columns)
            why = f"{mine} can't be compared with {', '.join(map(str, theirs))} of {version}"
            return RuleResult(rule, None, one.severity, passed=False, error=why)
        return Among(rule, None, one.severity, one.columns, one.columns, self._folder, types, None, lambda: others)

    def _fresh(self, one: Fresh) -> Asked | RuleResult:
        rule = f"within {one.within}"
        lost = self._lost(rule, [one.column], one.severity)
        within = span_of(one.within)
        assert within is not None  # the contract was validated
        moment = self._world.now if one.against == "clock" else self._world.occurred_at
        return lost or Newest(rule, one.column, one.severity, (one.column,), moment, within)

    def _drift(self, one: Drift) -> Asked | RuleResult:
        rule = f"drift since {one.since}"
        lost = self._lost(rule, [one.column], one.severity)
        if lost is not None:
            return lost
        try:
            version, profile = self._world.profile(one.since)
        except ClewError as error:
            return _unknown(rule, one.severity, error)
        before = profile.columns.get(one.column)
        numeric = self._schema[one.column].is_numeric() or self._schema[one.column].is_temporal()
        if before is None or (before.kind == "numeric") != (numeric or self._schema[one.column] == pl.Boolean):
            why = f"{version} has no column {one.column!r} of this kind"
            return RuleResult(rule, one.column, one.severity, passed=False, error=why)
        return Moved(rule, one.column, one.severity, (one.column,), before, one.most)

    def _slice(self, one: Slice) -> Asked | RuleResult:
        rule = f"slice {one.name}"
        try:
            where = pl.sql_expr(one.where)
            tried = self._schema.to_frame().select(where.alias("row"))
        except pl.exceptions.PolarsError as error:
            return RuleResult(rule, None, one.severity, passed=False, error=f"{first_line(error)} ({one.where})")
        if tried.schema["row"] != pl.Boolean or tried.height or not is_separable(where):
            said = f"it isn't true or false of a row ({one.where})"
            return RuleResult(rule, None, one.severity, passed=False, error=said)
        roots = tuple(dict.fromkeys(where.meta.root_names()))
        return Cover(rule, None, one.severity, roots, where, one.min_rows, one.min_share)

    def _lost(self, rule: str, names: Sequence[str], severity: Severity = "error") -> RuleResult | None:
        """That a rule can't be evaluated, for its columns aren't what the contract says."""
        lost = [name for name in names if name not in self._sound]
        why = f"{', '.join(lost)} vanished or changed type"
        return RuleResult(rule, None, severity, passed=False, error=why) if lost else None

    def _counts(self, height: int) -> Iterator[RuleResult]:
        contract = self._contract
        bounds: list[tuple[str, float | None, bool]] = [
            ("min_rows", contract.min_rows, True),
            ("max_rows", contract.max_rows, False),
        ]
        for rule, bound, least in bounds:
            if bound is not None:
                detail = f"{height:,} rows, at {'least' if least else 'most'} {bound:,} wanted"
                passed = height >= bound if least else height <= bound
                yield RuleResult(rule, None, "error", passed=passed, detail=detail)
        if contract.min_of_previous is None and contract.max_of_previous is None:
            return
        try:
            before = self._world.previous_rows()
        except ClewError as error:
            yield _unknown("rows of the previous version", "error", error)
            return
        for rule, times, least in (
            ("min_of_previous", contract.min_of_previous, True),
            ("max_of_previous", contract.max_of_previous, False),
        ):
            if times is None:
                continue
            if before is None:
                yield RuleResult(rule, None, "error", passed=True, detail="there is no version before")
                continue
            passed = height >= times * before if least else height <= times * before
            word = "least" if least else "most"
            detail = f"{height:,} rows after {before:,}, at {word} {times:g} times as many wanted"
            yield RuleResult(rule, None, "error", passed=passed, detail=detail)


def _unknown(rule: str, severity: Severity, error: ClewError) -> RuleResult:
    return RuleResult(rule, None, severity, passed=False, error=error.message)


def _schema_problem(name: str, column: Column, schema: pl.Schema) -> RuleResult | None:
    if name not in schema:
        return RuleResult("present", name, column.severity, passed=False, detail="a column that vanished")
    try:
        found = type_name(schema[name], name)
    except DataError as error:
        return RuleResult("type", name, column.severity, passed=False, error=error.message)
    # compared as polars has them: a type may be written with or without blanks
    if found not in (column.type, type_name(dtype_of(column.type))):
        return RuleResult("type", name, column.severity, passed=False, detail=f"{found} instead of {column.type}")
    return None
