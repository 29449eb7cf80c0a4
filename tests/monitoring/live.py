"""Simulated traffic: rows as training saw them, or with one thing that changed."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from clew.models.evaluation import loss_summary
from clew.monitoring import Watch
from clew.serving.journal import Outcome, Prediction
from clew.serving.observations import Joined, Observed
from clew.stats import freeze_reference

SD = 10_000.0 / np.sqrt(2 / np.pi)
COLUMNS = ("area", "age", "rooms", "income", "side", "wall")


@dataclass(frozen=True)
class Town:
    """How rows look; `area` moves by `shift` standard deviations, `missing` of the incomes are missing."""

    shift: float = 0.0
    missing: float = 0.0
    bricks: float = 0.4
    errors: float = 1.0

    def rows(self, count: int, chance: np.random.Generator) -> dict[str, np.ndarray]:
        area = chance.lognormal(4.5, 0.4, count)
        income = np.where(chance.random(count) < 0.1 + self.missing, np.nan, chance.normal(0, 1, count))
        wall = chance.random(count)
        return {
            "area": area + self.shift * np.sqrt((np.exp(0.16) - 1) * np.exp(9.16)),
            "age": chance.integers(0, 100, count),
            "rooms": chance.binomial(10, 0.4, count),
            "income": income,
            "side": chance.choice(np.array(["sunny", "shady"], dtype=object), count),
            "wall": np.where(wall < self.bricks, "brick", np.where(wall < 0.9, "wood", "stone")).astype(object),
        }

    def said(self, rows: dict[str, np.ndarray]) -> np.ndarray:
        return 1000.0 * rows["area"] + 50.0 * rows["age"]


def profile(chance: np.random.Generator, *, training: int = 3000, tests: int = 800) -> dict[str, Any]:
    """What registering keeps: the bins and counts of the training rows, and the losses on the test rows."""
    town = Town()
    rows = town.rows(training, chance)
    losses = np.abs(chance.normal(0, SD, tests))
    return {
        "target": "price",
        "inputs": {name: freeze_reference(rows[name], 20, count=32)[1].to_dict() for name in COLUMNS},
        "prediction": freeze_reference(town.said(town.rows(tests, chance)), 20, count=32)[1].to_dict(),
        "loss": loss_summary(losses),
    }


def watch(seed: int, **settings: Any) -> Watch:
    """A watch whose reference is this seed's own sample."""
    return Watch(f"m@{seed}", "v1", profile(np.random.default_rng([seed, 1])), **settings)


@dataclass
class Traffic:
    """Days of live rows at one version, with the truth about each."""

    seed: int
    town: Town = field(default_factory=Town)

    def __post_init__(self) -> None:
        self.chance = np.random.default_rng([self.seed, 2])
        self.count = 0

    def day(self, count: int) -> Observed:
        rows = self.town.rows(count, self.chance)
        said = self.town.said(rows)
        errors = self.chance.normal(0, SD * self.town.errors, count)
        columns = {
            name: [None if one != one else one for one in values.tolist()]  # noqa: PLR0124 - nan
            for name, values in rows.items()
        }
        pairs = [
            self._row({name: values[at] for name, values in columns.items()}, said[at], errors[at])
            for at in range(count)
        ]
        return Observed([one for one, _ in pairs], [joined for _, joined in pairs])

    def _row(self, inputs: dict[str, Any], said: float, error: float) -> tuple[Prediction, Joined]:
        self.count += 1
        number = str(self.count)
        prediction = Prediction(
            id=number,
            endpoint="e",
            request_id="",
            row=0,
            model_version="m@1",
            model_version_id="v1",
            role="champion",
            share=1.0,
            reason="",
            route_revision=1,
            occurred_at=self.count,
            recorded_at=self.count,
            inputs=inputs,
            output=float(said),
            latency_us=1,
        )
        outcome = Outcome(
            id=number, prediction_id=number, name="price", kind="label", value=float(said - error),
            occurred_at=self.count, recorded_at=self.count,
        )  # fmt: skip
        return prediction, Joined(prediction, outcome)
