import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from clew.errors import DataError, UsageError
from clew.stats import BettingTest, threshold, wilson
from clew.stats.betting import Alternative

SD = 1 / 15  # of values with a range of 1: the spread of clipped differences of losses


def streams(seed: int, mean: float, sd: float, shape: tuple[int, int]) -> NDArray[np.float64]:
    return np.clip(np.random.default_rng(seed).normal(mean, sd, shape), 0.0, 1.0)


def delay(values: NDArray[np.float64], null_mean: float, alpha: float, alternative: Alternative = "greater") -> float:
    """Values until rejection, looking after every tenth; infinity when none."""
    test = BettingTest(null_mean, 0.0, 1.0, alternative)
    for first in range(0, len(values), 10):
        test.update(values[first : first + 10])
        if test.max_log_e >= threshold(alpha):
            return test.count
    return math.inf


@settings(max_examples=50, deadline=None)
@given(
    values=st.lists(st.floats(-2.0, 3.0), max_size=200),
    cuts=st.lists(st.integers(0, 200), max_size=6),
    alternative=st.sampled_from(["greater", "less"]),
)
def test_chunks_do_not_matter(values: list[float], cuts: list[int], alternative: Alternative) -> None:
    whole, parts = (BettingTest(0.3, -2.0, 3.0, alternative) for _ in range(2))
    whole.update(values)
    for chunk in np.split(np.array(values), sorted(min(cut, len(values)) for cut in cuts)):
        parts.update(chunk)
    assert parts.count == whole.count == len(values)
    assert parts.log_e == pytest.approx(whole.log_e, abs=1e-9)
    assert parts.max_log_e == pytest.approx(whole.max_log_e, abs=1e-9)
    if values:
        assert whole.mean == pytest.approx(np.mean(values), abs=1e-9)


@settings(max_examples=25, deadline=None)
@given(first=st.lists(st.floats(0.0, 1.0), max_size=100), second=st.lists(st.floats(0.0, 1.0), max_size=100))
def test_json_carries_the_whole_state(first: list[float], second: list[float]) -> None:
    test = BettingTest(0.4, 0.0, 1.0, "less")
    test.update(first)
    back = BettingTest.from_dict(json.loads(json.dumps(test.to_dict())))
    assert back.to_dict() == test.to_dict()
    test.update(second)
    back.update(second)
    assert back.to_dict() == test.to_dict()


def test_wealth_is_the_mixture_of_single_bets() -> None:
    # over less than one block nothing is shared anew: the wealth is the prior mean of plain products
    values = np.random.default_rng(1).random(20)
    test = BettingTest(0.5, 0.0, 1.0, "greater")
    test.update(values)
    wealth = [math.prod(1 + bet * (value - 0.5) for value in values) for bet in test._bets]
    assert test.e == pytest.approx(float(test._mixture._prior @ [*wealth, 1.0]))


def test_expected_wealth_at_the_null_is_one() -> None:
    # all 2^12 equally likely paths of a fair coin: the mean of e is exactly one
    wealth = []
    for path in range(2**12):
        test = BettingTest(0.5, 0.0, 1.0, "greater")
        test.update([float(path >> bit & 1) for bit in range(12)])
        wealth.append(test.e)
    assert np.mean(wealth) == pytest.approx(1.0, abs=1e-9)


def test_nothing_is_known_at_the_start() -> None:
    test = BettingTest(0.5, 0.0, 1.0, "greater")
    test.update([])
    assert (test.count, test.log_e, test.max_log_e, test.e) == (0, 0.0, 0.0, 1.0)
    assert math.isnan(test.mean)


def test_e_is_capped_and_log_e_is_not() -> None:
    test = BettingTest(0.1, 0.0, 1.0, "greater")
    test.update(np.ones(100_000))
    assert test.log_e > 1e5
    assert test.e == pytest.approx(math.exp(700))


