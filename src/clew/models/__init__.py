"""Models: packaged with their code, registered with what made them, restored and rebuilt."""

from typing import TYPE_CHECKING

from clew._lazy import lazy

if TYPE_CHECKING:
    from clew.models._register import register
    from clew.models.criteria import (
        Criterion,
        NoLeakage,
        NoWorseThanLive,
        at_least,
        at_most,
        better,
        no_leakage,
        no_worse_than_live,
    )
    from clew.models.evaluation import Evaluation, by_slice, regression
    from clew.models.model import Model
    from clew.models.recording import Recording, record
    from clew.models.registry import ModelVersion, all_versions, by_id, find, move_alias

__all__ = [
    "Criterion",
    "Evaluation",
    "Model",
    "ModelVersion",
    "NoLeakage",
    "NoWorseThanLive",
    "Recording",
    "all_versions",
    "at_least",
    "at_most",
    "better",
    "by_id",
    "by_slice",
    "find",
    "move_alias",
    "no_leakage",
    "no_worse_than_live",
    "record",
    "register",
    "regression",
]

__getattr__ = lazy(
    __name__,
    {
        "Criterion": "clew.models.criteria",
        "Evaluation": "clew.models.evaluation",
        "Model": "clew.models.model",
        "ModelVersion": "clew.models.registry",
        "NoLeakage": "clew.models.criteria",
        "NoWorseThanLive": "clew.models.criteria",
        "Recording": "clew.models.recording",
        "all_versions": "clew.models.registry",
        "at_least": "clew.models.criteria",
        "at_most": "clew.models.criteria",
        "better": "clew.models.criteria",
        "by_id": "clew.models.registry",
        "by_slice": "clew.models.evaluation",
        "find": "clew.models.registry",
        "move_alias": "clew.models.registry",
        "no_leakage": "clew.models.criteria",
        "no_worse_than_live": "clew.models.criteria",
        "record": "clew.models.recording",
        "register": "clew.models._register",
        "regression": "clew.models.evaluation",
    },
)
