"""One thing that a person should know of a table."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Finding:
    """Something odd: `rows` of the table are concerned (`share` of all); `example` is a value, or a pair of names."""

    column: str
    kind: str
    message: str
    rows: int
    share: float
    example: Any = None

    def __str__(self) -> str:
        return f"{self.column}: {self.message}"
