"""`clew model describe` and `card`: what a version is for, and all that is known of it."""

import json
from pathlib import Path
from typing import Annotated

import typer

from clew.cli._shared import Json, emit, finite, say, session

Reference = Annotated[str, typer.Argument(help="house-price@7, house-price@latest, house-price@alias")]


def describe(
    reference: Reference,
    use: Annotated[str | None, typer.Option("--use", help="What it is for, and for whom.")] = None,
    limits: Annotated[str | None, typer.Option("--limits", help="Where it must not be trusted.")] = None,
    as_json: Json = False,
) -> None:
    """Say what a version is for; it holds for later ones too, until they are described."""
    from clew.catalog.commands import DescribeModel
    from clew.models import find

    with session() as workspace:
        version = find(workspace, reference)
        workspace.catalog.execute(DescribeModel(model_version_id=version.id, intended_use=use, limits=limits))
    value = {"model": version.reference, "intended_use": use, "limits": limits}
    emit(value, as_json, lambda: f"{version.reference} is described: clew model card {version.reference}")


def card(
    reference: Reference,
    out: Annotated[Path | None, typer.Option(help="Where to write it; to stdout, if not given.")] = None,
    as_json: Json = False,
) -> None:
    """The model card, from what is recorded: use, data, metrics with intervals, limits, lineage; Markdown or JSON."""
    from clew.errors import RefusedError
    from clew.models import find
    from clew.thread.card import card as facts_of
    from clew.thread.card_text import markdown

    if out is not None and out.exists():
        raise RefusedError(f"{out} is there already", mend="remove it, or name another file")
    with session() as workspace:
        value = facts_of(find(workspace, reference))
    if out is None:
        emit(value, as_json, lambda: markdown(value))
        return
    out.write_text(json.dumps(finite(value), indent=2, default=str) + "\n" if as_json else markdown(value))
    say(f"the card of {value['model']} is in {out}")
