import time
from collections.abc import Callable

import numpy as np
import pytest

from clew.stats import BettingTest, Bins, ConfidenceSequence, ConformalMartingale

MILLION = 1_000_000


@pytest.mark.slow
def test_a_million_values_take_less_than_two_seconds() -> None:
    # CPU time of this process, so that busy neighbours count little (measured: 0.2, 0.2, 0.1 and 0.9 s)
    rng = np.random.default_rng(1)
    values = rng.random(MILLION)
    bins = Bins.numeric(values[:10_000])
    index = bins.index(values)
    counts = bins.count(values[:10_000])
    works: dict[str, Callable[[], object]] = {
        "betting": lambda: BettingTest(0.5, 0.0, 1.0, "greater").update(values),
        "sequence": lambda: ConfidenceSequence(0.0, 1.0, 0.05).update(values),
        "bins": lambda: bins.count(values),
        "conformal": lambda: ConformalMartingale(counts, 1).update(index),
    }
    spent = {}
    for name, work in works.items():
        start = time.process_time()
        work()
        spent[name] = time.process_time() - start
    assert max(spent.values()) < 2.0, spent
