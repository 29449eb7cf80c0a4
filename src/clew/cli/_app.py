"""All commands, put together."""

import os
from pathlib import Path
from typing import Annotated

import typer

from clew.cli import (
    bisect,
    card,
    compare,
    contract,
    data,
    endpoint,
    erase,
    journal,
    key,
    model,
    monitor,
    retention,
    rollout,
    run,
    side_by_side,
    used_by,
)
from clew.cli import workspace as whole
from clew.cli._shared import Json, emit, say, session

app = typer.Typer(
    name="clew",
    help="Ties every prediction to the exact data, code, parameters and environment behind it, and leads back.\n\n"
    "--workspace DIR (or CLEW_WORKSPACE) names the workspace, else the nearest .clew/ upwards.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.add_typer(data.app, name="data")
app.add_typer(contract.app, name="contract")
app.add_typer(run.runs, name="runs")
app.add_typer(model.app, name="model")
model.app.command("bisect")(bisect.bisect)
model.app.command("import")(compare.import_)
model.app.command("compare")(compare.compare)
model.app.command("history")(compare.history)
model.app.command("describe")(card.describe)
model.app.command("card")(card.card)
app.add_typer(endpoint.app, name="endpoint")
app.add_typer(endpoint.outcome, name="outcome")
app.add_typer(rollout.app, name="rollout")
app.add_typer(monitor.app, name="monitor")
app.add_typer(whole.app, name="workspace")
app.add_typer(journal.app, name="journal")
app.add_typer(key.app, name="key")
app.add_typer(retention.app, name="retention")
app.add_typer(retention.hold, name="hold")
run.runs.command("compare")(side_by_side.runs)
data.app.command("erase")(erase.erase)
data.app.command("erasures")(erase.erasures)
data.app.command("used-by")(used_by.snapshot)
model.app.command("used-by")(used_by.version)
app.command("run")(run.run)
app.command("sweep")(run.sweep)
app.command("serve")(endpoint.serve)


@app.command()
def init(
    folder: Annotated[Path | None, typer.Argument(help="Where to make .clew/; --workspace, or here.")] = None,
    catalog: Annotated[str | None, typer.Option(help="PostgreSQL URL without password, for a team.")] = None,
    objects: Annotated[str | None, typer.Option(help="s3://bucket/prefix?endpoint=…, for a team.")] = None,
    as_json: Json = False,
) -> None:
    """Make a workspace."""
    from clew.workspace import init as make

    folder = folder or Path(os.environ.get("CLEW_WORKSPACE") or ".")
    created = make(folder, catalog=catalog, objects=objects)
    value = {"workspace": str(folder.resolve()), "created": created}
    emit(value, as_json, lambda: f"{'made' if created else 'there is already'} a workspace in {folder.resolve()}")


@app.command()
def upgrade(as_json: Json = False) -> None:
    """Bring the workspace's catalog to this version's schema."""
    from clew.workspace import Workspace, find_root

    with Workspace(find_root()) as workspace:
        done = workspace.catalog.upgrade()
    emit({"migrations": done}, as_json, lambda: f"ran: {', '.join(done)}" if done else "nothing to do")


@app.command()
def doctor(as_json: Json = False) -> None:
    """Check the workspace, and say what is wrong."""
    from clew.errors import IntegrityError
    from clew.thread.doctor import examine

    with session() as workspace:
        findings = examine(workspace)
    bad = [finding for finding in findings if not finding["ok"]]
    emit(
        findings,
        as_json,
        lambda: "\n".join(f"{'ok  ' if one['ok'] else 'BAD '} {one['what']}: {one['found']}" for one in findings),
    )
    if bad:
        raise IntegrityError(
            f"{len(bad)} things are wrong: {', '.join(finding['what'] for finding in bad)}",
            mend="put what is missing or damaged back from a backup; clew data verify says which snapshots it concerns",
        )


@app.command()
def why(
    prediction: Annotated[str, typer.Argument(help="The id of a prediction.")],
    as_json: Json = False,
) -> None:
    """Walk a prediction back: version, run, code, parameters, environment, data, source; and its outcome."""
    from clew.thread import describe

    with session() as workspace:
        found = workspace.why(prediction)
    emit(found, as_json, lambda: describe(found))


@app.command()
def hub(
    host: Annotated[str, typer.Option(help="Address; others than this machine need CLEW_TOKEN.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 for any that is free.")] = 8686,
) -> None:
    """Serve the pages of the workspace."""
    from clew.hub.serve import serve

    with session() as workspace:
        serve(
            workspace,
            host=host,
            port=port,
            token=os.environ.get("CLEW_TOKEN") or None,
            announce=lambda url: say(f"clew hub: {url}"),
        )
