"""What differs between two versions: a tree of changes, each of which a build can take or leave."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["data", "code", "parameters", "libraries", "several"]


@dataclass(eq=False)
class Change:
    """One thing that differs, which a build takes from the bad version or from the good one.

    Args:
        key: unique among all changes of one bisection, such as "parameter trees".
        kind: what it is a change of.
        says: in words, from what to what.
        about: the same as facts.
        inner: gives the smaller changes that it consists of; all of them together are the same as it.
    """

    key: str
    kind: Kind
    says: str
    about: dict[str, Any] = field(default_factory=dict)
    inner: Callable[[], "Sequence[Change]"] | None = None
    _parts: "tuple[Change, ...] | None" = None

    @property
    def parts(self) -> "tuple[Change, ...]":
        """The smaller changes; empty where there are none, looked for when first asked."""
        if self._parts is None:
            found = () if self.inner is None else tuple(self.inner())
            while len(found) == 1:  # it is that one, which says more
                self.says = f"{self.says}: {found[0].says}"
                self.about = {**self.about, **found[0].about}
                found = found[0].parts
            self._parts = found
        return self._parts


def several(changes: Sequence[Change], says: str) -> Change:
    """Some changes as one, which is taken apart when it matters."""
    key = " + ".join(change.key for change in changes)
    return Change(key, "several", says, {"changes": [change.says for change in changes]}, lambda: changes)


def grouped(changes: Sequence[Change], most: int) -> list[Change]:
    """At most so many changes: where there are more, those of one kind are taken together, then halves of a kind."""
    found = list(changes)
    if len(found) <= most:
        return found
    groups: list[Change] = []
    for kind in dict.fromkeys(change.kind for change in found):
        own = [change for change in found if change.kind == kind]
        half = (len(own) + 1) // 2
        shares = [own] if len(own) <= most else [own[:half], own[half:]]
        groups += [
            share[0] if len(share) == 1 else several(share, f"{len(share)} changes of {kind}") for share in shares
        ]
    return groups
