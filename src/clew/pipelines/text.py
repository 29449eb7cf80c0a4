"""A project's text: its pieces, and where each name is bound, changed, or offered by a class."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from clew.pipelines.pieces import Import, Piece, pieces_of

_Index = dict[str, list[Piece]]


class Text:
    """The pieces of a project, with an index of their names. Nothing in it changes."""

    def __init__(self, files: Mapping[str, bytes], entry: str) -> None:
        self.entry = entry
        self._contents = files
        self._pieces = {file: pieces_of(file, content) for file, content in sorted(files.items())}
        self._bound: dict[tuple[str, str], list[Piece]] = defaultdict(list)
        self._by_name: _Index = defaultdict(list)
        self._changing: _Index = defaultdict(list)
        self._methods: _Index = defaultdict(list)
        self._setting: _Index = defaultdict(list)
        self._files: dict[str, list[str]] = defaultdict(list)
        self._packages: set[str] = set()
        for file in self._pieces:
            self._name_modules(file)
        for piece in self.all():
            for name in piece.binds:
                self._bound[piece.file, name].append(piece)
            _fill(self._by_name, piece, piece.binds)
            _fill(self._changing, piece, piece.changes)
            _fill(self._methods, piece, piece.methods)
            _fill(self._setting, piece, piece.sets)

    def _name_modules(self, file: str) -> None:
        """The names by which a file may be imported: any folder of the project may be on `sys.path`."""
        parts = module_of(file).removeprefix("_elsewhere.").split(".")
        if not file.endswith(".py"):  # fast.cpython-311-x86_64-linux-gnu.so
            parts = [*file.split("/")[:-1], file.rpartition("/")[2].partition(".")[0]]
        for start in range(len(parts)):
            self._files[".".join(parts[start:])].append(file)
            self._packages |= {".".join(parts[start:end]) for end in range(start + 1, len(parts))}

    def all(self) -> Iterator[Piece]:
        """Every piece, file by file."""
        for pieces in self._pieces.values():
            yield from pieces

    def pieces(self, file: str) -> tuple[Piece, ...]:
        """The pieces of a file, in order."""
        return self._pieces.get(file, ())

    def content(self, file: str) -> bytes:
        """The bytes of a file."""
        return self._contents[file]

    def at(self, file: str, where: int | str) -> Piece | None:
        """The piece that such a line belongs to, or that binds such a name."""
        if isinstance(where, str):
            found = self.bound(file, where)
        else:
            found = [piece for piece in self.pieces(file) if piece.first <= where <= piece.last]
        return found[-1] if found else None

    def bound(self, file: str, name: str) -> list[Piece]:
        """What binds a name in a module."""
        return self._bound.get((file, name), [])

    def bound_anywhere(self, name: str) -> list[Piece]:
        """What binds a name in whatever module."""
        return self._by_name.get(name, [])

    def changing(self, name: str) -> list[Piece]:
        """What changes the value of such a name."""
        return self._changing.get(name, [])

    def methods(self, name: str) -> list[Piece]:
        """Classes that bind such a name."""
        return self._methods.get(name, [])

    def setting(self, name: str) -> list[Piece]:
        """What sets such an attribute of whatever object."""
        return self._setting.get(name, [])

    def modules(self, piece: Piece, one: Import) -> list[str]:
        """The files that the module of an import may be: none where it isn't of this project."""
        name = _absolute(piece, one)
        found = self._files.get(name, [])
        exact = [file for file in found if module_of(file) == name] if one.level else []
        return exact or found

    def hides(self, module: str) -> bool:
        """Whether a file beside the entry takes the place of such a module from outside."""
        folder = self.entry.rpartition("/")[0]
        places = (f"{folder}/{module}.py".lstrip("/"), f"{folder}/{module}/__init__.py".lstrip("/"))
        return not self._pieces.keys().isdisjoint(places)

    def knows(self, piece: Piece, one: Import) -> bool:
        """Whether the module of an import is of this project, or a folder of it."""
        return bool(self.modules(piece, one)) or _absolute(piece, one) in self._packages


def module_of(file: str) -> str:
    """The module that a file is, from the project's folder."""
    return file.rpartition(".")[0].removesuffix("/__init__").replace("/", ".")


def _absolute(piece: Piece, one: Import) -> str:
    if not one.level:
        return one.module
    folder = piece.file.split("/")[: -one.level]
    return ".".join([*folder, one.module] if one.module else folder)


def _fill(index: _Index, piece: Piece, names: Iterable[str]) -> None:
    for name in names:
        index[name].append(piece)
