"""Small pictures for tables: a bar, a line, the shares of an endpoint."""

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from clew.hub.pictures.svg import drawing, element, polyline
from clew.thread.words import share as percent


def bar(value: float | None, most: float, *, mark: float | None = None, class_: str = "bar") -> Markup:
    """A value as a bar, `most` being its full length; `mark` is a limit to see it against."""
    if value is None or most <= 0:
        return Markup("")
    width, height = 120.0, 10.0
    length = width * min(max(value / most, 0.0), 1.0)
    parts = [
        element("rect", width=width, height=height, rx=3, class_="bar-back"),
        element("rect", width=length, height=height, rx=3, class_="bar-fill"),
    ]
    if mark is not None and 0 < mark <= most:
        at = width * mark / most
        parts.append(element("line", x1=at, x2=at, y1=0, y2=height, class_="bar-mark"))
    return drawing(width, height, *parts, title=f"{value:g} of {most:g}", class_=class_)


def shares(targets: Sequence[dict[str, Any]]) -> Markup:
    """The traffic of an endpoint, divided among its versions."""
    width, height, at = 160.0, 12.0, 0.0
    parts = []
    for number, target in enumerate(targets):
        length = width * target["share"]
        if length > 0:
            hint = element("title", f"{target['model_version']} {target['role']} {percent(target['share'])}")
            parts.append(
                element("rect", hint, x=at, width=length, height=height, class_=f"share share-{min(number, 3)}")
            )
        at += length
    said = ", ".join(f"{target['model_version']} {percent(target['share'])}" for target in targets)
    return drawing(width, height, *parts, title=said or "no traffic", class_="shares")


def spark(history: Sequence[Sequence[float | None]]) -> Markup:
    """Values over steps as a line; nothing for fewer than two."""
    known = [(step, value) for step, value in history if step is not None and value is not None]
    thinned = known[:: max(1, len(known) // 200)]
    if len(thinned) < 2:
        return Markup("")
    width, height, edge = 140.0, 28.0, 2.0
    steps, values = [step for step, _ in thinned], [value for _, value in thinned]
    wide, tall = (max(steps) - min(steps)) or 1.0, (max(values) - min(values)) or 1.0
    points = [
        (
            edge + (width - 2 * edge) * (step - min(steps)) / wide,
            height - edge - (height - 2 * edge) * (value - min(values)) / tall,
        )
        for step, value in thinned
    ]
    return drawing(width, height, polyline(points, "spark-line"), title="values over steps", class_="spark")
