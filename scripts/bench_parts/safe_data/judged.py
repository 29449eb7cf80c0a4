"""What a person says of each alarm on the later halves: is it right, and why."""

from typing import Final

# by table, column and rule
JUDGED: Final[dict[tuple[str, str, str], tuple[bool, str]]] = {}
