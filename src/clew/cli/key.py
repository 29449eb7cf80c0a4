"""`clew key`: the keys of pseudonyms and receipts, which lie outside of the workspace."""

from typing import Annotated

import typer

from clew.cli._shared import Json, emit, opened, table

app = typer.Typer(help="Keys of pseudonyms and receipts.", no_args_is_help=True, rich_markup_mode=None)

_MEANING = {
    "pseudonym": "versions added from now on have other pseudonyms than those before, which stay as they are: "
    "the two can't be joined by them. Add anew what is to be joined",
    "erasure": "receipts from now on are made with it; those before still need the key before",
}


@app.command("list")
def list_(as_json: Json = False) -> None:
    """All keys by name: which is in use, since when, and where it is at hand."""
    from clew import keys

    with opened() as workspace:
        found = keys.known(workspace)
    rows = [
        {
            "name": one.name,
            "state": "in use" if one.in_use else "kept" if one.retired_at is None else "retired",
            "fingerprint": one.fingerprint[:12],
            "recorded_at": one.recorded_at.isoformat(),
            "retired_at": None if one.retired_at is None else one.retired_at.isoformat(),
            "at": one.at,
        }
        for one in found
    ]
    columns = ("name", "state", "fingerprint", "recorded_at", "at")
    emit(rows, as_json, lambda: table(rows, columns, empty="no key yet: one is made when it is needed first"))


@app.command()
def rotate(
    purpose: Annotated[str, typer.Argument(help="pseudonym or erasure")],
    as_json: Json = False,
) -> None:
    """Begin with a new key; the one before is kept until it is retired."""
    from clew import keys
    from clew.errors import UsageError

    if purpose not in keys.VARIABLES:
        raise UsageError(f"{purpose!r} is no purpose of a key", mend="clew key rotate pseudonym, or erasure")
    with opened() as workspace:
        name, before = keys.rotate(workspace, purpose)
    value = {"name": name, "before": before}
    emit(value, as_json, lambda: f"{name} is in use: {_MEANING[purpose]}")


@app.command()
def retire(
    name: Annotated[str, typer.Argument(help="An older key, such as pseudonym-1.")],
    as_json: Json = False,
) -> None:
    """Say that an older key isn't needed any more."""
    from clew import keys

    with opened() as workspace:
        path = keys.retire(workspace, name)
    value = {"name": name, "file": None if path is None else str(path)}
    emit(value, as_json, lambda: f"{name} is retired" + ("" if path is None else f"; {path} may now be deleted"))
