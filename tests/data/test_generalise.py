import datetime as dt
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew.data import generalise
from clew.data.generalise import Generalisation, parse
from clew.errors import UsageError

DAY = dt.date(1974, 3, 12)
COLUMNS: dict[str, tuple[pl.Series, list[Any]]] = {
    "year": (pl.Series([DAY, None]), [1974, None]),
    "month": (pl.Series([DAY, None]), [dt.date(1974, 3, 1), None]),
    "decade": (pl.Series([dt.datetime(1974, 3, 12, 8), None]), [1970, None]),  # noqa: DTZ001
    "decimals=2": (pl.Series([47.37174, -8.54226, None]), [47.37, -8.54, None]),
    "step=500": (pl.Series([1234, -1, None]), [1000, -500, None]),
    "step=0.5": (pl.Series([1.7, -0.2, None]), [1.5, -0.5, None]),
    "first=3": (pl.Series(["8001 Zürich", "GB", None]), ["800", "GB", None]),
}


@pytest.mark.parametrize("way", COLUMNS)
def test_columns(way: str) -> None:
    series, wanted = COLUMNS[way]
    made = generalise.apply(series.alias("x"), parse(way))
    assert made.to_list() == wanted
    assert made.name == "x"
    assert str(parse(way)) == way


@pytest.mark.parametrize("way", COLUMNS)
def test_one_value_is_made_coarser_as_a_column_is_and_stays_so(way: str) -> None:
    series, wanted = COLUMNS[way]
    for raw, coarse in zip(series.to_list(), wanted, strict=True):
        once = generalise.value(raw.isoformat() if isinstance(raw, dt.date) else raw, parse(way))
        if isinstance(raw, dt.date):
            # A date stays one, as the model takes it.
            assert str(once).startswith(f"{coarse}-01-01" if isinstance(coarse, int) else coarse.isoformat())
            assert len(once) == len(raw.isoformat())
        else:
            assert once == coarse
        assert generalise.value(once, parse(way)) == once


def test_moments_keep_their_zone_and_numbers_are_coarse_already() -> None:
    assert generalise.value("1974-03-12T08:30:00+02:00", parse("year")) == "1974-01-01T00:00:00+02:00"
    assert generalise.value(1974, parse("year")) == 1974
    assert generalise.value(1974, parse("decade")) == 1970


@given(st.lists(st.integers(-(2**40), 2**40), min_size=1), st.integers(1, 10**6))
def test_a_step_is_at_or_below_by_less_than_itself(numbers: list[int], step: int) -> None:
    made = generalise.apply(pl.Series(numbers), Generalisation("step", step)).to_list()
    assert all(0 <= number - coarse < step and coarse % step == 0 for number, coarse in zip(numbers, made, strict=True))


@pytest.mark.parametrize(
    "way", ["", "years", "year=2", "decimals", "decimals=-1", "decimals=1.5", "first=0", "step=nan"]
)
def test_what_is_no_way(way: str) -> None:
    with pytest.raises(UsageError, match="no way to generalise"):
        parse(way)


@pytest.mark.parametrize(
    ("series", "way", "mend"),
    [
        (pl.Series("n", [1, 2]), "year", "step=500 fits numbers"),
        (pl.Series("t", ["12.3.1974"]), "year", "first=3 fits text"),
        (pl.Series("d", [DAY]), "decimals=2", "year, month or decade fit dates"),
        (pl.Series("n", [1, 2]), "decimals=2", "step=500 fits numbers"),
        (pl.Series("l", [[1]]), "first=2", "drop it"),
    ],
)
def test_what_does_not_fit_the_type(series: pl.Series, way: str, mend: str) -> None:
    with pytest.raises(UsageError, match="can't be generalised by") as caught:
        generalise.apply(series, parse(way))
    assert mend in str(caught.value.mend)


def test_a_text_that_is_no_date_in_a_request() -> None:
    with pytest.raises(UsageError, match="no date"):
        generalise.value("soon", parse("year"))
    yes = True
    assert generalise.value(yes, parse("step=5")) is True
