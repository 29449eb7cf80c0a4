"""The trials of a sweep as pictures: the best so far over trials, and the metric over each parameter."""

import math
from collections.abc import Sequence
from typing import Any, Final

from markupsafe import Markup

from clew.hub.pictures.curves import HEIGHT, Plane, bottom_labels
from clew.hub.pictures.svg import cut, drawing, element, polyline
from clew.thread.words import amount

Fact = dict[str, Any]
_WIDTH: Final = 380.0
_DECADES: Final = 100  # a range of so many times its low end is drawn on a logarithmic scale


def best_so_far(sweep: Fact) -> Markup:
    """Each trial as a dot, in order, and the best until then as a line."""
    values = [trial["value"] for trial in sweep["trials"] if trial["value"] is not None]
    if not values:
        return Markup("")
    choose = min if sweep["direction"] == "minimize" else max
    best = [choose(values[: number + 1]) for number in range(len(values))]
    xs = [float(number + 1) for number in range(len(values))]
    plane = Plane.around(xs, values)
    labels = [(xs[0], "1"), (xs[-1], f"{len(values)} trials")] if len(xs) > 1 else [(xs[0], "1 trial")]
    return drawing(
        _WIDTH,
        HEIGHT,
        *plane.grid(labels),
        *_dots(plane, xs, values, sweep),
        polyline([plane.at(x, y) for x, y in zip(xs, best, strict=True)], "line line-1"),
        title=f"{sweep['metric']} of each trial, and the best so far",
        class_="curve",
    )


def over_parameter(sweep: Fact, name: str) -> Markup:
    """The metric of each trial over one of its parameters."""
    trials = [trial for trial in sweep["trials"] if trial["value"] is not None and name in trial["parameters"]]
    if not trials:
        return Markup("")
    values = [float(trial["value"]) for trial in trials]
    given = [trial["parameters"][name] for trial in trials]
    numbers = all(isinstance(one, int | float) and not isinstance(one, bool) for one in given)
    if numbers:
        low, high = float(min(given)), float(max(given))
        log = low > 0 and high / low >= _DECADES
        xs = [math.log10(one) if log else float(one) for one in given]
        labels = [(min(xs), amount(low)), (max(xs), amount(high))]
    else:
        kinds = sorted({str(one) for one in given})
        xs = [float(kinds.index(str(one))) for one in given]
        labels = [(float(number), cut(kind, 10)) for number, kind in enumerate(kinds)]
    plane = Plane.around(xs, values)
    return drawing(
        _WIDTH,
        HEIGHT,
        *plane.grid([]),
        *bottom_labels(plane, labels),
        *_dots(plane, xs, values, sweep),
        title=f"{sweep['metric']} over {name}",
        class_="curve",
    )


def _dots(plane: Plane, xs: Sequence[float], values: Sequence[float], sweep: Fact) -> list[Markup]:
    choose = min if sweep["direction"] == "minimize" else max
    best = values.index(choose(values))
    return [
        element(
            "circle",
            element("title", f"{sweep['metric']} = {amount(value)}"),
            cx=plane.x(x),
            cy=plane.y(value),
            r=5 if number == best else 3,
            class_="dot best" if number == best else "dot",
        )
        for number, (x, value) in enumerate(zip(xs, values, strict=True))
    ]
