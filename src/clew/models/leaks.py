"""What leaks into the training or the test of a version, looked for when it is registered."""

from collections.abc import Iterable
from typing import Any

import polars as pl

from clew.data import Snapshot
from clew.data.leakage import as_json, leakage
from clew.models.signature import Signature

Fact = dict[str, Any]


def leaks_of(
    signature: Signature,
    snapshots: Iterable[Snapshot],
    *,
    train: pl.DataFrame,
    test: pl.DataFrame,
    target: str,
    subject: str | None = None,
    at: str | None = None,
) -> list[Fact]:
    """The findings as JSON: the model's inputs against the target, the test's rows and subjects against the training.

    Args:
        signature: what the model sees.
        snapshots: what the rows came from; their subject is taken, where the rows still have it.
        train: the rows that it was trained on.
        test: the rows that it was tested on.
        target: the column of the truth.
        subject: the column of the subject, if it isn't the snapshots'.
        at: the column of the moment at which the model answers.
    """
    both = [name for name in train.columns if name in test.columns]
    subject = subject or next((one.subject_column for one in snapshots if one.subject_column in both), None)
    features = [field.name for field in signature.inputs]
    try:
        found = leakage(
            train,
            target=target if target in train.columns else None,
            test=test,
            subject=subject,
            at=at,
            features=[name for name in features if name in train.columns],
        )
    except pl.exceptions.PolarsError as error:
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        message = f"leakage could not be looked for: {said}"
        return [{"column": "(rows)", "kind": "not-looked-for", "message": message, "rows": 0, "share": 0.0}]
    return as_json(found)
