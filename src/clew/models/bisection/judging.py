"""The rows that all builds are judged on: the same for each, and none that any of the two versions was trained on."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl
import sqlalchemy as sa

from clew.catalog.commands import ArtifactSpec
from clew.catalog.tables import builds, models
from clew.errors import RefusedError, UsageError
from clew.models.bisection.metrics import METRICS, Metric
from clew.models.registry import ModelVersion
from clew.pipelines.values import Stored

FEWEST: Final = 30
"""Rows that are needed to tell two builds apart."""


@dataclass(frozen=True)
class Judged:
    """n rows with the inputs of both versions and the truth."""

    rows: pl.DataFrame
    target: str
    says: str
    left_out: int
    """How many more there were, on which one of the versions was trained."""


def target_of(version: ModelVersion) -> str:
    """The column that holds the truth. Raises NotFoundError for a version without an evaluation."""
    profile = stored(version.artifact("profile")).load(version.workspace.objects)
    return str(profile["target"])


def stored(row: sa.Row[Any]) -> Stored:
    """An artifact's row of the catalog as a value that can be loaded."""
    names = ("kind", "content_id", "digest", "bytes", "rows", "body")
    return Stored(ArtifactSpec(**{name: getattr(row, name) for name in names}))


def rows_to_judge(good: ModelVersion, bad: ModelVersion, given: tuple[str, pl.DataFrame] | None) -> Judged:
    """Choose the rows: those that are given, else the test rows of the good version, else of the bad one.

    Raises:
        UsageError: the versions predict different things, or the rows lack a column.
        RefusedError: too few rows are left that neither version was trained on.
    """
    target = target_of(good)
    if target_of(bad) != target:
        raise UsageError(
            f"{good.reference} predicts {target}, {bad.reference} predicts {target_of(bad)}: they can't be compared",
            mend="bisect between versions of one model",
        )
    offers = [given] if given else [(f"test rows of {one.reference}", _test_rows(one)) for one in (good, bad)]
    refused = []
    for says, rows in offers:
        needs = {*good.signature_of().names, *bad.signature_of().names, target}
        missing = sorted(needs - set(rows.columns))
        if missing:
            refused.append(f"{says} lack {', '.join(missing)}")
            continue
        known = rows.filter(pl.col(target).is_not_null())
        fresh = known.filter(~_was_trained_on(known, good, target) & ~_was_trained_on(known, bad, target))
        if fresh.height >= FEWEST:
            return Judged(fresh, target, f"{fresh.height:,} {says}", known.height - fresh.height)
        refused.append(f"of the {known.height:,} {says}, {fresh.height:,} were in neither version's training")
    if given and "lack" in refused[0]:
        raise UsageError(f"the {refused[0]}", mend="give rows with the inputs of both versions, and the truth")
    raise RefusedError(
        f"there are no {FEWEST} rows to judge {good.reference} and {bad.reference} on: {'; '.join(refused)}",
        mend="name rows that neither was trained on: --on DATASET@VERSION",
    )


def metric_of(good: ModelVersion, bad: ModelVersion, name: str | None) -> Metric:
    """The metric: the one named, else what the good version's criteria name first, else what suits the target.

    Raises UsageError for one that can't be told row by row.
    """
    if name is not None and name not in METRICS:
        both = good.metrics.keys() & bad.metrics.keys()
        known = "is no metric of either version" if name not in both else "is the pipeline's own, and has no rows"
        raise UsageError(
            f"{name!r} {known}: an effect needs an interval over the test rows",
            mend=f"--metric {' | '.join(METRICS)}",
        )
    if name is not None:
        return METRICS[name]
    profile = stored(good.artifact("profile")).load(good.workspace.objects)
    if profile["loss_kind"] == "wrong":
        return METRICS["error_rate"]
    criteria = [str(one["criterion"]).split()[0] for one in good.verdicts]
    return METRICS[next((one for one in criteria if one in METRICS and METRICS[one].numeric), "mae")]


def _test_rows(version: ModelVersion) -> pl.DataFrame:
    found: pl.DataFrame = stored(version.artifact("test")).load(version.workspace.objects, pl.DataFrame)
    return found


def _was_trained_on(rows: pl.DataFrame, version: ModelVersion, target: str) -> pl.Series:
    """Which rows have inputs and truth that stand among the version's training rows."""
    i = models.model_inputs.c
    found = version.workspace.catalog.first(
        sa.select(builds.artifacts)
        .join(models.model_inputs, i.artifact_id == builds.artifacts.c.id)
        .where(i.model_version_id == version.id, i.role == "train")
    )
    never = pl.Series(np.zeros(rows.height, bool))
    if found is None:
        return never
    train: pl.DataFrame = stored(found).load(version.workspace.objects, pl.DataFrame)
    names = [name for name in version.signature_of().names if name in train.columns and name in rows.columns]
    if not names:
        return never
    signature = version.signature_of()
    truth = [_alike(rows[target]), _alike(train[target])] if target in train.columns else []
    left = signature.select(rows).select(*names, *truth[:1]).hash_rows()
    try:
        right = signature.select(train).select(*names, *truth[1:]).hash_rows()
    except UsageError:  # the training rows lack an input, which the model's own code makes
        return never
    return left.is_in(right.implode())


def _alike(truth: pl.Series) -> pl.Series:
    return (truth.cast(pl.Float64) if truth.dtype.is_numeric() else truth.cast(pl.String)).alias("clew truth")
