"""`clew model compare`, `history`, `import`: versions side by side, where aliases pointed, models from elsewhere."""

from pathlib import Path
from typing import Annotated, Any

import typer

from clew.cli._shared import Json, emit, session, table


def import_(
    name: Annotated[str, typer.Argument(help="What the model is called here, such as house-price.")],
    source: Annotated[Path, typer.Argument(help="A folder of MLflow's format, an archive of one, or an .onnx file.")],
    data: Annotated[str | None, typer.Option(help="A snapshot that is said to have trained it.")] = None,
    example: Annotated[
        Path | None, typer.Option(help="Rows as requests bring them (Parquet, CSV, JSON lines).")
    ] = None,
    trust_pickle: Annotated[
        bool, typer.Option("--trust-pickle", help="Load a pickle; whoever made it can run any code here.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Register a model that was made elsewhere; nothing is promised about how it was made."""
    from clew.models.foreign import import_model

    with session() as workspace:
        version, about = import_model(workspace, name, source, data=data, example=example, trust_pickle=trust_pickle)
        value = {
            "model": version.reference,
            "provenance": version.provenance,
            "id": version.content_id,
            "run": version.run_id,
            "inputs": [dict(field) for field in version.signature["inputs"]],
            **about,
        }
    emit(value, as_json, lambda: _imported(value))


def _imported(value: dict[str, Any]) -> str:
    lines = [
        f"{value['model']}  {value['provenance']}  {value['id']}",
        "  it came from elsewhere: nothing is promised about how it was made",
        f"  {value['format']}, flavor {value['flavor']}, {value['file']}",
        f"  takes {', '.join(one['name'] + ' (' + one['kind'] + ')' for one in value['inputs'])}",
        f"  example: {value['example']}",
    ]
    return "\n".join(lines if value["changed"] else [*lines, "  it was there already"])


def compare(
    a: Annotated[str, typer.Argument(help="The version to compare with, such as the live one.")],
    b: Annotated[str, typer.Argument(help="The candidate; its test rows are taken, unless --on names others.")],
    on: Annotated[str | None, typer.Option("--on", help="A snapshot with the inputs and the truth.")] = None,
    target: Annotated[str | None, typer.Option(help="The column of the truth; that of B's test, if not given.")] = None,
    as_json: Json = False,
) -> None:
    """Both versions on the same rows: each metric's difference with its interval, and by slice."""
    from clew.data import find as find_snapshot
    from clew.models import find
    from clew.models.comparison import compare as beside

    with session() as workspace:
        snapshot = None if on is None else find_snapshot(workspace, on)
        rows = None if snapshot is None else snapshot.collect()
        value = beside(find(workspace, a), find(workspace, b), rows, target)
        if snapshot is not None:
            value["on"] = snapshot.reference
    emit(value, as_json, lambda: _compared(value))


def _compared(value: dict[str, Any]) -> str:
    a, b = value["a"], value["b"]
    head = f"{b} beside {a}, on {value['on']}: {value['rows']:,} rows, intervals of {value['level']:.0%}"
    lines = [f"{head}; difference = {b} − {a}"]
    for what in ("metrics", "slices"):
        rows = [
            {
                **({"slice": f"{one['slice']} = {one['value']}", "rows": one["rows"]} if what == "slices" else {}),
                **{name: one[name] for name in ("metric", "a", "b", "difference", "low", "high", "verdict")},
            }
            for one in value[what]
        ]
        lines.append(table(rows, list(rows[0]), empty="") if rows else "")
    return "\n\n".join(lines).rstrip()


def history(
    reference: Annotated[str, typer.Argument(help="house-price, or house-price@staging for one alias.")],
    as_json: Json = False,
) -> None:
    """Where the aliases of a model pointed: who moved them, when, why, from what to what."""
    from clew.models.history import alias_history

    with session() as workspace:
        found = alias_history(workspace, reference)
    columns = ["at", "alias", "from", "to", "by", "why"]
    rows = [{**one, "at": f"{one['at']:%Y-%m-%d %H:%M:%S}"} for one in found]
    emit(found, as_json, lambda: table(rows, columns, empty="no alias yet: clew model alias REF NAME --reason WHY"))
