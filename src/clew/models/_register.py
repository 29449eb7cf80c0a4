"""Registering a model: judged by the criteria that were declared before it was trained, with all it came from."""

import functools
import hashlib
import inspect
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from clew.catalog.commands import EvaluationSpec, InputSpec, RegisterModel
from clew.data import Snapshot
from clew.errors import UsageError
from clew.models import comparison as comparing
from clew.models.criteria import NoLeakage, NoWorseThanLive
from clew.models.evaluation import Evaluation, loss_summary
from clew.models.leaks import leaks_of
from clew.models.losses import BETTER, shown
from clew.models.model import Model
from clew.models.signature import Signature
from clew.objects import ObjectStore
from clew.pipelines import RunContext, Step, values
from clew.pipelines.graph import current
from clew.pipelines.values import Stored
from clew.stats import freeze_reference

_SEED = 20  # which reference rows choose the bins; any fixed number serves
_BINS = 32
_FEWEST = 3  # of which a fifth chooses the bins, and the others are counted


class _DriverStep(Step[..., Any]):
    in_driver = True

    @functools.cached_property
    def signature(self) -> inspect.Signature:
        """What the caller hands over: the run itself comes first, and from the engine."""
        whole = inspect.signature(self.function)
        return whole.replace(parameters=list(whole.parameters.values())[1:])


def register(
    name: str,
    *,
    model: Model,
    evaluation: Evaluation,
    train: pl.DataFrame,
    test: pl.DataFrame,
    target: str,
    subject: str | None = None,
    at: str | None = None,
) -> None:
    """Register a version of a model at the end of a pipeline.

    The version is accepted when it meets the pipeline's criteria; a refused one is kept, and says why. Everything
    it came from is registered in the same transaction. When nothing differs from the newest version, that stays.

    Args:
        name: the model, such as "house-price".
        model: what a training step gave.
        evaluation: what an evaluating step gave.
        train: the rows that it was trained on; live inputs will be compared with them.
        test: the rows that it was tested on; its predictions on them are kept as proof for a rebuild.
        target: the column of `test` that holds the truth.
        subject: the column that names who a row is about, to see whether the test has someone of the training; the
            datasets' own, if not given.
        at: the column of the moment at which the model answers, to see which inputs are known only later.
    """
    if current() is None:
        return  # a plain call of the pipeline, which records nothing
    _DriverStep(_register, name=f"register {name}")(
        model_name=name, model=model, evaluation=evaluation, train=train, test=test, target=target,
        subject=subject, at=at,
    )  # fmt: skip


def _register(
    context: RunContext,
    *,
    model_name: str,
    model: Stored,
    evaluation: Stored,
    train: Stored,
    test: Stored,
    target: str,
    subject: str | None = None,
    at: str | None = None,
) -> tuple[str, str]:
    wanted = (
        ("model", model, "model"),
        ("evaluation", evaluation, "value"),
        ("train", train, "table"),
        ("test", test, "table"),
    )
    for label, value, kind in wanted:
        if getattr(value, "spec", None) is None or value.spec.kind != kind:
            raise UsageError(f"clew.register: {label} must be a {kind} that a step gave", mend="hand over its result")
    objects = context.workspace.objects
    judged: Evaluation = evaluation.load(objects, Evaluation)
    if context.trial:
        context.result.metrics.update(judged.metrics)
        context.result.offered[model_name] = {"model": model, "train": train, "test": test, "target": target}
        return "skipped", "a trial registers nothing"
    packaged: Model = model.load(objects, Model)
    test_rows: pl.DataFrame = test.load(objects, pl.DataFrame)
    train_rows: pl.DataFrame = train.load(objects, pl.DataFrame)
    check_test(train_rows, test_rows, target, judged.groups)
    beside = comparing.with_live(context.workspace, model_name, packaged, test_rows, target, model.spec.content_id)
    snapshots = {role: one for role, one in context.snapshots.items() if isinstance(one, Snapshot)}
    leaks = leaks_of(
        packaged.signature, snapshots.values(), train=train_rows, test=test_rows, target=target, subject=subject, at=at
    )
    judged_by = judge(context.criteria, judged.metrics, beside, leaks)
    answer = context.workspace.catalog.execute(
        RegisterModel(
            model=model_name,
            run_id=context.run_id,
            artifact=model.spec,
            identity=identity(
                model.spec.content_id,
                evaluation.spec.content_id,
                judged_by.verdicts,
                snapshots,
                context.code.content_id,
                context.environment_id,
            ),
            provenance="recorded",
            signature=packaged_signature(packaged),
            metrics=judged.metrics,
            verdicts=judged_by.verdicts,
            refused_because=judged_by.refused,
            inputs=[
                *(InputSpec(role=role, snapshot_id=snapshot.id) for role, snapshot in snapshots.items()),
                InputSpec(role="train", artifact=train.spec),
                InputSpec(role="test", artifact=test.spec),
            ],
            evaluations=[
                evaluation_of(
                    objects,
                    packaged,
                    judged,
                    train=train_rows,
                    test=test_rows,
                    proof=test,
                    target=target,
                    beside=beside,
                    leaks=leaks,
                )
            ],
            occurred_at=context.occurred_at,
        )
    )
    reference = f"{model_name}@{answer['version']}"
    context.result.models.append(reference)
    context.result.metrics.update(judged.metrics)
    if judged_by.refused:
        context.result.refused.append(f"{reference}: {judged_by.refused}")
        return "ran", f"{reference} was refused: {judged_by.refused}"
    if not answer["changed"]:
        return "cached", f"it is {reference}, unchanged"
    return "ran", f"registered {reference}{note(beside)}{_leaking(leaks)}"


