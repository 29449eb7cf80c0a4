"""Columns that nearly say the target by themselves.

Each column is made a table of 20 and of 200 bins (or of its categories), the target's mean rank or most likely class in
each is learnt on one half of the rows, and held against the other half. So any transformation is seen, monotone or
not, and categories so many that each names one row give nothing away.
"""

from collections.abc import Callable, Iterator
from itertools import permutations
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from clew.data._finding import Finding
from clew.data._numbers import known

_FEW_ROWS: Final = 100
_SAMPLE: Final = 100_000
_BINS: Final = (20, 200)
_CLASSES: Final = 20
_RARE: Final = 20  # rows of a class that is judged
_PRIOR: Final = 0.2
_EXPLAINED: Final = 0.85
"""Of the variance of the target's ranks: a rank correlation of 0.92, if it is monotone."""
_RECALLED: Final = 0.97
"""Of the rows of each class, on average."""
_MADE: Final[tuple[tuple[str, Callable[[Any, Any], Any]], ...]] = (
    ("{a} + {b}", lambda a, b: a + b),
    ("{a} - {b}", lambda a, b: a - b),
    ("{a} * {b}", lambda a, b: a * b),
    ("{a} / {b}", lambda a, b: a / b),
)


def giving_away(frame: pl.DataFrame, target: str, features: list[str]) -> Iterator[Finding]:
    """The features that give the target away, alone or two together."""
    there = frame.filter(pl.col(target).is_not_null())
    if there.height < _FEW_ROWS:
        return
    part = there.gather_every(max(1, there.height // _SAMPLE))
    truth = part[target]
    classes = _is_classes(truth)
    taken = set()
    for name in features:
        if part.schema[name].is_nested() or part.schema[name] in (pl.Object, pl.Null) or part[name].n_unique() < 2:
            continue
        told = _recalled if classes else _explained
        strength = max(told(codes, truth) for codes in _codings(part[name]))
        if strength >= (_RECALLED if classes else _EXPLAINED):
            taken.add(name)
            yield _finding(frame, name, _told(target, strength, classes=classes))
    if not classes:
        for name, by in _group_means(there, target, [one for one in features if one not in taken]):
            taken.add(name)
            yield _finding(frame, name, f"is the mean of {target} by {by}, in which each row's own {target} counts")
        yield from _made_of(frame, part, target, [one for one in features if one not in taken])


def _finding(frame: pl.DataFrame, name: str, message: str) -> Finding:
    return Finding(name, "gives-target-away", message, frame.height, 1.0)


def _told(target: str, strength: float, *, classes: bool) -> str:
    if classes:
        return f"nearly gives {target} away: by it alone, {strength:.1%} of each class are told right"
    return (
        f"nearly gives {target} away: by it alone, {strength:.0%} of how {target} varies is told "
        "(in ranks, on rows that it wasn't learnt from)"
    )


def _is_classes(truth: pl.Series) -> bool:
    if not truth.dtype.is_numeric():
        return True
    return truth.n_unique() <= _CLASSES and (truth.dtype.is_integer() or bool((truth == truth.round(0)).all()))


def _codings(series: pl.Series) -> Iterator[npt.NDArray[np.int64]]:
    """Ways to tell a column's values apart: few bins see what is rare, many see what is fine, some see what is missing.

    Each value's bin or category, what is missing as one of its own.
    """
    if series.dtype.is_temporal():
        series = series.to_physical()
    if series.null_count():
        yield series.is_null().cast(pl.Int64).to_numpy()
    if series.dtype.is_numeric() and series.n_unique() > _BINS[0]:
        values = series.cast(pl.Float64).to_numpy()
        for bins in _BINS:
            edges = np.unique(np.nanquantile(values[np.isfinite(values)], np.linspace(0, 1, bins + 1)[1:-1]))
            codes = np.searchsorted(edges, values, side="right")
            codes[~np.isfinite(values)] = len(edges) + 1
            yield codes.astype(np.int64)
    if not series.dtype.is_numeric() or series.n_unique() <= _BINS[1]:
        yield series.rank("dense").fill_null(0).cast(pl.Int64).to_numpy()


def _halves(rows: int) -> npt.NDArray[np.bool_]:
    return np.random.default_rng(3).random(rows) < 0.5


def _explained(codes: npt.NDArray[np.int64], truth: pl.Series) -> float:
    """The share of the variance of the target's ranks that the bins tell, on the half they weren't learnt from."""
    ranks = truth.cast(pl.Float64).rank().to_numpy()
    learnt = _halves(len(ranks))
    size = int(codes.max()) + 1
    sums = np.bincount(codes[learnt], weights=ranks[learnt], minlength=size)
    counts = np.bincount(codes[learnt], minlength=size)
    overall = ranks[learnt].mean()
    # a little towards the mean of all, which is all that is known of what was never seen
    means = (sums + _PRIOR * overall) / (counts + _PRIOR)
    rest = ranks[~learnt]
    spread = float(((rest - rest.mean()) ** 2).sum())
    return 1 - float(((rest - means[codes[~learnt]]) ** 2).sum()) / spread if spread else 0.0


def _recalled(codes: npt.NDArray[np.int64], truth: pl.Series) -> float:
    """The mean over classes of how many of their rows the bins tell, on the half they weren't learnt from."""
    labels = truth.cast(pl.String).rank("dense").cast(pl.Int64).to_numpy() - 1
    learnt = _halves(len(labels))
    classes = int(labels.max()) + 1
    seen = np.bincount(labels[~learnt], minlength=classes)
    judged = seen >= _RARE
    if judged.sum() < 2:
        return 0.0
    size = int(codes.max()) + 1
    counts = np.bincount(codes[learnt] * classes + labels[learnt], minlength=size * classes).reshape(size, classes)
    shares = counts / np.maximum(counts.sum(axis=0), 1)
    # a category that was never seen is told as the commonest class
    said = np.where(counts.sum(axis=1) > 0, shares.argmax(axis=1), counts.sum(axis=0).argmax())[codes[~learnt]]
    right = np.bincount(labels[~learnt][said == labels[~learnt]], minlength=classes)
    return float((right[judged] / seen[judged]).mean())


def _group_means(frame: pl.DataFrame, target: str, features: list[str]) -> Iterator[tuple[str, str]]:
    """Features that are the mean of the target by another column, exactly."""
    floats = [name for name in features if frame.schema[name].is_float()]
    floats = [name for name in floats if 1 < frame[name].n_unique() <= frame.height / 1.5]
    groups = [
        name
        for name, dtype in frame.schema.items()
        if name != target
        and (dtype.is_integer() or isinstance(dtype, pl.String | pl.Categorical | pl.Enum))
        and 1 < frame[name].n_unique() <= frame.height / 1.5
    ]
    for by in groups if floats else []:
        left = frame.select(by, target, *floats)
        if left.height > _SAMPLE:  # whole groups, so that means stay what they are
            left = left.filter(pl.col(by).hash(1) % (left.height // _SAMPLE + 1) == 0)
        mean = left.select(pl.col(target).cast(pl.Float64).mean().over(by)).to_series().to_numpy()
        if not len(mean) or np.unique(mean).size < 2:
            continue
        scale = max(float(np.nanmax(np.abs(mean))), 1e-300)
        for name in list(floats):
            same = np.abs(left[name].cast(pl.Float64).to_numpy() - mean) <= 1e-6 * scale
            if same.mean() >= 0.95:
                floats.remove(name)
                yield name, by


def _made_of(frame: pl.DataFrame, part: pl.DataFrame, target: str, features: list[str]) -> Iterator[Finding]:
    """Two numbers that make the target: their sum, difference, product or ratio."""
    numbers = [name for name in features if part.schema[name].is_numeric() and len(known(part[name])) > _FEW_ROWS / 2]
    few = part.gather_every(max(1, part.height // 500))
    values: dict[str, Any] = {name: few[name].cast(pl.Float64).to_numpy() for name in numbers}
    truth = few[target].cast(pl.Float64).to_numpy()
    taken: set[frozenset[str]] = set()
    with np.errstate(all="ignore"):
        for first, second in permutations(numbers, 2):
            if frozenset((first, second)) in taken:
                continue
            for written, make in _MADE:
                made = make(values[first], values[second])
                there = np.isfinite(made) & np.isfinite(truth)
                if there.sum() >= _FEW_ROWS / 2 and np.allclose(made[there], truth[there], rtol=1e-6, atol=1e-9):
                    taken.add(frozenset((first, second)))
                    said = written.format(a=first, b=second)
                    yield _finding(frame, first, f"gives {target} away together with {second}: it is {said}")
                    break
