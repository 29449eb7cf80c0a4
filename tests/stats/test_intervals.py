import math

import numpy as np
import pytest

from clew.errors import DataError, UsageError
from clew.stats import paired_difference, wilson


def coverage(count: int, size: int) -> float:
    """Share of intervals of level 0.95 that hold the mean of skewed paired differences (exponential, minus one)."""
    held = 0
    for seed in range(count):
        rng = np.random.default_rng([14, seed])
        before = rng.normal(size=size)
        found = paired_difference(before, before + rng.exponential(size=size) - 1.0, 0.05, seed)
        held += found.low <= 0.0 <= found.high
    return held / count


def test_skewed_differences_are_covered() -> None:
    # 400 samples of 50 pairs: 0.95 is promised; below 0.91 would be 3.7 standard errors away
    assert coverage(400, 50) >= 0.91


@pytest.mark.slow
def test_skewed_differences_are_covered_over_many_samples() -> None:
    # 4,000 samples of 50 pairs: below 0.93 would be 5.8 standard errors away
    assert coverage(4000, 50) >= 0.93


def test_the_seed_decides() -> None:
    a, b = np.random.default_rng(1).normal(size=(2, 100))
    assert paired_difference(a, b, 0.05, 3) == paired_difference(a, b, 0.05, 3)
    assert paired_difference(a, b, 0.05, 3) != paired_difference(a, b, 0.05, 4)


@pytest.mark.parametrize("size", [5000, 10_001, 15_000, 200_000])
def test_large_samples_get_the_normal_width(size: int) -> None:
    a, b = np.random.default_rng(2).normal(size=(2, size))
    found = paired_difference(a, b, 0.05, 3)
    assert found.estimate == pytest.approx(float((b - a).mean()))
    assert found.high - found.low == pytest.approx(2 * 1.96 * math.sqrt(2 / size), rel=0.1)


def test_pairing_removes_what_both_share() -> None:
    rng = np.random.default_rng(3)
    shared = rng.normal(0, 100, 300)
    found = paired_difference(shared + rng.normal(size=300), shared + 1 + rng.normal(size=300), 0.05, 1)
    assert 0.7 < found.low < 1.0 < found.high < 1.3


def test_few_differences_that_are_not_zero_leave_the_width_finite() -> None:
    b = np.zeros(400)
    b[:3] = 1.0
    found = paired_difference(np.zeros(400), b, 0.05, 1)
    assert found.low < found.estimate < found.high < 0.1


def test_equal_differences_have_no_width() -> None:
    assert paired_difference(np.arange(5.0), np.arange(5.0) + 2, 0.05, 1) == (2.0, 2.0, 2.0)


def test_wilson_of_known_cases() -> None:
    # Newcombe (1998), table of methods: 81 of 263, and 0 of 20
    assert wilson(81, 263, 0.05) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(0, 20, 0.05) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert wilson(20, 20, 0.05) == pytest.approx((0.8389, 1.0), abs=5e-5)
    assert wilson(0, 0, 0.05) == (0.0, 1.0)


def test_bad_input_is_refused() -> None:
    for a, b in (([1.0], [2.0]), ([1.0, 2.0], [1.0]), ([1.0, math.nan], [1.0, 2.0])):
        with pytest.raises(DataError):
            paired_difference(a, b, 0.05, 1)
    with pytest.raises(UsageError):
        paired_difference([1.0, 2.0], [1.0, 2.0], 1.0, 1)
    with pytest.raises(UsageError):
        wilson(3, 2, 0.05)
