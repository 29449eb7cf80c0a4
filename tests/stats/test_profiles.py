import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clew.errors import DataError, UsageError
from clew.stats import Bins, Profile, describe_shift, freeze_reference, js_distance, mean_shift, psi

NUMBERS = st.lists(st.one_of(st.floats(-1e3, 1e3), st.just(math.nan), st.just(-math.inf)), max_size=60)
BINS = Bins.numeric(np.linspace(-1000, 1000, 500), 16)
COUNTS = st.lists(st.integers(0, 1000), min_size=5, max_size=5).filter(any)


@settings(max_examples=60, deadline=None)
@given(left=NUMBERS, middle=NUMBERS, right=NUMBERS)
def test_merging_is_counting_together(left: list[float], middle: list[float], right: list[float]) -> None:
    one, two, three = (Profile.of(np.array(part, dtype=float), BINS) for part in (left, middle, right))
    whole = Profile.of(np.array(left + middle + right, dtype=float), BINS)
    merged = one.merge(two).merge(three)
    assert merged.counts == one.merge(two.merge(three)).counts == whole.counts
    assert one.merge(two) == two.merge(one)
    assert (merged.finite, merged.minimum, merged.maximum) == (whole.finite, whole.minimum, whole.maximum)
    assert merged.mean == (None if whole.mean is None else pytest.approx(whole.mean, abs=1e-9))
    assert merged.std == (None if whole.std is None else pytest.approx(whole.std, rel=1e-9, abs=1e-9))


@settings(max_examples=40, deadline=None)
@given(values=NUMBERS)
def test_json_round_trip(values: list[float]) -> None:
    profile = Profile.of(np.array(values, dtype=float), BINS)
    assert Profile.from_dict(json.loads(json.dumps(profile.to_dict(), allow_nan=False))) == profile


def test_moments_are_of_the_finite_numbers() -> None:
    profile = Profile.of(np.array([1.0, 2.0, 4.0, math.nan, math.inf, 1e200]), BINS)
    assert (profile.count, profile.missing, profile.finite) == (6, 1, 3)
    assert profile.mean == pytest.approx(7 / 3)
    assert profile.std == pytest.approx(np.std([1, 2, 4], ddof=1))
    assert (profile.minimum, profile.maximum) == (1.0, 4.0)


def test_profiles_of_categories_have_no_moments() -> None:
    values = np.array(["a", "b", None], dtype=object)
    profile = Profile.of(values, Bins.of(values))
    assert (profile.counts, profile.mean, profile.std) == ((1, 1, 0, 1), None, None)


@settings(max_examples=60, deadline=None)
@given(left=COUNTS, right=COUNTS)
def test_distances_are_symmetric_and_bounded(left: list[int], right: list[int]) -> None:
    assert psi(left, right) == pytest.approx(psi(right, left), abs=1e-12)
    assert psi(left, right) >= 0
    assert 0 <= js_distance(left, right) <= 1
    assert js_distance(left, right) == pytest.approx(js_distance(right, left), abs=1e-7)
    assert psi(left, left) == 0
    assert js_distance(left, left) == 0


def test_distances_of_known_cases() -> None:
    assert js_distance([1, 0], [0, 1]) == 1.0
    # shares of 1/2, 1/2 against 1, 0: their middle is 3/4, 1/4
    divergences = 0.5 * math.log2(2 / 3) + 0.5, math.log2(4 / 3)
    assert js_distance([1, 1], [1, 0]) == pytest.approx(math.sqrt(sum(divergences) / 2))
    big = psi([600_000, 400_000], [500_000, 500_000])
    assert big == pytest.approx(0.1 * math.log(1.2) - 0.1 * math.log(0.8), rel=1e-5)


def test_psi_noise_is_what_no_shift_shows() -> None:
    # 300 pairs of samples of 2,000 and 1,000 over 20 bins: the mean PSI is within 10% of psi_noise
    rng = np.random.default_rng(3)
    bins = Bins.numeric(np.arange(20_000.0), 20)
    found, noise = [], 0.0
    for _ in range(300):
        before = Profile.of(rng.uniform(0, 20_000, 2000), bins)
        shift = describe_shift(before, Profile.of(rng.uniform(0, 20_000, 1000), bins))
        found.append(shift.psi)
        noise = shift.psi_noise
    assert np.mean(found) == pytest.approx(noise, rel=0.1)


def test_a_shift_is_described_by_its_effects() -> None:
    rng = np.random.default_rng(4)
    bins, before = freeze_reference(rng.normal(10, 2, 20_000), 1)
    live = np.where(rng.random(5000) < 0.1, np.nan, rng.normal(11, 3, 5000))
    shift = describe_shift(before, Profile.of(live, bins))
    assert shift.mean_shift == pytest.approx(0.5, abs=0.06)
    assert shift.std_ratio == pytest.approx(1.5, abs=0.06)
    assert shift.missing_before == 0.0
    assert shift.missing_now == pytest.approx(0.1, abs=0.02)
    assert shift.psi > 20 * shift.psi_noise
    label, share_before, share_now = shift.changes[0]
    assert label in bins.labels
    assert abs(share_now - share_before) > 0.05
    assert json.loads(json.dumps(shift.to_dict()))["changes"][0] == [label, share_before, share_now]


def test_a_steady_column_has_no_standard_deviations_to_shift_by() -> None:
    bins = Bins.numeric(np.ones(5))
    before, now = Profile.of(np.ones(5), bins), Profile.of(np.full(5, 2.0), bins)
    assert mean_shift(before, now) is None
    assert describe_shift(before, now).std_ratio is None


def test_freezing_sets_rows_apart() -> None:
    values = np.arange(1000.0)
    bins, profile = freeze_reference(values, 3)
    assert freeze_reference(values, 3) == (bins, profile)
    assert freeze_reference(values, 4) != (bins, profile)
    assert profile.count == 800
    with pytest.raises(UsageError):
        freeze_reference(np.array([1.0]), 3)


def test_what_does_not_fit_is_refused() -> None:
    empty, other = Profile.of(np.array([]), BINS), Profile.of(np.ones(3), Bins.numeric(np.ones(3)))
    full = Profile.of(np.ones(3), BINS)
    with pytest.raises(DataError, match="different bins"):
        full.merge(other)
    with pytest.raises(DataError, match="no value"):
        describe_shift(full, empty)
    with pytest.raises(DataError):
        psi([1, 2], [1, 2, 3])
