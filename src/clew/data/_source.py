"""Rows on their way in: read in batches, as often as needed, the same rows each time."""

from collections.abc import Callable, Iterator
from typing import Protocol

import polars as pl
from polars.io.plugins import register_io_source

from clew.catalog.commands import SourceSpec

Wanted = Callable[[int, int], bool]
"""Whether any of so many rows from such a row is wanted; batches without one may be left out unread."""


class Source(Protocol):
    """A table to add. Batches are bounded in size but for a frame that is in memory anyway."""

    @property
    def schema(self) -> pl.Schema:
        """Names and types of the columns."""

    @property
    def specs(self) -> list[SourceSpec]:
        """Where the rows come from, without credentials."""

    @property
    def rows(self) -> int | None:
        """How many rows there are, where that is known before reading."""

    def batches(self, wanted: Wanted | None = None) -> Iterator[tuple[int, pl.DataFrame]]:
        """Batches of rows in order, each with the number of its first row. Raises DataError."""


class FrameSource:
    """A frame in memory."""

    def __init__(self, frame: pl.DataFrame, specs: list[SourceSpec]) -> None:
        self.frame, self.specs = frame, specs

    @property
    def schema(self) -> pl.Schema:
        """Names and types of the columns."""
        return self.frame.schema

    @property
    def rows(self) -> int | None:
        """The frame's rows."""
        return self.frame.height

    def batches(self, wanted: Wanted | None = None) -> Iterator[tuple[int, pl.DataFrame]]:
        """The frame, in one batch."""
        if wanted is None or wanted(0, self.frame.height):
            yield 0, self.frame


class Mapped:
    """Another source, each of whose batches goes through a function that keeps the number of rows."""

    def __init__(self, source: Source, function: Callable[[pl.DataFrame], pl.DataFrame]) -> None:
        self._source, self._function = source, function
        self.schema = function(pl.DataFrame(schema=source.schema)).schema

    @property
    def specs(self) -> list[SourceSpec]:
        """Where the rows come from."""
        return self._source.specs

    @property
    def rows(self) -> int | None:
        """The source's rows."""
        return self._source.rows

    def batches(self, wanted: Wanted | None = None) -> Iterator[tuple[int, pl.DataFrame]]:
        """The source's batches, each through the function."""
        for start, batch in self._source.batches(wanted):
            yield start, self._function(batch)


def as_lazy(source: Source) -> pl.LazyFrame:
    """A source as a lazy frame; what is in memory isn't copied."""
    if isinstance(source, FrameSource):
        return source.frame.lazy()

    def batches(
        with_columns: list[str] | None, predicate: pl.Expr | None, n_rows: int | None, batch_size: int | None
    ) -> Iterator[pl.DataFrame]:
        del batch_size
        for start, batch in source.batches():
            if n_rows is not None and start >= n_rows:
                return
            part = batch if n_rows is None else batch.head(n_rows - start)
            part = part if predicate is None else part.filter(predicate)
            yield part if with_columns is None else part.select(with_columns)

    return register_io_source(batches, schema=source.schema)