@pytest.mark.parametrize("bad", [1.1, -0.1, math.nan, math.inf])
def test_a_value_out_of_bounds_is_refused_and_nothing_counted(bad: float) -> None:
    test = BettingTest(0.5, 0.0, 1.0, "greater")
    test.update([0.5])
    before = test.to_dict()
    with pytest.raises(DataError, match="Value 1"):
        test.update([0.5, bad])
    assert test.to_dict() == before


@pytest.mark.parametrize("args", [(0.0, 0.0, 1.0, "greater"), (0.5, 1.0, 0.0, "less"), (0.5, 0.0, 1.0, "both")])
def test_senseless_parameters_are_refused(args: Any) -> None:
    with pytest.raises(UsageError):
        BettingTest(*args)


def test_a_state_of_another_scheme_is_refused() -> None:
    with pytest.raises(DataError, match="scheme 99"):
        BettingTest.from_dict({**BettingTest(0.5, 0.0, 1.0, "less").to_dict(), "scheme": 99})


def false_alarms(count: int, length: int, alpha: float) -> int:
    """Rejections, looking after every value, over four kinds of null streams whose conditional means are all 0.3."""
    alarms = 0
    for seed in range(count):
        rng = np.random.default_rng([20, seed])
        kind = seed % 4
        if kind == 0:
            values = (rng.random(length) < 0.3).astype(float)
        elif kind == 1:
            values = rng.beta(0.3, 0.7, length)
        elif kind == 2:  # the spread depends on the past: wide after a high value
            flips = np.where(rng.random(length) < 0.5, -1.0, 1.0)
            values = 0.3 + flips * np.where(np.roll(flips, 1) > 0, 0.3, 0.02)
        else:
            values = np.clip(rng.normal(0.3, SD, length), 0.0, 0.6)
        test = BettingTest(0.3, 0.0, 1.0, "greater" if seed % 8 < 4 else "less")
        test.update(values)
        alarms += test.max_log_e >= threshold(alpha)
    return alarms


def test_false_alarms_are_rarer_than_promised() -> None:
    # 1,000 null streams of 1,000 values, watched all the time, α = 0.05: the upper 99% Wilson bound stays below
    # 0.06, which 41 or fewer alarms give
    assert wilson(false_alarms(1000, 1000, 0.05), 1000, 0.02)[1] < 0.06


@pytest.mark.slow
def test_false_alarms_are_rarer_than_promised_over_long_streams() -> None:
    # 4,000 null streams of 10,000 values, α = 0.05: the upper 99% Wilson bound stays below α itself
    assert wilson(false_alarms(4000, 10_000, 0.05), 4000, 0.02)[1] < 0.05


def test_a_shift_of_three_fifths_of_a_sd_is_found_within_120_values() -> None:
    # 200 streams, sd a fifteenth of the range, α = 0.05: at least 95% reject within 120 values (measured: 100%)
    delays = [delay(row, 0.5, 0.05) for row in streams(3, 0.5 + 0.6 * SD, SD, (200, 120))]
    assert np.mean(np.isfinite(delays)) >= 0.95


def test_less_mirrors_greater() -> None:
    values = streams(4, 0.45, 0.2, (1, 500))[0]
    less, greater = BettingTest(0.5, 0.0, 1.0, "less"), BettingTest(0.5, 0.0, 1.0, "greater")
    less.update(values)
    greater.update(1.0 - values)
    assert less.log_e == pytest.approx(greater.log_e, abs=1e-9)


def test_harm_that_begins_late_is_found_soon() -> None:
    # 100 streams: 2,000 values at −0.1 sd, then +0.3 sd; at least 90% reject within 500 values of harm
    good, bad = streams(5, 0.5 - 0.1 * SD, SD, (100, 2000)), streams(6, 0.5 + 0.3 * SD, SD, (100, 500))
    delays = [delay(row, 0.5, 0.05) for row in np.hstack([good, bad])]
    assert np.mean(np.isfinite(delays)) >= 0.9
