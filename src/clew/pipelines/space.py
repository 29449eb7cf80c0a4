"""The space of a sweep: what each parameter may be, as it is written on the command line."""

import re
from dataclasses import dataclass
from typing import Any, Final

from clew.errors import UsageError

_NUMBER: Final = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_RANGE: Final = re.compile(rf"(log:)?({_NUMBER})\.\.({_NUMBER})(?::({_NUMBER}))?")


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included: whole ones or not, on a logarithmic scale or in steps."""

    low: float
    high: float
    whole: bool
    log: bool = False
    step: float | None = None

    def __str__(self) -> str:
        said = f"{'log:' if self.log else ''}{self.low:g}..{self.high:g}"
        return said if self.step is None else f"{said}:{self.step:g}"


@dataclass(frozen=True)
class Choices:
    """Some values, without an order."""

    values: tuple[str, ...]

    def __str__(self) -> str:
        return ",".join(self.values)


Dimension = Range | Choices


def parse(name: str, text: Any) -> Dimension | None:
    """What a parameter may be: `4..8`, `0.1..0.9`, `log:1e-4..1`, `0..1:0.25`, `a,b,c`; None for one value.

    Raises UsageError.
    """
    if not isinstance(text, str):
        return None
    found = _RANGE.fullmatch(text.strip())
    if found:
        return _range(name, text, *found.groups())
    if ".." in text and "/" not in text:
        raise UsageError(f"{name}={text} is no range", mend=f"--set {name}=4..8, or {name}=log:1e-4..1")
    if "," not in text:
        return None
    values = tuple(dict.fromkeys(value.strip() for value in text.split(",")))
    if "" in values:
        raise UsageError(f"{name}={text} has an empty choice", mend=f"--set {name}=a,b,c")
    return Choices(values)


def _range(name: str, text: str, log: str | None, low: str, high: str, step: str | None) -> Range:
    made = Range(
        float(low),
        float(high),
        all(re.fullmatch(r"[-+]?\d+", one) for one in (low, high, *([step] if step else []))),
        bool(log),
        float(step) if step else None,
    )
    if made.low >= made.high:
        raise UsageError(f"{name}={text}: {low} is not below {high}", mend="write the smaller number first")
    if made.log and (made.low <= 0 or made.step is not None):
        raise UsageError(f"{name}={text}: a logarithmic range begins above 0 and has no steps")
    if made.step is not None and made.step <= 0:
        raise UsageError(f"{name}={text}: a step is above 0")
    return made
