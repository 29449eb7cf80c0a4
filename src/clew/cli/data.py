"""`clew data`: snapshots of tables and files."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from clew.cli._shared import Json, OccurredAt, emit, opened, parse_moment, progress, say, short, table

if TYPE_CHECKING:
    from clew.catalog.commands.data import PolicyAction
    from clew.data import Contract, Query
    from clew.data._exports import Format
    from clew.data._paths import Kind

app = typer.Typer(help="Datasets and their snapshots.", no_args_is_help=True, rich_markup_mode=None)
_ACTIONS = ("block", "allow", "drop", "pseudonym", "generalise")
Reference = Annotated[str, typer.Argument(help="name@3, name@latest, name@alias, name@2026-11-23, name@a1b2c3")]


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="The dataset, such as house-sales.")],
    source: Annotated[
        str | None, typer.Argument(help="A .csv, .csv.gz, .parquet, .jsonl or .arrow file, a pattern, or a folder.")
    ] = None,
    files: Annotated[Path | None, typer.Option(help="A folder of files that belongs to the table.")] = None,
    kind: Annotated[str | None, typer.Option("--as", help="What a folder is: table or files.")] = None,
    query: Annotated[str | None, typer.Option(help="A SQL query, instead of a source.")] = None,
    connection: Annotated[
        str | None, typer.Option(help="The environment variable that holds the query's SQLAlchemy URL.")
    ] = None,
    key: Annotated[list[str] | None, typer.Option(help="A column that identifies a row.")] = None,
    subject: Annotated[str | None, typer.Option(help="The column that names the person a row is about.")] = None,
    contract: Annotated[
        str | None, typer.Option(metavar="FILE", help="What the rows must satisfy from now on: .toml, .py or .py:NAME.")
    ] = None,
    quarantine: Annotated[
        bool, typer.Option("--quarantine", help="Set rows that break the contract apart, and store the others.")
    ] = False,
    subject_files: Annotated[
        str | None, typer.Option(help="Whose a file of the folder is, by its path, such as '{subject}/*'.")
    ] = None,
    strip_erased: Annotated[
        bool, typer.Option("--strip-erased", help="Leave out the rows of persons who were erased, rather than refuse.")
    ] = False,
    accept_schema: Annotated[bool, typer.Option("--accept-schema", help="Take vanished or retyped columns.")] = False,
    repair: Annotated[
        bool, typer.Option("--repair", help="Hash what is stored of it, and store anew what is lost or damaged.")
    ] = False,
    message: Annotated[str | None, typer.Option("--message", "-m", help="A line for people.")] = None,
    occurred_at: OccurredAt = None,
    as_json: Json = False,
) -> None:
    """Record a source as the newest version of a dataset; only what changed is stored."""
    from clew.data import add as add_snapshot
    from clew.errors import UsageError

    if kind not in (None, "table", "files"):
        raise UsageError(f"{kind!r} is no kind of source", mend="--as table, or --as files")
    given = _query(source, query, connection)
    if given is None and files is None:
        raise typer.BadParameter("name a file, a pattern, a folder, or --query and --connection", param_hint="SOURCE")
    wanted = None if contract is None else read_contract(contract, name)
    with opened() as workspace, progress() as report:
        added = add_snapshot(
            workspace,
            name,
            given,
            files_in=files,
            kind=cast("Kind | None", kind),
            report=report,
            key=key or (),
            subject=subject,
            subject_files=subject_files,
            strip_erased=strip_erased,
            contract=wanted,
            accept_schema=accept_schema,
            occurred_at=parse_moment(occurred_at),
            message=message,
            repair=repair,
            quarantine=quarantine,
        )
    found = added.snapshot
    value: dict[str, Any] = {
        "dataset": found.dataset,
        "version": found.version,
        "id": found.content_id,
        "rows": found.rows,
        "new_bytes": added.new_bytes,
        "changed": added.changed,
    }
    if added.quarantine is not None:
        value |= {"quarantine": added.quarantine, "set_apart": added.set_apart}
        say(f"WARNING: {added.set_apart:,} rows break the contract and were NOT stored; they are in a quarantine:")
        say(f"  clew contract quarantine show {added.quarantine}")
    rows = "files" if found.rows is None else f"{found.rows:,} rows"
    news = f"{added.new_bytes:,} new bytes" if added.changed else "unchanged"
    if added.stripped_rows:
        news += f"; {added.stripped_rows:,} rows of persons who were erased were left out"
    emit(value, as_json, lambda: f"{found.reference}  {rows}  {short(found.content_id)}  {news}")


def read_contract(named: str, dataset: str) -> "Contract":
    """The contract in a file; loaded only where there is one, as most of what it needs is heavy."""
    from clew.data.contracts import read_file

    return read_file(named, dataset)


def _query(source: str | None, query: str | None, connection: str | None) -> "str | Query | None":
    """The source that was named: a path, or a query."""
    from clew.errors import UsageError

    if query is None:
        return source
    if source is not None or connection is None:
        raise UsageError(
            "a query needs a connection, and no other source",
            mend='clew data add NAME --query "SELECT …" --connection VARIABLE',
        )
    from clew.data import Query

    return Query.from_environment(query, connection)


@app.command("list")
def list_(as_json: Json = False) -> None:
    """All datasets with their newest version."""
    from clew.data.listing import datasets

    with opened() as workspace:
        found = datasets(workspace)
    columns = ("dataset", "version", "kind", "rows", "id", "occurred_at")
    emit(found, as_json, lambda: table(found, columns, empty="no dataset yet: clew data add NAME FILE"))


@app.command()
def show(reference: Reference, as_json: Json = False) -> None:
    """One snapshot: schema, rows, where it came from."""
    from clew.data import find
    from clew.data._gone import gone
    from clew.data.listing import sources

    with opened() as workspace:
        found = find(workspace, reference)
        value: dict[str, Any] = {
            "dataset": found.dataset,
            "version": found.version,
            "state": gone(workspace, found.content_pk) or "live",
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
    if value["state"] != "live":
        words.append(f"  {value['state']}: what it was is known, its rows are gone")
    words += [f"  {name}: {kind}" for name, kind in found.schema or []]
    words += [f"  from {one['uri']} ({one['kind']})" for one in value["sources"]]
    emit(value, as_json, lambda: "\n".join(words))


@app.command()
def diff(first: Reference, second: Reference, as_json: Json = False) -> None:
    """What changed between two snapshots."""
    from clew.data import diff as compare
    from clew.data import find

    with opened() as workspace:
        value = compare(find(workspace, first), find(workspace, second))
    emit(value, as_json, lambda: _told(value))


def _told(value: dict[str, Any]) -> str:
    """A diff in words."""
    lines = [f"{value['from']} → {value['to']}" + ("  the same" if value["same"] else "")]
    if "rows" in value:
        before, after = value["rows"]
        counts = ", ".join(f"{value[name]:,} {name}" for name in ("added", "removed", "changed"))
        lines.append(f"  rows     {before:,} → {after:,}: {counts} (by {value['by']})")
        for name, said in value["schema"].items():
            if said:
                lines.append(f"  columns {name}: " + ", ".join(f"{column} {kind}" for column, kind in said.items()))
        for name, said in list(value["columns"].items())[:10]:
            if said["distance"]:
                bins = "; ".join(f"{one['bin']}: {one['share'][0]:.1%} → {one['share'][1]:.1%}" for one in said["bins"])
                lines.append(f"  moved    {name} by {said['distance']:.2%}: {bins}")
    listed = value if "rows" not in value else value.get("files", {})
    for name in ("added", "removed", "changed"):
        paths = listed.get(name, [])
        if isinstance(paths, list) and paths:
            more = f", … ({len(paths):,} in all)" if len(paths) > 10 else ""
            lines.append(f"  files {name}: {', '.join(paths[:10])}{more}")
    return "\n".join(lines)


@app.command()
def leakage(
    reference: Reference,
    target: Annotated[str | None, typer.Option(help="The column that a model is to predict.")] = None,
    test: Annotated[str | None, typer.Option(help="The snapshot that it is tested on.")] = None,
    split_by: Annotated[
        str | None,
        typer.Option(
            help="A column that tells the test rows: of two values, or of dates, whose last fifth is the test."
        ),
    ] = None,
    subject: Annotated[
        str | None, typer.Option(help="The column that names who a row is about; the dataset's own, if not given.")
    ] = None,
    at: Annotated[str | None, typer.Option(help="The column of the moment at which the model answers.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit code 6 when something leaks.")] = False,
    as_json: Json = False,
) -> None:
    """What a model would know in training, or in its test, that it can't know when it answers."""
    from clew.data import find
    from clew.data import leakage as leaks
    from clew.errors import RefusedError, UsageError

    if test is not None and split_by is not None:
        raise UsageError("--test and --split-by are two ways to name the test rows", mend="give one of them")
    with opened() as workspace:
        found = find(workspace, reference)
        train = found.collect()
        held_out = None if test is None else find(workspace, test).collect()
    if split_by is not None:
        train, held_out = leaks.split_by(train, split_by)
    of = subject or (found.subject_column if found.subject_column in train.columns else None)
    odd = leaks.leakage(train, target=target, test=held_out, subject=of, at=at)
    value = {
        "reference": found.reference,
        "train_rows": train.height,
        "test_rows": None if held_out is None else held_out.height,
        "findings": leaks.as_json(odd),
    }
    emit(value, as_json, lambda: "\n".join(map(str, odd)) or f"{found.reference}: nothing leaks")
    if strict and odd:
        raise RefusedError(f"{len(odd)} findings of leakage", mend="leave the column or the rows out of the training")


