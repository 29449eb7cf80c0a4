"""Which row of the previous snapshot each row of a new one is: by hashes, in order, whatever moved.

The hashes are a hint and nothing more: what is matched here is read back and compared by content before it counts.
"""

from typing import Any, Final
from zlib import crc32

import numpy as np
import numpy.typing as npt
import polars as pl

from clew.data._numbers_file import NumbersFile

Hashes = npt.NDArray[np.uint64]
Ints = npt.NDArray[np.int64]

_MIX: Final = np.uint64(0x9E3779B97F4A7C15)  # 2^64 by the golden ratio: spreads the bits of a hash over its top
_ROUNDS: Final = 6
_SHINGLES: Final = (1, 8, 64)
_ENOUGH_ANCHORS: Final = 0.05
WINDOW_ROWS: Final = 4 << 20
"""How many new rows are matched at once; with their window of old rows and the tables this takes about 300 MB."""
_SAMPLED: Final = np.uint64(63)
_VIEWS: Final[dict[pl.DataType, type[pl.DataType]]] = {
    pl.Float64(): pl.UInt64,
    pl.Float32(): pl.UInt32,
    pl.Float16(): pl.UInt16,
}


def row_hashes(frame: pl.DataFrame) -> Hashes:
    """A hash of each row; the sum of one for each column, so that columns can be taken away from it again."""
    total = np.zeros(frame.height, dtype=np.uint64)
    for series in frame.iter_columns():
        total += column_hashes(series)
    return total


def column_hashes(series: pl.Series) -> Hashes:
    """A hash of each value, seeded by the column's name. Of this process only: libraries change their hashes."""
    seed = crc32(series.name.encode())
    dtype = series.dtype
    if dtype in _VIEWS:
        # -0.0 and 0.0 are two values here, and so are NaN of other bits
        series = series.reinterpret(dtype=_VIEWS[dtype])
    elif isinstance(dtype, pl.Categorical | pl.Enum):
        # by the text: codes are given as categories are met
        codes = series.to_physical()
        texts = pl.DataFrame({"text": series.unique(), "code": series.unique().to_physical()})
        hashes = texts["text"].cast(pl.String).hash(seed)
        return codes.replace_strict(texts["code"], hashes, return_dtype=pl.UInt64).to_numpy()
    return series.hash(seed).to_numpy()


def match(old: Hashes, new: Hashes) -> Ints:
    """For each new row the old row that it is, or -1; rows that follow each other stay together where they can.

    One old row may stand for several new ones. Time and memory grow with both lengths: about 40 bytes a row.
    """
    shorter = min(len(old), len(new))
    head = _run(old[:shorter] == new[:shorter])
    rest = shorter - head
    tail = _run(old[::-1][:rest] == new[::-1][:rest]) if rest else 0
    found = np.empty(len(new), dtype=np.int64)
    found[:head] = np.arange(head)
    found[len(new) - tail :] = np.arange(len(old) - tail, len(old))
    middle_old, middle_new = old[head : len(old) - tail], new[head : len(new) - tail]
    if len(middle_new):
        part = _middle(middle_old, middle_new)
        part[part >= 0] += head
        found[head : len(new) - tail] = part
    return found


def _run(equal: npt.NDArray[np.bool_]) -> int:
    if not len(equal):
        return 0
    first = int(np.argmin(equal))
    return len(equal) if equal[first] else first


def _middle(old: Hashes, new: Hashes) -> Ints:
    found = np.full(len(new), -1, dtype=np.int64)
    if not len(old):
        return found
    permuted = _permuted(old, new)
    if permuted is not None:
        return permuted
    anchors = found
    for length in _SHINGLES:
        if length > min(len(old), len(new)):
            break
        anchors = _anchors(old, new, length)
        if np.count_nonzero(anchors >= 0) >= _ENOUGH_ANCHORS * min(len(old), len(new)):
            break
    _fill(old, new, anchors)
    missing = np.flatnonzero(anchors < 0)
    if len(missing):
        # Rows of few kinds: the same place first, so that what stood together stays together.
        near = missing[missing < len(old)]
        near = near[old[near] == new[near]]
        anchors[near] = near
        missing = np.flatnonzero(anchors < 0)
    if len(missing):
        anchors[missing] = _lookup(old, new[missing])
    return anchors


def _permuted(old: Hashes, new: Hashes) -> Ints | None:
    """Where the same rows, each of its own kind, stand in another order; None for anything else.

    The sums tell most other tables at once. Sorting both sides then costs less than looking each row up.
    """
    if len(old) != len(new) or old.sum() != new.sum():
        return None
    before = np.argsort(old)
    ordered = old[before]
    if (ordered[1:] == ordered[:-1]).any():
        return None
    after = np.argsort(new)
    if not np.array_equal(ordered, new[after]):
        return None
    found = np.empty(len(new), dtype=np.int64)
    found[after] = before
    return found


def _anchors(old: Hashes, new: Hashes, length: int) -> Ints:
    """Where a run of so many new rows is found in the old rows, and only once there: the first row of the run."""
    found = np.full(len(new), -1, dtype=np.int64)
    a, b = _shingles(old, length), _shingles(new, length)
    table, shift = _table(len(a))
    slots = _slots(a, shift)
    table[slots] = np.arange(len(a), dtype=np.int32)
    holder = table[slots]
    doubled = np.zeros(len(a), dtype=bool)
    lost = np.flatnonzero(holder != np.arange(len(a), dtype=np.int32))
    same = lost[a[holder[lost]] == a[lost]]
    doubled[holder[same]] = True
    hit = table[_slots(b, shift)]
    sure = (hit >= 0) & (a[hit] == b)
    sure[sure] = ~doubled[hit[sure]]
    found[: len(b)][sure] = hit[sure]
    return found


