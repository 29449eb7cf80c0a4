"""`clew rollout`: the careful change from one version to another."""

import json
from typing import Annotated, Any

import typer

from clew.cli._shared import Json, OccurredAt, Settings, emit, parse_moment, parse_settings, session

app = typer.Typer(help="Rollouts, decided by evidence.", no_args_is_help=True, rich_markup_mode=None)
Endpoint = Annotated[str, typer.Argument(help="The endpoint.")]


@app.command()
def start(
    endpoint: Endpoint,
    reference: Annotated[str, typer.Argument(help="The candidate, such as house-price@2.")],
    settings: Settings = None,
    occurred_at: OccurredAt = None,
    as_json: Json = False,
) -> None:
    """Begin to roll a version out; it answers in shadow first. --set changes the plan: margin=500, loss_cap=100000."""
    from clew.rollouts import start as begin

    parsed: dict[str, Any] = {
        name: json.loads(value) if value[:1] in "[{" else value for name, value in parse_settings(settings).items()
    }
    with session() as workspace:
        value = begin(workspace, endpoint, reference, parsed, occurred_at=parse_moment(occurred_at))
    emit(value, as_json, lambda: f"{value['candidate']} answers in shadow at {endpoint}")


@app.command()
def status(endpoint: Endpoint, as_json: Json = False) -> None:
    """How the newest rollout stands, and every decision with its evidence."""
    from clew.rollouts import status as look

    with session() as workspace:
        value = look(workspace, endpoint)
    emit(value, as_json, lambda: _words(value))


def _words(value: dict[str, Any]) -> str:
    against = f"{value['candidate']} against {value['champion']}"
    lines = [f"{value['endpoint']}: {against}: {value['state']}, {value['share']:.0%} of the traffic"]
    lines += [
        (
            f"  {one['at'][:10]} {one['verdict']} ({one['from']} → {one['to']}) after {one['requests']:,} requests "
            f"and {one['outcomes']:,} outcomes: {one['reason']}"
        )
        for one in value["decisions"]
    ]
    return "\n".join(lines)


@app.command()
def abort(
    endpoint: Endpoint,
    reason: Annotated[str, typer.Option(help="Why; kept with the decision.")] = "by hand",
    as_json: Json = False,
) -> None:
    """End the running rollout; all traffic goes to the champion."""
    _end(endpoint, "abort", reason, as_json)


@app.command()
def rollback(
    endpoint: Endpoint,
    reason: Annotated[str, typer.Option(help="Why; kept with the decision.")] = "by hand",
    as_json: Json = False,
) -> None:
    """Roll the running rollout back by hand; all traffic goes to the champion."""
    _end(endpoint, "rollback", reason, as_json)


def _end(endpoint: str, verdict: str, reason: str, as_json: bool) -> None:
    from clew.rollouts import end

    with session() as workspace:
        value = end(workspace, endpoint, verdict=verdict, reason=reason)
    emit(value, as_json, lambda: _words(value))


@app.command()
def replay(endpoint: Endpoint, as_json: Json = False) -> None:
    """Decide the newest rollout again from the journal; exit code 6 if the decisions differ."""
    from clew.errors import RefusedError
    from clew.rollouts import replay as decide_again

    with session() as workspace:
        value = decide_again(workspace, endpoint)
    emit(value, as_json, lambda: f"{len(value['replayed'])} decisions, {'the same' if value['same'] else 'DIFFERENT'}")
    if not value["same"]:
        raise RefusedError("the journal gives other decisions than were recorded")
