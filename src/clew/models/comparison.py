"""Two versions of a model on the same rows: each metric's difference with its interval, and by slice."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from clew.catalog.commands import ArtifactSpec
from clew.errors import ClewError, DataError, NotFoundError, UsageError
from clew.models.evaluation import natural
from clew.models.live import live_version
from clew.models.losses import BETTER, row_metrics
from clew.models.model import Model
from clew.models.registry import ModelVersion
from clew.pipelines import values
from clew.stats import paired_difference
from clew.workspace import Workspace

ALPHA = 0.05
FEWEST = 20  # rows that an interval of a slice needs
_SEED = 23  # of the resampling; any fixed number serves

Fact = dict[str, Any]


def compare(a: ModelVersion, b: ModelVersion, rows: pl.DataFrame | None = None, target: str | None = None) -> Fact:
    """How the candidate `b` differs from `a`, both loaded and asked for the same rows.

    Args:
        a: the version to compare with.
        b: the candidate; its test rows are taken, unless others are given.
        rows: rows with the models' inputs and the truth.
        target: the column of the truth; that of b's test, if not given.

    Raises NotFoundError when b has no test rows, UsageError when the rows lack what one of them needs.
    """
    groups: Mapping[str, Sequence[str]] = {}
    own = rows is None
    profile = profile_of(b)
    target = target or (profile or {}).get("target")
    if target is None:
        raise NotFoundError(
            f"{b.reference} was registered without test rows, so nobody knows which column holds the truth",
            mend="give --on DATASET@VERSION --target COLUMN",
        )
    if rows is None:
        rows, groups = test_rows(b), (profile or {}).get("groups", {})
    if target not in rows.columns:
        raise UsageError(f"the rows have no column {target!r}", mend="name the column of the truth: --target COLUMN")
    names = list(dict.fromkeys(one["slice"] for one in slices_of(b)))
    found = differences(a.load(), b.load(), rows, rows[target], {**columns_of(rows, names), **groups})
    return {"a": a.reference, "b": b.reference, "on": "its test rows" if own else "rows", "target": target, **found}


def with_live(
    workspace: Workspace, name: str, model: Model, rows: pl.DataFrame, target: str, content_id: str
) -> Fact | None:
    """A candidate beside the live version of the model, on its test rows; None when there is none, or it is the same.

    What keeps the two from being compared is said as "problem": it must not keep the candidate from being registered.
    """
    live = live_version(workspace, name)
    if live is None:
        return None
    said = {"a": live.version.reference, "because": live.because}
    try:
        other = model if live.version.content_id == content_id else live.version.load()
        return {**said, **differences(other, model, rows, rows[target], {})}
    except ClewError as error:
        return {**said, "problem": error.message}
    except Exception as error:  # noqa: BLE001 - the live version's own code may raise anything
        return {**said, "problem": f"{type(error).__name__}: {error}"}


def differences(a: Model, b: Model, rows: pl.DataFrame, truth: pl.Series, groups: Mapping[str, Sequence[str]]) -> Fact:
    """Each metric's difference b − a over n rows with a truth, with 95% intervals (bootstrap-t over pairs of rows).

    Of slices the first metric is compared; their verdicts hold together at 5% (Bonferroni), their intervals each.
    """
    left, right = row_metrics(a.predict(rows), truth), row_metrics(b.predict(rows), truth)
    if left.keys() != right.keys():
        raise DataError("one of the two predicts numbers and the other classes", mend="compare versions of one kind")
    known = np.isfinite(next(iter(left.values())))
    if known.sum() < 2:
        raise DataError("fewer than two rows have a truth", mend="give rows whose outcome is known")
    metrics = [_difference(name, left[name][known], right[name][known], ALPHA) for name in left]
    first = next(iter(left))
    return {
        "rows": int(known.sum()),
        "level": 1 - ALPHA,
        "metrics": metrics,
        "slices": _by_slice(first, left[first][known], right[first][known], groups, known),
    }


def _by_slice(
    metric: str, left: np.ndarray, right: np.ndarray, groups: Mapping[str, Sequence[str]], known: np.ndarray
) -> list[Fact]:
    found = []
    for name, labels in groups.items():
        marks = np.asarray(labels, dtype=str)[known]
        found += [(name, value, marks == value) for value in sorted(set(marks.tolist()), key=natural)]
    enough = sum(1 for *_, member in found if member.sum() >= FEWEST)
    return [
        {
            "slice": name,
            "value": value,
            "rows": int(member.sum()),
            **_difference(metric, left[member], right[member], ALPHA, enough),
        }
        for name, value, member in found
    ]


def _difference(metric: str, left: np.ndarray, right: np.ndarray, alpha: float, among: int | None = None) -> Fact:
    """The difference of one metric; as one slice of several, with a verdict that allows for their number."""
    said: Fact = {"metric": metric, "a": float(left.mean()), "b": float(right.mean())}
    said["better"] = BETTER.get(metric)
    if len(left) < (2 if among is None else FEWEST):
        return {**said, "difference": said["b"] - said["a"], "low": None, "high": None, "verdict": "too few rows"}
    interval = paired_difference(left, right, alpha, _SEED)
    strict = interval if not among or among == 1 else paired_difference(left, right, alpha / among, _SEED)
    return {
        **said,
        "difference": interval.estimate,
        "low": interval.low,
        "high": interval.high,
        "verdict": _verdict(strict.low, strict.high, said["better"]),
    }


def _verdict(low: float, high: float, better: str | None) -> str:
    if low <= 0 <= high:
        return "no difference shown"
    if better is None:
        return "different"
    return "better" if (high < 0) == (better == "lower") else "worse"


def test_rows(version: ModelVersion) -> pl.DataFrame:
    """The rows that it was tested on. Raises NotFoundError."""
    found: pl.DataFrame = stored(version, "test")
    return found


def profile_of(version: ModelVersion) -> Fact | None:
    """What is kept of its test beside metrics: target, groups, comparison; None when it was registered without one."""
    try:
        found: Fact = stored(version, "profile")
    except NotFoundError:
        return None
    return found


def stored(version: ModelVersion, role: str) -> Any:
    """What is kept of its test: the rows ("test"), the "predictions", or the "profile". Raises NotFoundError."""
    row = version.artifact(role)._mapping  # noqa: SLF001 - SQLAlchemy's public name for a row as a mapping
    spec = ArtifactSpec(**{name: row[name] for name in ("kind", "content_id", "digest", "bytes", "rows", "body")})
    return values.Stored(spec).load(version.workspace.objects)


def slices_of(version: ModelVersion) -> list[Fact]:
    """The metrics by slice that it was registered with."""
    try:
        return list(version.evaluation()["slices"])
    except NotFoundError:
        return []


def columns_of(rows: pl.DataFrame, names: Sequence[str]) -> dict[str, list[str]]:
    """The slices that are columns of the rows: the label of each row."""
    return {name: [str(one) for one in rows[name]] for name in names if name in rows.columns}
