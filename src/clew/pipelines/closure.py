"""The code that a step depends on: from its function on, every piece of the project that its names may lead to.

Global names are followed through imports to where they are bound; attributes of objects to every class of the project
that has one of that name, as nobody can tell from text what an object is. Where code looks names up by a text that
isn't written out, all of the project counts. So too much may be found, never too little.
"""

import builtins
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from clew.pipelines.pieces import Import, Piece
from clew.pipelines.text import Text

_BUILT_IN: Final = frozenset(dir(builtins))
_SHORT: Final = 24  # hex digits of a digest: 96 bits


@dataclass(frozen=True)
class Closure:
    """What a step's code is made of."""

    parts: Mapping[str, str]
    """The digest of each piece by its name; of each file, where all of the project counts."""
    whole: tuple[str, ...]
    """Why all of the project counts; empty where it doesn't."""
    unseen: tuple[str, ...]
    """What it may use that reads without being seen."""
    held: tuple[tuple[str, str], ...]
    """The values that it may reach: file and name."""
    libraries: frozenset[str]
    """The modules from outside that it uses."""


def closure(text: Text, roots: Sequence[Piece]) -> Closure:
    """What these pieces lead to."""
    walk = _Walk(text)
    walk.load(text.entry)
    for root in roots:
        walk.add(root)
    walk.finish()
    pieces = sorted(walk.met.values(), key=lambda piece: (piece.file, piece.first))
    reasons = sorted({what for piece in pieces for what in piece.dynamic})
    if any(piece.reads_text for piece in pieces):
        reasons.append("annotations or documentation that are read")
    if any(piece.reads_source for piece in pieces):
        return everything(text, [*reasons, "source that is read"], as_written=True)
    if reasons:
        return everything(text, reasons)
    held = {*_held(pieces), *walk.held}
    return Closure(_by_label(pieces), (), _unseen(text, pieces), tuple(sorted(held)), frozenset(walk.libraries))


def everything(text: Text, reasons: Iterable[str], *, as_written: bool = False) -> Closure:
    """All of the project, as what a step depends on, and why; with each comment, where it is read as written."""
    pieces = [piece for piece in text.all() if not piece.main]
    parts = _as_written(text, pieces) if as_written else _by_file(pieces)
    return Closure(parts, tuple(reasons), _unseen(text, pieces), tuple(sorted(_held(pieces))), frozenset())


def _unseen(text: Text, pieces: Iterable[Piece]) -> tuple[str, ...]:
    found = set()
    for piece in pieces:
        found |= {*piece.unseen, *(say for top, say in piece.natives if not text.hides(top))}
    return tuple(sorted(found))


def _held(pieces: Iterable[Piece]) -> set[tuple[str, str]]:
    return {(piece.file, name) for piece in pieces for name in piece.binds}


def _by_label(pieces: Iterable[Piece]) -> dict[str, str]:
    parts: dict[str, str] = {}
    for piece in pieces:
        label = piece.label
        while label in parts:  # bound again further down
            label += "'"
        parts[label] = piece.digest[:_SHORT]
    return parts


def _by_file(pieces: Iterable[Piece]) -> dict[str, str]:
    parts: dict[str, Any] = {}
    for piece in pieces:
        parts.setdefault(piece.file, hashlib.sha256()).update(piece.hinted.encode())
    return {file: digest.hexdigest()[:_SHORT] for file, digest in parts.items()}


def _as_written(text: Text, pieces: Iterable[Piece]) -> dict[str, str]:
    files = {piece.file for piece in pieces}
    return {file: hashlib.sha256(text.content(file)).hexdigest()[:_SHORT] for file in sorted(files)}


