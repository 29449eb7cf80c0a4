"""When a rope reads markedly slower than fresh fragments would: it has frayed."""

from collections.abc import Sequence
from typing import Final

from clew.data._gather import Group
from clew.data.rope import Rope

MAX_GROUPS: Final = 4
SMALL_ROWS: Final = 131_072
_MANY_SMALL: Final = 32
_FEW_FRAGMENTS: Final = 4
_SHORT_EXTENTS: Final = 7
_TOO_SHORT_EXTENTS: Final = 4
_MUCH_CHANGED: Final = 50
_DEAD: Final = 1.5


def is_busy(news: int, rows: int) -> bool:
    """Whether an add has so many new rows, over 2%, that laying the table together is left to a later one.

    So no add pays for both, as long as reading bears it.
    """
    return news * _MUCH_CHANGED > rows


def is_frayed(groups: Sequence[Group], *, busy: bool = False) -> bool:
    """Whether there are too many groups, or a rope is scattered or runs through too many small fragments."""
    return len(groups) > MAX_GROUPS or any(
        is_scattered(one.rope, busy=busy) or has_many_small(one.rope) for one in groups
    )


def is_scattered(rope: Rope, *, busy: bool = False) -> bool:
    """Whether extents are short on average, or half as many rows again would be read in vain.

    Short is under seven rows, over several fragments: reading takes 2.3 times as long then (measured). In a busy add
    it is under four. A rope over few fragments is left as it is, however short its extents: it is the same rows in
    another order.
    """
    if rope.is_plain:
        return False
    short = _TOO_SHORT_EXTENTS if busy else _SHORT_EXTENTS
    held = sum(fragment.rows for fragment in rope.fragments)
    return (
        len(rope.fragments) >= _FEW_FRAGMENTS and rope.extents * short > rope.height
    ) or held > _DEAD * rope.height + SMALL_ROWS


def has_many_small(rope: Rope) -> bool:
    """Whether there are more than 32 fragments of less than a row group, as many small appends leave them."""
    return sum(fragment.rows < SMALL_ROWS for fragment in rope.fragments) > _MANY_SMALL
