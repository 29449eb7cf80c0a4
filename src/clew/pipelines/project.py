"""The user's code: found, hashed and archived as it is when a run begins."""

import hashlib
import io
import subprocess
import sys
import sysconfig
import zipfile
from dataclasses import dataclass
from pathlib import Path

from clew.catalog.commands import RecordCode
from clew.errors import UsageError
from clew.workspace import Workspace

_MOST_FILES = 3000
_LEFT_OUT = {"__pycache__", "node_modules", "site-packages"}
_CLEW = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Project:
    """The code of a run: every Python file in the pipeline's folder, and of packages used in place from elsewhere.

    The whole folder counts as what each step depends on. That re-runs more than is needed when a file changes,
    and never less.
    """

    root: Path
    entry: str  # the pipeline's file, relative to the root
    files: dict[str, bytes]  # path in the archive → content
    git_commit: str | None
    git_dirty: bool | None

    @property
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

    def owns(self, path: str) -> bool:
        """Whether a file on disk is part of this code."""
        resolved = Path(path)
        return resolved.suffix == ".py" and resolved.is_relative_to(self.root)


def installed_roots() -> tuple[Path, ...]:
    """Where installed code lies: known by the environment's lock, not by its bytes."""
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    roots = {Path(sysconfig.get_path(name)).resolve() for name in names}
    roots |= {Path(sys.base_prefix).resolve(), Path(sys.prefix).resolve(), _CLEW}
    return tuple(roots)


def capture(entry: Path) -> Project:
    """All code that a pipeline's file can reach: call it after the file was imported. Raises UsageError."""
    root = entry.resolve().parent
    files: dict[str, bytes] = {}
    for path in sorted(root.rglob("*.py")):
        inside = path.relative_to(root)
        if any(part in _LEFT_OUT or part.startswith(".") for part in inside.parts[:-1]):
            continue
        files[inside.as_posix()] = path.read_bytes()
        if len(files) > _MOST_FILES:
            raise UsageError(
                f"{root} holds more than {_MOST_FILES} Python files", mend="give the pipeline a folder of its own"
            )
    for name, path in used_in_place(root).items():
        files[f"_elsewhere/{name.replace('.', '/')}{'/__init__' if path.stem == '__init__' else ''}.py"] = (
            path.read_bytes()
        )
    commit, dirty = _git(root)
    return Project(root, entry.resolve().name, files, commit, dirty)


def used_in_place(root: Path) -> dict[str, Path]:
    """Imported modules that are neither installed nor in the pipeline's folder: editable installs, PYTHONPATH."""
    installed = installed_roots()
    found = {}
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if not file or not str(file).endswith(".py") or name.startswith("__"):
            continue
        path = Path(file).resolve()
        if path.is_relative_to(root) or any(path.is_relative_to(place) for place in installed):
            continue
        found[name] = path
    return found


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
