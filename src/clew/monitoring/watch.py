"""A watch over one version behind an endpoint: live inputs and predictions against training, errors against promises.

Inputs are counted exactly in bins frozen from the training rows. For each column a conformal test martingale says
whether the shift is real, at any time, at a promised rate of false alarms over all columns; how large it is, is
said beside it, and only what is both real and large raises an alert.
"""

import hashlib
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from clew._words import number
from clew.catalog.commands import AlertSpec
from clew.serving.observations import Joined, Observed
from clew.stats import (
    BettingTest,
    ConfidenceSequence,
    ConformalMartingale,
    Profile,
    describe_shift,
    split,
    threshold,
)

ALPHA = 0.05
LARGE_PSI = 0.1
LARGE_SHIFT = 0.25  # standard deviations of the reference
_CAP = 9.0  # losses count up to this many times the promised mean
_MOST_LOG = 1e6


@dataclass
class Column:
    """One column's counts and its evidence."""

    name: str
    reference: Profile
    martingale: ConformalMartingale
    live: Profile
    threshold: float

    def take(self, values: list[Any]) -> None:
        """Count values, in order."""
        array = _array(values, self.reference.bins.kind)
        self.martingale.update(self.reference.bins.index(array))
        self.live = self.live.merge(Profile.of(array, self.reference.bins))

    def report(self) -> dict[str, Any]:
        """Whether the shift is real, how large it is, and what changed most."""
        real = self.martingale.max_log_e >= self.threshold
        base = {
            "column": self.name,
            "kind": self.reference.bins.kind,
            "log_e": round(min(self.martingale.max_log_e, _MOST_LOG), 3),
            "threshold": round(self.threshold, 3),
            "real": real,
            "count": self.live.count,
        }
        if not self.live.count:
            return base | {"large": False, "alarm": False}
        shift = describe_shift(self.reference, self.live)
        large = shift.psi - shift.psi_noise >= LARGE_PSI or abs(shift.mean_shift or 0.0) >= LARGE_SHIFT
        return base | {
            "psi": round(shift.psi, 4),
            "psi_noise": round(shift.psi_noise, 4),
            "mean_shift_sd": None if shift.mean_shift is None else round(shift.mean_shift, 4),
            "missing": [round(shift.missing_before, 4), round(shift.missing_now, 4)],
            "changes": [[label, round(before, 4), round(now, 4)] for label, before, now in shift.changes],
            "large": large,
            "alarm": real and large,
        }


