"""What differs in the code of two runs, statement by statement, and projects that mix them.

A mixture keeps whole top-level statements of one side or the other. What only one side defines is in every mixture, as
a definition that nothing uses changes nothing; so a changed function finds the helpers that came with it. Unless the
other side binds the same name in another way, as a function that took the place of an import: then it is a difference.
"""

import ast
import difflib
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from clew.models.bisection.changes import Change
from clew.pipelines.pieces import pieces_of

Files = Mapping[str, bytes]
Reached = Mapping[str, Mapping[str, Any]]
"""Of each step of a run the parts of its key, which name the code that it reaches."""

_MOST_LINES: Final = 200


@dataclass(eq=False)
class Unit:
    """A top-level statement that differs; of a file that is no Python, all of it."""

    file: str
    name: str
    good: str
    bad: str
    labels: frozenset[str]

    @property
    def diff(self) -> str:
        """As a unified diff of at most 200 lines."""
        lines = list(
            difflib.unified_diff(
                self.good.splitlines(), self.bad.splitlines(), f"good/{self.file}", f"bad/{self.file}", lineterm=""
            )
        )
        more = len(lines) - _MOST_LINES
        return "\n".join([*lines[:_MOST_LINES], *([f"… {more} more lines"] if more > 0 else [])])


@dataclass(frozen=True)
class _Statement:
    key: str
    text: str
    digest: str
    acts: bool
    labels: frozenset[str]
    binds: frozenset[tuple[str, str]]
    """Names, each with the digest of what binds it: of an import of several names each has its own."""


_Pair = tuple[_Statement | None, _Statement | None]


class CodeDifference:
    """The units in which two projects differ.

    Args:
        good: the files of the good side.
        bad: those of the bad one.
        entries: the pipeline's file on either side; where it was renamed, one stands for the other.
        pipelines: the name of the function that wires the steps, on either side.
    """

    def __init__(
        self,
        good: Files,
        bad: Files,
        entries: tuple[str, str] = ("", ""),
        pipelines: tuple[str, str] = ("", ""),
    ) -> None:
        self._good, self._bad = good, bad
        self._pipelines = pipelines
        self.units: list[Unit] = []
        self.wiring: Unit | None = None
        """The unit that holds the function that wires the steps, where that differs."""
        self._merged: dict[str, list[str | Unit]] = {}
        self._alone: dict[str, Unit] = {}
        before, after = entries
        renamed = before != after and before in good and after in bad and before not in bad and after not in good
        for file in sorted(good.keys() | bad.keys()):
            other = after if renamed and file == before else file
            if file in good and other in bad and (good[file] != bad[other]):
                self._merge(file, good[file], bad[other], is_entry=file == before)

    def take_alone(self, files: Collection[str]) -> None:
        """Files that only one side has become units of their own, where no other unit mentions them.

        That is for code that finds its files by looking into folders: nothing else shows that they are used.
        """
        for file in sorted(files):
            if (file in self._good) == (file in self._bad):
                continue
            words = re.compile(rf"\b{re.escape(file.rpartition('/')[2].partition('.')[0])}\b")
            if not any(words.search(unit.good) or words.search(unit.bad) for unit in self.units):
                good, bad = (side.get(file, b"").decode("latin-1") for side in (self._good, self._bad))
                self._alone[file] = Unit(file, file, good, bad, frozenset((file,)))
                self.units.append(self._alone[file])

    def take_whole(self) -> None:
        """All that differs becomes one unit, where none was found and the steps say that their code differs."""
        if not self.units and self._good != self._bad:
            changed = [file for file in sorted(self._good.keys() | self._bad.keys())
                       if self._good.get(file) != self._bad.get(file)]  # fmt: skip
            good, bad = ("\n".join(side.get(file, b"").decode("latin-1") for file in changed)
                         for side in (self._good, self._bad))  # fmt: skip
            self.units = [Unit(", ".join(changed), "all of it", good, bad, frozenset(changed))]

    def mixed(self, chosen: Collection[Unit]) -> dict[str, bytes]:
        """The files of a project with these units from the bad side; with none or all of them, that side's own."""
        if not chosen:
            return dict(self._good)
        if len(chosen) == len(self.units):
            return dict(self._bad)
        files = {**self._bad, **self._good}
        for file, parts in self._merged.items():
            texts = [part if isinstance(part, str) else part.bad if part in chosen else part.good for part in parts]
            files[file] = "".join(texts).encode()
        for file, unit in self._alone.items():
            side = self._bad if unit in chosen else self._good
            files.pop(file, None)
            files |= {file: side[file]} if file in side else {}
        return files

    def _merge(self, file: str, good: bytes, bad: bytes, *, is_entry: bool) -> None:
        before, after = _statements(file, good), _statements(file, bad)
        if before is None or after is None:
            unit = Unit(file, file, good.decode("latin-1"), bad.decode("latin-1"), frozenset((file,)))
            self.units.append(unit)
            self._merged[file] = [unit]
            return
        names = self._pipelines if is_entry else ("", "")
        pairs = _with_rivals(_paired(before, _renamed(after, *names)), before, after)
        self._merged[file] = [self._unit(file, good, bad, is_rival) for good, bad, is_rival in pairs]
        for part in self._merged[file]:
            if is_entry and isinstance(part, Unit) and any(one.rpartition(".")[2] in names for one in part.labels):
                self.wiring = part

    def _unit(self, file: str, good: _Statement | None, bad: _Statement | None, is_rival: bool) -> str | Unit:
        if good is not None and bad is not None and good.digest == bad.digest:
            return good.text
        if good is None or bad is None:
            only = good or bad
            assert only is not None
            if not only.acts and not is_rival:
                return only.text
        labels = (good.labels if good else frozenset()) | (bad.labels if bad else frozenset())
        name = min(labels, default=file)
        unit = Unit(file, name, good.text if good else "", bad.text if bad else "", labels)
        self.units.append(unit)
        return unit


