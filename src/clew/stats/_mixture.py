"""Wealth of a portfolio of bets, which every test martingale of this package holds.

Half of the initial capital stays for ever where the prior put it (a mixture of constant bets, as Cover's universal
portfolio and the grid Kelly bets of Waudby-Smith & Ramdas 2024). The other half is shared out anew, in a small part,
after every block of values (fixed share: Herbster & Warmuth 1998; Vovk's simple jumper), so that an effect that begins
late is still found soon. One of the bets should be cash (its log wealth never moves).

Each bet's factor has a conditional mean of at most one under the null, and the shares depend on the past alone: so the
total is a non-negative supermartingale that starts at one, and Ville's inequality holds.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

BLOCK = 32
"""Values between two redistributions, counted from the first value, so that chunks of updates don't matter."""

JUMP = 0.02
"""Part of the moving half that is shared out anew after each block."""


class Mixture:
    """Capital spread over K bets; `prior` (K positive weights, summing to one) says how at the start.

    `log_e` is the log of the present capital, `max_log_e` the highest it ever was (at least 0.0, at the start).
    """

    def __init__(self, prior: Floats) -> None:
        self._prior = prior / prior.sum()
        self._static = np.log(self._prior)  # log capital of the resting half, at the start of the block
        self._shares = self._prior.copy()  # how the moving half is spread, at the start of the block
        self._moving = 0.0  # log capital of the moving half, at the start of the block
        self._partial = np.zeros(len(prior))  # log growth of each bet since the start of the block
        self.count = 0
        self.log_e = 0.0
        self.max_log_e = 0.0

    def advance(self, growth: Floats) -> None:
        """Take the log factors of the bets for the next values: shape (values, K), in order."""
        into = self.count % BLOCK
        head = min(len(growth), BLOCK - into) if into else 0
        body = head + (len(growth) - head) // BLOCK * BLOCK
        for part in (growth[:head][None], growth[head:body].reshape(-1, BLOCK, growth.shape[1]), growth[body:][None]):
            if part.size:
                self._advance_blocks(part)

    def _advance_blocks(self, growth: Floats) -> None:
        """Take (blocks, values, K) log factors: whole blocks, or one piece of a block."""
        growth = growth.copy()
        growth[0, 0] += self._partial
        within = np.cumsum(growth, axis=1, out=growth)
        totals = within[:, -1]
        static = np.cumsum(np.vstack([self._static, totals]), axis=0)
        shares = np.empty_like(totals)
        moving = np.empty(len(totals))
        closes = self.count + within.shape[1] * len(totals)
        whole = closes % BLOCK == 0
        share, capital = self._shares, self._moving
        top = totals.max(axis=1)
        factors = np.exp(totals - top[:, None])
        for block in range(len(totals)):
            shares[block], moving[block] = share, capital
            if whole:
                grown = share * factors[block]
                total = float(grown.sum())
                capital += float(top[block]) + math.log(total)
                share = grown * ((1.0 - JUMP) / total) + JUMP * self._prior
        start = np.logaddexp(static[:-1], np.log(shares) + moving[:, None]) - math.log(2.0)
        path = _log_sum_exp(within + start[:, None, :])
        self.log_e = float(path[-1, -1])
        self.max_log_e = max(self.max_log_e, float(path.max()))
        self.count = closes
        if whole:
            self._static, self._shares, self._moving = static[-1], share, capital
            self._partial = np.zeros_like(self._partial)
        else:
            self._partial = totals[-1].copy()

    def to_dict(self) -> dict[str, Any]:
        """The whole state as JSON-able values."""
        return {
            "prior": self._prior.tolist(),
            "static": self._static.tolist(),
            "shares": self._shares.tolist(),
            "moving": self._moving,
            "partial": self._partial.tolist(),
            "count": self.count,
            "log_e": self.log_e,
            "max_log_e": self.max_log_e,
        }

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> "Mixture":
        """The mixture that `to_dict` described."""
        mixture = cls(np.array(state["prior"], dtype=np.float64))
        mixture._prior = np.array(state["prior"], dtype=np.float64)
        mixture._static = np.array(state["static"], dtype=np.float64)
        mixture._shares = np.array(state["shares"], dtype=np.float64)
        mixture._moving = float(state["moving"])
        mixture._partial = np.array(state["partial"], dtype=np.float64)
        mixture.count = int(state["count"])
        mixture.log_e = float(state["log_e"])
        mixture.max_log_e = float(state["max_log_e"])
        return mixture


def _log_sum_exp(terms: Floats) -> Floats:
    """Log of the sum of exponentials over the last axis."""
    top = terms.max(axis=-1, keepdims=True)
    return np.asarray(np.log(np.exp(terms - top).sum(axis=-1)) + top[..., 0])
