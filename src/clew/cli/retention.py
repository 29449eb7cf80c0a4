"""`clew retention` and `clew hold`: what expires, and what must not."""

import re
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clew.cli._shared import Json, emit, opened, parse_moment, table

if TYPE_CHECKING:
    from clew.thread.retention import Retention

app = typer.Typer(help="What expires, by rule.", no_args_is_help=True, rich_markup_mode=None)
hold = typer.Typer(help="What must not expire, and why.", no_args_is_help=True, rich_markup_mode=None)

_AGE = re.compile(r"(\d{1,5})([dwy])")
_DAYS = {"d": 1, "w": 7, "y": 365}
NewerThan = Annotated[str, typer.Option(help="Keep what was recorded since: 90d, 12w, 2y, or an ISO date.")]
KeepLast = Annotated[int, typer.Option(min=1, help="Keep so many newest versions of each dataset and model.")]
Journal = Annotated[
    str | None, typer.Option("--journal-newer-than", help="Keep predictions and outcomes since; as --newer-than.")
]


@app.command("plan")
def plan_(newer_than: NewerThan, keep_last: KeepLast = 1, journal: Journal = None, as_json: Json = False) -> None:
    """What would expire, and what could then no longer be restored. Nothing changes.

    What is live, aliased, held or the newest, and what these need, always stays.
    """
    from clew.thread.retention import plan_retention

    rule = _rule(newer_than, keep_last, journal)
    with opened() as workspace:
        found = plan_retention(workspace, rule)
    emit(found, as_json, lambda: "\n".join(_words(found)))


@app.command()
def apply(
    newer_than: NewerThan,
    keep_last: KeepLast = 1,
    journal: Journal = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do it.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would go, as `clew retention plan`.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Let expire what the rule doesn't keep; `clew data gc` then removes the bytes."""
    from clew.errors import UsageError
    from clew.thread.retention import apply_retention

    rule = _rule(newer_than, keep_last, journal)
    if dry_run:
        plan_(newer_than, keep_last, journal, as_json)
        return
    if not yes:
        raise UsageError(
            "what expires can't be had back", mend="look at it with --dry-run first, then add --yes to do it"
        )
    with opened() as workspace:
        done = apply_retention(workspace, rule)
    counts = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in done.items())
    emit(done, as_json, lambda: f"expired: {counts}; clew data gc removes the bytes")


def _rule(newer_than: str, keep_last: int, journal: str | None) -> "Retention":
    from clew.thread.retention import Retention

    return Retention(_since(newer_than), keep_last, None if journal is None else _since(journal))


def _since(text: str) -> Any:
    """The moment that an age or a date means. Raises UsageError."""
    from datetime import timedelta

    from clew.catalog import now
    from clew.errors import UsageError

    found = _AGE.fullmatch(text)
    moment = now() - timedelta(days=int(found[1]) * _DAYS[found[2]]) if found else parse_moment(text)
    if moment is None or moment > now():
        raise UsageError(
            f"{text!r} is still to come: everything would go", mend="give an age, such as 90d, or a day that was"
        )
    return moment


def _words(found: dict[str, Any]) -> list[str]:
    goes, stays = found["goes"], found["stays"]
    lines = [f"keeps what is newer than {found['rule']['newer_than'][:19]}, and:"]
    for kind in ("model_versions", "snapshots"):
        for reason, one in stays[kind].items():
            some = ", ".join(one["such_as"][:5]) + (", …" if one["count"] > 5 else "")
            lines.append(f"  {one['count']:,} {kind.replace('_', ' ')} {reason}: {some}")
    counts = f"{len(goes['model_versions']):,} model versions, {len(goes['snapshots']):,} snapshots"
    lines.append(f"would expire: {counts}, {goes['artifacts']:,} artifacts of runs, about {goes['bytes']:,} bytes")
    lines += [
        f"  {one['writer']}, segment {one['segment']}: {one['predictions']:,} predictions, {one['outcomes']:,} outcomes"
        for one in goes["segments"]
    ]
    return [*lines, *(f"  {said}" for said in found["lost"])] if found["lost"] else [*lines, "  nothing is lost by it"]


@hold.command("add")
def add(
    reference: Annotated[str, typer.Argument(help="name@3, a run's id, an endpoint, a dataset or a model.")],
    reason: Annotated[str, typer.Option(help="Why; kept with the hold.")] = "",
    as_json: Json = False,
) -> None:
    """Hold something: it doesn't expire until the hold is removed, whatever a rule says."""
    from clew.thread.holds import hold as place

    with opened() as workspace:
        found = place(workspace, reference, reason)
    emit(found, as_json, lambda: f"{found['kind']} {found['held']} is held: {found['reason']}")


@hold.command("remove")
def remove(
    reference: Annotated[str, typer.Argument(help="What is held.")],
    as_json: Json = False,
) -> None:
    """Release all holds of a thing; that it was held stays known."""
    from clew.thread.holds import release

    with opened() as workspace:
        found = release(workspace, reference)
    emit(found, as_json, lambda: f"{found['kind']} {found['released']}: {found['holds']} hold(s) released")


@hold.command("list")
def list_(as_json: Json = False) -> None:
    """What is held, why, since when and by whom."""
    from clew.thread.holds import holds

    with opened() as workspace:
        found = holds(workspace)
    emit(found, as_json, lambda: table(found, ("kind", "held", "reason", "by", "since"), empty="nothing is held"))
