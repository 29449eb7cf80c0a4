"""Steps, pipelines, and runs that are recorded with all they used."""

from typing import TYPE_CHECKING

from clew._lazy import lazy

if TYPE_CHECKING:
    from clew.pipelines._load import load
    from clew.pipelines._pipeline import Pipeline, pipeline
    from clew.pipelines._step import Step, dataset, step
    from clew.pipelines.alive import mark_interrupted
    from clew.pipelines.execute import RunContext, RunResult, StepResult, run

__all__ = [
    "Pipeline",
    "RunContext",
    "RunResult",
    "Step",
    "StepResult",
    "dataset",
    "load",
    "mark_interrupted",
    "pipeline",
    "run",
    "step",
]

__getattr__ = lazy(
    __name__,
    {
        "Pipeline": "clew.pipelines._pipeline",
        "RunContext": "clew.pipelines.execute",
        "RunResult": "clew.pipelines.execute",
        "Step": "clew.pipelines._step",
        "StepResult": "clew.pipelines.execute",
        "dataset": "clew.pipelines._step",
        "load": "clew.pipelines._load",
        "mark_interrupted": "clew.pipelines.alive",
        "pipeline": "clew.pipelines._pipeline",
        "run": "clew.pipelines.execute",
        "step": "clew.pipelines._step",
    },
)
