"""What a rule of a contract is to the one scan that answers all of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import polars as pl

from clew.data._results import Example, RuleResult
from clew.data._terms import Severity

EXAMPLES: Final = 3


@dataclass
class Asked:
    """A rule while a table is read: it says what it wants of each batch, takes that, and gives its result.

    `roots` are the columns it reads. `error` says why it can't be evaluated; then it isn't asked any further.
    """

    rule: str
    column: str | None
    severity: Severity
    roots: tuple[str, ...]
    error: str | None = field(default=None, init=False)

    def wanted(self) -> list[pl.Expr]:
        """Expressions of one value each, over a batch."""
        return []

    def take(self, batch: pl.DataFrame, start: int, values: Sequence[Any]) -> None:
        """Take a batch, whose first row is the table's row `start`, and the values that were wanted of it."""

    def settle(self) -> None:
        """Find the verdict, once all batches were taken."""

    def result(self, rows: int) -> RuleResult:
        """What it found in a table of so many rows."""
        raise NotImplementedError

    def failed(self, error: str) -> RuleResult:
        """That it can't be evaluated, which counts as broken."""
        return RuleResult(self.rule, self.column, self.severity, passed=False, error=error)


@dataclass
class AskedOfRows(Asked):
    """A rule that some rows break and others don't."""

    count: int = field(default=0, init=False)
    examples: list[Example] = field(default_factory=list, init=False)
    shown: tuple[str, ...] = ()

    def failing(self, batch: pl.DataFrame, start: int) -> pl.Series:
        """Which rows of a batch break it; batches come in order, from `rewind` on."""
        raise NotImplementedError

    def rewind(self) -> None:
        """Forget where the reading stands: the table is read again."""

    def prove(self, batch: pl.DataFrame, start: int) -> None:
        """Take a batch of a reading of its own, made before `failing` is asked, where `doubtful`."""

    @property
    def doubtful(self) -> bool:
        """Whether what was found must be proved by reading the table again."""
        return False

    def proved(self) -> None:
        """All batches were read again."""

    def look(self, batch: pl.DataFrame, start: int, failing: pl.Series) -> None:
        """Keep the first failing rows as examples."""
        if not self.shown or len(self.examples) >= EXAMPLES:
            return
        places = failing.arg_true().head(EXAMPLES - len(self.examples))
        values = batch.select(pl.col(self.shown).gather(places)).to_dicts()
        self.examples += [Example(start + at + 1, row) for at, row in zip(places.to_list(), values, strict=True)]

    @property
    def lacks_examples(self) -> bool:
        """Whether its failing rows have to be looked for."""
        return self.error is None and bool(self.shown) and len(self.examples) < min(self.count, EXAMPLES)

    @property
    def names_rows(self) -> bool:
        """Whether the failing rows are wrong each by itself, not only too many of them."""
        return True

    def passes(self, share: float) -> bool:
        """Whether so many failing rows are still right."""
        return share == 0

    def result(self, rows: int) -> RuleResult:
        """The failing rows, counted, with the first of them."""
        if self.error is not None:
            return self.failed(self.error)
        share = self.count / rows if rows else 0.0
        return RuleResult(
            self.rule, self.column, self.severity, self.passes(share), self.count, share, tuple(self.examples)
        )
