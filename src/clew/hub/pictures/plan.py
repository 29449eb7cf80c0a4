"""The plan of a run as a picture: each step once, after those that it needs, with what became of its calls."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from markupsafe import Markup

from clew.hub.pictures.svg import cut, drawing, element

Fact = dict[str, Any]

_WIDE: Final = 168.0
_TALL: Final = 52.0
_GAP: Final = 34.0
_SPACE: Final = 14.0
_ORDER: Final = ("failed", "running", "ran", "cached", "skipped")


def plan(entries: Sequence[Fact], steps: Sequence[Fact]) -> Markup:
    """The steps of a plan from left to right; `steps` are those that have been journalled so far."""
    if not entries:
        return Markup("")
    became = _became(entries, steps)
    columns = _columns(entries)
    height = max(len(column) for column in columns) * (_TALL + _SPACE) - _SPACE + 4
    width = len(columns) * (_WIDE + _GAP) - _GAP + 4
    places = {
        entry["name"]: (2 + number * (_WIDE + _GAP), _top(len(column), height) + row * (_TALL + _SPACE))
        for number, column in enumerate(columns)
        for row, entry in enumerate(column)
    }
    edges = [_edge(places[before], places[entry["name"]]) for entry in entries for before in _direct(entry, entries)]
    boxes = [_draw(entry, places[entry["name"]], became[entry["name"]]) for entry in entries]
    return drawing(width, height, *edges, *boxes, title="the steps of this run", class_="chain")


def _columns(entries: Sequence[Fact]) -> list[list[Fact]]:
    """Each step one column after the last of those that it needs."""
    column: dict[str, int] = {}
    for entry in entries:  # in the order of wiring: what a step needs stands before it
        column[entry["name"]] = max((column[one] + 1 for one in entry["after"] if one in column), default=0)
    found: list[list[Fact]] = [[] for _ in range(max(column.values()) + 1)]
    for entry in entries:
        found[column[entry["name"]]].append(entry)
    return found


def _direct(entry: Fact, entries: Sequence[Fact]) -> list[str]:
    """The steps that this one needs, without those that the others of them need anyway: fewer lines say the same."""
    needs = {one["name"]: list(one["after"]) for one in entries}
    beyond: set[str] = set()
    waiting = [name for one in entry["after"] for name in needs.get(one, [])]
    while waiting:
        name = waiting.pop()
        if name not in beyond:
            beyond.add(name)
            waiting += needs.get(name, [])
    return [name for name in entry["after"] if name in needs and name not in beyond]


def _top(count: int, height: float) -> float:
    return (height - count * (_TALL + _SPACE) + _SPACE) / 2


def _became(entries: Sequence[Fact], steps: Sequence[Fact]) -> dict[str, Counter[str]]:
    """How many calls of each step ended how."""
    names = {entry["name"] for entry in entries}
    found: dict[str, Counter[str]] = {name: Counter() for name in names}
    for step in steps:
        name = step["name"]
        while name not in names and name.rpartition("-")[2].isdigit():  # the second call of a step, and so on
            name = name.rpartition("-")[0]
        if name in found:
            found[name][step["state"]] += 1
    return found


def _edge(start: tuple[float, float], end: tuple[float, float]) -> Markup:
    x1, y1, x2, y2 = start[0] + _WIDE, start[1] + _TALL / 2, end[0], end[1] + _TALL / 2
    bend = (x2 - x1) / 2
    path = f"M{x1:.1f} {y1:.1f}C{x1 + bend:.1f} {y1:.1f} {x2 - bend:.1f} {y2:.1f} {x2:.1f} {y2:.1f}"
    return element("path", d=path, class_="thread")


def _draw(entry: Fact, place: tuple[float, float], became: "Counter[str]") -> Markup:
    x, y = place
    calls = entry["calls"]
    many = "" if calls == 1 else " × ?" if calls is None and not became else f" × {calls or became.total()}"
    told = ", ".join(f"{became[state]} {state}" if became.total() > 1 else state for state in _ORDER if became[state])
    note = told or ("if " + " and ".join(entry["when"]) if entry["when"] else "not begun")
    state = next((one for one in _ORDER if became[one]), "waiting")
    return element(
        "g",
        element("title", f"{entry['name']}{many}, {entry['where']}: {note}"),
        element("rect", x=x, y=y, width=_WIDE, height=_TALL, rx=8, class_=f"box step-{state}"),
        element("text", f"{cut(entry['name'], 18)}{many}", x=x + 12, y=y + 22, class_="box-title"),
        element("text", cut(note, 25), x=x + 12, y=y + 41, class_="box-note"),
    )
