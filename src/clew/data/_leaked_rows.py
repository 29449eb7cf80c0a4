"""Rows and subjects that a test shares with the training.

Rows are held against each other by hashes of what they say: texts without case and outer blanks, numbers to three
digits. Rows that are near are found as pairs that agree in one of four groups of the columns, and then counted column
by column. That two rows agree by chance is told from how often halves of the columns agree by themselves.
"""

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Final

import numpy as np
import polars as pl

from clew.data._finding import Finding

_FEW_ROWS: Final = 30
_GROUPS: Final = 4
_NEAR: Final = 0.9
_BY_CHANCE: Final = 10
_NEAR_SHARE: Final = 0.005  # of the test: neighbours in time agree in much, and a few of them in nine columns in ten
_LEAST: Final = 3
_TWINS: Final = 4  # rows that a group of columns may have in common, before it says too little to look closer
_ORDER: Final = 5
_AT_MOST: Final = 200_000  # pairs that are looked at column by column


def same_rows(train: pl.DataFrame, test: pl.DataFrame, ignored: Sequence[str] = ()) -> Iterator[Finding]:
    """Rows of the test that are in the training: as they are, or nearly."""
    if train.height < _FEW_ROWS or test.height < _FEW_ROWS:
        return
    names = [name for name in _speaking(train, test) if name not in ignored]
    if not names:
        return
    told, asked = _plain(train, names), _plain(test, names)
    by_chance = cache(lambda: _by_chance(told, asked))  # asked only where something is the same
    same = _is_in(asked.hash_rows(), told.hash_rows())
    count = int(same.sum())
    beside = [name for name in train.columns if name not in names and name in test.columns]
    if count >= _LEAST and _is_leak(count, by_chance()):
        exact = _is_in(test.select(names).hash_rows(), train.select(names).hash_rows())
        equal = int((exact & same).sum())
        if equal >= max(_LEAST, count / 2) and not beside:
            yield _finding("same-rows", "are in the training as well", count, test.height)
        else:
            but = [f"for {', '.join(beside)}"] if beside else []
            but += ["for blanks, case or rounding"] if equal < count else []
            kind = "near-rows" if equal < count / 2 else "same-rows"
            yield _finding(kind, f"are in the training as well, but {' and '.join(but)}", count, test.height)
    if len(names) >= 2 * _GROUPS:
        near = int((_near(told, asked) & ~same).sum())
        if near >= max(_LEAST, _NEAR_SHARE * test.height) and _is_leak(
            near, _by_chance_near(by_chance(), len(names), test.height)
        ):
            yield _finding("near-rows", "are nearly in the training: nine columns in ten agree", near, test.height)


def same_subject(train: pl.DataFrame, test: pl.DataFrame, subject: str) -> Iterator[Finding]:
    """Rows of the test that are about a subject of the training."""
    if subject not in test.columns:
        return
    known = train[subject].cast(pl.String).drop_nulls().unique()
    shared = test[subject].cast(pl.String).is_in(known.implode()).fill_null(value=False)
    count = int(shared.sum())
    if count:
        subjects = test[subject].filter(shared).n_unique()
        message = f"{count:,} of {test.height:,} test rows are about {subjects:,} that the training has as well"
        yield Finding(subject, "same-subject", message, count, count / test.height)


def _finding(kind: str, what: str, count: int, rows: int) -> Finding:
    return Finding("(rows)", kind, f"{count:,} of {rows:,} test rows {what}", count, count / rows)


def _is_leak(count: int, by_chance: float) -> bool:
    return count > _BY_CHANCE * by_chance


def _speaking(train: pl.DataFrame, test: pl.DataFrame) -> list[str]:
    """Columns that say something and don't merely number the rows."""
    names = []
    for name, dtype in train.schema.items():
        if dtype.is_nested() or dtype in (pl.Object, pl.Null) or test.schema.get(name) != dtype:
            continue
        distinct = train[name].n_unique()
        numbered = distinct == train.height and not dtype.is_float()
        if distinct > 1 and not numbered:
            names.append(name)
    return names


def _plain(frame: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    """What the columns say, without what rewriting changes."""
    made = []
    for name in names:
        column, dtype = pl.col(name), frame.schema[name]
        if isinstance(dtype, pl.String | pl.Categorical | pl.Enum):
            column = column.cast(pl.String).str.strip_chars().str.to_lowercase()
        elif dtype.is_float() or dtype.is_decimal():
            column = column.cast(pl.Float64).round_sig_figs(3)
        made.append(column.alias(name))
    return frame.select(made)


def _is_in(rows: pl.Series, known: pl.Series) -> pl.Series:
    return rows.is_in(known.unique().implode())


def _by_chance(train: pl.DataFrame, test: pl.DataFrame) -> float:
    """How many rows of the test would agree with one of the training, were two halves of the columns independent.

    The middle of some ways to halve them: a half that says little makes more of it than there is, a half that the other
    one tells less.
    """
    random = np.random.default_rng(7)
    told = []
    names = np.array(train.columns)
    if len(names) < 2:
        return float(test.height)
    first = random.permutation(len(names))
    for turn in range(_ORDER):
        order = np.roll(first, turn)
        halves = (names[order[::2]].tolist(), names[order[1::2]].tolist())
        expected = np.ones(test.height)
        for half in halves:
            known = pl.DataFrame({"h": train.select(half).hash_rows()}).group_by("h").len("n")
            found = pl.DataFrame({"h": test.select(half).hash_rows()}).join(
                known, on="h", how="left", maintain_order="left"
            )
            expected *= found["n"].fill_null(0).to_numpy()
        told.append(float(np.minimum(expected / train.height, 1).sum()))
    return float(np.median(told))


def _by_chance_near(by_chance: float, columns: int, rows: int) -> float:
    """A row may differ in one column of ten: so many more ways there are."""
    return min(rows, by_chance * columns) if by_chance >= 1 else by_chance


def _near(train: pl.DataFrame, test: pl.DataFrame) -> pl.Series:
    """Which rows of the test agree with one of the training in nine columns of ten."""
    names = train.columns
    random = np.random.default_rng(5)
    found = np.zeros(test.height, dtype=bool)
    for group in np.array_split(random.permutation(len(names)), _GROUPS):
        chosen = [names[i] for i in group]
        told = pl.DataFrame({"h": train.select(chosen).hash_rows()}).with_row_index("told")
        asked = pl.DataFrame({"h": test.select(chosen).hash_rows()}).with_row_index("asked")
        told = told.filter(pl.len().over("h") <= _TWINS)
        pairs = asked.join(told, on="h").head(_AT_MOST)
        if pairs.height:
            agreeing = _agreeing(train[pairs["told"]], test[pairs["asked"]])
            found[pairs["asked"].to_numpy()[agreeing >= _NEAR * len(names)]] = True
    return pl.Series(found)


def _agreeing(first: pl.DataFrame, second: pl.DataFrame) -> np.ndarray:
    """In how many columns each row of one table agrees with that of the other."""
    count = np.zeros(first.height, dtype=np.int64)
    for name in first.columns:
        count += first[name].eq_missing(second[name]).to_numpy()
    return count
