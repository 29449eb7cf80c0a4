"""`clew data used-by` and `clew model used-by`: the thread forwards."""

from typing import Annotated, Any

import typer

from clew.cli._shared import Json, emit, opened

Most = Annotated[int, typer.Option(min=1, max=10_000, help="How many runs and versions to list; all are counted.")]


def snapshot(
    reference: Annotated[str, typer.Argument(help="house-sales@3, house-sales@latest, house-sales@alias")],
    most: Most = 100,
    as_json: Json = False,
) -> None:
    """What used a snapshot: runs, steps, the models that it trained, and the endpoints where these answered."""
    from clew.thread.used_by import snapshot_used_by

    with opened() as workspace:
        found = snapshot_used_by(workspace, reference, most=most)
    emit(found, as_json, lambda: "\n".join(_snapshot(found)))


def _snapshot(found: dict[str, Any]) -> list[str]:
    lines = [f"{found['snapshot']}  {found['state']}  {found['id']}"]
    lines += [f"  run {one['run']} ({one['name']}, {one['state']}) as {one['as']}" for one in found["runs"]]
    lines += _more(found["runs_in_all"], len({one["run"] for one in found["runs"]}), "runs")
    lines += [f"  step {one['step']}, in {one['runs']} of the newest runs" for one in found["steps"]]
    for one in found["models"]:
        live = ", live" if one["live"] else ""
        answered = f", {one['predictions']:,} predictions" if one["predictions"] else ""
        lines.append(f"  model {one['model']} ({one['state']}{live}) as {', '.join(one['as'])}{answered}")
    lines += _more(found["models_in_all"], len(found["models"]), "versions")
    for one in found["endpoints"]:
        now = f", now {', '.join(one['live'])}" if one["live"] else ""
        lines.append(f"  endpoint {one['endpoint']}: {one['versions']} version(s) since {one['from'][:10]}{now}")
    return [*lines, *_predictions(found["predictions"])] if len(lines) > 1 else [*lines, "  nothing used it"]


def version(
    reference: Annotated[str, typer.Argument(help="house-price@7, house-price@latest, house-price@alias")],
    most: Most = 100,
    as_json: Json = False,
) -> None:
    """What became of a version: runs that arrived at it, endpoints with periods, rollouts, predictions."""
    from clew.thread.used_by import model_used_by

    with opened() as workspace:
        found = model_used_by(workspace, reference, most=most)
    emit(found, as_json, lambda: "\n".join(_version(found)))


def _version(found: dict[str, Any]) -> list[str]:
    lines = [f"{found['model']}  {found['state']}  {found['id']}"]
    lines += [f"  run {one['run']} ({one['name']}, {one['state']}) arrived at it" for one in found["runs"]]
    lines += _more(found["runs_in_all"], len(found["runs"]), "runs")
    lines += [f"  alias {one}" for one in found["aliases"]]
    for one in found["endpoints"]:
        live = one["live"]
        now = f"live as {live['role']}, {live['share']:.4g} of the traffic" if live else "not live any more"
        lines.append(f"  endpoint {one['endpoint']}: {now}; {one['predictions']:,} predictions")
        for period in one["periods"][:10]:
            until = period["to"][:19] if period["to"] else "now"
            said = f"{period['role']}, share {period['share']:.4g} ({period['reason']})"
            lines.append(f"    {period['from'][:19]} to {until}: {said}")
    lines += [
        f"  rollout {one['champion']} → {one['candidate']} at {one['endpoint']}: {one['state'].replace('_', ' ')}"
        for one in found["rollouts"]
    ]
    return [*lines, *_predictions(found["predictions"])]


def _more(in_all: int, shown: int, what: str) -> list[str]:
    return [f"  … {in_all:,} {what} in all"] if in_all > shown else []


def _predictions(counted: dict[str, int]) -> list[str]:
    unsure = []
    if counted["uncounted"]:
        unsure.append(f"{counted['uncounted']:,} more in old segments that don't say whose they are")
    if counted["open_bytes"]:
        unsure.append(f"not counting {counted['open_bytes']:,} bytes of a segment that is being written")
    more = f" ({'; '.join(unsure)})" if unsure else ""
    return [f"  predictions: {counted['total']:,}{more}"]
