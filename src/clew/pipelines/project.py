"""The user's code: found, hashed and archived as it is when a run begins."""

import functools
import hashlib
import io
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from clew.catalog.commands import RecordCode
from clew.errors import UsageError
from clew.pipelines.origin import is_users
from clew.pipelines.sources import kept
from clew.workspace import Workspace

_MOST_FILES = 3000
_LEFT_OUT = {"__pycache__", "node_modules", "site-packages"}
_CODE = (".py", ".so", ".pyd")
ELSEWHERE = "_elsewhere"


@dataclass(frozen=True)
class Project:
    """The code of a run: every Python file in the pipeline's folder, and of packages used in place from elsewhere."""

    root: Path
    entry: str  # the pipeline's file, relative to the root
    files: dict[str, bytes]  # path in the archive → content
    git_commit: str | None
    git_dirty: bool | None
    places: dict[str, str] = field(default_factory=dict)  # where each file lies → its path in the archive
    is_copy: bool = False  # whether it was laid out on another machine than the one that captured it

    @functools.cached_property
    def content_id(self) -> str:
        """The id of the code, independent of where it lies."""
        digest = hashlib.sha256()
        for path, content in sorted(self.files.items()):
            digest.update(f"{path}\0{len(content)}\0".encode())
            digest.update(hashlib.sha256(content).digest())
        return f"p1:{digest.hexdigest()}"

    def archive(self) -> bytes:
        """The files as a zip that is the same for the same files."""
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for path, content in sorted(self.files.items()):
                archive.writestr(zipfile.ZipInfo(path), content, zipfile.ZIP_DEFLATED)
        return buffer.getvalue()

    def owns(self, path: str | Path) -> bool:
        """Whether a file on disk is part of this code."""
        return os.path.realpath(path) in self.places

    @property
    def frozen(self) -> dict[str, bytes]:
        """The code by where it lies."""
        return {place: self.files[path] for place, path in self.places.items()}

    def laid_out(self, folder: Path) -> "Project":
        """The same code in another folder, written there."""
        for path, content in self.files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)
        root = folder.resolve()
        return replace(self, root=root, places={str(root / path): path for path in self.files}, is_copy=True)


def capture(entry: Path) -> Project:
    """All code that a pipeline's file can reach: call it after the file was imported. Raises UsageError."""
    root = entry.resolve().parent
    files, places = gather(root)
    return Project(root, entry.resolve().name, files, *_git(root), places)


def capture_cells(name: str, cells: Sequence[str], root: Path) -> Project:
    """The code of a notebook: its cells, in the order in which they ran, and all that they can reach."""
    text = "\n\n".join(f"# In [{number}]\n{cell.rstrip()}" for number, cell in enumerate(cells, start=1))
    files, places = gather(root.resolve())
    return Project(root.resolve(), name, {**files, name: f"{text}\n".encode()}, *_git(root), places)


def gather(root: Path) -> tuple[dict[str, bytes], dict[str, str]]:
    """The code in a folder, and what is used in place from elsewhere: by path in an archive, and where each lies.

    Of modules that were loaded, it is what was loaded that counts, not what became of the file since.
    """
    files: dict[str, bytes] = {}
    places: dict[str, str] = {}

    def take(name: str, path: Path) -> None:
        place = os.path.realpath(path)
        files[name] = kept[place] if place in kept else path.read_bytes()
        places[place] = name
        if len(files) > _MOST_FILES:
            raise UsageError(
                f"{root} holds more than {_MOST_FILES} Python files", mend="give the pipeline a folder of its own"
            )

    for path in _code_below(root):
        take(path.relative_to(root).as_posix(), path)
    for name, path in used_in_place(files, places).items():
        part = "/__init__" if path.stem == "__init__" else ""
        take(f"{ELSEWHERE}/{name.replace('.', '/')}{part}{path.suffix}", path)
    return files, places


