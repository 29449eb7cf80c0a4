"""`clew contract`: what a dataset must satisfy."""

from pathlib import Path
from typing import Annotated

import typer

from clew.cli import quarantine
from clew.cli._shared import Json, emit, say, session

app = typer.Typer(help="Contracts of datasets.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(quarantine.app, name="quarantine")


@app.command()
def infer(
    reference: Annotated[str, typer.Argument(help="A snapshot, such as house-sales@1.")],
    out: Annotated[Path | None, typer.Option(help="Write the contract here instead of to stdout.")] = None,
    as_json: Json = False,
) -> None:
    """Infer a contract from a snapshot, and say what is odd in its rows."""
    from clew.data import find
    from clew.data.contract import findings
    from clew.data.contract import infer as infer_contract
    from clew.errors import RefusedError

    with session() as workspace:
        snapshot = find(workspace, reference)
        frame = snapshot.collect()
        contract = infer_contract(frame, snapshot.dataset)
        odd = findings(frame)
    text = contract.to_toml()
    if out is not None:
        if out.exists():
            raise RefusedError(f"{out} is there already", mend="remove it, or name another file")
        out.write_text(text)
    value = {
        "dataset": snapshot.dataset,
        "contract": text,
        "findings": [
            {"column": one.column, "kind": one.kind, "message": one.message, "rows": one.rows, "share": one.share}
            for one in odd
        ],
    }
    for one in odd:
        if not as_json:
            say(f"finding: {one.message}")
    emit(value, as_json, lambda: f"wrote {out}" if out is not None else text)


@app.command()
def check(
    reference: Annotated[str, typer.Argument(help="A snapshot, such as house-sales@1.")],
    contract: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="The contract (.toml, .py or .py:NAME); the dataset's own, if not given."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Check a snapshot; exit code 6 when it breaks its contract. The result is recorded."""
    from clew.data import contracts, find
    from clew.errors import RefusedError

    with session() as workspace:
        found = find(workspace, reference)
        schema = found.empty().schema
        wanted = None if contract is None else contracts.read_file(contract, found.dataset, schema)
        result = contracts.check_snapshot(workspace, found, wanted)
    value = {"reference": reference, "passed": result.passed, "results": contracts.as_json(result)}
    failed = result.describe_failures()
    emit(
        value,
        as_json,
        lambda: "\n".join([*failed, f"{reference}: {len(result.results)} rules, {len(failed)} broken"]),
    )
    if not result.passed:
        raise RefusedError(f"{reference} breaks its contract", mend="correct the rows, or the contract")
