"""Curves of a rollout: the candidate's share over time, its evidence and its interval over requests."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any, Final

from markupsafe import Markup

from clew.hub.pictures.svg import cut, drawing, element, polyline
from clew.thread.words import amount, share

_WIDTH: Final = 380.0
HEIGHT: Final = 220.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 58.0, 14.0, 22.0, 30.0
_GUARDS: Final = {"harm": 0, "safe": 1, "disagreement": 2, "errors": 3}

Fact = dict[str, Any]


@dataclass(frozen=True)
class Plane:
    """The map from values to the picture."""

    x_low: float
    x_high: float
    y_low: float
    y_high: float

    @classmethod
    def around(cls, xs: Sequence[float], ys: Sequence[float]) -> "Plane":
        """The map that shows all of these."""
        low, high = min(ys), max(ys)
        margin = (high - low) * 0.06 or abs(high) * 0.1 or 1.0
        return cls(min(xs), max(xs) if max(xs) > min(xs) else min(xs) + 1, low - margin, high + margin)

    def x(self, value: float) -> float:
        """Where a value stands from the left, in pixels."""
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * (value - self.x_low) / (self.x_high - self.x_low)

    def y(self, value: float) -> float:
        """Where a value stands from the top, in pixels."""
        return HEIGHT - _BOTTOM - (HEIGHT - _TOP - _BOTTOM) * (value - self.y_low) / (self.y_high - self.y_low)

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Where a point stands."""
        return self.x(x), self.y(y)

    def rule(self, value: float, label: str, class_: str) -> Markup:
        """A line across at a value, with its label."""
        y = self.y(value)
        return element("g", element("line", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=y, y2=y, class_=class_), _left(y, label))

    def grid(self, x_labels: Sequence[tuple[float, str]]) -> list[Markup]:
        """Lines at round values, and the labels below."""
        lines = [self.rule(value, amount(value), "grid") for value in _ticks(self.y_low, self.y_high)]
        return [*lines, *bottom_labels(self, x_labels)]


def bottom_labels(plane: Plane, labels: Sequence[tuple[float, str]]) -> list[Markup]:
    """Texts below the picture, each at its value."""
    ends = {plane.x_low: "start", plane.x_high: "end"}
    return [
        element("text", label, x=plane.x(value), y=HEIGHT - 10, text_anchor=ends.get(value, "middle"), class_="tick")
        for value, label in labels
    ]


def _left(y: float, label: str) -> Markup:
    return element("text", label, x=_LEFT - 8, y=y + 4, text_anchor="end", class_="tick")


def _ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round values within a range."""
    raw = (high - low) / most
    if not math.isfinite(raw) or raw <= 0:
        return []
    unit = 10.0 ** math.floor(math.log10(raw))
    step = next((unit * nice for nice in (1, 2, 2.5, 5, 10) if unit * nice >= raw), unit * 10)
    first = math.ceil(low / step)
    return [round(number * step, 12) for number in range(first, math.floor(high / step) + 1)]


def share_curve(rollout: Fact) -> Markup:
    """The candidate's share of the traffic over the time of the data, and each decision as a dot on it."""
    changes = [(_seconds(one["at"]), one["share"]) for one in rollout["shares"]]
    decisions = [(_seconds(one["at"]), one) for one in reversed(rollout["decisions"])]
    if not changes:
        return Markup("")
    last = max([at for at, _ in changes] + [at for at, _ in decisions])
    plane = Plane(changes[0][0], max(last, changes[0][0] + 1), -0.03, 1.05)
    points = [plane.at(*changes[0])]
    for (_, before), (at, value) in pairwise(changes):
        points += [plane.at(at, before), plane.at(at, value)]
    points.append(plane.at(plane.x_high, changes[-1][1]))
    dots = [
        element(
            "circle",
            element("title", f"{one['verdict']}: {one['reason']}"),
            cx=plane.x(at),
            cy=plane.y(next((value for moment, value in reversed(changes) if moment <= at), 0.0)),
            r=3.5,
            class_="dot",
        )
        for at, one in decisions
    ]
    rules = [plane.rule(value, share(value), "grid") for value in (0.0, 0.25, 0.5, 0.75, 1.0)]
    days = [(at, datetime.fromtimestamp(at, UTC).strftime("%-d %b %Y")) for at in (plane.x_low, plane.x_high)]
    dates = [
        element("text", label, x=plane.x(at), y=HEIGHT - 10, text_anchor=anchor, class_="tick")
        for (at, label), anchor in zip(days, ("start", "end"), strict=True)
    ]
    return _picture("the candidate's share over time", *rules, *dates, polyline(points, "line line-1"), *dots)


