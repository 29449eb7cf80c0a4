"""The thread around one thing as a picture: columns from left to right, the thing itself in the middle.

A column of more than a handful is folded: the first few, and one box that says how many more there are. That box is a
link which opens the column: then all of its boxes stand in one frame, small, and lines lead to the frame as a whole,
so that two hundred stay readable. The measures are such that seven columns, or five with one opened, fit the page.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from markupsafe import Markup

from clew.hub.pictures.svg import cut, drawing, element

Fact = dict[str, Any]

_PAGE: Final = 1176.0  # the width that the page has for it
_WIDE, _TALL, _GAP, _SPACE = 148.0, 54.0, 22.0, 12.0
_SMALL_WIDE, _SMALL_TALL, _SMALL_SPACE, _FRAME = 114.0, 24.0, 5.0, 10.0
_ROWS, _ACROSS = 25, 4  # of small boxes; more rows when there are more than fill so many columns
_HANDFUL: Final = 6
_NOUNS: Final = {
    "source": "sources",
    "snapshot": "snapshots",
    "run": "runs",
    "model": "versions",
    "endpoint": "endpoints",
    "prediction": "predictions",
    "outcome": "outcomes",
}


@dataclass
class _Placed:
    """Where something stands: left, top, width, height."""

    x: float
    y: float
    wide: float
    tall: float


def network(facts: Fact, *, opened: str | None = None) -> Markup:
    """The picture of `clew.thread.network`'s facts; `opened` is the kind of the column that is shown whole."""
    columns, edges, focus = facts["columns"], facts["edges"], facts["focus"]
    if not columns:
        return Markup("")
    stays = next(number for number, one in enumerate(columns) if any(box["id"] == focus for box in one["boxes"]))
    folded = [_Column(one, focus, whole=one["kind"] == opened and len(one["boxes"]) > _HANDFUL) for one in columns]
    left = sum(one.wide + _GAP for one in folded[:stays])
    right = sum(one.wide + _GAP for one in folded[stays + 1 :])
    # The thing itself stands in the middle of the picture, as far as the page is wide enough for that.
    natural = left + folded[stays].wide + right
    pad = min(abs(left - right), max(0.0, _PAGE - 4 - natural))
    width, height = natural + pad + 4, max(one.tall for one in folded) + 4
    at = 2 + (pad if left < right else 0.0)
    places: dict[str, _Placed] = {}
    for one in folded:
        places |= one.place(at, height)
        at += one.wide + _GAP
    drawn: list[Markup] = []
    seen: set[tuple[str, str]] = set()
    shown = {name: column.shown.get(name, name) for column in folded for name in column.shown}
    for start, end in edges:
        pair = (shown.get(start, start), shown.get(end, end))
        if pair[0] in places and pair[1] in places:
            seen.add(pair)
    near = {end: max(places[start].x for start, other in seen if other == end) for _, end in seen}
    # A line past a column says nothing where one comes from that column too.
    drawn += [_edge(places[start], places[end]) for start, end in sorted(seen) if places[start].x == near[end]]
    for one in folded:
        drawn += one.draw(places)
    return drawing(width, height, *drawn, title="the thread, from sources to outcomes", class_="chain network")


