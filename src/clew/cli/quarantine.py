"""`clew contract quarantine`: rows that a contract kept out."""

from pathlib import Path
from typing import Annotated, Any

import typer

from clew.cli._shared import Json, emit, opened, table

app = typer.Typer(help="Rows that a contract kept out.", no_args_is_help=True, rich_markup_mode=None)
Named = Annotated[str, typer.Argument(metavar="ID", help="A quarantine's id, or a dataset: its newest one.")]


@app.command("list")
def list_(
    dataset: Annotated[str | None, typer.Argument(help="Of this dataset only.")] = None, as_json: Json = False
) -> None:
    """All quarantines, the newest first, with the rule that keeps out the most."""
    from clew.data.quarantine import quarantines

    with opened() as workspace:
        found = [_facts(one) for one in quarantines(workspace, dataset)]
    for one in found:
        one["most"] = next((rule["rule"] for rule in one["rules"]), None)
    columns = ("id", "dataset", "rows", "of", "state", "most", "uri", "recorded_at")
    emit(found, as_json, lambda: table(found, columns, empty="no row was kept out"))


@app.command()
def show(
    named: Named,
    rows: Annotated[int, typer.Option(min=0, help="How many rows to show.")] = 10,
    as_json: Json = False,
) -> None:
    """What each rule kept out, and the first rows with the rules that each broke."""
    from clew.data import quarantine

    with opened() as workspace:
        found = quarantine.find(workspace, named)
        frame = quarantine.scan(workspace, found).head(rows).collect() if found.state == "live" else None
    value = _facts(found)
    failing = [] if frame is None else frame.to_dicts()
    value["failing"] = [{name: _plain(field) for name, field in row.items()} for row in failing]
    lines = [f"{found.id}  {found.dataset}  {found.rows:,} of {value['of']:,} rows  {found.uri}"]
    lines += [f"  {_words(rule)}" for rule in found.rules()]
    lines += [
        f"  row {number:,}: {'; '.join(rules)}\n    " + ", ".join(f"{name} = {field}" for name, field in rest)
        for (_, number), (_, rules), *rest in (row.items() for row in failing)
    ]
    if frame is None:
        lines.append(f"  the rows were let go ({found.state})")
    emit(value, as_json, lambda: "\n".join(lines))


@app.command()
def export(named: Named, dest: Path, as_json: Json = False) -> None:
    """Write the rows, with the rules that each broke, to a new .parquet or .csv file."""
    from clew.data import quarantine

    with opened() as workspace:
        found = quarantine.find(workspace, named)
        rows = quarantine.export(workspace, found, dest)
    emit({"id": found.id, "rows": rows, "file": str(dest)}, as_json, lambda: f"wrote {rows:,} rows to {dest}")


@app.command()
def forget(
    named: Named,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
    as_json: Json = False,
) -> None:
    """Let the rows go, once they are mended or of no use; how many each rule kept out stays known."""
    from clew.data import quarantine
    from clew.errors import UsageError

    with opened() as workspace:
        found = quarantine.find(workspace, named)
        if not yes:
            raise UsageError(f"the {found.rows:,} rows of {found.id} would go", mend="say so with --yes")
        was = quarantine.forget(workspace, found)
    emit({"id": found.id, "forgotten": was}, as_json, lambda: f"{found.id}: {'let go' if was else 'was gone already'}")


def _facts(one: Any) -> dict[str, Any]:
    return {
        "id": one.id,
        "dataset": one.dataset,
        "rows": one.rows,
        "of": one.results.get("rows"),
        "state": one.state,
        "uri": one.uri,
        "recorded_at": one.recorded_at.isoformat(),
        "rules": one.rules(),
    }


def _words(rule: dict[str, Any]) -> str:
    what = f"{rule['column']}: {rule['rule']}" if rule.get("column") else rule["rule"]
    if rule.get("error"):
        return f"{what}: can't be evaluated: {rule['error']}"
    count = "" if rule.get("failing_rows") is None else f": {rule['failing_rows']:,} rows"
    detail = f" ({rule['detail']})" if rule.get("detail") else ""
    warning = "warning: " if rule["severity"] == "warning" else ""
    return f"{warning}{what}{count}{detail}"


def _plain(value: Any) -> Any:
    """A value as JSON has it."""
    if value is None or isinstance(value, bool | int | float | str | list | dict):
        return value
    return str(value)
