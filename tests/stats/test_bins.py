import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clew.errors import DataError, UsageError
from clew.stats import Bins

NUMBERS = st.lists(st.one_of(st.floats(-1e6, 1e6), st.just(0.0), st.just(math.nan), st.just(math.inf)), max_size=300)
NAMES = st.lists(st.one_of(st.sampled_from(["a", "b", "c", "d"]), st.text(max_size=2), st.none()), max_size=100)


@settings(max_examples=60, deadline=None)
@given(reference=NUMBERS, values=NUMBERS, count=st.integers(2, 40))
def test_numbers_are_each_counted_once(reference: list[float], values: list[float], count: int) -> None:
    bins = Bins.numeric(np.array(reference, dtype=float), count)
    array = np.array(values, dtype=float)
    index, counts = bins.index(array), bins.count(array)
    assert bins.size <= count + 2
    assert len(bins.labels) == len(counts) == bins.size
    assert np.bincount(index, minlength=bins.size).tolist() == counts.tolist()
    assert counts.sum() == len(values)
    assert counts[-1] == np.isnan(array).sum()
    assert list(bins.edges) == sorted(set(bins.edges))
    shown = ~np.isnan(array)
    order = np.argsort(array[shown], kind="stable")
    assert (np.diff(index[shown][order]) >= 0).all()


@settings(max_examples=60, deadline=None)
@given(reference=NAMES, values=NAMES, count=st.integers(2, 10))
def test_names_are_each_counted_once(reference: list[Any], values: list[Any], count: int) -> None:
    bins = Bins.categorical(np.array(reference, dtype=object), count)
    array = np.array(values, dtype=object)
    counts = bins.count(array)
    assert np.bincount(bins.index(array), minlength=bins.size).tolist() == counts.tolist()
    assert counts.sum() == len(values)
    assert counts[-1] == values.count(None)
    assert len(bins.categories) <= count


@settings(max_examples=40, deadline=None)
@given(reference=st.one_of(NUMBERS.map(lambda row: np.array(row, dtype=float)), NAMES.map(np.array)))
def test_json_round_trip(reference: Any) -> None:
    bins = Bins.of(reference) if reference.dtype.kind in "fOU" else Bins("categorical")
    assert Bins.from_dict(json.loads(json.dumps(bins.to_dict()))) == bins


def test_quantile_bins_hold_alike() -> None:
    counts = Bins.numeric(np.arange(6400.0), 64).count(np.arange(6400.0))
    assert counts.tolist() == [100] * 64 + [0]


def test_heavy_values_have_bins_of_their_own() -> None:
    values = np.concatenate([np.zeros(600), np.linspace(-1, 1, 399), np.full(100, 0.25)])
    bins = Bins.numeric(values, 20)
    counts = dict(zip(bins.labels, bins.count(values).tolist(), strict=True))
    assert counts["= 0"] == 601  # the line has a zero too
    assert counts["= 0.25"] == 100
    assert bins.index([0.0])[0] not in bins.index([-1e-9, 1e-9])


def test_few_distinct_values_have_a_bin_each() -> None:
    bins = Bins.of(np.array([3, 1, 2, 2, 1, 1]))
    assert bins.count(np.array([1, 1, 2, 3, 0, 9])).tolist() == [1, 2, 1, 2, 0]


def test_booleans_are_numbers_and_infinities_stand_at_the_ends() -> None:
    bins = Bins.of(np.array([True, False, True]))
    assert bins.count(np.array([True, False, True])).tolist() == [0, 1, 2, 0]
    assert bins.index([-math.inf, math.inf, math.nan]).tolist() == [0, 2, 3]


def test_categories_stand_by_frequency_then_other_then_missing() -> None:
    bins = Bins.of(np.array(["b", "a", "c", "c", None, "d", math.nan], dtype=object), 3)
    assert bins.categories == ("c", "a", "b")
    assert bins.labels == ("c", "a", "b", "(other)", "(missing)")
    assert bins.index(np.array(["d", "c", None, math.nan], dtype=object)).tolist() == [3, 0, 4, 4]


def test_objects_are_compared_by_their_text() -> None:
    values = np.array([1, "1", True, 1.0, None], dtype=object)
    bins = Bins.categorical(values)
    assert bins.categories == ("1", "1.0", "True")
    assert bins.count(values).tolist() == [2, 1, 1, 0, 1]


def test_a_reference_without_values_still_counts() -> None:
    bins = Bins.numeric(np.array([math.nan, math.nan]))
    assert bins.count(np.array([1.0, math.nan])).tolist() == [1, 1]
    assert bins.labels == ("any", "(missing)")


def test_bad_input_is_refused() -> None:
    with pytest.raises(UsageError):
        Bins.numeric([1.0], 1)
    with pytest.raises(UsageError):
        Bins.categorical(["a"], 257)
    with pytest.raises(DataError):
        Bins.of(np.array(["2026-01-01"], dtype="datetime64[D]"))
    with pytest.raises(DataError):
        Bins.numeric([1.0, 2.0]).count(np.array(["x"], dtype=object))
