"""Holding a table against a contract: every rule becomes an expression, and one scan answers them all."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import polars as pl

from clew.data._logical import dtype_of, type_name
from clew.data._terms import Column, Rule, Severity, first_line
from clew.errors import DataError

_EXAMPLES: Final = 3
_ROW: Final = "row"


@dataclass(frozen=True, slots=True)
class Example:
    """A failing row, counted from 1, and its values in the columns that the rule speaks of."""

    row: int
    values: dict[str, Any]

    def __str__(self) -> str:
        return f"row {self.row}: " + ", ".join(f"{name} = {_shown(value)}" for name, value in self.values.items())


@dataclass(frozen=True, slots=True)
class RuleResult:
    """What one rule found.

    `column` is None for rules of the table. `failing_rows` is None where the rule isn't about rows (too few rows)
    or couldn't be evaluated; then `error` says why. `share` is of all rows.
    """

    rule: str
    column: str | None
    severity: Severity
    passed: bool
    failing_rows: int | None = None
    share: float | None = None
    examples: tuple[Example, ...] = ()
    error: str | None = None
    detail: str = ""

    def __str__(self) -> str:
        what = f"{self.column}: {self.rule}" if self.column else self.rule
        if self.error is not None:
            return f"{what}: can't be evaluated: {self.error}"
        parts = [self.detail] if self.detail else []
        if self.failing_rows is not None and self.share is not None:
            count = f"{self.failing_rows:,} row{'' if self.failing_rows == 1 else 's'}"
            parts.append(f"{count} ({self.share:.2%})")
        parts += [str(example) for example in self.examples]
        return f"{what}: {'; '.join(parts)}" if parts else what


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What all rules found; passed when none of severity "error" failed."""

    dataset: str
    rows: int
    results: tuple[RuleResult, ...]

    @property
    def passed(self) -> bool:
        """Whether no rule of severity "error" failed."""
        return not any(result.severity == "error" and not result.passed for result in self.results)

    @property
    def failures(self) -> tuple[RuleResult, ...]:
        """The rules that failed, errors before warnings."""
        failed = [result for result in self.results if not result.passed]
        return tuple(sorted(failed, key=lambda result: result.severity != "error"))

    def describe_failures(self) -> list[str]:
        """A line per failed rule, errors before warnings; warnings say so."""
        return [f"{'warning: ' if result.severity == 'warning' else ''}{result}" for result in self.failures]


@dataclass(frozen=True, slots=True)
class _Probe:
    """A rule as an expression that is true in failing rows.

    With `tolerated` the rule fails when more than this share of rows does; `whole` marks a rule over the table.
    """

    rule: str
    column: str | None
    severity: Severity
    fails: pl.Expr
    shown: tuple[str, ...]
    tolerated: float = 0.0
    whole: bool = False


def check_terms(
    frame: pl.LazyFrame,
    *,
    dataset: str,
    columns: Mapping[str, Column],
    rules: Sequence[Rule],
    min_rows: int | None,
    key: Sequence[str],
    monotone: Sequence[str],
    extra_columns: str,
) -> CheckResult:
    """Hold the frame against terms that don't contradict each other."""
    schema = frame.collect_schema()
    settled: list[RuleResult] = []  # known from the schema alone
    probes: list[_Probe] = []
    sound: set[str] = set()
    for name, column in columns.items():
        problem = _schema_problem(name, column, schema)
        if problem is None:
            sound.add(name)
            probes += _column_probes(name, column, schema[name])
        else:
            settled.append(problem)
    if extra_columns != "ignore":
        severity: Severity = "error" if extra_columns == "error" else "warning"
        settled += [
            RuleResult("known column", name, severity, passed=False, detail="a column that the contract doesn't know")
            for name in schema
            if name not in columns
        ]
    for made in (_key_probes(key, sound), *(_order_probe(name, sound) for name in monotone)):
        probes += [item for item in made if isinstance(item, _Probe)]
        settled += [item for item in made if isinstance(item, RuleResult)]
    for rule in rules:
        item = _rule_probe(rule, schema)
        (probes if isinstance(item, _Probe) else settled).append(item)  # type: ignore[arg-type]
    rows, results = _scan(frame, probes)
    if min_rows is not None:
        detail = f"{rows:,} rows, at least {min_rows:,} wanted"
        results.insert(0, RuleResult("min_rows", None, "error", passed=rows >= min_rows, detail=detail))
    everywhere = [
        replace(result, failing_rows=rows, share=1.0 if rows else 0.0) if result.rule in {"present", "type"} else result
        for result in settled
    ]
    return CheckResult(dataset, rows, tuple(everywhere + results))


def _schema_problem(name: str, column: Column, schema: pl.Schema) -> RuleResult | None:
    if name not in schema:
        return RuleResult("present", name, column.severity, passed=False, detail="a column that vanished")
    try:
        found = type_name(schema[name], name)
    except DataError as error:
        return RuleResult("type", name, column.severity, passed=False, error=error.message)
    # compared as polars has them: a type may be written with or without blanks
    if found != column.type and found != _normal(column.type):
        return RuleResult("type", name, column.severity, passed=False, detail=f"{found} instead of {column.type}")
    return None


def _normal(written: str) -> str:

    return type_name(dtype_of(written))