@app.command()
def gc(
    grace_hours: Annotated[
        float,
        typer.Option(min=0, help="Spare what was written within so many hours; under 1 only while nobody writes."),
    ] = 24,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
    as_json: Json = False,
) -> None:
    """Remove bytes that no version, run, model or journal needs any more."""
    from dataclasses import asdict
    from datetime import timedelta

    from clew.data._gc import collect

    with opened() as workspace:
        found = collect(workspace, grace=timedelta(hours=grace_hours), dry_run=dry_run)
    said = "would remove" if dry_run else "removed"
    words = (
        f"{said} {found.objects:,} objects, {found.bytes:,} bytes; {found.needed:,} needed, {found.young:,} too young"
    )
    emit(asdict(found), as_json, lambda: words)


@app.command()
def compact(reference: Reference, as_json: Json = False) -> None:
    """Lay the table of a version together again in fresh files; what it says stays, and so do other versions."""
    from clew.data import find
    from clew.data._compact import compact as lay_together

    with opened() as workspace, progress() as report:
        found = find(workspace, reference)
        written = lay_together(workspace, found, force=True, report=report)
    emit({"reference": found.reference, "bytes": written}, as_json, lambda: f"{found.reference}: {written:,} bytes")


@app.command()
def checkout(reference: Reference, dest: Path, as_json: Json = False) -> None:
    """Write a snapshot out: a table as Parquet, a folder as its files."""
    from clew.data import checkout as write
    from clew.data import find

    with opened() as workspace:
        written = [str(path) for path in write(find(workspace, reference), dest)]
    emit({"reference": reference, "files": written}, as_json, lambda: f"wrote {len(written)} file(s) to {dest}")