def _code_below(root: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(
            name
            for name in folders
            if name not in _LEFT_OUT and not name.startswith(".") and not os.path.exists(f"{folder}/{name}/pyvenv.cfg")  # noqa: PTH110 - of many folders
        )
        for name in sorted(names):
            path = Path(folder) / name
            if name.endswith(_CODE) and path.is_file() and is_users(str(path)):
                yield path


def used_in_place(files: Mapping[str, bytes], captured: Mapping[str, str]) -> dict[str, Path]:
    """Imported modules that are neither installed nor captured: editable installs, PYTHONPATH, archives.

    Those that a run loaded, and of others in this process (a notebook's own, say) those that the code mentions.
    """
    found: dict[str, Path] = {}
    others: dict[str, Path] = {}
    for name, (_, file) in users_modules().items():
        if name.startswith("__") or file.startswith("<"):
            continue
        path = Path(file).resolve()
        while not path.is_file() and path != path.parent:
            path = path.parent  # a module in an archive
        if path.is_file() and str(path) not in captured:
            (found if str(path) in kept else others)[name] = path
    texts = [*files.values(), *(path.read_bytes() for path in found.values())]
    while others:
        mentioned = {name: path for name, path in others.items() if _is_mentioned(name, texts)}
        if not mentioned:
            break
        found |= mentioned
        texts = [path.read_bytes() for path in mentioned.values()]
        others = {name: path for name, path in others.items() if name not in mentioned}
    return found


def _is_mentioned(name: str, texts: list[bytes]) -> bool:
    word = re.compile(rb"\b" + re.escape(name.partition(".")[0].encode()) + rb"\b")
    return any(word.search(text) for text in texts)


def modules_of(project: Project) -> list[ModuleType]:
    """The modules of this code that are loaded, by name."""
    found = {name: module for name, (module, file) in users_modules().items() if project.owns(file)}
    return [found[name] for name in sorted(found)]


_looked_at: dict[str, tuple[Any, str | None]] = {}  # a module's name → itself, and its file if that is the user's
_newest: tuple[dict[str, Any], dict[str, tuple[Any, str]]] | None = None  # all modules as they were, and what was found


def users_modules() -> Mapping[str, tuple[Any, str]]:
    """The modules in this process whose code is the user's, with their files. Each module is looked at once.

    While no module comes or goes, the very same mapping.
    """
    global _newest  # noqa: PLW0603 - modules are the process's
    if _newest is not None and sys.modules == _newest[0]:
        return _newest[1]
    everything = dict(sys.modules)
    found = {}
    for name, module in everything.items():
        seen = _looked_at.get(name)
        if seen is None or seen[0] is not module:
            file = getattr(module, "__file__", None)
            seen = _looked_at[name] = (module, file if isinstance(file, str) and is_users(file) else None)
        if seen[1] is not None:
            found[name] = (module, seen[1])
    for name in _looked_at.keys() - everything.keys():
        del _looked_at[name]
    _newest = (everything, found)
    return found


def file_hash(path: Path, *, deep: bool = True) -> str | None:
    """The hash of a file, or of a folder: all that is in it, or (not deep) the names. None when nothing is there."""
    if path.is_dir():
        inside = sorted(path.rglob("*") if deep else path.iterdir())
        parts = [(str(one.relative_to(path)), file_hash(one) if deep and one.is_file() else None) for one in inside]
        return hashed(repr(parts))
    if not path.is_file():
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hashed(value: str | None) -> str | None:
    """The hash of a text, such as a variable's value, which may be a secret."""
    return None if value is None else hashlib.sha256(value.encode(errors="surrogateescape")).hexdigest()


def _git(root: Path) -> tuple[str | None, bool | None]:
    try:
        command = ["git", "-C", str(root)]
        commit = subprocess.run([*command, "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
        if commit.returncode:
            return None, None
        status = subprocess.run(
            [*command, "status", "--porcelain", "--", "."], capture_output=True, text=True, check=False
        )
    except OSError:  # no git on this machine
        return None, None
    return commit.stdout.strip(), bool(status.stdout.strip())


def record(workspace: Workspace, project: Project) -> str:
    """Keep the code in the workspace; give its id in the catalog."""
    info = workspace.objects.put(project.archive())
    code_id: str = workspace.catalog.execute(
        RecordCode(
            content_id=project.content_id,
            digest=info.digest,
            files={path: hashlib.sha256(content).hexdigest() for path, content in sorted(project.files.items())},
            git_commit=project.git_commit,
            git_dirty=project.git_dirty,
        )
    )
    return code_id
