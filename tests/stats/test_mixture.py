import math

import numpy as np
import pytest

from clew.stats._mixture import BLOCK, JUMP, Mixture


def test_capital_is_shared_out_anew_after_each_block() -> None:
    # the definition, value by value, with plain numbers
    rng = np.random.default_rng(1)
    prior = np.array([0.5, 0.3, 0.2])
    growth = rng.normal(0, 0.1, (5 * BLOCK + 7, 3))
    resting, moving, highest = prior.copy() / 2, prior.copy() / 2, 0.0
    for number, row in enumerate(growth, start=1):
        resting, moving = resting * np.exp(row), moving * np.exp(row)
        highest = max(highest, math.log(resting.sum() + moving.sum()))
        if number % BLOCK == 0:
            moving = (1 - JUMP) * moving + JUMP * moving.sum() * prior
    mixture = Mixture(prior)
    mixture.advance(growth)
    assert mixture.log_e == pytest.approx(math.log(resting.sum() + moving.sum()))
    assert mixture.max_log_e == pytest.approx(highest)


def test_long_losses_neither_overflow_nor_lose_the_cash() -> None:
    mixture = Mixture(np.array([0.9, 0.1]))
    mixture.advance(np.column_stack([np.full(200_000, -5.0), np.zeros(200_000)]))
    assert math.log(0.05) - 1e-9 < mixture.log_e < 0
    assert mixture.max_log_e == 0.0
