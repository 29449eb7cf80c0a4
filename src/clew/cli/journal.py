"""`clew journal`: the records of predictions and outcomes."""

import typer

from clew.cli._shared import Json, emit, opened

app = typer.Typer(help="The journal of predictions and outcomes.", no_args_is_help=True, rich_markup_mode=None)


@app.command()
def compact(as_json: Json = False) -> None:
    """Turn sealed segments into Parquet with an index, which takes a tenth of the space; servers may go on writing."""
    from clew.serving.journal import compact as compact_segments

    with opened() as workspace:
        made = [str(path.relative_to(workspace.journal)) for path in compact_segments(workspace.journal)]
    emit({"segments": made}, as_json, lambda: f"compacted {len(made)} segment(s)")
