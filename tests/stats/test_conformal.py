import json
import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from clew.errors import DataError, UsageError
from clew.stats import ConformalMartingale, freeze_reference, threshold, wilson
from clew.stats.conformal import _p_values

Floats = NDArray[np.float64]
Draw = Callable[[np.random.Generator, int], Floats]


def normal(rng: np.random.Generator, size: int) -> Floats:
    return rng.normal(size=size)


def many_zeros(rng: np.random.Generator, size: int) -> Floats:
    return np.where(rng.random(size) < 0.6, 0.0, rng.exponential(size=size).round(1))


def with_missing(rng: np.random.Generator, size: int) -> Floats:
    return np.where(rng.random(size) < 0.05, np.nan, rng.lognormal(size=size))


def watch(seed: int, rows: int, reference: Draw, live: Draw, length: int) -> ConformalMartingale:
    rng = np.random.default_rng([11, seed])
    bins, profile = freeze_reference(reference(rng, rows), seed)
    martingale = ConformalMartingale(profile.counts, seed)
    martingale.update(bins.index(live(rng, length)))
    return martingale


@settings(max_examples=40, deadline=None)
@given(
    reference=st.lists(st.integers(0, 50), min_size=6, max_size=6),
    indices=st.lists(st.integers(0, 5), max_size=200),
    cuts=st.lists(st.integers(0, 200), max_size=6),
)
def test_chunks_do_not_matter(reference: list[int], indices: list[int], cuts: list[int]) -> None:
    whole, parts = (ConformalMartingale(reference, 5) for _ in range(2))
    whole.update(indices)
    for chunk in np.split(np.array(indices, dtype=np.int64), sorted(min(cut, len(indices)) for cut in cuts)):
        parts.update(chunk)
    assert parts.count == whole.count == len(indices)
    assert parts.log_e == pytest.approx(whole.log_e, abs=1e-9)
    assert parts.max_log_e == pytest.approx(whole.max_log_e, abs=1e-9)
    assert whole.live_counts.tolist() == np.bincount(np.array(indices, dtype=int), minlength=6).tolist()


def test_chunks_do_not_matter_across_slabs() -> None:
    indices = np.random.default_rng(1).integers(0, 8, 40_000)
    whole, parts = (ConformalMartingale([9] * 8, 5) for _ in range(2))
    whole.update(indices)
    for chunk in np.split(indices, [7, 17_000, 33_333]):
        parts.update(chunk)
    assert parts.max_log_e == pytest.approx(whole.max_log_e, abs=1e-8)
    assert parts.log_e == pytest.approx(whole.log_e, abs=1e-8)


@settings(max_examples=25, deadline=None)
@given(first=st.lists(st.integers(0, 3), max_size=100), second=st.lists(st.integers(0, 3), max_size=100))
def test_json_carries_the_whole_state(first: list[int], second: list[int]) -> None:
    martingale = ConformalMartingale([3, 0, 5, 1], 8)
    martingale.update(first)
    back = ConformalMartingale.from_dict(json.loads(json.dumps(martingale.to_dict())))
    assert back.to_dict() == martingale.to_dict()
    martingale.update(second)
    back.update(second)
    assert back.to_dict() == martingale.to_dict()


@settings(max_examples=30, deadline=None)
@given(
    reference=st.lists(st.integers(0, 5), min_size=4, max_size=4),
    indices=st.lists(st.integers(0, 3), min_size=1, max_size=90),
)
def test_p_values_are_ranks_among_all_that_came_before(reference: list[int], indices: list[int]) -> None:
    ties = np.random.default_rng(3).random(len(indices))
    found = _p_values(np.array(indices), np.array(reference), ties)
    past = [value for value, held in enumerate(reference) for _ in range(held)]
    for value, tie, p_value in zip(indices, ties, found, strict=True):
        below, equal = sum(one < value for one in past), 1 + sum(one == value for one in past)
        assert p_value == pytest.approx((below + tie * equal) / (len(past) + 1))
        past.append(value)


def test_p_values_are_uniform_for_a_small_reference() -> None:
    # 20,000 exchangeable draws of 12 reference values and one live one over four bins: each tenth holds a tenth
    rng = np.random.default_rng(4)
    drawn = rng.choice(4, p=[0.6, 0.25, 0.1, 0.05], size=(20_000, 13))
    p_values = [
        _p_values(row[12:], np.bincount(row[:12], minlength=4), tie)[0]
        for row, tie in zip(drawn, rng.random((20_000, 1)), strict=True)
    ]
    tenths = np.histogram(p_values, bins=10, range=(0, 1))[0]
    assert np.abs(tenths - 2000).max() < 4 * math.sqrt(2000 * 0.9)


def test_every_bet_has_a_mean_of_one() -> None:
    # by the midpoint rule over a million p-values; the steepest density has a thin peak that it can't resolve
    from clew.stats.conformal import _shapes

    grid = (np.arange(1_000_000) + 0.5) / 1_000_000
    means = np.exp(_shapes(grid)).mean(axis=0)
    assert means == pytest.approx(np.ones(len(means)), abs=0.03)
    assert means.max() < 1.001


def test_the_seed_decides_the_ties() -> None:
    indices = np.random.default_rng(1).integers(0, 3, 200)
    states = []
    for seed in (1, 1, 2):
        martingale = ConformalMartingale([50, 50, 50], seed)
        martingale.update(indices)
        states.append(martingale.log_e)
    assert states[0] == states[1] != states[2]


