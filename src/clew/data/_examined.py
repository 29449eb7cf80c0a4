"""The one scan of a table that answers all rules of a contract, batch by batch, in bounded memory."""

from collections.abc import Iterator, Sequence
from typing import Any, Final, Protocol

import polars as pl

from clew.data._asked import Asked, AskedOfRows
from clew.data._key_rules import KeyRule
from clew.data._results import RuleResult
from clew.data._row_rules import Aside, Whole, ask_whole
from clew.data._terms import first_line
from clew.errors import ClewError

_BATCH_ROWS: Final = 131_072


class Rows(Protocol):
    """A table that can be read as often as needed, the same rows each time."""

    @property
    def schema(self) -> pl.Schema:
        """Names and types of the columns."""

    def batches(self, columns: Sequence[str]) -> Iterator[tuple[int, pl.DataFrame]]:
        """Batches in order, each with the number of its first row; all columns or more than those named."""

    def lazy(self) -> pl.LazyFrame:
        """All of it, lazily."""


class FrameRows:
    """A frame of polars; a lazy one is streamed."""

    def __init__(self, frame: pl.DataFrame | pl.LazyFrame) -> None:
        self._frame = frame
        self.schema = frame.collect_schema()

    def batches(self, columns: Sequence[str]) -> Iterator[tuple[int, pl.DataFrame]]:
        """Batches of bounded size; of a lazy frame as its source gives them."""
        frame, start = self._frame, 0
        if isinstance(frame, pl.DataFrame):
            for part in frame.iter_slices(_BATCH_ROWS):
                yield start, part
                start += part.height
            return
        for part in frame.select(columns).collect_batches(engine="streaming"):
            yield start, part
            start += part.height

    def lazy(self) -> pl.LazyFrame:
        """The frame."""
        return self._frame.lazy()


class Examined:
    """A table, read once, and what each rule found. Use it as a context manager: rules may hold files.

    A table is read again only where something was found: to prove that hashes that are there twice are rows that are
    there twice, and to show failing rows that weren't known as such when they passed by.
    """

    def __init__(self, rows: Rows, asked: Sequence[Asked]) -> None:
        self._rows, self._asked = rows, asked
        self.height = 0
        try:
            self._scan()
            self._prove()
            self._look()
        except BaseException:
            self.close()
            raise

    def results(self) -> list[RuleResult]:
        """What each rule found, in their order."""
        return [one.result(self.height) for one in self._asked]

    def failing(self) -> Iterator[tuple[int, pl.DataFrame, dict[str, pl.Series]]]:
        """The table again, with the rows that break each broken rule of severity "error", by the rule's name."""
        wanted = self._guilty()
        for one in wanted:
            one.rewind()
        for start, batch in self._rows.batches(self._rows.schema.names()):
            yield start, batch, {name_of(one): one.failing(batch, start) for one in wanted}

    @property
    def named(self) -> set[str]:
        """The broken rules of severity "error" whose failing rows can be named."""
        return {name_of(one) for one in self._guilty()}

    def _guilty(self) -> list[AskedOfRows]:
        return [
            one
            for one in self._of_rows()
            if one.names_rows and one.severity == "error" and not one.result(self.height).passed
        ]

    def __enter__(self) -> "Examined":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Give memory and files back."""
        for one in self._asked:
            if isinstance(one, KeyRule):
                one.bag.close()

    def _of_rows(self) -> list[AskedOfRows]:
        return [one for one in self._asked if isinstance(one, AskedOfRows) and one.error is None]

    def _scan(self) -> None:
        asked = [one for one in self._asked if not isinstance(one, Aside | Whole)]
        columns = list(dict.fromkeys(name for one in asked for name in one.roots)) or self._rows.schema.names()[:1]
        expressions = [expr.alias(f"{i}:{j}") for i, one in enumerate(asked) for j, expr in enumerate(one.wanted())]
        spans = _spans(asked)
        for start, batch in self._rows.batches(columns):
            self.height = start + batch.height
            if not batch.height:
                continue
            values: Sequence[Any] | None = ()
            if expressions:
                values = _values(batch, expressions)
            for one, (low, high) in zip(asked, spans, strict=True):
                if one.error is None:
                    _taken(one, batch, start, None if values is None else values[low:high])
        for one in self._asked:
            if isinstance(one, Aside):
                one.ask(self._rows.lazy())
            elif one.error is None:
                _settled(one)
        ask_whole([one for one in self._asked if isinstance(one, Whole)], self._rows.lazy())

    def _prove(self) -> None:
        doubtful = [one for one in self._of_rows() if one.doubtful]
        if not doubtful:
            return
        columns = list(dict.fromkeys(name for one in doubtful for name in one.roots))
        for start, batch in self._rows.batches(columns):
            for one in doubtful:
                one.prove(batch, start)
        for one in doubtful:
            one.proved()

    def _look(self) -> None:
        """Look for rows to show, until there are enough of each rule."""
        wanted = [one for one in self._of_rows() if one.lacks_examples]
        columns = list(dict.fromkeys(name for one in wanted for name in (*one.roots, *one.shown)))
        if not wanted:
            return
        for one in wanted:
            one.rewind()
            one.examples.clear()
        for start, batch in self._rows.batches(columns):
            for one in wanted:
                if one.lacks_examples:
                    one.look(batch, start, one.failing(batch, start))
            if not any(one.lacks_examples for one in wanted):
                return


def name_of(one: Asked | RuleResult) -> str:
    """A rule's name, with its column's."""
    return f"{one.column}: {one.rule}" if one.column else one.rule


def _spans(asked: Sequence[Asked]) -> list[tuple[int, int]]:
    """Which values belong to which rule."""
    spans, at = [], 0
    for one in asked:
        count = len(one.wanted())
        spans.append((at, at + count))
        at += count
    return spans


def _values(batch: pl.DataFrame, expressions: Sequence[pl.Expr]) -> Sequence[Any] | None:
    """All values in one go; None when one of them can't be had."""
    try:
        return batch.select(expressions).row(0)
    except pl.exceptions.PolarsError:
        return None


def _settled(one: Asked) -> None:
    """Let a rule find its verdict; one that can't, as another dataset's bytes are lost, says so."""
    try:
        one.settle()
    except ClewError as error:
        one.error = error.message
    except pl.exceptions.PolarsError as error:
        one.error = first_line(error)


def _taken(one: Asked, batch: pl.DataFrame, start: int, values: Sequence[Any] | None) -> None:
    """Give a rule a batch; one that breaks on some value says so from then on, and leaves the others standing."""
    try:
        if values is None:
            wanted = [expr.alias(str(i)) for i, expr in enumerate(one.wanted())]
            values = batch.select(wanted).row(0) if wanted else ()
        one.take(batch, start, values)
    except pl.exceptions.PolarsError as error:
        one.error = first_line(error)
