import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from clew.errors import DataError, UsageError
from clew.stats import ConfidenceSequence, wilson

Floats = NDArray[np.float64]


@settings(max_examples=50, deadline=None)
@given(values=st.lists(st.floats(-2.0, 3.0), max_size=200), cuts=st.lists(st.integers(0, 200), max_size=6))
def test_chunks_do_not_matter(values: list[float], cuts: list[int]) -> None:
    whole, parts = (ConfidenceSequence(-2.0, 3.0, 0.05) for _ in range(2))
    whole.update(values)
    for chunk in np.split(np.array(values), sorted(min(cut, len(values)) for cut in cuts)):
        parts.update(chunk)
    assert parts.count == whole.count == len(values)
    assert parts.interval() == pytest.approx(whole.interval(), abs=1e-9)
    if values:
        assert whole.mean == pytest.approx(np.mean(values), abs=1e-9)
        low, high = whole.interval()
        assert -2.0 <= low <= whole.mean + 1e-9
        assert whole.mean - 1e-9 <= high <= 3.0


@settings(max_examples=25, deadline=None)
@given(first=st.lists(st.floats(0.0, 1.0), max_size=100), second=st.lists(st.floats(0.0, 1.0), max_size=100))
def test_json_carries_the_whole_state(first: list[float], second: list[float]) -> None:
    sequence = ConfidenceSequence(0.0, 1.0, 0.1)
    sequence.update(first)
    back = ConfidenceSequence.from_dict(json.loads(json.dumps(sequence.to_dict())))
    assert back.to_dict() == sequence.to_dict()
    sequence.update(second)
    back.update(second)
    assert back.to_dict() == sequence.to_dict()
    assert back.interval() == sequence.interval()


def test_nothing_is_known_at_the_start() -> None:
    sequence = ConfidenceSequence(-1.0, 2.0, 0.05)
    assert sequence.interval() == (-1.0, 2.0)
    assert math.isnan(sequence.mean)


def test_the_ends_are_where_the_wealth_reaches_the_threshold() -> None:
    # recomputed from the definition, value by value, for the lower end
    from clew.stats import sequences

    values = np.random.default_rng(2).beta(2, 5, 60)
    sequence = ConfidenceSequence(0.0, 1.0, 0.05)
    sequence.update(values)
    low = sequence.interval()[0]
    wealth = 0.0
    for bet in sequences._BETS:
        log_wealth, total = 0.0, 0.5
        for number, value in enumerate(values):
            centre = min(total / (number + 1), 0.95 / bet)
            log_wealth += bet * (centre - low) + math.log(1 + bet * (value - centre))
            total += value
        wealth += math.exp(log_wealth) / len(sequences._BETS)
    assert wealth == pytest.approx(2 / 0.05)


def test_bad_input_is_refused() -> None:
    sequence = ConfidenceSequence(0.0, 1.0, 0.05)
    before = sequence.to_dict()
    with pytest.raises(DataError):
        sequence.update([0.5, math.nan])
    assert sequence.to_dict() == before
    with pytest.raises(UsageError):
        ConfidenceSequence(0.0, 1.0, 0.0)
    with pytest.raises(UsageError):
        ConfidenceSequence(0.0, math.inf, 0.05)
    with pytest.raises(DataError):
        ConfidenceSequence.from_dict({**before, "scheme": 0})


def drawn(seed: int, length: int) -> tuple[Floats, Floats]:
    """A stream of values in [0, 1] and its conditional means: steady, skewed, drifting, jumping or depending."""
    rng = np.random.default_rng([7, seed])
    steps = np.arange(length) / length
    kind = seed % 5
    if kind == 0:
        means = np.full(length, 0.5)
        return np.clip(rng.normal(0.5, 1 / 15, length), 0.0, 1.0), means
    if kind == 1:
        return rng.beta(0.2, 3.8, length), np.full(length, 0.05)
    if kind == 2:
        means = 0.3 + 0.4 * np.sin(6 * steps) ** 2
        return (rng.random(length) < means).astype(float), means
    if kind == 3:
        means = np.where(steps < 0.3, 0.1, 0.8)
        return means + rng.choice([-0.1, 0.1], length), means
    flips = (rng.random(length) < 0.4).astype(float)
    means = np.concatenate([[0.4], 0.2 + 0.4 * flips[:-1]])  # the next mean follows the last value
    return means + np.where(rng.random(length) < 0.5, -0.15, 0.15) * (0.2 + flips), means


def misses(count: int, length: int, alpha: float) -> int:
    """Streams whose running mean of conditional means was outside of the interval at any look."""
    missed = 0
    looks = np.unique(np.geomspace(1, length, 40).astype(int))
    for seed in range(count):
        values, means = drawn(seed, length)
        truth = np.cumsum(means) / np.arange(1, length + 1)
        sequence = ConfidenceSequence(0.0, 1.0, alpha)
        done = 0
        for look in looks:
            sequence.update(values[done:look])
            done = int(look)
            low, high = sequence.interval()
            if not low - 1e-12 <= truth[look - 1] <= high + 1e-12:
                missed += 1
                break
    return missed


def test_it_covers_the_running_mean_at_all_looks() -> None:
    # 500 streams of 1,000 values of five kinds, 36 looks, alpha = 0.1: the upper 99% Wilson bound of the share of
    # streams that were ever missed stays below 0.1
    assert wilson(misses(500, 1000, 0.1), 500, 0.02)[1] < 0.1


@pytest.mark.slow
def test_it_covers_the_running_mean_at_all_looks_of_long_streams() -> None:
    # 2,000 streams of 10,000 values, alpha = 0.05: the upper 99% Wilson bound stays below alpha
    assert wilson(misses(2000, 10_000, 0.05), 2000, 0.02)[1] < 0.05


@pytest.mark.parametrize(("length", "most"), [(200, 2.6), (1000, 2.0), (3000, 2.0), (100_000, 2.0)])
def test_the_width_stays_near_that_of_a_fixed_sample(length: int, most: float) -> None:
    # sd a fifteenth of the range; against 2·1.96·sd/√n, the width that is right for a single look
    values = np.clip(np.random.default_rng(8).normal(0.5, 1 / 15, length), 0.0, 1.0)
    sequence = ConfidenceSequence(0.0, 1.0, 0.05)
    sequence.update(values)
    low, high = sequence.interval()
    assert (high - low) / (2 * 1.96 / 15 / math.sqrt(length)) < most