def evidence_curve(rollout: Fact) -> Markup:
    """The evidence of each guard over requests, as a part of what it needs to decide: at 1 it has decided."""
    curves: dict[str, list[tuple[float, float]]] = {}
    for decision in reversed(rollout["decisions"]):
        for name, guard in _guards(decision).items():
            # A guard decides on the largest evidence it has seen.
            evidence, threshold = _number(guard.get("max_log_e", guard.get("log_e"))), _number(guard.get("threshold"))
            if evidence is not None and threshold:
                # Before the first request there is no evidence: every curve begins at 0.
                curves.setdefault(str(name), [(0.0, 0.0)]).append((float(decision["requests"]), evidence / threshold))
    if not curves:
        return Markup("")
    everything = [point for points in curves.values() for point in points]
    # Evidence against can fall without end; what is far below 0 says no more than that.
    plane = Plane.around([x for x, _ in everything], [max(-1.0, y) for _, y in everything] + [0.0, 1.0])
    lines, legend = [], []
    names = sorted(curves, key=lambda name: (_GUARDS.get(name, 9), name))
    for number, name in enumerate(names):
        points, colour = curves[name], _GUARDS.get(name, 4)
        lines.append(polyline([plane.at(x, max(-1.0, y)) for x, y in points], f"line guard-{colour}"))
        legend.append(_legend(sum(28 + 6.4 * len(cut(one, 14)) for one in names[:number]), name, colour))
    return _picture(
        "evidence over requests",
        *plane.grid(_counts(plane)),
        plane.rule(1.0, "1", "threshold"),
        *lines,
        *legend,
    )


def interval_band(rollout: Fact) -> Markup:
    """The interval of the difference between candidate and champion over requests, with its mean."""
    rows = []
    margin: float | None = None
    for decision in reversed(rollout["decisions"]):
        evidence = decision["evidence"] if isinstance(decision["evidence"], dict) else {}
        interval = evidence.get("interval")
        ends = [_number(end) for end in interval] if isinstance(interval, list) and len(interval) == 2 else []
        if ends and ends[0] is not None and ends[1] is not None:
            rows.append((float(decision["requests"]), ends[0], ends[1], _number(evidence.get("mean_difference"))))
            margin = _number(evidence.get("margin"))
    if not rows:
        return Markup("")
    limits = [0.0] if margin is None else [0.0, margin]
    plane = Plane.around([0.0, *(row[0] for row in rows)], [end for row in rows for end in row[1:3]] + limits)
    outline = [plane.at(x, high) for x, _, high, _ in rows] + [plane.at(x, low) for x, low, _, _ in reversed(rows)]
    band = element("polygon", points=" ".join(f"{x:.1f},{y:.1f}" for x, y in outline), class_="band")
    means = [plane.at(x, mean) for x, _, _, mean in rows if mean is not None]
    reaches = [
        element("line", x1=plane.x(x), x2=plane.x(x), y1=plane.y(low), y2=plane.y(high), class_="reach")
        for x, low, high, _ in rows
    ]
    limit = [] if margin is None else [plane.rule(margin, "", "threshold"), _above(plane, margin)]
    return _picture(
        "difference between candidate and champion over requests",
        *plane.grid(_counts(plane)),
        plane.rule(0.0, "0", "zero"),
        *limit,
        band,
        *reaches,
        polyline(means, "line line-1"),
        *(element("circle", cx=x, cy=y, r=3, class_="dot") for x, y in means),
    )


def _guards(decision: Fact) -> dict[str, Fact]:
    evidence = decision["evidence"]
    guards = evidence.get("guards") if isinstance(evidence, dict) else None
    return {name: one for name, one in guards.items() if isinstance(one, dict)} if isinstance(guards, dict) else {}


def _number(value: Any) -> float | None:
    good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if good else None


def _above(plane: Plane, margin: float) -> Markup:
    label = f"margin {amount(margin)}"
    return element("text", label, x=_WIDTH - _RIGHT, y=plane.y(margin) - 4, text_anchor="end", class_="tick")


def _counts(plane: Plane) -> list[tuple[float, str]]:
    return [(plane.x_low, amount(round(plane.x_low))), (plane.x_high, f"{amount(round(plane.x_high))} requests")]


def _legend(start: float, name: str, colour: int) -> Markup:
    x, y = _LEFT + start, _TOP - 3
    return element(
        "g",
        element("line", x1=x, x2=x + 13, y1=y - 4, y2=y - 4, class_=f"line guard-{colour}"),
        element("text", cut(name, 14), x=x + 18, y=y, class_="legend"),
    )


def _seconds(iso: str) -> float:
    return datetime.fromisoformat(iso).timestamp()


def _picture(title: str, *children: Markup) -> Markup:
    return drawing(_WIDTH, HEIGHT, *children, title=title, class_="curve")