@dataclass
class _Walk:
    text: Text
    met: dict[int, Piece] = field(default_factory=dict)
    libraries: set[str] = field(default_factory=set)
    held: set[tuple[str, str]] = field(default_factory=set)  # names that a module has without binding them
    _waiting: list[Piece] = field(default_factory=list)
    _loaded: set[str] = field(default_factory=set)
    _attributes: set[str] = field(default_factory=set)
    _walked: set[tuple[Any, ...]] = field(default_factory=set)
    _modules_move: bool = False  # whether a module is handed about as a value, so that any attribute may be of one

    def add(self, *pieces: Piece) -> None:
        """Count pieces, and follow them later."""
        for piece in pieces:
            if id(piece) not in self.met:
                self.met[id(piece)] = piece
                self._waiting.append(piece)

    def finish(self) -> None:
        """Follow all that was counted."""
        while self._waiting:
            self._follow(self._waiting.pop())

    def load(self, file: str) -> None:
        """A module is imported, with what it imports: what these do beside binding names is done to everybody."""
        if file in self._loaded:
            return
        self._loaded.add(file)
        folders = file.split("/")[:-1]
        for depth in range(1, len(folders) + 1):
            self.load("/".join([*folders[:depth], "__init__.py"]))
        for piece in self.text.pieces(file):
            if piece.main:
                continue
            if piece.acts:
                self.add(piece)
            for name, one in piece.imports:
                if name in piece.binds:
                    self._load_module(piece, one)
            for one in piece.stars:
                self._load_module(piece, one)

    def _load_module(self, piece: Piece, one: Import) -> list[str]:
        files = self.text.modules(piece, one)
        if one.attribute:
            files = [*files, *self.text.modules(piece, _inner(one, one.attribute))]
        for file in files:
            self.load(file)
        return files

    def _follow(self, piece: Piece) -> None:
        self.load(piece.file)
        imported = {name for name, _ in piece.imports}
        for name in piece.binds - imported:
            self.add(*self.text.changing(name))
        for name, one in piece.imports:
            self._load_module(piece, one)
            if not name:  # import_module("…") gives the module itself
                self._through(piece, one, name, (), as_value=True)
            elif name in piece.binds:
                self._through(piece, one, name, (), as_value=False)
        for name in piece.names:
            self._use(piece, name, ())
        for root, *chain in piece.chains:
            if root:
                self._use(piece, root, tuple(chain))
            else:
                self._free(chain)

    def _use(self, piece: Piece, name: str, chain: tuple[str, ...]) -> None:
        """A piece uses `name.a.b`, where the name is one of its module, or what it imports itself."""
        bound = [one for one in self.text.bound(piece.file, name) if one is not piece]
        self.add(*bound)
        imports = [(where, one) for where in (piece, *bound) for local, one in where.imports if local == name]
        if not imports and not bound and name not in piece.binds:
            self._anywhere(piece, name)
        ours = [self._through(where, one, name, chain, as_value=True) for where, one in imports]
        if any(ours) or not imports:
            self._free(chain)
        else:
            for attribute in chain:  # of a library, unless somebody put it there
                self.add(*self.text.setting(attribute))

    def _through(self, piece: Piece, one: Import, name: str, chain: tuple[str, ...], *, as_value: bool) -> bool:
        """What an import gives is used, with attributes of it; whether it is of the project."""
        if one.attribute:
            module, path = Import(one.module, "", one.level), (one.attribute, *chain)
        elif name == one.module.partition(".")[0]:  # `import a.b` binds a
            module, path = Import(name, "", one.level), chain
        else:
            module, path = one, chain
        ours = self._walk_module(piece, module, path, as_value=as_value)
        if not ours and not one.level:
            self.libraries.add(one.module.partition(".")[0])
        return ours

    def _walk_module(self, piece: Piece, module: Import, path: tuple[str, ...], *, as_value: bool) -> bool:
        """`module.a.b`: a name of the module, or a module inside of it; whether it is of the project."""
        if not self.text.knows(piece, module):
            return False
        files = self.text.modules(piece, module)
        step = (piece.file, module, path, as_value)
        if step in self._walked:
            return True
        self._walked.add(step)
        for file in files:
            self.load(file)
        if not path:
            if as_value:
                self._move_modules()
            return True
        first, rest = path[0], path[1:]
        self._walk_module(piece, _inner(module, first), rest, as_value=as_value)
        for file in files:
            self._name_of(file, first, rest, as_value=as_value)
        self.add(*self.text.setting(first))
        self._free(rest)
        return True

    def _name_of(self, file: str, name: str, rest: tuple[str, ...], *, as_value: bool) -> None:
        """A name of a module, which may have it from another one."""
        bound = self.text.bound(file, name)
        self.add(*bound)
        for piece in bound:
            for local, one in piece.imports:
                if local == name:
                    self._through(piece, one, name, rest, as_value=as_value)
        if not bound:
            self.add(*self.text.bound(file, "__getattr__"))
            for piece in self.text.pieces(file):
                if piece.stars:
                    self._anywhere(piece, name)

    def _anywhere(self, piece: Piece, name: str) -> None:
        """A name that the module doesn't bind: from an `import *`, put there from outside, or built in."""
        self.held.add((piece.file, name))
        self._stars(piece.file)
        if name not in _BUILT_IN:
            self.add(*self.text.bound_anywhere(name), *self.text.setting(name))

    def _stars(self, file: str) -> None:
        """What an `import *` of a module may bring, and from where."""
        for piece in self.text.pieces(file):
            for star in piece.stars:
                self.add(piece)
                for other in self.text.modules(piece, star):
                    if (other, "*") not in self._walked:
                        self._walked.add((other, "*"))
                        self.add(*self.text.bound(other, "__all__"))
                        self._stars(other)
                if not self.text.knows(piece, star) and not star.level:
                    self.libraries.add(star.module.partition(".")[0])

    def _free(self, attributes: Iterable[str]) -> None:
        """Attributes of who knows what."""
        for name in attributes:
            if name not in self._attributes:
                self._attributes.add(name)
                self.add(*self.text.methods(name), *self.text.setting(name))
                if self._modules_move:
                    self.add(*self.text.bound_anywhere(name))

    def _move_modules(self) -> None:
        if not self._modules_move:
            self._modules_move = True
            for name in self._attributes:
                self.add(*self.text.bound_anywhere(name))


def _inner(one: Import, name: str) -> Import:
    """The module of that name inside of an import's."""
    return Import(f"{one.module}.{name}" if one.module else name, "", one.level)
