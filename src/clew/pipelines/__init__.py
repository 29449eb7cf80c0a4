"""Steps, pipelines, and runs that are recorded with all they used."""

from typing import TYPE_CHECKING

from clew._lazy import lazy

if TYPE_CHECKING:
    from clew.pipelines._load import load
    from clew.pipelines._pipeline import Pipeline, pipeline
    from clew.pipelines._step import Step, dataset, step
    from clew.pipelines.alive import mark_interrupted
    from clew.pipelines.context import RunContext
    from clew.pipelines.execute import mode, run
    from clew.pipelines.graph import each, when
    from clew.pipelines.plan import plan_of
    from clew.pipelines.results import RunResult, StepResult
    from clew.pipelines.secrets import secret

__all__ = [
    "Pipeline",
    "RunContext",
    "RunResult",
    "Step",
    "StepResult",
    "dataset",
    "each",
    "load",
    "mark_interrupted",
    "mode",
    "pipeline",
    "plan_of",
    "run",
    "secret",
    "step",
    "when",
]

__getattr__ = lazy(
    __name__,
    {
        "Pipeline": "clew.pipelines._pipeline",
        "RunContext": "clew.pipelines.context",
        "RunResult": "clew.pipelines.results",
        "Step": "clew.pipelines._step",
        "StepResult": "clew.pipelines.results",
        "dataset": "clew.pipelines._step",
        "each": "clew.pipelines.graph",
        "secret": "clew.pipelines.secrets",
        "when": "clew.pipelines.graph",
        "load": "clew.pipelines._load",
        "mark_interrupted": "clew.pipelines.alive",
        "mode": "clew.pipelines.execute",
        "pipeline": "clew.pipelines._pipeline",
        "plan_of": "clew.pipelines.plan",
        "run": "clew.pipelines.execute",
        "step": "clew.pipelines._step",
    },
)
