"""Leakage: what a model would know in training or in its test that it can't know when it answers.

    from clew.data.leakage import leakage

    for one in leakage(train, target="price_usd", test=test, subject="owner", at="sold_on"):
        print(one)

Each finding is a `Finding` of one of these kinds:

- `same-rows`: rows of the test that are in the training as well;
- `near-rows`: the same but for an id, blanks, case, rounding, or one column in ten;
- `same-subject`: rows of the test whose subject the training has as well;
- `gives-target-away`: a column that nearly says the target by itself: a copy, a monotone transformation, the mean of
  the target by a group, a part of a sum;
- `known-later`: a column that holds moments after the one at which the model answers.
"""

from collections.abc import Iterable
from typing import Any, Final

import polars as pl

from clew.data._finding import Finding
from clew.data._leaked_rows import same_rows, same_subject
from clew.data._leaked_target import giving_away
from clew.data._leaked_time import known_later
from clew.errors import UsageError

__all__ = ["KINDS", "Finding", "as_json", "leakage", "split_by"]

KINDS: Final = ("same-rows", "near-rows", "same-subject", "gives-target-away", "known-later")
_TEST_SHARE: Final = 0.2


def leakage(
    train: pl.DataFrame,
    *,
    target: str | None = None,
    test: pl.DataFrame | None = None,
    subject: str | None = None,
    at: str | None = None,
    features: Iterable[str] | None = None,
) -> list[Finding]:
    """What leaks into the training or the test; nothing is said of fewer than 30 rows.

    Args:
        train: the rows that a model is trained on.
        target: the column that it is to predict: a number, or a class.
        test: the rows that it is tested on.
        subject: the column that names the person or thing that a row is about.
        at: the column of the moment at which the model answers: a date or a time.
        features: the columns that the model sees; all but the target, if not given.

    Raises:
        UsageError: a column that isn't there, or `at` that is no moment.
    """
    for name in (target, subject, at):
        if name is not None and name not in train.columns:
            raise UsageError(f"the training rows have no column {name!r}", mend=f"one of {', '.join(train.columns)}")
    if at is not None and not isinstance(train.schema[at], pl.Date | pl.Datetime):
        raise UsageError(f"{at!r} holds {train.schema[at]}, no moments", mend="name a column of dates or times")
    wanted = None if features is None else set(features)
    seen = [name for name in train.columns if name != target and (wanted is None or name in wanted)]
    found: list[Finding] = []
    if test is not None:
        found += same_rows(train, test, ignored=[] if subject is None else [subject])
        if subject is not None:
            found += same_subject(train, test, subject)
    if target is not None:
        found += giving_away(train, target, [name for name in seen if name not in (subject, at)])
    if at is not None:
        found += known_later(train, at, [name for name in seen if name != at])
    return found


def split_by(frame: pl.DataFrame, column: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Training and test rows, told apart by a column.

    Of two values, the one that is rarer is the test, or the one that is called so; of dates or times, the last fifth.
    Raises UsageError for a column that isn't there or tells no two parts apart.
    """
    if column not in frame.columns:
        raise UsageError(f"there is no column {column!r}", mend=f"one of {', '.join(frame.columns)}")
    series = frame[column]
    if isinstance(series.dtype, pl.Date | pl.Datetime):
        # the quantile of what a moment is counted in, which is a whole number
        begin = series.to_physical().quantile(1 - _TEST_SHARE, interpolation="lower")
        is_test = series.to_physical() >= begin
    else:
        counts = series.drop_nulls().value_counts(name="rows").sort("rows")
        if counts.height != 2:
            raise UsageError(
                f"{column!r} has {counts.height:,} values, and a split has two",
                mend="name a column of two values, such as train and test, or one of dates",
            )
        called = [value for value in counts[column].to_list() if str(value).lower() in ("test", "true", "1", "holdout")]
        is_test = series == (called[0] if len(called) == 1 else counts[column][0])
    is_test = is_test.fill_null(value=False)
    if is_test.all() or not is_test.any():
        raise UsageError(f"{column!r} leaves one part empty", mend="name another column")
    return frame.filter(~is_test).drop(column) if _is_mark(series) else frame.filter(~is_test), (
        frame.filter(is_test).drop(column) if _is_mark(series) else frame.filter(is_test)
    )


def _is_mark(series: pl.Series) -> bool:
    """Whether a column says nothing but which part a row belongs to."""
    return not isinstance(series.dtype, pl.Date | pl.Datetime)


def as_json(found: Iterable[Finding]) -> list[dict[str, Any]]:
    """Findings as JSON, without values of rows."""
    return [
        {"column": one.column, "kind": one.kind, "message": one.message, "rows": one.rows, "share": one.share}
        for one in found
    ]
