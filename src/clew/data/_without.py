"""A source as a contract looks at it, and one without the rows that a contract kept out."""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl

from clew.catalog.commands import SourceSpec
from clew.data._source import Source, Wanted, as_lazy

_BATCH_ROWS: Final = 131_072


class SourceRows:
    """A source, read in batches of bounded size."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.schema = source.schema

    def batches(self, columns: Sequence[str]) -> Iterator[tuple[int, pl.DataFrame]]:
        """Batches in order, with the columns named."""
        for start, batch in self._source.batches():
            for at, part in enumerate(batch.select(columns).iter_slices(_BATCH_ROWS)):
                yield start + at * _BATCH_ROWS, part

    def lazy(self) -> pl.LazyFrame:
        """All of it."""
        return as_lazy(self._source)


class Without:
    """Another source without some of its rows.

    Its specs have no stamps: the same file again must be held against the contract again.
    """

    def __init__(self, source: Source, gone: npt.NDArray[np.int64]) -> None:
        self._source, self._gone = source, gone
        self.schema = source.schema

    @property
    def specs(self) -> list[SourceSpec]:
        """Where the rows come from."""
        return [msgspec.structs.replace(one, stamp=None) for one in self._source.specs]

    @property
    def rows(self) -> int | None:
        """The source's rows without those."""
        return None if self._source.rows is None else self._source.rows - len(self._gone)

    def batches(self, wanted: Wanted | None = None) -> Iterator[tuple[int, pl.DataFrame]]:
        """The rows that stay, numbered anew."""
        for start, batch in self._source.batches(self._outer(wanted)):
            low, high = np.searchsorted(self._gone, [start, start + batch.height])
            kept = np.ones(batch.height, dtype=np.bool_)
            kept[self._gone[low:high] - start] = False
            yield start - int(low), batch.filter(pl.Series(kept)) if high > low else batch

    def _outer(self, wanted: Wanted | None) -> Callable[[int, int], bool] | None:
        """The same question in the source's numbers."""
        if wanted is None:
            return None

        def asked(start: int, rows: int) -> bool:
            low, high = np.searchsorted(self._gone, [start, start + rows])
            return wanted(start - int(low), rows - int(high - low))

        return asked