def _fill(old: Hashes, new: Hashes, found: Ints) -> None:
    """Match what lies between matched rows by going on from them, forwards and then backwards."""
    for backwards in (False, True):
        a, b, c = (old[::-1], new[::-1], found[::-1]) if backwards else (old, new, found)
        missing = np.flatnonzero(c < 0)
        if not len(missing) or len(missing) == len(c):
            return
        last = np.where(c >= 0, np.arange(len(c)), -1)
        np.maximum.accumulate(last, out=last)
        before = last[missing]
        missing, before = missing[before >= 0], before[before >= 0]
        at = (len(a) - 1 - c[before] if backwards else c[before]) + (missing - before)
        inside = at < len(a)
        missing, at = missing[inside], at[inside]
        equal = a[at] == b[missing]
        c[missing[equal]] = len(a) - 1 - at[equal] if backwards else at[equal]


def _lookup(old: Hashes, new: Hashes) -> Ints:
    """Any old row of the same hash, for each new row; in rounds, for those whose slot was taken by another."""
    found = np.full(len(new), -1, dtype=np.int64)
    rows = np.arange(len(old), dtype=np.int32)
    missing = np.arange(len(new))
    for turn in range(_ROUNDS):
        keys = old[rows] if turn else old
        table, shift = _table(len(keys))
        slots = _slots(keys, shift, turn)
        table[slots] = rows
        hit = table[_slots(new[missing], shift, turn)]
        equal = (hit >= 0) & (old[hit] == new[missing])
        found[missing[equal]] = hit[equal]
        missing = missing[~equal]
        rows = rows[old[table[slots]] != keys]
        if not len(rows) or not len(missing):
            break
    return found


def _table(entries: int) -> tuple[npt.NDArray[np.int32], np.uint64]:
    """An empty table with room for twice the entries, and the shift that makes its slots of hashes."""
    bits = max(int(2 * entries - 1).bit_length(), 4)
    return np.full(1 << bits, -1, dtype=np.int32), np.uint64(64 - bits)


def _slots(hashes: Hashes, shift: np.uint64, turn: int = 0) -> Any:
    mixed = hashes * np.uint64(int(_MIX) * (2 * turn + 1) % 2**64)
    mixed >>= shift
    return mixed.view(np.int64)


def _shingles(hashes: Hashes, length: int) -> Hashes:
    """A hash of each run of `length` rows, by doubling; `length` is a power of two."""
    step = 1
    while step < length:
        hashes = hashes[:-step] * _MIX + hashes[step:]  # wraps around, as meant
        hashes ^= hashes >> np.uint64(29)
        step *= 2
    return hashes


def match_windows(old: NumbersFile, new: NumbersFile, found: NumbersFile, rows: int = WINDOW_ROWS) -> None:
    """As `match`, appended to `found`; in windows when the tables are long, so that memory doesn't grow with them.

    A window of new rows is looked for where the one before ended. When it isn't there, a sample of all old hashes
    says where to look; rows that were moved about one by one in a table of many windows count as new.
    """
    if len(old) + len(new) <= 2 * rows:
        found.append(match(old.read(), new.read()))
        return
    sample: tuple[Hashes, Ints] | None = None
    slack = rows // 4
    at = 0
    for start in range(0, len(new), rows):
        hashes = new.read(start, rows)
        low = max(0, at - slack)
        part = _window(old, hashes, low, rows + 2 * slack)
        if np.count_nonzero(part >= 0) * 2 < len(hashes):
            sample = sample or _sample(old)
            place = _place(sample, hashes)
            if place is not None:
                other = _window(old, hashes, max(0, place - slack), rows + 2 * slack)
                if np.count_nonzero(other >= 0) > np.count_nonzero(part >= 0):
                    part = other
        matched = part[part >= 0]
        at = int(matched[-1]) + 1 if len(matched) else at + rows
        found.append(part)


def _window(old: NumbersFile, new: Hashes, low: int, rows: int) -> Ints:
    found = match(old.read(low, rows), new)
    found[found >= 0] += low
    return found


def _sample(old: NumbersFile) -> tuple[Hashes, Ints]:
    """One row in 64, chosen by its hash: the hashes, sorted, and where they are."""
    hashes, rows = [], []
    for start in range(0, len(old), WINDOW_ROWS):
        part = old.read(start, WINDOW_ROWS)
        kept = np.flatnonzero(part & _SAMPLED == 0)
        hashes.append(part[kept])
        rows.append(kept + start)
    all_hashes, all_rows = np.concatenate(hashes), np.concatenate(rows)
    order = np.argsort(all_hashes, kind="stable")
    return all_hashes[order], all_rows[order]


def _place(sample: tuple[Hashes, Ints], new: Hashes) -> int | None:
    """Where in the old rows a window would begin, by the median of its sampled rows."""
    hashes, rows = sample
    asked = np.flatnonzero(new & _SAMPLED == 0)
    if not len(asked) or not len(hashes):
        return None
    hit = np.minimum(np.searchsorted(hashes, new[asked]), len(hashes) - 1)
    equal = hashes[hit] == new[asked]
    if not equal.any():
        return None
    return int(np.median(rows[hit[equal]] - asked[equal]))
