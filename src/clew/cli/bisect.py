"""`clew model bisect`: which change made it worse."""

from pathlib import Path
from typing import Annotated, Any

import typer

from clew.cli._shared import Json, emit, parse_moment, progress, session


def bisect(
    good: Annotated[str, typer.Argument(help="The version that was good: house-price@7")],
    bad: Annotated[str, typer.Argument(help="The one that is worse: house-price@8")],
    metric: Annotated[
        str | None, typer.Option(help="mae, mse, rmse, mape, error_rate, accuracy; what the criteria name, if none.")
    ] = None,
    on: Annotated[str | None, typer.Option(help="Judge on the rows of a snapshot, such as house-sales@9.")] = None,
    outcomes: Annotated[
        str | None, typer.Option(help="Judge on what came true in service: the name of an endpoint.")
    ] = None,
    since: Annotated[str | None, typer.Option(help="Of outcomes, only of predictions from then on (ISO).")] = None,
    budget: Annotated[int, typer.Option(help="How many builds there may be.")] = 40,
    margin: Annotated[float, typer.Option(help="A loss of no more than this is none.")] = 0.0,
    wheels: Annotated[
        Path | None, typer.Option(help="A folder of wheels, so that no index is asked for other libraries.")
    ] = None,
    build_seconds: Annotated[
        float | None, typer.Option(help="End a build that takes longer; ten minutes, or ten times a run, if not given.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Build the crossings of what differs, and say which of it made the metric worse."""
    from clew.data import find as find_snapshot
    from clew.errors import UsageError
    from clew.models import find
    from clew.models.bisection.bisect import bisect as search
    from clew.models.bisection.judging import target_of
    from clew.models.bisection.report import describe
    from clew.thread.labelled import labelled

    if on and outcomes:
        raise UsageError("--on and --outcomes both name rows to judge on", mend="give one of them")
    with session() as workspace, progress() as report:
        first, second = find(workspace, good), find(workspace, bad)
        rows: Any = None
        if on:
            rows = (f"rows of {on}", find_snapshot(workspace, on).collect())
        elif outcomes:
            found = labelled(workspace, outcomes, first, target_of(first), parse_moment(since))
            rows = (f"outcomes of {outcomes}", found)
        value = search(
            first,
            second,
            metric=metric,
            on=rows,
            budget=budget,
            margin=margin,
            wheels=wheels,
            build_seconds=build_seconds,
            progress=lambda done, most, _says: report("builds", done, most) if report else None,
        ).facts()
    emit(value, as_json, lambda: describe(value))
