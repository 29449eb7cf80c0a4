"""`clew model`: versions of models, and the way back."""

from pathlib import Path
from typing import Annotated, Any

import typer

from clew._words import number
from clew.cli._shared import Json, emit, say, session, short, table

app = typer.Typer(help="Models and their versions.", no_args_is_help=True, rich_markup_mode=None)
Reference = Annotated[str, typer.Argument(help="house-price@7, house-price@latest, house-price@alias")]


@app.command("list")
def list_(model: Annotated[str | None, typer.Argument()] = None, as_json: Json = False) -> None:
    """All versions, the newest first."""
    from clew.models import all_versions

    with session() as workspace:
        found = [
            {
                "model": one.reference,
                "state": one.state,
                "provenance": one.provenance,
                "id": short(one.content_id),
                "run": one.run_id,
                **{name: one.metrics[name] for name in sorted(one.metrics)},
            }
            for one in all_versions(workspace, model)
        ]
    columns = list(dict.fromkeys(name for one in found for name in one))
    emit(found, as_json, lambda: table(found, columns, empty="no model yet: clew run FILE.py"))


@app.command()
def show(reference: Reference, as_json: Json = False) -> None:
    """One version: metrics, slices, verdicts, what it came from."""
    from clew.models import find
    from clew.models.comparison import slices_of
    from clew.thread.erasure.receipts import marked_versions

    with session() as workspace:
        found = find(workspace, reference)
        value: dict[str, Any] = {
            "model": found.reference,
            "state": found.state,
            "refused_because": found.refused_because,
            "provenance": found.provenance,
            "id": found.content_id,
            "run": found.run_id,
            "aliases": found.aliases(),
            "metrics": dict(found.metrics),
            "verdicts": found.verdicts,
            "slices": slices_of(found),
            "inputs": found.inputs(),
            "signature": dict(found.signature),
            "erasures": marked_versions(workspace, found.id).get(found.id, []),
        }
    emit(value, as_json, lambda: _words(value))


def _words(value: dict[str, Any]) -> str:
    lines = [f"{value['model']}  {value['state']}  {value['provenance']}  {value['id']}"]
    lines += [f"  {name} = {number(metric)}" for name, metric in value["metrics"].items()]
    if value["provenance"] == "imported":
        lines.append("  it came from elsewhere: nothing is promised about how it was made")
    if value["erasures"]:
        lines.append(f"  rows that trained it were erased since: clew data erasures {value['erasures'][-1]}")
    lines += [f"  {'met' if one['met'] else 'NOT MET'}: {_verdict(one)}" for one in value["verdicts"]]
    lines += [f"  {one['role']}: {one['snapshot'] or 'rows'} {one['id']}" for one in value["inputs"]]
    slices = table(value["slices"], list(value["slices"][0]), empty="") if value["slices"] else ""
    return "\n".join([*lines, slices])


def _verdict(one: dict[str, Any]) -> str:
    why: str | None = one.get("why")
    return why or f"{one['criterion']} (it is {number(one['value'])}, the limit {number(one['limit'])})"


@app.command()
def alias(
    reference: Reference,
    name: Annotated[str, typer.Argument(help="Such as staging.")],
    reason: Annotated[str | None, typer.Option(help="Why; kept with the move.")] = None,
    as_json: Json = False,
) -> None:
    """Point an alias at a version; every move is kept."""
    from clew.models import move_alias

    with session() as workspace:
        value = move_alias(workspace, reference, name, reason)
    emit(value, as_json, lambda: f"{value['alias']}: {value['from'] or 'new'} → {value['to']}")


@app.command()
def restore(reference: Reference, dest: Path, as_json: Json = False) -> None:
    """Lay out a folder with the code, data, parameters, environment and model of a version."""
    from clew.models import find
    from clew.models.restore import restore as lay_out

    with session() as workspace:
        value = lay_out(find(workspace, reference), dest)
    emit(value, as_json, lambda: f"restored {value['model']} to {dest}; its README.md says how to run it")


@app.command()
def rebuild(
    reference: Reference,
    fresh: Annotated[bool, typer.Option("--fresh", help="Always in a new environment from the recorded lock.")] = False,
    offline: Annotated[
        bool, typer.Option("--offline", help="In a new one from wheels that are kept: clew model wheels.")
    ] = False,
    tolerance: Annotated[float, typer.Option(help="By what share metrics and predictions may differ.")] = 1e-6,
    as_json: Json = False,
) -> None:
    """Build a version again from what was recorded, and say whether it is the same; exit code 6 if different."""
    from clew.errors import RefusedError
    from clew.models import find
    from clew.models.rebuild import rebuild as build_again

    with session() as workspace:
        value = build_again(
            find(workspace, reference),
            fresh=fresh,
            offline=offline,
            tolerance=tolerance,
            say=lambda text: say(f"{text} …"),
        )
    lines = [f"{value['model']}: {value['verdict']}", *(f"  {cause}" for cause in value["causes"])]
    lines += [f"  same {name}: {'yes' if same else 'no'}" for name, same in value["same"].items()]
    emit(value, as_json, lambda: "\n".join(lines))
    if value["verdict"] == "different":
        raise RefusedError(f"{reference} came out different: {'; '.join(value['causes'])}")


@app.command()
def wheels(reference: Reference, as_json: Json = False) -> None:
    """Keep wheels of a version's environment with the workspace, for rebuilds without any index."""
    from clew.models import find
    from clew.models.wheels import keep

    with session() as workspace:
        value = keep(find(workspace, reference))
    emit(
        value,
        as_json,
        lambda: (
            f"{value['kept']} wheels are kept for {value['model']}, {value['new']} of them new "
            f"({value['bytes'] / 1e6:,.0f} MB)"
        ),
    )


@app.command()
def predict(
    reference: Reference,
    dataset: Annotated[str, typer.Argument(help="A snapshot with the model's columns.")],
    out: Annotated[Path, typer.Option(help="Where to write the predictions (Parquet).")],
    as_json: Json = False,
) -> None:
    """Predict all rows of a snapshot."""
    import polars as pl

    from clew.data import find as find_snapshot
    from clew.errors import RefusedError
    from clew.models import find

    with session() as workspace:
        if out.exists():
            raise RefusedError(f"{out} is there already", mend="remove it, or name another file")
        version = find(workspace, reference)
        rows = find_snapshot(workspace, dataset).collect()
        predicted = version.load().predict(rows)
        rows.with_columns(pl.Series("prediction", predicted)).write_parquet(out)
    value = {"model": version.reference, "dataset": dataset, "rows": rows.height, "file": str(out)}
    emit(value, as_json, lambda: f"{rows.height:,} predictions in {out}")
