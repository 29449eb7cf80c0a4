"""A line of the result, and the table of all of them: for people, as JSON, as Markdown."""

import itertools
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

_STARTED: Final = time.monotonic()
_HEADERS: Final = ("part", "what", "value", "against", "its value", "ratio", "limit", "", "note")


@dataclass(frozen=True)
class Row:
    """One figure: what was measured, against what, and whether it keeps to its limit (None where it has none)."""

    part: str
    name: str
    value: float
    unit: str
    against: str = ""
    baseline: float | None = None
    limit: float | None = None
    limit_text: str = ""
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """The value over its baseline."""
        return None if not self.baseline else self.value / self.baseline

    @property
    def met(self) -> bool | None:
        """Whether the value is within the limit."""
        return None if self.limit is None else self.value <= self.limit

    def as_json(self) -> dict[str, Any]:
        """All of it, as JSON holds it."""
        ratio = self.ratio
        return asdict(self) | {"ratio": None if ratio is None else round(ratio, 5), "met": self.met}

    def cells(self) -> tuple[str, ...]:
        """The row as text."""
        ratio = self.ratio
        return (
            self.part,
            self.name,
            f"{_figure(self.value)} {self.unit}".strip(),
            self.against,
            "" if self.baseline is None else f"{_figure(self.baseline)} {self.unit}".strip(),
            "" if ratio is None else _ratio(ratio),
            self.limit_text,
            {None: "", True: "met", False: "MISSED"}[self.met],
            self.note,
        )


def times(
    part: str, name: str, value: float, unit: str, against: str, baseline: float, factor: float, note: str = ""
) -> Row:
    """A row whose limit is a multiple of its baseline."""
    text = f"≤ {factor:g} ×" if factor >= 1 else f"≤ 1/{1 / factor:g}"
    return Row(part, name, value, unit, against, baseline, factor * baseline, text, note)


def holds(part: str, name: str, good: int, of: int) -> Row:
    """A row that counts what came out right; all of it must."""
    return Row(part, name, of - good, f"of {of:,}", limit=0, limit_text="none")


def _figure(value: float) -> str:
    """Three digits that count, or all before the point."""
    if value == 0 or float(value).is_integer():
        return f"{value:,.0f}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}" if abs(value) < 100 else f"{value:.1f}"


def _ratio(ratio: float) -> str:
    return f"{ratio:.2f} ×" if ratio >= 0.5 else f"1/{1 / ratio:.1f}" if ratio > 0 else "0"


def as_text(rows: Sequence[Row]) -> str:
    """The table in columns, for a terminal."""
    lines = [_HEADERS, *(row.cells() for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEADERS))]
    return "\n".join(
        "  ".join(cell.rjust(width) if at in (2, 4, 5) else cell.ljust(width)
                  for at, (cell, width) in enumerate(zip(line, widths, strict=True))).rstrip()
        for line in lines
    )  # fmt: skip


def as_markdown(rows: Sequence[Row]) -> str:
    """The table in Markdown, a section for each part."""
    lines: list[str] = []
    for part, of_part in itertools.groupby(rows, lambda row: row.part):
        lines += ["", f"## {part.capitalize()}", "", "| " + " | ".join(_HEADERS[1:]) + " |"]
        lines += ["|---|--:|---|--:|--:|---|---|---|"]
        lines += ["| " + " | ".join(_marked(row.cells()[1:])) + " |" for row in of_part]
    return "\n".join(lines[1:])


def _marked(cells: Iterable[str]) -> list[str]:
    return ["**MISSED**" if cell == "MISSED" else cell.replace("|", "\\|") for cell in cells]


def progress(text: str) -> None:
    """Say what is being done, with the seconds since the start."""
    print(f"[{time.monotonic() - _STARTED:6.0f} s] {text}", file=sys.stderr, flush=True)
