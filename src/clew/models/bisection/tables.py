"""What differs between two tables: columns, rows added and removed, their order; and tables that mix them.

Where a column of numbers changed by one factor or one shift in all rows, as units do, a mixture takes that for the rows
that one side alone has, too: else a column in two units at once would stand there, which harms and which neither has.

Rows are told apart by the dataset's key columns where these are unique; else by position, where the tables have as
many rows and most columns agree; else by all that they hold.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl

from clew._words import number
from clew.models.bisection.changes import Change
from clew.models.bisection.slices import most_striking

Score = Callable[[pl.DataFrame], tuple[np.ndarray, np.ndarray] | None]
"""For each of n rows how far off the good version is, and what it predicts; None where it can't tell."""

_AT: Final = "clew row"
_FEWEST: Final = 30  # rows that say what is usual
_MUST_DROP: Final = 0.5  # share of what rows are off beyond the usual that may remain without a slice
_ALIKE: Final = 0.02  # of a factor or shift: by how much it may vary, as values are rounded
_ALL: Final = 0.98  # share of the rows
_POSITION_NEEDS: Final = 0.5  # share of the columns that must agree for rows to be told apart by position


@dataclass(frozen=True, eq=False)
class Atom:
    """A part of what differs: a column, some rows that came or went, the order."""

    what: str  # "column", "new column", "lost column", "added", "removed", "order"
    column: str = ""
    rows: np.ndarray | None = None
    """Of "added" and "removed": which rows of the bad or the good table, as numbers."""


