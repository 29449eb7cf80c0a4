"""`clew monitor`: what is seen at an endpoint."""

from typing import Annotated, Any

import typer

from clew.cli._shared import Json, emit, session, table

app = typer.Typer(help="Monitors of endpoints.", no_args_is_help=True, rich_markup_mode=None)


@app.command()
def status(
    endpoint: Annotated[str, typer.Argument(help="The endpoint.")],
    as_json: Json = False,
) -> None:
    """Live inputs against training, errors against what was promised, and alerts."""
    from clew.monitoring import status as look

    with session() as workspace:
        value = look(workspace, endpoint)
    emit(value, as_json, lambda: _words(value))


def _words(value: dict[str, Any]) -> str:
    lines = [f"{value['endpoint']}: {value['live']} is live"]
    lines += [f"  {version} is not watched: {why}" for version, why in value["not_watched"].items()]
    for report in value["reports"]:
        performance = report["performance"]
        lines.append(
            f"\n{report['version']} until {report['until'][:10]}: {report['predictions']:,} predictions, "
            f"{report['outcomes']:,} outcomes"
        )
        if performance["live"] is not None:
            low, high = performance["interval"]
            lines.append(
                f"  {performance['metric']}: {performance['live']:,.0f} ({low:,.0f} to {high:,.0f}), "
                f"{performance['promised']:,.0f} promised, bias {performance['bias']:,.0f}"
                + ("  ALERT" if performance["alarm"] else "")
            )
        columns = [
            {**column, "alert": "ALERT" if column["alarm"] else ("real, small" if column["real"] else "")}
            for column in sorted(report["columns"], key=lambda one: -(one.get("psi") or 0))
        ]
        shown = ("column", "psi", "mean_shift_sd", "log_e", "threshold", "alert")
        lines.append(table(columns, shown, empty="  no column"))
    lines += [f"\n{one['at'][:10]} {one['version']} {one['message']}" for one in value["alerts"]]
    return "\n".join(lines)
