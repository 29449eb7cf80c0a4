"""Sets of row keys larger than memory: 64 bits a key, kept sorted in stretches, on the disk once there are many.

Whole numbers, dates and times of one column are their own key, so what is found of them is exact. Other keys are
hashes: two that differ collide with a chance of 2**-64 a pair, so a find is proved by a second hash before it counts.
"""

import tempfile
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

Keys = npt.NDArray[np.uint64]

HELD_KEYS: Final = 8 << 20
"""So many keys of one rule are held in memory (64 MB); beyond that they are spilled."""
PARTS: Final = 64
_CUTS: Final = (np.arange(1, PARTS, dtype=np.uint64) << np.uint64(58)).astype(np.uint64)


def is_exact(schema: pl.Schema) -> bool:
    """Whether a key of these columns is its value, not a hash of it."""
    (dtype, *others) = schema.dtypes()
    return not others and ((dtype.is_integer() and dtype not in (pl.Int128, pl.UInt128)) or dtype.is_temporal())


def keys_of(frame: pl.DataFrame, *, proving: bool = False) -> Keys:
    """The key of each row over all columns, none of which has missing values; `proving` takes the second hash.

    -0.0 is 0.0, and all NaN are one.
    """
    if is_exact(frame.schema):
        series = frame.to_series().to_physical()
        wide = series.cast(pl.UInt64 if series.dtype == pl.UInt64 else pl.Int64).to_numpy()
        return _spread(wide.view(np.uint64))
    return frame.hash_rows(0x5EED if proving else 0).to_numpy()


def _spread(keys: Keys) -> Keys:
    """Multiplied by an odd number: still one to one, and small numbers fall into all parts."""
    return keys * np.uint64(0x9E3779B97F4A7C15)


class KeyBag:
    """Keys, with repeats. Use it as a context manager: it may hold a file."""

    def __init__(self, folder: Path | None, held: int = HELD_KEYS) -> None:
        self._folder, self._most = folder, held
        self._held: list[Keys] = []
        self._count = 0
        self._file: Any = None
        self._stretches: list[list[tuple[int, int]]] = [[] for _ in range(PARTS)]
        self.length = 0

    def add(self, keys: Keys) -> None:
        """Put keys in."""
        self._held.append(keys)
        self._count += len(keys)
        self.length += len(keys)
        if self._count > self._most:
            self.spill()

    def parts(self) -> Iterator[Keys]:
        """All keys, sorted, in parts whose bounds are the same for every bag that was spilled."""
        if self._file is None:
            yield self._together(self._held)
            return
        self.spill()
        for stretches in self._stretches:
            yield self._together([self._read(at, count) for at, count in stretches])

    def in_step(self, other: "KeyBag") -> Iterator[tuple[Keys, Keys]]:
        """The parts of both, each with the other's of the same bounds."""
        if self.is_spilled or other.is_spilled:
            self.spill()
            other.spill()
        yield from zip(self.parts(), other.parts(), strict=True)

    def repeated(self) -> tuple[Keys, int]:
        """The keys that are there more than once, sorted, and how many rows have them."""
        found, rows = [], 0
        for part in self.parts():
            same = part[1:] == part[:-1]
            if not same.any():
                continue
            starts = np.flatnonzero(np.concatenate(([True], ~same)))
            counts = np.diff(np.append(starts, len(part)))
            found.append(part[starts[counts > 1]])
            rows += int(counts[counts > 1].sum())
        return np.concatenate(found) if found else np.empty(0, dtype=np.uint64), rows

    def close(self) -> None:
        """Give the memory and the file back."""
        self._held = []
        if self._file is not None:
            self._file.close()

    def __enter__(self) -> "KeyBag":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _together(self, parts: Sequence[Keys]) -> Keys:
        whole = np.concatenate(parts) if parts else np.empty(0, dtype=np.uint64)
        whole.sort()
        return whole

    @property
    def is_spilled(self) -> bool:
        """Whether keys lie in a file."""
        return self._file is not None

    def spill(self) -> None:
        """Sort what is held, and append each part of it to the file."""
        if self._file is None:
            self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115 - closed by close()
        whole = self._together(self._held)
        self._held, self._count = [], 0
        self._file.seek(0, 2)
        at = self._file.tell() // 8
        whole.tofile(self._file)
        cuts = [0, *np.searchsorted(whole, _CUTS).tolist(), len(whole)]
        for stretches, (low, high) in zip(self._stretches, pairwise(cuts), strict=True):
            if high > low:
                stretches.append((at + low, high - low))

    def _read(self, at: int, count: int) -> Keys:
        self._file.seek(at * 8)
        return np.fromfile(self._file, dtype=np.uint64, count=count)


def lacking(keys: KeyBag, known: KeyBag) -> tuple[Keys, int]:
    """The keys that another bag doesn't have, sorted, and how many rows have them."""
    found, rows = [], 0
    for mine, theirs in keys.in_step(known):
        absent = ~is_in(mine, theirs)
        if absent.any():
            found.append(np.unique(mine[absent]))
            rows += int(absent.sum())
    return np.concatenate(found) if found else np.empty(0, dtype=np.uint64), rows


def is_in(keys: Keys, known: Keys) -> npt.NDArray[np.bool_]:
    """Which keys are among sorted others."""
    if not len(known):
        return np.zeros(len(keys), dtype=np.bool_)
    at = np.searchsorted(known, keys)
    at[at == len(known)] = 0
    found: npt.NDArray[np.bool_] = known[at] == keys
    return found
