"""What each change does to the metric, as a picture: two intervals for each, around the line of no effect."""

from typing import Any, Final

from markupsafe import Markup

from clew.hub.pictures.svg import cut, drawing, element
from clew.thread.words import amount

Fact = dict[str, Any]
_WIDTH: Final = 760.0
_LEFT, _RIGHT, _TOP, _ROW, _BOTTOM = 330.0, 20.0, 14.0, 38.0, 30.0
_LETTERS: Final = 46
_APART: Final = 60  # pixels, so that labels don't meet


def effects(level: Fact, metric: str) -> Markup:
    """The effects of a bisection's level: above added to the good version alone, below taken out of the bad one."""
    found = level["effects"]
    known = [one for effect in found for one in (effect["adding"], effect["removing"]) if one is not None]
    if not known:
        return Markup("")
    low, high = min(0.0, *(one[1] for one in known)), max(0.0, *(one[2] for one in known))
    wide = (high - low) or 1.0

    def x(value: float) -> float:
        return float(_LEFT + (_WIDTH - _LEFT - _RIGHT) * (value - low) / wide)

    height = _TOP + _ROW * len(found) + _BOTTOM
    rows = [_row(effect, _TOP + _ROW * number, x) for number, effect in enumerate(found)]
    return drawing(
        _WIDTH,
        height,
        element("line", x1=x(0.0), x2=x(0.0), y1=_TOP, y2=height - _BOTTOM, class_="axis"),
        *(
            element("text", amount(value), x=x(value), y=height - 10, text_anchor=anchor, class_="tick")
            for value, anchor in ((0.0, "middle"), (high, "end"), (low, "start"))
            if value == 0 or abs(x(value) - x(0.0)) > _APART
        ),
        *rows,
        title=f"What each change does to {metric}: more is worse",
        class_="effects",
    )


def _row(effect: Fact, top: float, x: Any) -> Markup:
    says = f"{effect['says']}{'' if effect['matters'] else ' (does not matter)'}"
    parts: list[Any] = [
        element("title", says),
        element("text", cut(effect["says"], _LETTERS), x=_LEFT - 12, y=top + 22, text_anchor="end",
                class_="name strong" if effect["matters"] else "name"),
    ]  # fmt: skip
    for shift, which, said in ((12, "adding", "added to the good one"), (24, "removing", "taken out of the bad one")):
        interval = effect[which]
        if interval is None:
            continue
        estimate, low, high = interval
        class_ = "guilty" if effect["matters"] and low > 0 else "innocent"
        y = top + shift
        parts.append(
            element(
                "g",
                element("title", f"{said}: {amount(estimate)} ({amount(low)} to {amount(high)})"),
                element("line", x1=x(low), x2=x(high), y1=y, y2=y, class_=f"whisker {class_}"),
                element("circle", cx=x(estimate), cy=y, r=4 if which == "adding" else 3, class_=f"dot {class_}"),
            )
        )
    return element("g", *parts)
