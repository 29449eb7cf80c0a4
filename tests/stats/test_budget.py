import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew.errors import UsageError
from clew.stats import split, threshold, thresholds


@given(
    alpha=st.floats(1e-6, 0.5),
    weights=st.dictionaries(st.text(max_size=5), st.floats(1e-3, 1e3), min_size=1, max_size=20),
)
def test_the_parts_make_the_whole(alpha: float, weights: dict[str, float]) -> None:
    parts = split(alpha, weights)
    assert list(parts) == list(weights)
    assert math.fsum(parts.values()) == pytest.approx(alpha, rel=1e-12)
    assert thresholds(alpha, weights) == {name: threshold(part) for name, part in parts.items()}


def test_parts_are_in_proportion() -> None:
    assert split(0.04, {"errors": 1, "loss": 3}) == pytest.approx({"errors": 0.01, "loss": 0.03})
    assert threshold(0.05) == pytest.approx(math.log(20))


@pytest.mark.parametrize("weights", [{}, {"a": 0.0}, {"a": -1.0, "b": 2.0}, {"a": math.nan}, {"a": math.inf}])
def test_weights_that_split_nothing_are_refused(weights: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        split(0.05, weights)


@pytest.mark.parametrize("alpha", [0.0, 1.0, -0.1, math.nan])
def test_senseless_rates_are_refused(alpha: float) -> None:
    with pytest.raises(UsageError):
        threshold(alpha)
