"""What a detector is, and when so many numbers pass a check that it can't be chance."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

Prove = Callable[[str], str | None]

_ONCE_IN: Final = 1e6


@dataclass(frozen=True, slots=True)
class Detector:
    """One kind of personal data.

    `named` are words of column names that settle what plain digits are; then `prove_named` is asked instead.
    With `chance`, a random number that has the `form` passes the proof with this probability: where the numbers of a
    column pass about as often as that, they are of another kind.
    """

    kind: str
    quick: str
    prove: Prove
    named: frozenset[str] = frozenset()
    prove_named: Prove | None = None
    form: Callable[[str], bool] | None = None
    chance: float = 0.0
    numbers: bool = False


def beyond_chance(passed: int, tried: int, chance: float, *, once_in: float = _ONCE_IN) -> bool:
    """Whether so many pass by luck less than once in a million columns (Chernoff's bound of the binomial tail)."""
    share = passed / tried if tried else 0.0
    if share <= chance or chance >= 1:
        return False
    divergence = share * math.log(share / chance)
    if share < 1:
        divergence += (1 - share) * math.log((1 - share) / (1 - chance))
    return tried * divergence >= math.log(once_in)