def _column_probes(name: str, column: Column, dtype: pl.DataType) -> list[_Probe]:
    values = pl.col(name)
    empty = values.is_null()
    if dtype.is_float():
        empty = empty | values.is_nan()
    missing = empty | (values == 0) if column.zero_means_unknown else empty
    known = missing.not_()
    text = values.cast(pl.String) if isinstance(dtype, pl.Categorical | pl.Enum) else values
    made: list[tuple[str, pl.Expr]] = []
    if not column.nullable:
        made.append(("not null", empty))
    if column.min is not None:
        made.append((f"min {_shown(column.min)}", known & (values < column.min)))
    if column.max is not None:
        made.append((f"max {_shown(column.max)}", known & (values > column.max)))
    if column.allowed is not None:
        made.append(("allowed", known & text.is_in(list(column.allowed)).not_()))
    if column.pattern is not None:
        made.append((f"pattern {column.pattern}", known & text.str.contains(column.pattern).not_()))
    if column.unique:
        made.append(("unique", known & values.is_duplicated()))
    probes = [_Probe(rule, name, column.severity, fails, (name,)) for rule, fails in made]
    if column.max_missing_share is not None:
        rule = f"max_missing_share {column.max_missing_share}"
        probes.append(_Probe(rule, name, column.severity, missing, (), tolerated=column.max_missing_share))
    return probes


def _key_probes(key: Sequence[str], sound: set[str]) -> list[_Probe | RuleResult]:
    if not key:
        return []
    lost = [name for name in key if name not in sound]
    rule = f"key {', '.join(key)}"
    if lost:
        return [_lost(rule, lost)]
    return [
        _Probe(f"{rule} is never missing", None, "error", pl.any_horizontal(pl.col(key).is_null()), tuple(key)),
        _Probe(f"{rule} is unique", None, "error", pl.struct(key).is_duplicated(), tuple(key)),
    ]


def _order_probe(name: str, sound: set[str]) -> list[_Probe | RuleResult]:
    rule = f"monotone {name}"
    if name not in sound:
        return [_lost(rule, [name])]
    before = pl.col(name).forward_fill().shift(1)
    return [_Probe(rule, name, "error", pl.col(name) < before, (name,))]


def _lost(rule: str, names: Sequence[str]) -> RuleResult:
    why = f"{', '.join(names)} vanished or changed type"
    return RuleResult(rule, None, "error", passed=False, error=why)


def _rule_probe(rule: Rule, schema: pl.Schema) -> _Probe | RuleResult:
    """The rule as a probe, or why it can't be one; tried on a table without rows."""
    try:
        holds = pl.sql_expr(rule.expr)
        tried = schema.to_frame().select(holds.alias(_ROW))
        names = dict.fromkeys(holds.meta.root_names())
    except pl.exceptions.PolarsError as error:
        return RuleResult(rule.name, None, rule.severity, passed=False, error=f"{first_line(error)} ({rule.expr})")
    if tried.schema[_ROW] != pl.Boolean:
        found = str(tried.schema[_ROW])
        return RuleResult(
            rule.name, None, rule.severity, passed=False, error=f"it gives {found}, not true or false ({rule.expr})"
        )
    whole = tried.height > 0  # only an aggregate has a row where the table has none
    shown = () if whole else tuple(names)
    return _Probe(rule.name, None, rule.severity, holds.not_(), shown, whole=whole)


def _scan(frame: pl.LazyFrame, probes: Sequence[_Probe]) -> tuple[int, list[RuleResult]]:
    try:
        answer = _collect(frame, probes)
    except pl.exceptions.PolarsError:
        # one rule breaks on some value: ask one by one, to name it
        return _scan_singly(frame, probes)
    return answer["rows"], [_result(probe, i, answer) for i, probe in enumerate(probes)]


def _scan_singly(frame: pl.LazyFrame, probes: Sequence[_Probe]) -> tuple[int, list[RuleResult]]:
    rows = int(_collect(frame, [])["rows"])
    results = []
    for probe in probes:
        try:
            results.append(_result(probe, 0, _collect(frame, [probe])))
        except pl.exceptions.PolarsError as error:
            results.append(RuleResult(probe.rule, probe.column, probe.severity, passed=False, error=first_line(error)))
    return rows, results


def _collect(frame: pl.LazyFrame, probes: Sequence[_Probe]) -> dict[str, Any]:
    wanted = [pl.len().alias("rows")]
    for i, probe in enumerate(probes):
        fails = probe.fails.fill_null(value=False)
        wanted.append(fails.sum().alias(f"{i}:n"))
        if probe.shown:
            places = fails.arg_true().head(_EXAMPLES)
            wanted.append(places.implode().alias(f"{i}:at"))
            wanted += [pl.col(name).gather(places).implode().alias(f"{i}:of:{name}") for name in probe.shown]
    return frame.select(wanted).collect().row(0, named=True)


def _result(probe: _Probe, index: int, answer: dict[str, Any]) -> RuleResult:
    rows, count = answer["rows"], int(answer[f"{index}:n"] or 0)
    if probe.whole:
        return RuleResult(
            probe.rule, None, probe.severity, passed=count == 0, detail="" if count == 0 else "false over the table"
        )
    share = count / rows if rows else 0.0
    places = answer[f"{index}:at"] if probe.shown else []
    examples = tuple(
        Example(place + 1, {name: answer[f"{index}:of:{name}"][j] for name in probe.shown})
        for j, place in enumerate(places)
    )
    passed = share <= probe.tolerated
    return RuleResult(probe.rule, probe.column, probe.severity, passed, count, share, examples)


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return f'"{value}"' if len(value) <= 40 else f'"{value[:39]}…"'
    return str(value)
