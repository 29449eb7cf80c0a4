"""`clew data`: snapshots of tables and files."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from clew.cli._shared import Json, OccurredAt, emit, parse_moment, session, short, table

if TYPE_CHECKING:
    from clew.catalog.commands.data import PolicyAction

app = typer.Typer(help="Datasets and their snapshots.", no_args_is_help=True, rich_markup_mode=None)
Reference = Annotated[str, typer.Argument(help="name@3, name@latest, name@alias, name@2026-11-23, name@a1b2c3")]


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="The dataset, such as house-sales.")],
    source: Annotated[Path, typer.Argument(help="A .csv, .csv.gz, .parquet, .jsonl or .arrow file, or a folder.")],
    key: Annotated[list[str] | None, typer.Option(help="A column that identifies a row.")] = None,
    subject: Annotated[str | None, typer.Option(help="The column that names the person a row is about.")] = None,
    contract: Annotated[Path | None, typer.Option(help="What the rows must satisfy from now on (TOML).")] = None,
    accept_schema: Annotated[bool, typer.Option("--accept-schema", help="Take vanished or retyped columns.")] = False,
    message: Annotated[str | None, typer.Option("--message", "-m", help="A line for people.")] = None,
    occurred_at: OccurredAt = None,
    as_json: Json = False,
) -> None:
    """Record a source as the newest version of a dataset; only what changed is stored."""
    from clew.data import add as add_snapshot
    from clew.data.contracts import read_file

    wanted = None if contract is None else read_file(contract)
    with session() as workspace:
        added = add_snapshot(
            workspace,
            name,
            source,
            key=key or (),
            subject=subject,
            contract=wanted,
            accept_schema=accept_schema,
            occurred_at=parse_moment(occurred_at),
            message=message,
        )
    found = added.snapshot
    value = {
        "dataset": found.dataset,
        "version": found.version,
        "id": found.content_id,
        "rows": found.rows,
        "new_bytes": added.new_bytes,
        "changed": added.changed,
    }
    rows = "files" if found.rows is None else f"{found.rows:,} rows"
    news = f"{added.new_bytes:,} new bytes" if added.changed else "unchanged"
    emit(value, as_json, lambda: f"{found.reference}  {rows}  {short(found.content_id)}  {news}")


@app.command("list")
def list_(as_json: Json = False) -> None:
    """All datasets with their newest version."""
    from clew.data.listing import datasets

    with session() as workspace:
        found = datasets(workspace)
    columns = ("dataset", "version", "kind", "rows", "id", "occurred_at")
    emit(found, as_json, lambda: table(found, columns, empty="no dataset yet: clew data add NAME FILE"))


@app.command()
def show(reference: Reference, as_json: Json = False) -> None:
    """One snapshot: schema, rows, where it came from."""
    from clew.data import find
    from clew.data.listing import sources

    with session() as workspace:
        found = find(workspace, reference)
        value: dict[str, Any] = {
            "dataset": found.dataset,
            "version": found.version,
            "id": found.content_id,
            "kind": found.kind,
            "rows": found.rows,
            "schema": found.schema,
            "key": list(found.key_columns),
            "subject": found.subject_column,
            "new_bytes": found.new_bytes,
            "occurred_at": found.occurred_at.isoformat(),
            "recorded_at": found.recorded_at.isoformat(),
            "sources": sources(found),
        }
    words = [
        f"{found.reference}  {found.kind}  {'–' if found.rows is None else f'{found.rows:,}'} rows  {found.content_id}"
    ]
    words += [f"  {name}: {kind}" for name, kind in found.schema or []]
    words += [f"  from {one['uri']} ({one['kind']})" for one in value["sources"]]
    emit(value, as_json, lambda: "\n".join(words))


@app.command()
def diff(first: Reference, second: Reference, as_json: Json = False) -> None:
    """What changed between two snapshots."""
    from clew.data import diff as compare
    from clew.data import find

    with session() as workspace:
        value = compare(find(workspace, first), find(workspace, second))
    emit(value, as_json, lambda: "\n".join(f"{name}: {found}" for name, found in value.items()))


@app.command()
def checkout(reference: Reference, dest: Path, as_json: Json = False) -> None:
    """Write a snapshot out: a table as Parquet, a folder as its files."""
    from clew.data import checkout as write
    from clew.data import find

    with session() as workspace:
        written = [str(path) for path in write(find(workspace, reference), dest)]
    emit({"reference": reference, "files": written}, as_json, lambda: f"wrote {len(written)} file(s) to {dest}")


@app.command()
def verify(reference: Annotated[str | None, typer.Argument()] = None, as_json: Json = False) -> None:
    """Check that snapshots are what their ids say; all, if none is named."""
    from clew.data import all_of, find
    from clew.data import verify as check
    from clew.errors import IntegrityError

    with session() as workspace:
        verdicts = check([find(workspace, reference)] if reference else all_of(workspace))
    bad = [one for one in verdicts if one.fault]
    value = [{"reference": one.reference, "id": one.content_id, "fault": one.fault} for one in verdicts]
    emit(
        value, as_json, lambda: "\n".join(f"{one.reference}: {one.fault or 'ok'}" for one in verdicts) or "no snapshot"
    )
    if bad:
        raise IntegrityError(
            f"{len(bad)} of {len(verdicts)} snapshots are damaged",
            mend="put their objects back from a backup, or add the same source again",
        )


@app.command("used-by")
def used_by(reference: Reference, as_json: Json = False) -> None:
    """The runs that read a snapshot, and the models that it trained."""
    from clew.data import find
    from clew.data.listing import used_by as users

    with session() as workspace:
        found = users(find(workspace, reference))
    words = [f"run {one['run']} ({one['name']}, {one['state']})" for one in found["runs"]]
    words += [f"model {one['model']} ({one['state']})" for one in found["models"]]
    emit(found, as_json, lambda: "\n".join(words) or "nothing used it")


@app.command()
def policy(
    name: Annotated[str, typer.Argument(help="The dataset.")],
    column: Annotated[str | None, typer.Argument(help="The column; without it, all policies are shown.")] = None,
    action: Annotated[str | None, typer.Argument(help="block, allow, drop or pseudonym")] = None,
    reason: Annotated[str, typer.Option(help="Why this is right; kept with the policy.")] = "",
    as_json: Json = False,
) -> None:
    """Say what happens to a column that holds personal data."""
    from clew.data import policies
    from clew.errors import NotFoundError, UsageError

    with session() as workspace:
        if column is not None:
            if action not in ("block", "allow", "drop", "pseudonym"):
                raise UsageError(f"{action!r} is no policy", mend="block, allow, drop or pseudonym")
            policies.declare(workspace, name, column, cast("PolicyAction", action), reason)
        if not policies.exists(workspace, name):
            raise NotFoundError(f"no dataset is called {name!r}", mend="clew data list")
        declared = policies.declared(workspace, name)
    found = [{"column": one, "action": held.action, "reason": held.reason} for one, held in declared.items()]
    emit(found, as_json, lambda: table(found, ("column", "action", "reason"), empty=f"{name} has no policy"))