def _leaking(leaks: Sequence[Mapping[str, Any]]) -> str:
    """That something leaks, as the end of a sentence."""
    return "; leakage: " + ", ".join(f"{one['column']} {one['kind']}" for one in leaks) if leaks else ""


def note(beside: Mapping[str, Any] | None) -> str:
    """How a version compares with the live one, as the end of a sentence."""
    if beside is None:
        return ""
    if "problem" in beside:
        return f"; it can't be compared with {beside['a']}: {beside['problem']}"
    first = next(one for one in beside["metrics"] if one["metric"] in BETTER)
    return f"; beside {beside['a']}, {first['metric']} differs by {shown(first)}: {first['verdict']}"


@dataclass(frozen=True)
class Judgement:
    """What the criteria say of metrics: each one's verdict, and why the version is refused, if it is."""

    verdicts: list[dict[str, Any]]
    refused: str | None


def judge(
    criteria: Sequence[Any],
    metrics: Mapping[str, float],
    beside: Mapping[str, Any] | None = None,
    leaks: Sequence[Mapping[str, Any]] | None = None,
) -> Judgement:
    """Judge by criteria: metrics, the comparison with the live version, and what leaks."""
    verdicts = []
    for criterion in criteria:
        if isinstance(criterion, NoWorseThanLive):
            verdicts.append(criterion.judge(beside))
        elif isinstance(criterion, NoLeakage):
            verdicts.append(criterion.judge(leaks))
        else:
            verdicts.append(criterion.judge(metrics))
    broken = [verdict for verdict in verdicts if not verdict["met"]]
    refused = "; ".join(
        v.get("why") or f"{v['criterion']}: it is {v['value']:g}, the limit {v['limit']:g}" for v in broken
    )
    return Judgement(verdicts, refused or None)


def evaluation_of(
    objects: ObjectStore,
    model: Model,
    evaluation: Evaluation,
    *,
    train: pl.DataFrame,
    test: pl.DataFrame,
    proof: Stored,
    target: str,
    beside: Mapping[str, Any] | None = None,
    leaks: Sequence[Mapping[str, Any]] = (),
) -> EvaluationSpec:
    """How a model did on its test rows, with what live inputs and predictions will be compared with.

    Args:
        objects: where it is kept.
        model: the model.
        evaluation: its metrics.
        train: the rows that it was trained on.
        test: the rows that it was tested on, n of them.
        proof: these rows as they are stored.
        target: the column of `test` that holds the truth.
        beside: how it compares with the live version.
        leaks: what leaks into its training or test.
    """
    predictions = model.predict(test)
    profile = {
        "target": target,
        "inputs": _profiles(model.signature, train),
        "prediction": freeze_reference(predictions, _SEED, count=_BINS)[1].to_dict(),
        **_losses(predictions, test[target]),
        "groups": evaluation.groups,
        "comparison": beside,
        "leakage": list(leaks),
    }
    return EvaluationSpec(
        name="test",
        metrics=evaluation.metrics,
        slices=evaluation.slices,
        test=proof.spec,
        predictions=values.store(objects, pl.DataFrame({"prediction": predictions})).spec,
        profile=values.store(objects, profile).spec,
    )


def check_test(train: pl.DataFrame, test: pl.DataFrame, target: str, groups: Mapping[str, Sequence[str]]) -> None:
    """Refuse rows that nothing can be compared with: no truth, too few, labels of other rows. Raises UsageError."""
    if target not in test.columns:
        raise UsageError(f"the test rows have no column {target!r}", mend="name the column that holds the truth")
    for what, rows in (("train", train), ("test", test)):
        if rows.height < _FEWEST:
            raise UsageError(
                f"{what} has {rows.height} rows, and live ones can't be compared with so few",
                mend=f"hand over at least {_FEWEST} rows",
            )
    for name, labels in groups.items():
        if len(labels) != test.height:
            raise UsageError(
                f"the group {name!r} has {len(labels)} labels for {test.height} test rows",
                mend="give one label for each test row, in their order",
            )


def _losses(predictions: np.ndarray, truth: pl.Series) -> dict[str, Any]:
    """The kind of loss that a rollout compares by, and its summary: of numbers how far off, of classes how often."""
    if truth.dtype.is_numeric() and predictions.dtype.kind in "iuf":
        return {"loss_kind": "absolute_error", "loss": loss_summary(np.abs(predictions - truth.to_numpy()))}
    wrong = np.asarray([said != true for said, true in zip(predictions.tolist(), truth.to_list(), strict=True)], float)
    return {"loss_kind": "wrong", "loss": loss_summary(wrong)}


def _profiles(signature: Signature, train: pl.DataFrame) -> dict[str, Any]:
    """What live inputs are compared with; dates are left out, since time moves on by itself."""
    rows = signature.select(train)
    return {
        field.name: freeze_reference(rows[field.name].to_numpy(), _SEED, count=_BINS)[1].to_dict()
        for field in signature.inputs
        if field.kind not in ("date", "datetime")
    }


def packaged_signature(model: Model) -> Any:
    """The signature as JSON."""
    import msgspec

    return msgspec.to_builtins(model.signature)


def identity(
    model: str,
    evaluation: str | None,
    verdicts: list[dict[str, Any]],
    snapshots: Mapping[str, Snapshot],
    code: str | None,
    environment: str,
) -> str:
    """The same model, from the same snapshots, code and environment, judged the same."""
    used = sorted((role, snapshot.content_id) for role, snapshot in snapshots.items())
    # What it was compared with changes when it goes live itself, and makes it no other version.
    judged = [{"criterion": one["criterion"], "met": one["met"]} if "why" in one else one for one in verdicts]
    parts = [model, evaluation, judged, used, code, environment]
    return f"i1:{hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()}"
