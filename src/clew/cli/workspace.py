"""`clew workspace`: everything out, in open formats, and in again."""

from pathlib import Path
from typing import Annotated, Any

import typer

from clew.cli._shared import Json, emit, opened, progress

app = typer.Typer(help="The whole workspace: export and import.", no_args_is_help=True, rich_markup_mode=None)


@app.command()
def export(
    dest: Annotated[Path, typer.Argument(help="A folder that is empty, or isn't there.")],
    plain: Annotated[
        bool, typer.Option("--plain", help="Only what an import needs, without snapshots/ and models/ to look at.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Write everything to a folder: JSON lines, Parquet, the models' own formats, and a manifest of SHA-256."""
    from clew.thread.exchange import export_workspace

    with opened() as workspace, progress() as report:
        found = export_workspace(workspace, dest, laid_out=not plain, report=report)
    emit(
        found, as_json, lambda: f"wrote {_counts(found)} to {dest}: {found['files']:,} files, {found['bytes']:,} bytes"
    )


@app.command("import")
def import_(
    source: Annotated[Path, typer.Argument(help="A folder that `clew workspace export` wrote.")],
    as_json: Json = False,
) -> None:
    """Take an export into this workspace, which must be empty; every file is checked before anything is written."""
    from clew.thread.exchange import import_workspace

    with opened() as workspace, progress() as report:
        found = import_workspace(workspace, source, report=report)
    emit(
        found, as_json, lambda: f"imported {_counts(found)} of {found['exported_at'][:19]}; clew doctor looks at it all"
    )


@app.command()
def backup(
    dest: Annotated[Path, typer.Argument(help="A folder that is empty, or holds the backup before.")],
    as_json: Json = False,
) -> None:
    """Copy a folder workspace while others write to it; again into the same folder copies only what is new."""
    from clew.thread.backup import back_up

    with opened() as workspace, progress() as report:
        found = back_up(workspace, dest, report=report)
    words = (
        f"{found['objects']:,} objects, {found['copied']:,} of them new, {found['segments']:,} segments of the journal"
    )
    emit(found, as_json, lambda: f"backed up to {dest}: {words}")


def _counts(found: dict[str, Any]) -> str:
    return f"{found['rows']:,} rows, {found['objects']:,} objects, {found['records']:,} predictions and outcomes"