def test_bad_input_is_refused() -> None:
    for reference in ([], [-1, 2], [0.5], [[1, 2]]):
        with pytest.raises(UsageError):
            ConformalMartingale(reference, 0)
    with pytest.raises(UsageError):
        ConformalMartingale([1], -1)
    martingale = ConformalMartingale([1, 2], 0)
    before = martingale.to_dict()
    for indices in ([0, 2], [-1], [0.5]):
        with pytest.raises(DataError):
            martingale.update(indices)
    assert martingale.to_dict() == before
    with pytest.raises(DataError):
        ConformalMartingale.from_dict({**before, "scheme": 0})


NULLS: tuple[tuple[Draw, int], ...] = ((normal, 100), (many_zeros, 500), (with_missing, 500), (normal, 5000))


def false_alarms(count: int, length: int, alpha: float) -> int:
    alarms = 0
    for seed in range(count):
        draw, rows = NULLS[seed % len(NULLS)]
        alarms += watch(seed, rows, draw, draw, length).max_log_e >= threshold(alpha)
    return alarms


def test_false_alarms_are_rarer_than_promised() -> None:
    # 1,000 null streams of 500 values against references of 100 to 5,000 rows, watched all the time, α = 0.05:
    # the upper 99% Wilson bound stays below 0.06
    assert wilson(false_alarms(1000, 500, 0.05), 1000, 0.02)[1] < 0.06


@pytest.mark.slow
def test_false_alarms_are_rarer_than_promised_over_long_streams() -> None:
    # 2,000 null streams of 5,000 values, far more than most of the references, α = 0.05: the upper 99% Wilson bound
    # stays below 0.05
    assert wilson(false_alarms(2000, 5000, 0.05), 2000, 0.02)[1] < 0.05


def test_many_rare_categories_raise_no_false_alarm() -> None:
    # 200 null streams, 300 categories, 500 reference rows: counted on the rows that chose the bins, 64 of them look
    # more frequent than they are, and most streams would alarm; on rows set apart the upper 99% bound is below 0.08
    alarms = flattered = 0
    for seed in range(200):
        rng = np.random.default_rng([12, seed])
        names = np.array([f"c{number}" for number in range(300)])
        reference, live = rng.choice(names, 500), rng.choice(names, 1000)
        bins, profile = freeze_reference(reference, seed)
        for counts in (profile.counts, tuple(bins.count(reference))):
            martingale = ConformalMartingale(counts, seed)
            martingale.update(bins.index(live))
            alarm = martingale.max_log_e >= threshold(0.05)
            if counts is profile.counts:
                alarms += alarm
            else:
                flattered += alarm
    assert wilson(alarms, 200, 0.02)[1] < 0.08
    assert flattered > 4 * (alarms + 1)


def shifted(rng: np.random.Generator, size: int) -> Floats:
    return rng.normal(0.5, 1.0, size)


def wider(rng: np.random.Generator, size: int) -> Floats:
    return rng.normal(0.0, 1.5, size)


def narrower(rng: np.random.Generator, size: int) -> Floats:
    return rng.normal(0.0, 0.6, size)


@pytest.mark.parametrize("rows", [500, 5000])
@pytest.mark.parametrize("live", [shifted, wider, narrower])
def test_a_change_of_half_a_sd_is_found_within_300_values(rows: int, live: Draw) -> None:
    # 100 streams, α = 0.01: at least 90% alarm
    found = [watch(seed, rows, normal, live, 300).max_log_e >= threshold(0.01) for seed in range(100)]
    assert np.mean(found) >= 0.9


def test_a_shift_that_begins_late_is_found_soon() -> None:
    # 100 streams, reference of 5,000, half a sd after 1,000 steady values, α = 0.01: 90% alarm within 300 values more
    def late(rng: np.random.Generator, size: int) -> Floats:
        return np.concatenate([normal(rng, 1000), shifted(rng, size - 1000)])

    found = [watch(seed, 5000, normal, late, 1300).max_log_e >= threshold(0.01) for seed in range(100)]
    assert np.mean(found) >= 0.9


def test_new_missing_values_are_found() -> None:
    # 100 streams, reference of 5,000 without a missing value, then 2% of 1,000, α = 0.01: at least 90% alarm
    def holes(rng: np.random.Generator, size: int) -> Floats:
        return np.where(rng.random(size) < 0.02, np.nan, rng.normal(size=size))

    found = [watch(seed, 5000, normal, holes, 1000).max_log_e >= threshold(0.01) for seed in range(100)]
    assert np.mean(found) >= 0.9


def test_a_category_in_the_middle_that_grows_is_found() -> None:
    # 100 streams, five categories, 5,000 reference rows, one share from 0.2 to 0.3, 1,000 values, α = 0.01: 90% alarm
    before, now = [0.3, 0.25, 0.2, 0.15, 0.1], [0.26, 0.22, 0.3, 0.13, 0.09]
    found = 0
    for seed in range(100):
        rng = np.random.default_rng([13, seed])
        martingale = ConformalMartingale(np.bincount(rng.choice(5, 5000, p=before), minlength=5), seed)
        martingale.update(rng.choice(5, 1000, p=now))
        found += martingale.max_log_e >= threshold(0.01)
    assert found >= 90
