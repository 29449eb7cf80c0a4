"""Choosing what to try next: Optuna's samplers, told of every trial that there is."""

import itertools
import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

from clew.errors import MissingDependencyError, UsageError
from clew.pipelines.space import Choices, Dimension

Direction = Literal["minimize", "maximize"]
Sampler = Literal["tpe", "random", "grid"]
Pruner = Literal["median", "halving"]
Before = tuple[dict[str, Any], float | None, dict[int, float]]
"""A trial that there is: its parameters, its value (None: it has none), and what it gave on the way, by place."""
_LEARN_FROM: Final = 5  # trials that got to their end, before one is ended early
_SMALL: Final = 1e-9  # of a step: so that 0..1:0.1 has its end


class Sampling:
    """A sampler over a space.

    Args:
        space: what each parameter may be.
        direction: whether less is better.
        sampler: "tpe" learns from the trials (Bergstra et al. 2011), "random" doesn't, "grid" goes through all points.
        seed: of the sampler.
        before: the trials that there are.
        pruner: "median" ends a trial that is worse at some place than the median of the others there; "halving" lets
            the better third go on at each place (asynchronous successive halving, Li et al. 2020).

    Raises MissingDependencyError; UsageError for a grid without end.
    """

    def __init__(
        self,
        space: Mapping[str, Dimension],
        direction: Direction,
        sampler: Sampler,
        seed: int,
        before: Sequence[Before],
        pruner: Pruner = "median",
    ) -> None:
        try:
            import optuna
        except ImportError as error:
            raise MissingDependencyError("sweeps need Optuna", mend="pip install clew[sweep]") from error
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._optuna = optuna
        self._distributions = {name: _distribution(optuna, one) for name, one in space.items()}
        seed += len(before)  # other draws than those of before
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            # Trials that run beside each other count as bad until they are known, so that they differ.
            made: Any = optuna.samplers.TPESampler(seed=seed, constant_liar=True)
            made = made if sampler == "tpe" else optuna.samplers.RandomSampler(seed=seed)
        early: Any = optuna.pruners.MedianPruner(n_startup_trials=_LEARN_FROM)
        if pruner == "halving":
            early = optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=3)
        self._study = optuna.create_study(direction=direction, sampler=made, pruner=early)
        for parameters, value, on_the_way in before:
            self._study.add_trial(
                optuna.trial.create_trial(
                    params=parameters,
                    distributions=self._distributions,
                    value=value,
                    intermediate_values=on_the_way,
                    state=self._state(value, pruned=bool(on_the_way)),
                )
            )
        self._points = None if sampler != "grid" else _grid(space, [parameters for parameters, *_ in before])

    @property
    def left(self) -> float:
        """How many more there can be."""
        return math.inf if self._points is None else len(self._points)

    def ask(self) -> Any:
        """The next trial to make; it has `params`."""
        if self._points is not None:
            self._study.enqueue_trial(self._points.pop(0))
        return self._study.ask(self._distributions)

    def is_hopeless(self, asked: Any, value: float, place: int) -> bool:
        """Take what a trial gave on its way; whether it is to be ended, since it won't be among the best."""
        asked.report(value, place)
        return bool(asked.should_prune())

    def tell(self, asked: Any, value: float | None, *, pruned: bool = False) -> None:
        """What became of it; None when it failed, or was ended early (`pruned`)."""
        self._study.tell(asked, value, state=self._state(value, pruned=pruned))

    def _state(self, value: float | None, *, pruned: bool) -> Any:
        states = self._optuna.trial.TrialState
        return states.COMPLETE if value is not None else states.PRUNED if pruned else states.FAIL

    def importance(self) -> dict[str, float]:
        """How much each parameter accounts for (PED-ANOVA, Watanabe et al. 2023); nothing where that can't be told."""
        evaluator = self._optuna.importance.PedAnovaImportanceEvaluator
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = self._optuna.importance.get_param_importances(self._study, evaluator=evaluator())
        except (RuntimeError, ValueError):  # too few trials, or all of them alike
            return {}
        return {name: float(value) for name, value in found.items() if math.isfinite(value)}


def _distribution(optuna: Any, one: Dimension) -> Any:
    kinds = optuna.distributions
    if isinstance(one, Choices):
        return kinds.CategoricalDistribution(one.values)
    if one.whole:
        step = 1 if one.step is None else int(one.step)
        return kinds.IntDistribution(int(one.low), int(one.high), log=one.log, step=step)
    return kinds.FloatDistribution(one.low, one.high, log=one.log, step=one.step)


def _points_of(name: str, dimension: Dimension) -> list[Any]:
    """All values of a dimension. Raises UsageError for one that has no end of them."""
    if isinstance(dimension, Choices):
        return list(dimension.values)
    step = dimension.step or (1 if dimension.whole else None)
    if step is None or dimension.log:
        raise UsageError(f"{name}={dimension} has no end of values, so no grid", mend=f"--set {name}={dimension}:0.1")
    count = math.floor((dimension.high - dimension.low) / step + _SMALL) + 1
    found = [min(round(dimension.low + number * step, 12), dimension.high) for number in range(count)]
    return [int(one) for one in found] if dimension.whole else found


def _grid(space: Mapping[str, Dimension], tried: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The points of the grid that were not tried yet."""
    values = [_points_of(name, dimension) for name, dimension in space.items()]
    points = [dict(zip(space, one, strict=True)) for one in itertools.product(*values)]
    return [point for point in points if point not in tried]
