"""clew ties every prediction to the exact data, code, parameters and environment behind it, and leads back."""

from typing import TYPE_CHECKING

from clew._lazy import lazy
from clew._version import __version__

if TYPE_CHECKING:
    from clew.data import Snapshot
    from clew.errors import ClewError
    from clew.models import (
        Evaluation,
        Model,
        at_least,
        at_most,
        better,
        no_leakage,
        no_worse_than_live,
        record,
        register,
    )
    from clew.pipelines import dataset, each, pipeline, secret, step, when
    from clew.session import Session, open_workspace

_HOME = {
    "ClewError": "clew.errors",
    "Evaluation": "clew.models",
    "Model": "clew.models",
    "Session": "clew.session",
    "Snapshot": "clew.data",
    "at_least": "clew.models",
    "at_most": "clew.models",
    "better": "clew.models",
    "dataset": "clew.pipelines",
    "each": "clew.pipelines",
    "no_leakage": "clew.models",
    "no_worse_than_live": "clew.models",
    "open_workspace": "clew.session",
    "pipeline": "clew.pipelines",
    "record": "clew.models",
    "register": "clew.models",
    "secret": "clew.pipelines",
    "step": "clew.pipelines",
    "when": "clew.pipelines",
}

__all__ = [
    "ClewError",
    "Evaluation",
    "Model",
    "Session",
    "Snapshot",
    "__version__",
    "at_least",
    "at_most",
    "better",
    "dataset",
    "each",
    "no_leakage",
    "no_worse_than_live",
    "open_workspace",
    "pipeline",
    "record",
    "register",
    "secret",
    "step",
    "when",
]


__getattr__ = lazy(__name__, _HOME)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
