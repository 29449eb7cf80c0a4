"""`clew endpoint`, `clew serve`, `clew outcome`: what answers, and what is learned later."""

from pathlib import Path
from typing import Annotated, Literal, cast

import typer

from clew.cli._shared import Json, OccurredAt, emit, parse_moment, say, session, table

app = typer.Typer(help="Endpoints that answer predictions.", no_args_is_help=True, rich_markup_mode=None)
outcome = typer.Typer(help="What is learned later about predictions.", no_args_is_help=True, rich_markup_mode=None)


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="The endpoint, such as house-price.")],
    model: Annotated[str, typer.Option(help="The version that answers, such as house-price@1.")],
    entity: Annotated[str | None, typer.Option(help="The request's field that names whom it is about.")] = None,
    occurred_at: OccurredAt = None,
    as_json: Json = False,
) -> None:
    """Create an endpoint that answers with a model version."""
    from clew.catalog import now
    from clew.serving import create_endpoint

    with session() as workspace:
        route = create_endpoint(
            workspace, name, model, entity_column=entity, occurred_at=parse_moment(occurred_at) or now()
        )
    value = {"endpoint": name, "model": route.champion.model_version, "revision": route.revision}
    emit(value, as_json, lambda: f"{name} answers with {value['model']}: clew serve {name} --port 8080")


@app.command("list")
def list_(as_json: Json = False) -> None:
    """All endpoints, and what is live behind them."""
    from clew.serving import all_endpoints, current_route

    with session() as workspace:
        found = [
            {
                "endpoint": name,
                "live": [f"{t.model_version} {t.role} {t.share:.0%}" for t in route.targets],
                "revision": route.revision,
                "reason": route.reason,
            }
            for name in all_endpoints(workspace)
            for route in [current_route(workspace, name)]
        ]
    columns = ("endpoint", "live", "revision", "reason")
    emit(found, as_json, lambda: table(found, columns, empty="no endpoint yet: clew endpoint create NAME --model REF"))


@app.command("erased")
def erased(
    name: Annotated[str, typer.Argument(help="The endpoint.")],
    policy: Annotated[str, typer.Argument(help="serve or refuse")],
    reason: Annotated[str, typer.Option(help="Why; kept with the change.")] = "",
    as_json: Json = False,
) -> None:
    """Say whether versions may answer that were trained on rows which were erased since; they may, unless refused."""
    from clew.catalog.commands import SetErasedPolicy
    from clew.errors import UsageError
    from clew.serving import current_route

    if policy not in ("serve", "refuse"):
        raise UsageError(f"{policy!r} is neither serve nor refuse")
    with session() as workspace:
        route = current_route(workspace, name)
        changed = workspace.catalog.execute(
            SetErasedPolicy(
                endpoint_id=route.endpoint_id, erased_data=cast("Literal['serve', 'refuse']", policy), reason=reason
            )
        )
    value = {"endpoint": name, "erased_data": policy, "changed": changed}
    emit(value, as_json, lambda: f"{name}: versions whose training rows were erased since: {policy}")


def serve(
    endpoints: Annotated[list[str] | None, typer.Argument(help="Endpoints; all, if none is named.")] = None,
    port: Annotated[int, typer.Option(help="Port; 0 for any that is free.")] = 8080,
    host: Annotated[str, typer.Option(help="Address; others than this machine need CLEW_TOKEN.")] = "127.0.0.1",
    clock: Annotated[str, typer.Option(help="wall, or data: time is told by POST /clock (for replays).")] = "wall",
    writer: Annotated[str | None, typer.Option(help="The name of this server's journal.")] = None,
) -> None:
    """Serve endpoints over HTTP; rollouts and monitors are kept up by the same process."""
    import os
    from datetime import datetime

    # Single rows are predicted, by many requests at once: threads within one prediction only wait for each other.
    for name in ("OMP_NUM_THREADS", "POLARS_MAX_THREADS"):
        os.environ.setdefault(name, "1")
    from clew.errors import UsageError
    from clew.monitoring import Monitor
    from clew.rollouts import Controller
    from clew.serving.clock import DataClock, WallClock
    from clew.serving.serve import require_token
    from clew.serving.serve import serve as run_server
    from clew.serving.server import Server

    if clock not in ("wall", "data"):
        raise UsageError(f"--clock {clock!r} is neither wall nor data")
    token = os.environ.get("CLEW_TOKEN") or None
    require_token(host, token)
    with session() as workspace:
        server = Server(
            workspace,
            endpoints or [],
            writer or f"serve-{port or os.getpid()}",
            DataClock() if clock == "data" else WallClock(),
        )
        server.refresh()
        controller = Controller(workspace)
        monitors = {name: Monitor(workspace, name) for name in server.routes}

        def on_advance(now: datetime) -> None:
            for name, decision in controller.advance(now):
                say(f"clew serve: {name}: {decision.verdict}: {decision.reason}")
            for name in server.routes:
                if name not in monitors:
                    monitors[name] = Monitor(workspace, name)
                for message in monitors[name].advance(now):
                    say(f"clew serve: {name}: alert: {message}")

        server.on_advance = on_advance
        run_server(server, host=host, port=port, token=token)


@outcome.command("add")
def add(
    prediction: Annotated[
        str,
        typer.Argument(metavar="PREDICTION|FILE.json", help="A prediction's id, or a file as POST /outcomes takes."),
    ],
    name: Annotated[str | None, typer.Option(help="What was learned, such as price_usd.")] = None,
    value: Annotated[str | None, typer.Option(help="Its value (JSON, or text).")] = None,
    kind: Annotated[str, typer.Option(help="label (the truth) or response (touched by the answer).")] = "label",
    occurred_at: OccurredAt = None,
    as_json: Json = False,
) -> None:
    """Journal an outcome, or a file of them, without a server."""
    import json
    import os

    from clew.catalog import now
    from clew.errors import NotFoundError, UsageError
    from clew.serving.discretion import kept_outcomes
    from clew.serving.journal import Journal, find_prediction
    from clew.serving.requests import outcomes

    with session() as workspace:
        if prediction.endswith(".json"):
            file = Path(prediction)
            if not file.is_file():
                raise NotFoundError(f"there is no file {file}", mend="check the path")
            body = file.read_bytes()
        else:
            if name is None or value is None:
                raise UsageError("an outcome needs its name and value", mend="add --name price_usd --value 72000")
            if find_prediction(workspace.journal, prediction) is None:
                raise NotFoundError(f"no prediction {prediction} is in this workspace", mend="check the id")
            one = {"prediction_id": prediction, "name": name, "kind": kind, "value": _value(value)}
            moment = parse_moment(occurred_at)
            body = json.dumps(one if moment is None else {**one, "occurred_at": moment.isoformat()}).encode()
        found = kept_outcomes(workspace, outcomes(body, now(), source="clew outcome add"))
        with Journal(workspace.journal, f"outcomes-{os.getpid()}") as journal:
            journal.append(found).result()
    emit({"recorded": len(found)}, as_json, lambda: f"recorded {len(found)} outcome(s)")


def _value(text: str) -> object:
    import json

    try:
        found: object = json.loads(text)
    except ValueError:
        return text
    return found if isinstance(found, int | float | bool) or found is None else text
