"""The numerics that decide: e-processes, confidence sequences, profiles, two-sample tests. Numpy only."""

from clew.stats.betting import BettingTest
from clew.stats.bins import Bins
from clew.stats.budget import split, threshold, thresholds
from clew.stats.conformal import ConformalMartingale
from clew.stats.intervals import Interval, paired_difference, wilson
from clew.stats.profiles import (
    Profile,
    Shift,
    describe_shift,
    freeze_reference,
    js_distance,
    mean_shift,
    psi,
)
from clew.stats.sequences import ConfidenceSequence
from clew.stats.slices import excess_p, holm

__all__ = [
    "BettingTest",
    "Bins",
    "ConfidenceSequence",
    "ConformalMartingale",
    "Interval",
    "Profile",
    "Shift",
    "describe_shift",
    "excess_p",
    "freeze_reference",
    "holm",
    "js_distance",
    "mean_shift",
    "paired_difference",
    "psi",
    "split",
    "threshold",
    "thresholds",
    "wilson",
]