def _statements(file: str, content: bytes) -> list[_Statement] | None:
    """A file's top-level statements, each with the comments before it; None for what isn't Python."""
    if not file.endswith(".py"):
        return None
    try:
        tree = ast.parse(content)
        lines = content.decode().splitlines(keepends=True)
    except (SyntaxError, ValueError):
        return None
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n"
    pieces = pieces_of(file, content)
    found: list[_Statement] = []
    met: dict[str, int] = {}
    taken = 0
    for group in _by_lines(tree.body):
        last = max(node.end_lineno or node.lineno for node in group)
        own = [piece for piece in pieces if taken < piece.first <= last]
        key = ", ".join(_key(node) for node in group)
        met[key] = met.get(key, 0) + 1
        found.append(
            _Statement(
                key=key if met[key] == 1 else f"{key} ({met[key]})",
                text="".join(lines[taken:last]),
                digest=" ".join(piece.digest for piece in own),
                acts=any(piece.acts for piece in own),
                labels=frozenset(piece.label for piece in own),
                binds=frozenset((name, piece.digest) for piece in own for name in piece.binds),
            )
        )
        taken = last
    return found


def _by_lines(body: Sequence[ast.stmt]) -> Iterator[list[ast.stmt]]:
    """Statements, those that share a line together."""
    group: list[ast.stmt] = []
    for node in body:
        if group and node.lineno > max(one.end_lineno or one.lineno for one in group):
            yield group
            group = []
        group.append(node)
    if group:
        yield group