@dataclass
class Watch:
    """The watch over one version. Fed in the order of the data's time; rebuilt from the journal after a restart."""

    version: str
    version_id: str
    profile: dict[str, Any]
    alpha: float = ALPHA
    predictions: int = 0
    outcomes: int = 0
    _signed: float = 0.0
    columns: list[Column] = field(default_factory=list)

    def __post_init__(self) -> None:
        named = {**self.profile["inputs"], "prediction": self.profile["prediction"]}
        # Half of the budget for the columns together, a quarter for the predictions, a quarter for the error.
        weights = {name: 2.0 / max(len(named) - 1, 1) for name in self.profile["inputs"]}
        alphas = split(self.alpha, {**weights, "prediction": 1.0, "error": 1.0})
        for name, state in named.items():
            reference = Profile.from_dict(state)
            martingale = ConformalMartingale(np.asarray(reference.counts), _seed(self.version, name))
            empty = Profile.of(
                np.asarray([], dtype=float if reference.bins.kind == "numeric" else object), reference.bins
            )
            self.columns.append(Column(name, reference, martingale, empty, threshold(alphas[name])))
        loss = self.profile["loss"]
        self.promised = float(loss["mean"])
        self.cap = _CAP * self.promised if self.promised > 0 else 1.0
        # The promise was measured on finitely many rows: only what is beyond its own uncertainty is held against it.
        margin = 1.96 * float(loss["sd"]) / math.sqrt(max(int(loss["count"]), 1))
        self.limit = min(self.promised + margin, 0.99 * self.cap) or 0.5
        self.worse = BettingTest(self.limit, 0.0, self.cap, "greater")
        self.error = ConfidenceSequence(0.0, self.cap, 0.05)
        self.error_threshold = threshold(alphas["error"])

    def take(self, observed: Observed) -> None:
        """Take what this version answered, and the outcomes of that, in their order."""
        mine = [one for one in observed.predictions if one.model_version_id == self.version_id and one.error is None]
        self.predictions += len(mine)
        if mine:
            for column in self.columns:
                if column.name == "prediction":
                    column.take([one.output for one in mine])
                else:
                    column.take([one.inputs.get(column.name) for one in mine])
        errors = [error for joined in observed.joined for error in [self._error(joined)] if error is not None]
        if errors:
            self.outcomes += len(errors)
            self._signed += sum(errors)
            losses = np.minimum(np.abs(errors), self.cap)
            self.worse.update(losses)
            self.error.update(losses)

    def _error(self, joined: Joined) -> float | None:
        prediction, outcome = joined.prediction, joined.outcome
        if prediction.model_version_id != self.version_id or prediction.error is not None:
            return None
        if outcome.name != self.profile["target"] or outcome.kind != "label":
            return None
        if not isinstance(outcome.value, int | float) or not isinstance(prediction.output, int | float):
            return None
        return float(prediction.output) - float(outcome.value)

    def report(self) -> dict[str, Any]:
        """What is seen now, as JSON."""
        low, high = self.error.interval()
        return {
            "version": self.version,
            "predictions": self.predictions,
            "outcomes": self.outcomes,
            "columns": [column.report() for column in self.columns],
            "performance": {
                "metric": f"mean absolute error of {self.profile['target']}",
                "promised": round(self.promised, 4),
                "held_against": round(self.limit, 4),
                "live": None if not self.outcomes else round(self.error.mean, 4),
                "interval": [round(low, 4), round(high, 4)],
                "bias": None if not self.outcomes else round(self._signed / self.outcomes, 4),
                "count": self.outcomes,
                "log_e": round(min(self.worse.max_log_e, _MOST_LOG), 3),
                "threshold": round(self.error_threshold, 3),
                "alarm": self.worse.max_log_e >= self.error_threshold,
            },
            "false_alarm_rate": self.alpha,
        }


def alerts(report: dict[str, Any]) -> list[AlertSpec]:
    """The alerts that follow from a report, each in plain words with its evidence."""
    found = []
    for column in report["columns"]:
        if column["alarm"]:
            changes = ", ".join(f"{label}: {before:.0%} → {now:.0%}" for label, before, now in column["changes"])
            kind = "prediction shift" if column["column"] == "prediction" else "input shift"
            found.append(
                AlertSpec(
                    kind=kind,
                    subject=column["column"],
                    message=f"{column['column']} is not as in training: PSI {column['psi']:.2f} ({changes})",
                    evidence=column,
                )
            )
    performance = report["performance"]
    if performance["alarm"]:
        low, high = performance["interval"]
        found.append(
            AlertSpec(
                kind="performance",
                subject=performance["metric"],
                message=f"{performance['metric']} is {number(performance['live'])} ({number(low)} to {number(high)}) "
                f"over {performance['count']:,} outcomes; {number(performance['promised'])} was promised",
                evidence=performance,
            )
        )
    return found


def _array(values: list[Any], kind: str) -> np.ndarray:
    """Values as the bins take them; in a column of numbers, whatever is none counts as missing."""
    if kind == "numeric":
        return np.asarray([float(value) if isinstance(value, int | float) else math.nan for value in values])
    return np.asarray([None if value is None else str(value) for value in values], dtype=object)


def _seed(version: str, column: str) -> int:
    """Fixed by what is watched, so that a replay gives the same."""
    return int.from_bytes(hashlib.sha256(f"{version}\0{column}".encode()).digest()[:4], "big")
