"""Tests of `stats.slices`. The error rate and the number of simulations stand at each check."""

import numpy as np
import pytest

from clew.errors import DataError
from clew.stats import excess_p, holm


def test_the_false_alarms_of_skewed_losses_at_small_and_large_groups() -> None:
    """Promised 5%; 400 simulations of exponential losses: above 7.6% has a chance of under 1% (binomial)."""
    rng = np.random.default_rng(1)
    for size, count in ((60, 5), (60, 50), (3000, 1200)):
        member = np.arange(size) < count
        found = [excess_p(rng.exponential(size=size), member, at, resamples=400) <= 0.05 for at in range(400)]
        assert np.mean(found) <= 0.076, (size, count)
        assert np.mean(found) >= 0.02, (size, count)  # and it isn't merely timid


def test_a_family_of_slices_raises_a_false_alarm_in_5_percent_at_most() -> None:
    """Ten slices of 30 rows, 200 simulations: above 9.5% has a chance of under 1%."""
    rng = np.random.default_rng(2)
    labels = np.repeat(np.arange(10), 30)
    wrong = 0
    for at in range(200):
        losses = rng.lognormal(sigma=1.0, size=300)
        wrong += any(holm([excess_p(losses, labels == one, at, resamples=1000) for one in range(10)], 0.05))
    assert wrong / 200 <= 0.095


def test_a_slice_that_is_twice_as_bad_is_found() -> None:
    """The mean is doubled in 40 of 400 rows; found in at least 90 of 100 simulations."""
    rng = np.random.default_rng(3)
    member = np.arange(400) < 40
    found = [
        excess_p(rng.exponential(size=400) * np.where(member, 2.0, 1.0), member, at, resamples=400) <= 0.05
        for at in range(100)
    ]
    assert sum(found) >= 90


def test_what_is_exact_and_what_is_refused() -> None:
    assert excess_p([1.0, 2.0], [False, False], 0) == 1.0
    assert excess_p([1.0, 2.0], [True, True], 0) == 1.0
    assert excess_p([1.0, 1.0], [True, False], 0) == 1.0
    # of 3 rows the largest is picked in a third of the draws
    assert excess_p([0.0, 1.0, 5.0], [False, False, True], 0) == pytest.approx(1 / 3, abs=0.02)
    assert excess_p([0.0, 1.0, 5.0], [False, True, True], 0) == pytest.approx(1 / 3, abs=0.02)
    with pytest.raises(DataError):
        excess_p([1.0, float("nan")], [True, False], 0)
    with pytest.raises(DataError):
        excess_p([1.0, 2.0], [True], 0)
    assert holm([0.04, 0.01, 0.03], 0.05) == [False, True, False]
    assert holm([0.001, 0.02, 0.03], 0.05) == [True, True, True]
    assert holm([], 0.05) == []
