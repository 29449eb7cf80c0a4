"""Rows of an endpoint whose truth is known by now: what it was asked, and what came true."""

from datetime import UTC, datetime
from typing import Any, Final

import polars as pl

from clew.errors import NotFoundError
from clew.models import ModelVersion
from clew.serving.observations import Observations
from clew.thread.times import from_micros
from clew.workspace import Workspace

_NEVER: Final = datetime(9000, 1, 1, tzinfo=UTC)


def labelled(
    workspace: Workspace, endpoint: str, version: ModelVersion, target: str, since: datetime | None = None
) -> pl.DataFrame:
    """Every prediction of an endpoint that has a label of this name: its inputs as `version` takes them, and the truth.

    Args:
        workspace: whose journal is read.
        endpoint: its name.
        version: whose signature says the types of the inputs.
        target: the name of the label; the column that holds it.
        since: only predictions from then on, in the world's time.

    Returns:
        One row for each, in the order in which the outcomes happened.

    Raises NotFoundError when there is none.
    """
    signature = version.signature_of()
    asked: list[dict[str, Any]] = []
    truths: list[Any] = []
    waiting: dict[str, dict[str, Any]] = {}  # a prediction that is joined has lost its inputs
    for look in Observations(workspace.journal, endpoint).looks(_NEVER):
        for one in look.observed.predictions:
            when = from_micros(one.occurred_at)
            if since is None or (when is not None and when >= since):
                waiting[one.id] = one.inputs
        for joined in look.observed.joined:
            found = joined.outcome
            inputs = waiting.get(joined.prediction.id)
            if found.kind == "label" and found.name == target and inputs is not None:
                asked.append({name: inputs.get(name) for name in signature.names})
                truths.append(found.value)
                del waiting[joined.prediction.id]
    if not asked:
        raise NotFoundError(
            f"the journal of this workspace has no label {target!r} for endpoint {endpoint}",
            mend=f"clew outcome add PREDICTION --name {target} --value …; or judge on rows of a dataset: --on REF",
        )
    nullable = type(signature)([type(field)(field.name, field.kind, nullable=True) for field in signature.inputs])
    # A truth may be written 70000 once and 70000.5 the next time.
    return nullable.table(asked).with_columns(pl.Series(target, truths, strict=False))
