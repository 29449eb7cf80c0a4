"""Values that JSON brings back as they were."""

from typing import Any


def is_plain(value: Any) -> bool:
    """Whether a value consists of text, numbers, truth values, None, lists, and objects with text as keys."""
    if value is None or type(value) in (str, int, float, bool):
        return True
    if type(value) is list:
        return all(is_plain(one) for one in value)
    return type(value) is dict and all(type(key) is str and is_plain(one) for key, one in value.items())
