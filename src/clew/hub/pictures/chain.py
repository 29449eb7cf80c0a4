"""The thread of a prediction as a picture: boxes from the source file to the outcome, each leading to its page."""

from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from markupsafe import Markup

from clew.hub.pictures.svg import cut, drawing, element
from clew.thread.words import amount, share

Fact = dict[str, Any]

_WIDE: Final = 154.0
_TALL: Final = 74.0
_GAP: Final = 22.0
_SPACE: Final = 14.0
_MOST: Final = 3


@dataclass(frozen=True)
class _Box:
    kind: str
    title: str
    note: str
    href: str | None = None
    state: str = "live"
    leads_to: int | None = None  # which box of the next column; None is all of them


def chain(thread: Fact) -> Markup:
    """Source file → snapshot → run → model version → route → prediction → outcome."""
    columns = [
        column
        for column in (
            *_data(thread["snapshots"]),
            _run(thread),
            _model(thread),
            _route(thread),
            _prediction(thread["prediction"]),
            _outcomes(thread["outcomes"]),
        )
        if column
    ]
    height = max(len(column) for column in columns) * (_TALL + _SPACE) - _SPACE + 4
    width = len(columns) * (_WIDE + _GAP) - _GAP + 4
    places = [_places(number, len(column), height) for number, column in enumerate(columns)]
    edges = [
        _edge(start, end)
        for number, column in enumerate(columns[:-1])
        for box, start in zip(column, places[number], strict=True)
        for position, end in enumerate(places[number + 1])
        if box.leads_to in (None, position)
    ]
    boxes = [
        _draw(box, place)
        for column, where in zip(columns, places, strict=True)
        for box, place in zip(column, where, strict=True)
    ]
    return drawing(width, height, *edges, *boxes, title="the thread of this prediction", class_="chain")


def _places(column: int, count: int, height: float) -> list[tuple[float, float]]:
    top = (height - count * (_TALL + _SPACE) + _SPACE) / 2
    return [(2 + column * (_WIDE + _GAP), top + number * (_TALL + _SPACE)) for number in range(count)]


def _edge(start: tuple[float, float], end: tuple[float, float]) -> Markup:
    x1, y1, x2, y2 = start[0] + _WIDE, start[1] + _TALL / 2, end[0], end[1] + _TALL / 2
    bend = (x2 - x1) / 2
    path = f"M{x1:.1f} {y1:.1f}C{x1 + bend:.1f} {y1:.1f} {x2 - bend:.1f} {y2:.1f} {x2:.1f} {y2:.1f}"
    return element("path", d=path, class_="thread")


def _draw(box: _Box, place: tuple[float, float]) -> Markup:
    x, y = place
    inner = element(
        "g",
        element("title", f"{box.kind}: {box.title}; {box.note}"),
        element("rect", x=x, y=y, width=_WIDE, height=_TALL, rx=8, class_=f"box box-{box.state}"),
        element("text", box.kind, x=x + 12, y=y + 20, class_="box-kind"),
        element("text", cut(box.title, 17), x=x + 12, y=y + 41, class_="box-title"),
        element("text", cut(box.note, 22), x=x + 12, y=y + 60, class_="box-note"),
    )
    return element("a", inner, href=box.href) if box.href else inner


def _data(snapshots: list[Fact]) -> tuple[list[_Box], list[_Box]]:
    files: list[_Box] = []
    boxes: list[_Box] = []
    for snapshot in snapshots[:_MOST]:
        href = f"/datasets/{quote(snapshot['dataset'], safe='')}/{snapshot['version']}"
        rows = snapshot["kind"] if snapshot["rows"] is None else f"{amount(snapshot['rows'])} rows"
        state = "gone" if snapshot["state"] != "live" else "live"
        note = rows if state == "live" else snapshot["state"]
        boxes.append(_Box("snapshot", snapshot["reference"], note, href, state))
        for number, source in enumerate(snapshot["sources"][:2]):
            more = len(snapshot["sources"]) - 2
            sha256 = f"sha256 {source['sha256'][:8]}…" if source["sha256"] else source["kind"]
            text = f"and {more} more files" if number and more > 0 else sha256
            name = str(source["uri"]).rstrip("/").rpartition("/")[2] or str(source["uri"])
            files.append(_Box("source", name, text, f"{href}#sources", leads_to=len(boxes) - 1))
    if len(snapshots) > _MOST:
        boxes.append(_Box("snapshots", f"{len(snapshots) - _MOST} more", "listed below"))
    return files, boxes


def _run(thread: Fact) -> list[_Box]:
    run = thread["run"]
    if run is None:
        return []
    ran = sum(step["state"] == "ran" for step in thread["steps"])
    cached = sum(step["state"] == "cached" for step in thread["steps"])
    note = f"{ran} steps ran, {cached} cached" if thread["steps"] else run["provenance"]
    return [_Box("run", run["name"], note, f"/runs/{run['id']}")]


def _model(thread: Fact) -> list[_Box]:
    model = thread["model"]
    if model is None:
        return [_Box("model version", thread["prediction"]["model_version"], "not in this catalog", None, "gone")]
    state = "gone" if model["state"] in ("erased", "expired") else "live"
    href = f"/models/{quote(model['name'], safe='')}/{model['version']}"
    return [_Box("model version", model["reference"], f"{model['state']}, {model['provenance']}", href, state)]


def _route(thread: Fact) -> list[_Box]:
    found, route, endpoint = thread["prediction"], thread["route"], thread["endpoint"]
    href = None if endpoint is None else f"/endpoints/{quote(endpoint['name'], safe='')}"
    note = f"{found['role']}, {share(found['share'])}"
    state = "gone" if route is None else "live"
    return [_Box(f"route, revision {found['route_revision']}", found["endpoint"], note, href, state)]


def _prediction(found: Fact) -> list[_Box]:
    said = f"failed: {found['error']}" if found["error"] else amount(found["output"])
    return [_Box("prediction", said, found["entity"] or f"{found['latency_us'] / 1000:g} ms", None, "here")]


def _outcomes(outcomes: list[Fact]) -> list[_Box]:
    if not outcomes:
        return [_Box("outcome", "none yet", "it is joined when it comes", None, "gone")]
    boxes = []
    for one in outcomes[:_MOST]:
        days = f"{one['delay_days']:.1f} days later"
        boxes.append(_Box(f"outcome: {cut(str(one['name']), 12)}", amount(one["value"]), days, "#outcomes"))
    if len(outcomes) > _MOST:
        boxes[-1] = _Box("outcomes", f"{len(outcomes) - _MOST + 1} more", "listed below", "#outcomes")
    return boxes