class TableDifference:
    """What differs between two tables.

    Args:
        good: the good version's.
        bad: the bad version's.
        keys: columns that name a row.
    """

    def __init__(self, good: pl.DataFrame, bad: pl.DataFrame, keys: Sequence[str]) -> None:
        self.good, self.bad = good, bad
        self.keys = tuple(keys)
        self.by, good_at, bad_at = _matched(good, bad, keys)
        self._good_at, self._bad_at = good_at, bad_at  # rows that are in both, by the order of the bad table
        self.added = np.setdiff1d(np.arange(bad.height), bad_at)
        self.removed = np.setdiff1d(np.arange(good.height), good_at)
        self.ordered = bool((np.diff(good_at) > 0).all())
        self.changed: dict[str, np.ndarray] = {}
        before, after = good[good_at], bad[bad_at]
        for name in bad.columns:
            if name in good.columns:
                differs = _differs(before[name], after[name])
                if differs.any():
                    self.changed[name] = differs
        self.units = {name: unit for name in self.changed if (unit := self._unit(name)) is not None}
        """Of columns that changed in all rows by one factor or shift: which (times, plus)."""

    def _unit(self, name: str) -> tuple[float, float] | None:
        before, after = self.good[self._good_at][name], self.bad[self._bad_at][name]
        found = _times_or_plus(before, after, self.changed[name])
        if found is None:
            return None
        moved = before.cast(pl.Float64).to_numpy() * found[0] + found[1] != before.cast(pl.Float64).to_numpy()
        return found if self.changed[name][moved].mean() >= _ALL else None

    @property
    def common(self) -> pl.DataFrame:
        """The rows that both have, as the bad table has them."""
        return self.bad[self._bad_at]

    def atoms(self) -> list[Atom]:
        """All that differs, in parts."""
        good, bad = self.good.columns, self.bad.columns
        found = [Atom("column", name) for name in self.changed]
        found += [Atom("new column", name) for name in bad if name not in good]
        found += [Atom("lost column", name) for name in good if name not in bad]
        found += [Atom("added", rows=self.added)] if len(self.added) else []
        found += [Atom("removed", rows=self.removed)] if len(self.removed) else []
        return found + ([] if self.ordered else [Atom("order")])

    def mixed(self, chosen: Collection[Atom]) -> pl.DataFrame:
        """A table that takes these from the bad side, and all else from the good one."""
        what = [one.what for one in chosen]
        columns = {one.column for one in chosen}
        added = np.unique(np.concatenate([one.rows for one in chosen if one.what == "added"] or [self.added[:0]]))
        gone = np.concatenate([one.rows for one in chosen if one.what == "removed"] or [self.removed[:0]])
        kept = np.setdiff1d(self.removed, gone)
        names = [name for name in self.good.columns if name in self.bad.columns or name not in columns]
        names += [name for name in self.bad.columns if name not in self.good.columns and name in columns]
        bad_first = self.ordered or "order" in what
        common = self._common(names, columns)
        ours = self._in_unit(self.good[kept], columns, back=False)
        theirs = self._in_unit(self.bad[added], set(self.units) - columns, back=True)
        places = self._places(bad_first)
        parts = [
            common.with_columns(pl.Series(_AT, places[0])),
            self._only(theirs, self.good, common.schema).with_columns(
                pl.Series(_AT, places[1][np.searchsorted(self.added, added)])
            ),
            self._only(ours, self.bad, common.schema).with_columns(
                pl.Series(_AT, places[2][np.searchsorted(self.removed, kept)])
            ),
        ]
        rows = pl.concat([part for part in parts if part.height] or parts[:1], how="vertical_relaxed")
        return rows.sort(_AT, maintain_order=True).drop(_AT)

    def _common(self, names: Sequence[str], columns: set[str]) -> pl.DataFrame:
        before, after = self.good[self._good_at], self.bad[self._bad_at]
        return pl.DataFrame(
            [after[name] if name in columns or name not in before.columns else before[name] for name in names]
        )

    def _in_unit(self, rows: pl.DataFrame, columns: Collection[str], *, back: bool) -> pl.DataFrame:
        """Rows with these columns in the unit of the bad side, or back in that of the good one."""
        made = []
        for name in self.units.keys() & set(columns):
            times, plus = self.units[name]
            value = pl.col(name).cast(pl.Float64)
            made.append((value - plus) / times if back else value * times + plus)
        return rows.with_columns(made)

    @staticmethod
    def _only(own: pl.DataFrame, other: pl.DataFrame, wanted: pl.Schema) -> pl.DataFrame:
        lacking = [pl.lit(None, other.schema[name]).alias(name) for name in wanted if name not in own.columns]
        found = own.with_columns(lacking).select(list(wanted))
        return found.with_columns(_as(found[name], kind) for name, kind in wanted.items() if found.schema[name] != kind)

    def _places(self, bad_first: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Where common, added and kept rows stand: rows of the other table after the common row before them."""
        if bad_first:
            own = self._bad_at
            order = np.argsort(self._good_at)
            after = np.searchsorted(self._good_at[order], self.removed) - 1
            others = np.where(after >= 0, own[order][np.maximum(after, 0)] if len(own) else -1, -1)
            return own.astype(float), self.added.astype(float), others + 0.5
        own = self._good_at
        order = np.argsort(self._bad_at)
        after = np.searchsorted(self._bad_at[order], self.added) - 1
        others = np.where(after >= 0, own[order][np.maximum(after, 0)] if len(own) else -1, -1)
        return own.astype(float), others + 0.5, self.removed.astype(float)


def _as(column: pl.Series, kind: pl.DataType) -> pl.Series:
    """As another type, if nothing is lost by it; else as it is."""
    try:
        found = column.cast(kind)
        return found if found.cast(column.dtype).equals(column) else column
    except pl.exceptions.PolarsError:
        return column


def _matched(good: pl.DataFrame, bad: pl.DataFrame, keys: Sequence[str]) -> tuple[str, np.ndarray, np.ndarray]:
    """By what rows are told apart, and the numbers of those that both have, in the order of the bad table."""
    names = [name for name in keys if name in good.columns and name in bad.columns]
    if names and len(names) == len(keys):
        left, right = good.select(names), bad.select(names)
        if left.schema == right.schema and not left.is_duplicated().any() and not right.is_duplicated().any():
            return f"key {', '.join(names)}", *_joined(left, right)
    if good.height == bad.height and good.height:
        shared = [name for name in bad.columns if name in good.columns]
        same = sum(not _differs(good[name], bad[name]).any() for name in shared)
        if same >= _POSITION_NEEDS * max(len(good.columns), len(bad.columns)):
            every = np.arange(good.height)
            return "position", every, every
    shared = [name for name in bad.columns if name in good.columns]
    left, right = (_numbered(table.select(shared)) for table in (good, bad))
    return "all they hold", *_joined(left, right)


def _numbered(table: pl.DataFrame) -> pl.DataFrame:
    """The hash of each row, and how many like it came before."""
    hashed = table.hash_rows().alias("hash").to_frame()
    return hashed.select("hash", again=pl.int_range(pl.len()).over("hash"))


def _joined(left: pl.DataFrame, right: pl.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    names = left.columns
    both = right.with_row_index("bad at").join(
        left.with_row_index("good at"), on=names, how="inner", nulls_equal=True, maintain_order="left"
    )
    return both["good at"].to_numpy().astype(np.int64), both["bad at"].to_numpy().astype(np.int64)


def _differs(before: pl.Series, after: pl.Series) -> np.ndarray:
    if before.dtype != after.dtype:
        return np.ones(len(after), bool)
    return before.ne_missing(after).to_numpy()


def table_changes(
    role: str, difference: TableDifference, score: Score, target: str | None
) -> tuple[list[Change], dict[str, Atom]]:
    """What differs as changes, and the atom behind each, by key. Rows that came are taken apart by what they are."""
    atoms: dict[str, Atom] = {}
    changes = [_change(role, difference, atom, atoms, score, target) for atom in difference.atoms()]
    return changes, atoms


def _change(
    role: str,
    difference: TableDifference,
    atom: Atom,
    atoms: dict[str, Atom],
    score: Score,
    target: str | None,
) -> Change:
    key = f"data {role}: {atom.what} {atom.column}".strip()
    atoms[key] = atom
    if atom.what == "column":
        differs = difference.changed[atom.column]
        count = int(differs.sum())
        where = _where(difference, differs, [atom.column])
        says = f"{atom.column} of {role} differs in {count:,} of {len(differs):,} rows{where}{_ratio(difference, atom)}"
        return Change(key, "data", says, {"column": atom.column, "rows": count, "where": where.removeprefix(", ")})
    if atom.what == "added" and atom.rows is not None:
        return _added(key, role, difference, atom.rows, atoms, score, target)
    if atom.what == "removed" and atom.rows is not None:
        rows = np.isin(np.arange(difference.good.height), atom.rows)
        found = most_striking(difference.good, rows.astype(float), difference.keys)
        where = f", such as {found.says}" if found else ""
        return Change(key, "data", f"{len(atom.rows):,} rows of {role} are gone{where}", {"rows": len(atom.rows)})
    said = {"new column": "came to", "lost column": "is gone from"}
    says = f"column {atom.column} {said[atom.what]} {role}" if atom.column else f"the rows of {role} stand otherwise"
    return Change(key, "data", says, {"column": atom.column} if atom.column else {})


def _where(difference: TableDifference, differs: np.ndarray, leave_out: Sequence[str]) -> str:
    """Which rows differ, when it isn't all of them."""
    if differs.all():
        return ""
    found = most_striking(difference.common, differs.astype(float), [*difference.keys, *leave_out])
    if found is None:
        return ""
    inside = float(differs[found.rows].mean())
    share = float((differs & found.rows).sum() / differs.sum())
    which = "all of them" if share == 1 else f"{share:.0%} of them"
    return f", {which} where {found.says}" + ("" if inside == 1 else f" ({inside:.0%} of which differ)")


def _ratio(difference: TableDifference, atom: Atom) -> str:
    """Numbers that all grew by one factor, as they do when a unit changed."""
    before = difference.good[difference._good_at][atom.column]  # noqa: SLF001 - its own room
    found = _times_or_plus(before, difference.common[atom.column], difference.changed[atom.column])
    if found is None:
        return ""
    times, plus = found
    if times != 1:
        return f": it is {times:.4g} times what it was"
    return f": it is {number(abs(plus))} {'more' if plus > 0 else 'less'} than it was"


def _times_or_plus(before: pl.Series, after: pl.Series, differs: np.ndarray) -> tuple[float, float] | None:
    """One factor, or one shift, by which the numbers that differ did so, to 2% of it; None where there is none."""
    if not (before.dtype.is_numeric() and after.dtype.is_numeric()):
        return None
    old, new = before.cast(pl.Float64).to_numpy()[differs], after.cast(pl.Float64).to_numpy()[differs]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio, shift = new / old, new - old
    ratio, shift = ratio[np.isfinite(ratio)], shift[np.isfinite(shift)]
    if len(shift) and _spread(shift) <= _ALIKE * abs(float(np.median(shift))):
        return 1.0, float(np.median(shift))
    if len(ratio) and _spread(ratio) <= _ALIKE * min(abs(float(np.median(ratio))), abs(float(np.median(ratio)) - 1)):
        return float(np.median(ratio)), 0.0
    return None


def _spread(values: np.ndarray) -> float:
    return float(np.ptp(np.quantile(values, [0.05, 0.95])))


def _added(
    key: str,
    role: str,
    difference: TableDifference,
    rows: np.ndarray,
    atoms: dict[str, Atom],
    score: Score,
    target: str | None,
) -> Change:
    table = difference.bad[rows]
    whole = difference.bad.with_columns(pl.Series(_AT, np.isin(np.arange(difference.bad.height), rows).astype(float)))
    found = most_striking(whole.drop(_AT), whole[_AT].to_numpy(), difference.keys)
    where = f", such as {found.says}" if found else ""
    says = f"{len(rows):,} rows came to {role}{where}"
    about: dict[str, Any] = {"rows": len(rows), "where": found.says if found else None}

    def parts() -> list[Change]:
        split = _split(difference, table, score, target)
        if split is None:
            return []
        made = []
        for said, own in ((split[0], split[1]), (f"the other rows that came to {role}", ~split[1])):
            part = f"{key}, {said}"
            atoms[part] = Atom("added", rows=rows[own])
            made.append(Change(part, "data", f"{int(own.sum()):,} rows: {said}", {"rows": int(own.sum())}))
        return made

    return Change(key, "data", says, about, parts)


def _split(
    difference: TableDifference, table: pl.DataFrame, score: Score, target: str | None
) -> tuple[str, np.ndarray] | None:
    """In which two parts the rows that came are best looked at: those that are there already, or that stand out."""
    shared = [name for name in table.columns if name not in difference.keys]
    old = difference.good.select([name for name in shared if name in difference.good.columns])
    if old.width == len(shared) and old.schema == table.select(shared).schema:
        hashed = table.select(shared).hash_rows()
        again = (hashed.is_in(old.hash_rows().implode()) | ~hashed.is_first_distinct()).to_numpy()
        if again.any() and not again.all():
            return "rows that are there already", again
    off = _times_usual(score(table), score(difference.common))
    if off is None:
        return None
    striking = most_striking(table, off, [*difference.keys, *([target] if target else [])])
    if striking is None or striking.rows.all():
        return None
    rest = float(off[~striking.rows].mean()) - 1
    if rest > _MUST_DROP * (float(off.mean()) - 1):  # the others are off too: it isn't these
        return None
    factor = float(off[striking.rows].mean())
    return f"{striking.says}, where the good version is off by {factor:.1f} times the usual", striking.rows


def _times_usual(
    found: tuple[np.ndarray, np.ndarray] | None, usual: tuple[np.ndarray, np.ndarray] | None
) -> np.ndarray | None:
    """How far off rows are, as a multiple of what is usual for rows with such predictions."""
    if found is None or usual is None or len(usual[0]) < _FEWEST:
        return None
    (losses, predicted), (known, at) = found, usual
    edges = np.quantile(at, np.linspace(0, 1, 11)[1:-1])
    bins = np.searchsorted(edges, at)
    every = float(known.mean())
    means = np.array([known[bins == one].mean() if (bins == one).any() else every for one in range(10)])
    return np.asarray(losses / np.maximum(means[np.searchsorted(edges, predicted)], 1e-9 * (every or 1.0)))


def score_by(predict: Callable[[pl.DataFrame], np.ndarray], target: str, needs: Sequence[str]) -> Score:
    """A score from what the good version predicts for rows that have its inputs and the truth."""

    def score(rows: pl.DataFrame) -> tuple[np.ndarray, np.ndarray] | None:
        if target not in rows.columns or any(name not in rows.columns for name in needs) or not rows.height:
            return None
        known = rows.filter(pl.all_horizontal(pl.col(target).is_not_null()))
        if known.height != rows.height or not rows.schema[target].is_numeric():
            return None
        try:
            predicted = np.asarray(predict(rows), float)
        except Exception:  # noqa: BLE001 - the user's own code, on rows it was never meant for
            return None
        losses = np.abs(predicted - rows[target].cast(pl.Float64).to_numpy())
        return np.where(np.isfinite(losses), losses, 0.0), predicted

    return score