@app.command()
def verify(reference: Annotated[str | None, typer.Argument()] = None, as_json: Json = False) -> None:
    """Check that snapshots are what their ids say; all, if none is named."""
    from clew.data import all_of, find
    from clew.data import verify as check
    from clew.errors import IntegrityError

    with opened() as workspace:
        verdicts = check([find(workspace, reference)] if reference else all_of(workspace))
    bad = [one for one in verdicts if one.fault]
    value = [{"reference": one.reference, "id": one.content_id, "fault": one.fault} for one in verdicts]
    emit(
        value, as_json, lambda: "\n".join(f"{one.reference}: {one.fault or 'ok'}" for one in verdicts) or "no snapshot"
    )
    if bad:
        raise IntegrityError(
            f"{len(bad)} of {len(verdicts)} snapshots are damaged",
            mend="add the same source again with --repair; without it, put the objects back from a backup",
        )


@app.command()
def policy(
    name: Annotated[str, typer.Argument(help="The dataset.")],
    column: Annotated[str | None, typer.Argument(help="The column; without it, all policies are shown.")] = None,
    action: Annotated[str | None, typer.Argument(help="block, allow, drop, pseudonym or generalise")] = None,
    reason: Annotated[str, typer.Option(help="Why this is right; kept with the policy.")] = "",
    to: Annotated[
        str | None, typer.Option(help="How to generalise: year, month, decade, decimals=2, step=500, first=3.")
    ] = None,
    new: Annotated[bool, typer.Option("--new", help="The column comes with the next dump.")] = False,
    withdraw: Annotated[bool, typer.Option("--withdraw", help="Declare nothing of the column any more.")] = False,
    as_json: Json = False,
) -> None:
    """Say what happens to a column that holds personal data."""
    from clew.data import policies
    from clew.errors import NotFoundError, UsageError

    with opened() as workspace:
        if column is not None and withdraw:
            policies.withdraw(workspace, name, column)
        elif column is not None:
            if action not in _ACTIONS:
                raise UsageError(f"{action!r} is no policy", mend=", ".join(_ACTIONS[:-1]) + f" or {_ACTIONS[-1]}")
            from clew.data.generalise import parse

            how = None if to is None else parse(to)
            policies.declare(workspace, name, column, cast("PolicyAction", action), reason, how, new=new)
        if not policies.exists(workspace, name):
            raise NotFoundError(f"no dataset is called {name!r}", mend="clew data list")
        declared = policies.declared(workspace, name)
    found = [{"column": one, "action": held.action, "reason": held.reason} for one, held in declared.items()]
    for row, held in zip(found, declared.values(), strict=True):
        if held.how is not None:
            row["to"] = str(held.how)
    columns = (
        ("column", "action", "to", "reason") if any("to" in row for row in found) else ("column", "action", "reason")
    )
    emit(found, as_json, lambda: table(found, columns, empty=f"{name} has no policy"))


