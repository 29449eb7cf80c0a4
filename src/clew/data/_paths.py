"""What a path to add means: a table in one file or several, or a folder of files."""

import glob
import os
from pathlib import Path
from typing import Final, Literal

from clew.errors import NotFoundError, UsageError

Kind = Literal["table", "files"]

TABLES: Final = {
    ".csv": "csv", ".csv.gz": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl",
    ".parquet": "parquet", ".pq": "parquet", ".arrow": "ipc", ".ipc": "ipc", ".feather": "ipc",
}  # fmt: skip
_MAGIC: Final = frozenset("*?[")


def suffix(path: Path) -> str:
    """The ending that says what a file is; `.csv.gz` counts as one."""
    name = path.name.lower()
    return ".csv.gz" if name.endswith(".csv.gz") else path.suffix.lower()


def resolve(source: str | Path, wanted: Kind | None, known: str | None) -> tuple[Kind, list[Path]]:
    """Whether a path is a table or files, and the paths: a table's files in the order of their names, or the folder.

    A folder whose files are all tables of one format is a table, any other is files; `wanted` settles it, and so
    does what the dataset is already (`known`). Raises NotFoundError, UsageError.
    """
    path = Path(source)
    if not path.exists() and _MAGIC & set(str(source)):
        return "table", _matching(str(source))
    if not path.exists():
        raise NotFoundError(f"there is no file or folder {source}", mend="check the path")
    if not path.is_dir():
        if wanted == "files":
            raise UsageError(f"{source} is a file, not a folder", mend="give the folder that holds it")
        return "table", [path]
    kind = wanted or (known if known in ("table", "files") else None)
    if kind == "files":
        return "files", [path]
    inside = _tables_in(path)
    if inside:
        return "table", inside
    if wanted == "table":
        raise UsageError(
            f"{source} holds something else than tables of one format: {', '.join(dict.fromkeys(TABLES))}",
            mend="name them by a pattern, such as 'folder/*.parquet'",
        )
    return "files", [path]


def _matching(pattern: str) -> list[Path]:
    found = sorted(Path(name) for name in glob.glob(pattern, recursive=True) if os.path.isfile(name))  # noqa: PTH207, PTH113 - a pattern may be absolute
    if not found:
        raise NotFoundError(f"no file matches {pattern}", mend="check the pattern, and quote it for the shell")
    return found


def _tables_in(folder: Path) -> list[Path]:
    """The folder's files, when all of them are tables of one format; hidden ones and marks of writers aside.

    The first that is something else ends the search: most folders of files are recognised by one of them.
    """
    found: list[str] = []
    formats: set[str] = set()
    left = [os.fspath(folder)]
    while left:
        with os.scandir(left.pop()) as entries:
            for entry in entries:
                is_folder = entry.is_dir(follow_symlinks=False)
                if is_folder:
                    left.append(entry.path)
                if is_folder or entry.name.startswith((".", "_")):
                    continue
                ending = suffix(Path(entry.name))
                if entry.is_symlink() or (entry.is_file() and ending not in TABLES):
                    return []
                if entry.is_file():
                    formats.add(TABLES[ending])
                    found.append(entry.path)
                if len(formats) > 1:
                    return []
    return sorted(map(Path, found))
