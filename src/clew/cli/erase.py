"""`clew data erase` and `clew data erasures`: a person is taken out of history, with a receipt."""

import sys
from typing import Annotated, Any

import typer

from clew.cli._shared import Json, emit, opened, progress, table


def erase(
    name: Annotated[str, typer.Argument(help="The dataset.")],
    subject: Annotated[
        str, typer.Option(help="The person's value, as it stands in the column; - reads it from standard input.")
    ],
    column: Annotated[
        list[str] | None, typer.Option(help="A further column that names the person, such as its former name.")
    ] = None,
    as_text: Annotated[bool, typer.Option("--as-text", help="Compare as text where the column changed type.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask, where a person looks.")] = False,
    as_json: Json = False,
) -> None:
    """Take a person's rows and files out of every version, and out of all that was derived; give the receipt.

    Killed on the way, the same command goes on from there.
    """
    from clew.thread.erasure import erase as take_out
    from clew.thread.erasure import plan_erasure

    value = sys.stdin.readline().rstrip("\n") if subject == "-" else subject
    if not (yes or dry_run) and subject != "-" and sys.stdin.isatty():
        typer.confirm("What is erased can't be had back; --dry-run says what that is. Erase?", abort=True)
    with opened() as workspace, progress() as report:
        call = plan_erasure if dry_run else take_out
        found = call(workspace, name, value, columns=column or (), as_text=as_text, report=report)
    emit(found, as_json, lambda: "\n".join(_planned(found) if dry_run else told(found)))


def erasures(
    erasure: Annotated[str | None, typer.Argument(help="A receipt's id, or how it begins; all, if none.")] = None,
    as_json: Json = False,
) -> None:
    """The receipts of erasures; they name versions and models, and no person."""
    from clew.errors import NotFoundError
    from clew.thread.erasure import receipts

    with opened() as workspace:
        found = receipts(workspace, erasure)
    if erasure is not None:
        if not found:
            raise NotFoundError(f"no erasure {erasure}", mend="clew data erasures")
        emit(found[0], as_json, lambda: "\n".join(told(found[0])))
        return
    for one in found:
        one["versions"], one["models"] = len(one.get("snapshots", ())), len(one.get("model_versions", ()))
    columns = ("erasure", "dataset", "state", "versions", "models", "by", "ended")
    emit(found, as_json, lambda: table(found, columns, empty="nobody was erased"))


def _planned(found: dict[str, Any]) -> list[str]:
    read = found["fragments"]
    lines = [f"would erase from {found['dataset']} (nothing was changed):", *_versions(found)]
    lines.append(
        f"  to find them, {read['read']:,} fragments were looked through: one column, {read['bytes_read']:,} bytes"
    )
    lines.append(f"  derived    {found['artifacts']:,} results of steps, of {found['runs']:,} runs")
    journal = found["journal"]
    lines.append(f"  journal    {journal['predictions']:,} predictions, {journal['outcomes']:,} outcomes")
    if journal["open"]:
        lines.append(f"             some in a segment that {', '.join(journal['open'])} is writing: stop it first")
    lines += _models(found)
    if found["held"]:
        lines.append(f"  HELD       {found['held']}")
    return lines


def told(found: dict[str, Any]) -> list[str]:
    """A receipt in words."""
    lines = [f"erasure {found['erasure']} from {found['dataset']}: {found['state']}", *_versions(found)]
    journal = found.get("journal_records", {})
    lines.append(
        f"  also went  {found.get('artifacts', 0):,} results of steps, {found.get('objects', 0):,} objects, "
        f"{journal.get('predictions', 0):,} predictions, {journal.get('outcomes', 0):,} outcomes"
    )
    lines += _models(found)
    lines += [f"  not reached: {one}" for one in found.get("not_reached", ())]
    if found.get("mentions"):
        lines.append(
            f"  the value still stands in words of the catalog, to be looked at: {'; '.join(found['mentions'])}"
        )
    return lines


def _versions(found: dict[str, Any]) -> list[str]:
    lines = []
    for one in found.get("snapshots", ()):
        parts = [f"{one[name]:,} {name if one[name] > 1 else name[:-1]}" for name in ("rows", "files") if one.get(name)]
        lines.append(f"  {one['snapshot']:<20} {', '.join(parts) or 'in part'}")
    return lines


def _models(found: dict[str, Any]) -> list[str]:
    versions = found.get("model_versions", ())
    if not versions:
        return []
    lines = [f"  models     learned from them, marked by a receipt: {', '.join(versions)}"]
    return lines + [f"  to train again: {one}" for one in found.get("retrain", ())]
