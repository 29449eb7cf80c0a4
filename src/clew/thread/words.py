"""Values in words: numbers with sensible precision, moments that a person reads, texts that can do no harm."""

import math
from datetime import datetime
from typing import Any

import msgspec


def amount(value: Any) -> str:
    """A value as a person reads it: 4 significant digits, thousands separated; anything but a number as it is."""
    if value is None:
        return "—"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return f"{value:,}" if abs(value) >= 10_000 else str(value)
    if isinstance(value, float):
        return _decimal(value)
    if isinstance(value, str):
        return value
    return msgspec.json.encode(value).decode()


def _decimal(value: float) -> str:
    if not math.isfinite(value):
        return str(value)
    size = abs(value)
    if size and (size < 1e-4 or size >= 1e15):
        return f"{value:.3g}"
    if size >= 1000:
        return f"{value:,.0f}"
    # As many decimals as make four significant digits, without zeros that say nothing.
    decimals = 3 - math.floor(math.log10(size)) if size else 0
    text = f"{value:.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def share(value: float) -> str:
    """A share of the traffic in percent, without zeros that say nothing."""
    return f"{value * 100:.4g}%"


def moment(iso: str | None) -> str:
    """A moment to the second, UTC."""
    if iso is None:
        return "—"
    return datetime.fromisoformat(iso).strftime("%Y-%m-%d %H:%M:%S UTC")


def plain(text: str) -> str:
    """The text without what a terminal would obey: control characters and overrides of direction become '?'."""
    return "".join(character if character.isprintable() else "?" for character in text)
