"""Templates and the filters that make facts readable."""

import math
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

import clew
from clew.hub import pictures
from clew.thread.words import amount, share

Now = Callable[[], datetime]

_LONGEST = 2000


def environment(now: Now = lambda: datetime.now(UTC)) -> Environment:
    """The templates; everything that they put into a page is escaped."""
    env = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters |= {
        "amount": shown,
        "whole": whole,
        "share": share,
        "ago": lambda iso: ago(iso, now()),
        "stamp": stamp,
        "size": size,
        "span": span,
        "short": short,
        "segment": lambda text: quote(str(text), safe=""),
        "words": lambda text: str(text).replace("_", " "),
        "ref": reference,
    }
    env.tests["listed"] = lambda value: isinstance(value, list | tuple)
    env.globals |= {"version": clew.__version__, "picture": pictures, "asked": asked, "now": now, "count": count}
    return env


def shown(value: Any) -> str:
    """A value for a page: as `amount`, cut where nobody would read on."""
    text = amount(value)
    if isinstance(value, int | float):
        return text.replace("-", "−", 1) if value < 0 else text
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}… ({len(text):,} characters)"


def whole(number: int | None) -> str:
    """How many there are; a year or a parameter is no such number, and keeps its digits together."""
    return "—" if number is None else f"{number:,}"


def count(number: int, noun: str) -> str:
    """A number with its noun: 1 run, 2 runs."""
    return f"{whole(number)} {noun}{'' if number == 1 else 's'}"


def ago(iso: str | None, now: datetime) -> Markup:
    """A moment as people say it, the exact one behind it."""
    if iso is None:
        return Markup("<span class=quiet>—</span>")
    moment = datetime.fromisoformat(iso)
    return Markup('<time datetime="{}" title="{}">{}</time>').format(iso, stamp(iso), _said(moment, now))


def _said(moment: datetime, now: datetime) -> str:
    seconds = (now - moment).total_seconds()
    size = abs(seconds)
    if size < 45:
        return "just now"
    if size >= 7 * 86_400:
        form = "%-d %b" if moment.year == now.year else "%-d %b %Y"
        return moment.strftime(form)
    units = ((86_400, "day"), (3600, "hour"), (60, "minute"))
    unit, name = next((one for one in units if size >= one[0]), units[-1])
    text = count(max(1, int(size // unit)), name)
    return f"{text} ago" if seconds > 0 else f"in {text}"


def stamp(iso: str | None) -> str:
    """A moment to the second."""
    return "—" if iso is None else datetime.fromisoformat(iso).strftime("%-d %b %Y, %H:%M:%S UTC")


def size(number: int | None) -> str:
    """Bytes in the unit that fits."""
    if number is None:
        return "—"
    if number < 1000:
        return f"{number} B"
    power = min(int(math.log(number, 1000)), 5)
    return f"{number / 1000**power:.3g} {'kMGTP'[power - 1]}B"


def span(seconds: float | None) -> str:
    """How long something took."""
    if seconds is None:
        return "—"
    if seconds < 0.9995:
        return f"{max(seconds, 0) * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def short(content_id: str | None) -> Markup:
    """A content id by its first digits, whole in its title."""
    if content_id is None:
        return Markup("—")
    if len(content_id) <= 16:
        return Markup("<code>{}</code>").format(content_id)
    return Markup('<code title="{}">{}…</code>').format(content_id, content_id[:15])


def reference(text: str, kind: str) -> Markup:
    """A reference such as house-price@7 as a link; `kind` is models or datasets."""
    name, _, version = text.rpartition("@")
    return Markup('<a href="/{}/{}/{}">{}</a>').format(kind, quote(name, safe=""), quote(version, safe=""), text)


def asked(query: dict[str, Any], **changes: Any) -> str:
    """The query of a link: as it was asked, with changes."""
    standard = {"sort": "started", "order": "desc", "page": 1}
    values = {**query, **changes}
    return "?" + urlencode({name: one for name, one in values.items() if one and standard.get(name) != one})