def _key(node: ast.stmt) -> str:
    """What tells a statement from others of its file: what it binds, else its text."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return node.name
    if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        return " = ".join(ast.unparse(target) for target in targets)
    return ast.unparse(node)


def _renamed(statements: Sequence[_Statement], to: str, name: str) -> list[_Statement]:
    """The function of this name goes by another, unless that is taken."""
    if to == name or any(one.key == to for one in statements):
        return list(statements)
    return [replace(one, key=to) if one.key == name else one for one in statements]


def _with_rivals(
    pairs: Iterable[_Pair], before: Sequence[_Statement], after: Sequence[_Statement]
) -> Iterator[tuple[_Statement | None, _Statement | None, bool]]:
    """Pairs, and whether a statement that stands on one side alone has a rival: one that binds a name of it too.

    Both in one file would hide each other, so rivals become a pair, where the good one stands.
    """
    every = list(pairs)
    good_binds, bad_binds = ({pair for one in side for pair in one.binds} for side in (before, after))
    both = {name for name, _ in good_binds} & {name for name, _ in bad_binds}
    otherwise = both & {name for name, _ in good_binds ^ bad_binds}

    def rivalled(one: _Statement) -> set[str]:
        return {name for name, _ in one.binds} & otherwise

    free = [bad for good, bad in every if good is None and bad is not None]
    for good, bad in every:
        if good is None:
            if bad is not None and not rivalled(bad):
                yield None, bad, False
        elif bad is None:
            rival = next((one for one in free if rivalled(one) & rivalled(good)), None)
            if rival is not None:
                free.remove(rival)
            yield good, rival, bool(rivalled(good))
        else:
            yield good, bad, False
    yield from ((None, bad, True) for bad in free if rivalled(bad))


def _paired(before: Sequence[_Statement], after: Sequence[_Statement]) -> Iterator[_Pair]:
    """Statements side by side by what they bind, also where one moved; in an order that suits both."""
    keys = [one.key for one in before], [one.key for one in after]
    moved = {one.key: one for one in after}
    known = set(keys[0])
    for what, i1, i2, j1, j2 in difflib.SequenceMatcher(None, *keys, autojunk=False).get_opcodes():
        if what == "equal":
            yield from zip(before[i1:i2], after[j1:j2], strict=True)
            continue
        yield from ((None, one) for one in after[j1:j2] if one.key not in known)
        yield from ((one, moved.get(one.key)) for one in before[i1:i2])


@dataclass
class _Group:
    says: str
    units: list[Unit] = field(default_factory=list)


def code_changes(
    difference: CodeDifference, pipelines: Collection[str], good: Reached, bad: Reached
) -> tuple[list[Change], dict[str, Unit]]:
    """The units as changes: those that the same steps reach together, each of them one of its parts.

    Args:
        difference: what differs.
        pipelines: the names of the function that wires the steps.
        good: the parts of the keys of the good run's steps, by name.
        bad: the same of the bad one.

    Returns:
        The changes, and the unit that each of their smallest parts stands for, by key.
    """
    groups: dict[str, _Group] = {}
    for unit in difference.units:
        steps = sorted({name for run in (good, bad) for name, parts in run.items() if _reaches(parts, unit)})
        if any(label.rpartition(".")[2] in pipelines for label in unit.labels):
            key = says = "the wiring of the pipeline"
        elif steps:
            key = says = f"code of {', '.join(steps)}"
        else:
            key = says = "code outside of steps"
        groups.setdefault(key, _Group(says)).units.append(unit)
    units: dict[str, Unit] = {}
    changes = []
    for key, group in groups.items():
        parts = []
        for unit in group.units:
            part = f"code {unit.file}: {unit.name}"
            while part in units:
                part += "'"
            units[part] = unit
            parts.append(Change(part, "code", f"{unit.name} in {unit.file}", {"diff": unit.diff}))
        if len(parts) == 1:
            parts[0].says = f"{group.says}: {parts[0].says}"
            changes.append(parts[0])
        else:
            says = f"{group.says}: {', '.join(unit.name for unit in group.units)}"
            changes.append(Change(key, "code", says, {}, _giver(parts)))
    return changes, units


def _giver(parts: list[Change]) -> Any:
    return lambda: parts


def _reaches(parts: Mapping[str, Any], unit: Unit) -> bool:
    code = parts.get("code", {})
    if parts.get("whole"):
        return unit.file in code
    return any(label.rstrip("'") in unit.labels for label in code)
