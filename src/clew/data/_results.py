"""What a contract's rules found."""

from dataclasses import dataclass
from typing import Any

from clew.data._terms import Severity


@dataclass(frozen=True, slots=True)
class Example:
    """A failing row, counted from 1, and its values in the columns that the rule speaks of."""

    row: int
    values: dict[str, Any]

    def __str__(self) -> str:
        return f"row {self.row}: " + ", ".join(f"{name} = {shown(value)}" for name, value in self.values.items())


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


def shown(value: Any) -> str:
    """A value as a message shows it."""
    if isinstance(value, str):
        return f'"{value}"' if len(value) <= 40 else f'"{value[:39]}…"'
    return str(value)
