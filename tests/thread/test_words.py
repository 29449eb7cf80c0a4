from typing import Any

import pytest

from clew.thread.words import amount, moment, plain, share


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (412_000.0, "412,000"),
        (64_210.7, "64,211"),
        (0.10647, "0.1065"),
        (0.5, "0.5"),
        (3.0, "3"),
        (0.0, "0"),
        (-19_500.0, "-19,500"),
        (999.96, "1000"),
        (2026, "2026"),
        (21_597, "21,597"),
        (1e-7, "1e-07"),
        (1e300, "1e+300"),
        (float("inf"), "inf"),
        (float("nan"), "nan"),
        (5e-324, "4.94e-324"),
        (True, "true"),
        (None, "—"),
        ("Bern", "Bern"),
        ([1, "a", None], '[1,"a",null]'),
    ],
)
def test_an_amount_is_said_with_sensible_precision(value: Any, said: str) -> None:
    assert amount(value) == said


def test_shares_and_moments() -> None:
    assert [share(value) for value in (0.0, 0.005, 0.05, 1 / 3, 1.0)] == ["0%", "0.5%", "5%", "33.33%", "100%"]
    assert moment("2026-06-21T09:30:00.123456+00:00") == "2026-06-21 09:30:00 UTC"
    assert moment(None) == "—"
    assert plain("a\tb\x00c é 家") == "a?b?c é 家"
