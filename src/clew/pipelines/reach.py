"""What a step reaches: its code, the values that this code finds when it runs, and the libraries that it uses."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Final

from clew.pipelines import environment, sources, state
from clew.pipelines._step import Step
from clew.pipelines.closure import Closure, closure, everything
from clew.pipelines.pieces import Piece
from clew.pipelines.project import Project, modules_of, users_modules
from clew.pipelines.text import Text

_MOST_ROUNDS: Final = 20  # of values leading to code leading to values


@dataclass(frozen=True)
class Reached:
    """What a step depends on besides what it is handed, at this moment."""

    closure: Closure
    values: Mapping[str, str]
    """The hash of each value that its code may find, by name."""
    libraries: Mapping[str, str] | None
    """The versions of the distributions that it uses; None where that can't be told, so that all of them count."""


class Reach:
    """What the steps of one run reach. What is text is looked at once; values every time, as they may change."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._text = Text(project.files, project.entry)
        self._closures: dict[tuple[Piece, ...], Closure] = {}
        self._roots: dict[int, tuple[Piece, ...]] = {}
        self._users: Mapping[str, Any] | None = None
        self._loaded: dict[str, ModuleType] = {}  # by path
        self._early = {module.__name__ for module in modules_of(project)}

    def modules(self) -> list[ModuleType]:
        """The modules of the project that are loaded."""
        return list(self._by_path().values())

    def _by_path(self) -> Mapping[str, ModuleType]:
        """The modules of the project that are loaded, by their file's path in it."""
        users = users_modules()
        if users is not self._users:
            self._users = users
            self._loaded = {self._path(module): module for module in modules_of(self._project)}
        return self._loaded

    def settle(self) -> None:
        """Count what is loaded now as loaded before any step: it read something, so what it holds isn't its text's."""
        self._early |= {module.__name__ for module in self.modules()}

    def of(self, step: Step[..., Any]) -> Reached:
        """What a step reaches now."""
        modules = self._by_path()
        roots = self._roots.get(id(step)) or self._first(step)
        for _ in range(_MOST_ROUNDS):
            code = self._code(roots)
            values, met = self._values(step, code, modules)
            more = {id(piece): piece for place in met if (piece := self._piece(*place)) is not None}
            known = {id(piece) for piece in roots}
            new = [piece for key, piece in more.items() if key not in known and piece.label not in code.parts]
            if not new or code.whole:
                break
            roots = (*roots, *sorted(new, key=lambda piece: (piece.file, piece.first)))
        self._roots[id(step)] = roots
        return Reached(code, values, None if _needs_all(step, code) else environment.versions(code.libraries))

    def _first(self, step: Step[..., Any]) -> tuple[Piece, ...]:
        place = state.place_of(step.function)
        piece = None if place is None else self._piece(*place)
        return () if piece is None else (piece,)

    def _code(self, roots: tuple[Piece, ...]) -> Closure:
        if roots not in self._closures:
            made = closure(self._text, roots) if roots else everything(self._text, ["a function that no file shows"])
            self._closures[roots] = made
        return self._closures[roots]

    def _piece(self, file: str, where: int | str) -> Piece | None:
        path = self._project.places.get(file)
        return None if path is None else self._text.at(path, where)

    def _path(self, module: ModuleType) -> str:
        return self._project.places[os.path.realpath(str(module.__file__))]

    def _values(
        self, step: Step[..., Any], code: Closure, modules: Mapping[str, ModuleType]
    ) -> tuple[dict[str, str], list[state.Place]]:
        """Hashes of what the modules hold (of those that steps imported: of what changed since), and what is met."""
        root = self._project.root
        found: dict[str, str] = {}
        met: list[state.Place] = []
        wanted: dict[str, list[str]] = {}
        for file, name in code.held:
            wanted.setdefault(file, []).append(name)
        for path, module in modules.items():
            names = None if code.whole else wanted.get(path, [])
            held, places = state.of_module(module, root, names)
            met += places
            if module.__name__ not in self._early:
                first = sources.fresh.get(module.__name__, {})
                held = {name: digest for name, digest in held.items() if first.get(name) != digest}
            found |= held
        found["the step's own function"], places = state.of_function(step.function, root)
        return found, met + places


def _needs_all(step: Step[..., Any], code: Closure) -> bool:
    # In a model that a step is handed, whatever library it was made with answers.
    takes_model = any(
        getattr(hint, "__module__", "").startswith("clew.models")
        for name, hint in step.hints.items()
        if name != "return"
    )
    return bool(code.whole) or takes_model