class _Column:
    """One column: which of its boxes are drawn by themselves, and what stands for the others."""

    def __init__(self, facts: Fact, focus: str, *, whole: bool) -> None:
        self.kind, self._focus, self._whole = facts["kind"], focus, whole
        boxes: list[Fact] = sorted(facts["boxes"], key=lambda box: box["id"] != focus)
        fits = whole or facts["in_all"] <= _HANDFUL
        self._boxes = boxes if fits else boxes[: _HANDFUL - 1]
        self._more = facts["in_all"] - len(self._boxes)
        self._opens = not whole and len(boxes) > _HANDFUL - 1
        frame, more = f"{self.kind}:frame", f"{self.kind}:more"
        alone = {} if whole else {box["id"]: box["id"] for box in self._boxes}
        self.shown: Mapping[str, str] = {box["id"]: frame if whole else more for box in boxes} | alone
        self._rows = max(_ROWS, -(-len(self._boxes) // _ACROSS))
        rows = min(self._rows, len(self._boxes))
        across = -(-len(self._boxes) // self._rows)
        if whole:
            self.wide = across * (_SMALL_WIDE + _SMALL_SPACE) - _SMALL_SPACE + 2 * _FRAME
            self.tall = rows * (_SMALL_TALL + _SMALL_SPACE) - _SMALL_SPACE + 2 * _FRAME + 22
            self.tall += _SMALL_TALL + _SMALL_SPACE if self._more > 0 else 0
        else:
            self.wide = _WIDE
            self.tall = (len(self._boxes) + (self._more > 0)) * (_TALL + _SPACE) - _SPACE

    def place(self, x: float, height: float) -> dict[str, _Placed]:
        """Where its boxes stand; the thing that is looked at in the middle."""
        top = (height - self.tall) / 2
        if self._whole:
            self._frame = _Placed(x, top, self.wide, self.tall)
            return {f"{self.kind}:frame": self._frame}
        names = [box["id"] for box in self._boxes] + ([f"{self.kind}:more"] if self._more > 0 else [])
        if self._focus in names:
            names.remove(self._focus)
            names.insert(len(names) // 2, self._focus)
        return {name: _Placed(x, top + row * (_TALL + _SPACE), _WIDE, _TALL) for row, name in enumerate(names)}

    def draw(self, places: Mapping[str, _Placed]) -> list[Markup]:
        """Its boxes, each a link."""
        if self._whole:
            return self._draw_frame()
        drawn = [_box(box, places[box["id"]], here=box["id"] == self._focus) for box in self._boxes]
        if self._more > 0:
            drawn.append(_folded(self.kind, self._more, places[f"{self.kind}:more"], opens=self._opens))
        return drawn

    def _draw_frame(self) -> list[Markup]:
        frame = self._frame
        noun = f"{len(self._boxes):,} {_NOUNS[self.kind]}"
        close = element(
            "a", element("text", f"{noun} – fold", x=frame.x + _FRAME, y=frame.y + 20, class_="box-kind"), href="?"
        )
        drawn = [
            element("rect", x=frame.x, y=frame.y, width=frame.wide, height=frame.tall, rx=10, class_="frame"),
            close,
        ]
        for number, box in enumerate(self._boxes):
            across, row = divmod(number, self._rows)
            place = _Placed(
                frame.x + _FRAME + across * (_SMALL_WIDE + _SMALL_SPACE),
                frame.y + _FRAME + 22 + row * (_SMALL_TALL + _SMALL_SPACE),
                _SMALL_WIDE,
                _SMALL_TALL,
            )
            drawn.append(_small(box, place, here=box["id"] == self._focus))
        if self._more > 0:
            said = f"and {self._more:,} more, not shown"
            foot = frame.y + frame.tall - _FRAME - 4
            drawn.append(element("text", said, x=frame.x + _FRAME, y=foot, class_="box-note"))
        return drawn


def _edge(start: _Placed, end: _Placed) -> Markup:
    x1, y1, x2, y2 = start.x + start.wide, start.y + start.tall / 2, end.x, end.y + end.tall / 2
    bend = min((x2 - x1) / 2, _GAP * 1.5)
    path = f"M{x1:.1f} {y1:.1f}C{x1 + bend:.1f} {y1:.1f} {x2 - bend:.1f} {y2:.1f} {x2:.1f} {y2:.1f}"
    return element("path", d=path, class_="thread")


def _box(box: Fact, place: _Placed, *, here: bool) -> Markup:
    look = "here" if here else "gone" if box["state"] in ("erased", "expired") else "live"
    inner = element(
        "g",
        element("title", f"{box['kind']}: {box['title']}; {box['note']}"),
        element("rect", x=place.x, y=place.y, width=place.wide, height=place.tall, rx=8, class_=f"box box-{look}"),
        element("text", cut(box["title"], 16), x=place.x + 11, y=place.y + 22, class_="box-title"),
        element("text", cut(_said(box), 22), x=place.x + 11, y=place.y + 41, class_="box-note"),
    )
    return element("a", inner, href=_page(box) if here else _thread(box))


def _small(box: Fact, place: _Placed, *, here: bool) -> Markup:
    look = "here" if here else "gone" if box["state"] in ("erased", "expired") else "live"
    when = box["note"].rpartition(", ")[2][5:] if box["kind"] == "run" else ""
    title = cut(box["title"], 15 if not when else 10)
    inner = element(
        "g",
        element("title", f"{box['kind']}: {box['title']}; {box['note']}"),
        element("rect", x=place.x, y=place.y, width=place.wide, height=place.tall, rx=5, class_=f"box box-{look}"),
        element("text", title, x=place.x + 8, y=place.y + 16, class_="box-note box-name"),
        element("text", when, x=place.x + place.wide - 8, y=place.y + 16, class_="box-note", text_anchor="end"),
    )
    return element("a", inner, href=_page(box) if here else _thread(box))


def _said(box: Fact) -> str:
    return f"{'version' if box['kind'] == 'model' else box['kind']}, {box['note']}"


def _folded(kind: str, count: int, place: _Placed, *, opens: bool) -> Markup:
    behind = [
        element("rect", x=place.x + d, y=place.y + d, width=place.wide - 6, height=place.tall - 6, rx=8, class_="box")
        for d in (6.0, 3.0)
    ]
    inner = element(
        "g",
        element("title", f"{count:,} more {_NOUNS[kind]}"),
        *behind,
        element("rect", x=place.x, y=place.y, width=place.wide - 6, height=place.tall - 6, rx=8, class_="box box-more"),
        element("text", f"{count:,} {_NOUNS[kind]}", x=place.x + 11, y=place.y + 21, class_="box-title"),
        element("text", "open" if opens else "more", x=place.x + 11, y=place.y + 39, class_="box-note"),
    )
    return element("a", inner, href=f"?open={kind}") if opens else inner


def _thread(box: Fact) -> str:
    """The thread of another box; of a source or an outcome, where it is listed."""
    if box["kind"] in ("source", "outcome"):
        return _page(box)
    return f"/thread/{box['kind']}/{quote(box['reference'], safe='')}"


def _page(box: Fact) -> str:
    """The page of what a box stands for."""
    kind, reference = box["kind"], str(box["reference"])
    name, _, version = reference.rpartition("@")
    if kind in ("source", "snapshot"):
        return f"/datasets/{quote(name, safe='')}/{version}{'#sources' if kind == 'source' else ''}"
    if kind == "model":
        return f"/models/{quote(name, safe='')}/{version}"
    if kind in ("prediction", "outcome"):
        return f"/predictions/{quote(reference, safe='')}{'#outcomes' if kind == 'outcome' else ''}"
    return f"/{kind}s/{quote(reference, safe='')}"