@app.command()
def privacy(
    reference: Reference,
    quasi: Annotated[
        str | None, typer.Option(help="Columns that together may tell who somebody is, separated by commas.")
    ] = None,
    sensitive: Annotated[str | None, typer.Option(help="Columns that nobody should learn of a person.")] = None,
    min_k: Annotated[int, typer.Option(min=1, help="The fewest rows that should agree in all of them.")] = 5,
    min_l: Annotated[int, typer.Option(min=1, help="The fewest values of a sensitive column among them.")] = 2,
    as_json: Json = False,
) -> None:
    """Personal data in a version: what was found, what was decided, and how many people share what points at one.

    Without --quasi, by what the dataset's contract declares under [[privacy]].
    """
    from clew.data import find
    from clew.data.contract import Privacy
    from clew.data.privacy_report import report
    from clew.errors import RefusedError

    given = [tuple(one.strip() for one in (text or "").split(",") if one.strip()) for text in (quasi, sensitive)]
    asked = Privacy(quasi=given[0], sensitive=given[1], min_k=min_k, min_l=min_l) if any(given) else None
    with opened() as workspace:
        value = report(workspace, find(workspace, reference), asked)
    emit(value, as_json, lambda: "\n".join(_privacy_words(value)))
    broken = [one for one in value["anonymity"] if not one["holds"]]
    if broken:
        raise RefusedError(
            f"{value['reference']} isn't as anonymous as asked: {'; '.join(map(_short_of, broken))}",
            mend="generalise a quasi-identifier (clew data policy … generalise --to …), and add the source again",
        )


def _short_of(people: dict[str, Any]) -> str:
    return f"by {', '.join(people['quasi'])} k is {people['k']} of {people['min_k']}" + "".join(
        f", l of {name} is {found} of {people['min_l']}" for name, found in people["l"].items()
    )


def _privacy_words(value: dict[str, Any]) -> list[str]:
    rows = [
        {
            "column": one["column"],
            "holds": one["what"],
            "rows": one["matches"],
            "share": f"{one['share']:.2%}",
            "policy": one["policy"] or ("none: OPEN" if one["open"] else "none needed"),
        }
        for one in value["findings"]
    ]
    lines = [f"{value['reference']}  {value['rows']:,} rows"]
    lines.append(table(rows, ("column", "holds", "rows", "share", "policy"), empty="no personal data found"))
    found = {one["column"] for one in value["findings"]}
    lines += [
        f"  {one['column']}: {one['policy']} ({one['reason']})"
        for one in value["policies"]
        if one["column"] not in found
    ]
    for people in value["anonymity"]:
        lines.append(
            f"by {', '.join(people['quasi'])}: {people['groups']:,} groups, the smallest of k = {people['k']:,} rows; "
            f"{people['below_k']:.2%} of rows are in groups under {people['min_k']}"
        )
        lines += [f"  {name}: at least l = {found} different values in a group" for name, found in people["l"].items()]
    return lines


@app.command()
def export(
    reference: Reference,
    dest: Annotated[Path, typer.Argument(help="A folder that isn't there yet, or a new .parquet file.")],
    format_: Annotated[str, typer.Option("--format", help="parquet or delta")] = "parquet",
    as_json: Json = False,
) -> None:
    """Write a table for other tools: Parquet in parts of bounded size, or a Delta table."""
    from clew.data import find

    with opened() as workspace:
        written = [str(path) for path in find(workspace, reference).export(dest, cast("Format", format_))]
    emit({"reference": reference, "files": written}, as_json, lambda: f"wrote {len(written)} file(s) to {dest}")
