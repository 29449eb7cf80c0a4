"""Rules about keys: together unique, or among those of another dataset; in bounded memory however many there are."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from clew.data._asked import AskedOfRows
from clew.data._hashes import KeyBag, Keys, is_exact, is_in, keys_of, lacking


@dataclass
class KeyRule(AskedOfRows):
    """A rule about the keys of all rows; rows that lack a part of theirs (or, by `unless`, have none) aren't asked."""

    folder: Path | None = None
    types: tuple[pl.DataType, ...] = ()
    unless: pl.Expr | None = None
    bag: KeyBag = field(init=False)
    guilty: Keys = field(default_factory=lambda: np.empty(0, dtype=np.uint64), init=False)

    def __post_init__(self) -> None:
        self.bag = KeyBag(self.folder)

    @property
    def exact(self) -> bool:
        """Whether a key is the value itself, so that what is found of it is proved."""
        return is_exact(pl.Schema({str(at): dtype for at, dtype in enumerate(self.types)}))

    def take(self, batch: pl.DataFrame, start: int, values: Sequence[Any]) -> None:
        """Put the batch's keys into the bag."""
        del start, values
        asked = self._asked(batch)
        self.bag.add(keys_of(self._columns(batch) if asked is None else self._columns(batch).filter(asked)))

    def failing(self, batch: pl.DataFrame, start: int) -> pl.Series:
        """The rows whose key was found guilty."""
        del start
        return self._rows_of(batch, self.guilty, proving=self.doubtful_kind)

    @property
    def doubtful_kind(self) -> bool:
        """Whether guilty keys are those of the second hash."""
        return False

    def _columns(self, batch: pl.DataFrame) -> pl.DataFrame:
        columns = zip(self.roots, self.types, strict=True)
        return batch.select(pl.col(name).cast(dtype).alias(str(at)) for at, (name, dtype) in enumerate(columns))

    def _asked(self, batch: pl.DataFrame) -> pl.Series | None:
        """The rows with a whole key, or None where all have one."""
        if self.unless is None and not any(batch[name].null_count() for name in self.roots):
            return None
        whole = pl.all_horizontal(pl.col(self.roots).is_not_null())
        return batch.select(whole if self.unless is None else whole & self.unless.not_()).to_series()

    def _rows_of(self, batch: pl.DataFrame, keys: Keys, *, proving: bool = False) -> pl.Series:
        asked = self._asked(batch)
        frame = self._columns(batch) if asked is None else self._columns(batch).filter(asked)
        found = is_in(keys_of(frame, proving=proving), keys)
        if asked is None:
            return pl.Series(found)
        mask = np.zeros(batch.height, dtype=np.bool_)
        mask[asked.to_numpy()] = found
        return pl.Series(mask)


@dataclass
class Unique(KeyRule):
    """No key is there twice; all rows of one that is are failing.

    Hashes that are there twice are proved by a second reading: only rows that share the second hash, too, count.
    """

    _again: KeyBag | None = field(default=None, init=False)

    def settle(self) -> None:
        """Find the keys that are there twice."""
        self.guilty, self.count = self.bag.repeated()
        self.bag.close()
        if self.doubtful:
            self._again = KeyBag(self.folder)

    @property
    def doubtful(self) -> bool:
        """Whether hashes were found twice."""
        return self.error is None and self.count > 0 and not self.exact

    @property
    def doubtful_kind(self) -> bool:
        """Of hashes the second ones are guilty in the end."""
        return not self.exact

    def prove(self, batch: pl.DataFrame, start: int) -> None:
        """Take the second hashes of rows whose first one is there twice."""
        del start
        assert self._again is not None
        rows = batch.filter(self._rows_of(batch, self.guilty))
        self._again.add(keys_of(self._columns(rows), proving=True))

    def proved(self) -> None:
        """Only those that are there twice again count."""
        assert self._again is not None
        self.guilty, self.count = self._again.repeated()
        self._again.close()


@dataclass
class Among(KeyRule):
    """Each key is among those of another dataset."""

    known: Callable[[], pl.LazyFrame] | None = None

    def settle(self) -> None:
        """Read the other dataset's keys, and find those that it lacks."""
        assert self.known is not None
        with KeyBag(self.folder) as known:
            for batch in self.known().collect_batches(engine="streaming"):
                named = batch.select(
                    one.cast(dtype).alias(str(at))
                    for at, (one, dtype) in enumerate(zip(batch.iter_columns(), self.types, strict=True))
                )
                known.add(np.unique(keys_of(named.drop_nulls())))
            self.guilty, self.count = lacking(self.bag, known)
        self.bag.close()


def key_types(mine: Sequence[pl.DataType], others: Sequence[pl.DataType]) -> tuple[pl.DataType, ...] | None:
    """The types in which keys of two tables are compared; None where that has no meaning."""
    found: list[pl.DataType] = []
    for one, other in zip(mine, others, strict=True):
        texts = (pl.String, pl.Categorical, pl.Enum)
        if one == other and not isinstance(one, texts):
            found.append(one)
        elif isinstance(one, texts) and isinstance(other, texts):
            found.append(pl.String())
        elif one.is_integer() and other.is_integer() and pl.UInt64 not in (one, other):
            found.append(pl.Int64())
        else:
            return None
    return tuple(found)


def own_types(dtypes: Sequence[pl.DataType]) -> tuple[pl.DataType, ...]:
    """The types in which keys of one table are compared."""
    return tuple(pl.String() if isinstance(one, pl.Categorical | pl.Enum) else one for one in dtypes)
