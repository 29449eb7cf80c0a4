"""What a step may use that reads without being seen: libraries with readers of their own, and the clock.

The text of the project is read, not run: from the step's function on, every name that it uses leads to all
definitions of that name anywhere in the project. That reaches too much rather than too little.
"""

import ast
import functools
import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from clew.pipelines.project import Project

LIBRARIES = frozenset(
    (
        "_ctypes", "adbc_driver_manager", "adbc_driver_postgresql", "av", "cffi", "chdb", "connectorx",
        "ctypes", "cv2", "deltalake", "duckdb", "faiss", "fasttext", "fiona", "grpc", "h5py", "lance", "lmdb",
        "lxml", "netCDF4", "obstore", "onnxruntime", "oracledb", "osgeo", "plyvel", "psycopg", "psycopg2",
        "pycurl", "pyiceberg", "pymssql", "pyodbc", "pyogrio", "pyreadstat", "rasterio", "safetensors",
        "sentencepiece", "soundfile", "tables", "tensorflow", "tokenizers", "torchaudio", "torchvision",
        "turbodbc", "vaex",
    )
)  # fmt: skip
"""Libraries that read files or the network in native code."""
_CLOCK = frozenset(("now", "today", "utcnow"))
_HINTS = re.compile(rb"\b(?:" + "|".join(sorted(LIBRARIES)).encode() + rb")\b|\.(?:now|today|utcnow)\s*\(")
_ANY = "any name"  # looked up by a text that isn't known


@dataclass
class _Definition:
    """A top-level piece of a module: the names that it binds, that it uses, and what in it can't be seen."""

    binds: set[str] = field(default_factory=set)
    uses: set[str] = field(default_factory=set)
    unseen: list[str] = field(default_factory=list)


def reachable(function: Any, project: Project) -> list[str]:
    """What the function may use that can't be seen, each with its file and line."""
    if not any(_HINTS.search(content) for content in project.files.values()):
        return []
    inner = inspect.unwrap(getattr(function, "func", function))
    definitions = [one for path, content in project.files.items() for one in _definitions(path, content)]
    by_name: dict[str, list[_Definition]] = {}
    for one in definitions:
        for bound in one.binds:
            by_name.setdefault(bound, []).append(one)
    name = getattr(inner, "__name__", "")
    reached = _closure(by_name, name) if name in by_name else None
    # None: it is made in a way that the text doesn't show.
    return sorted({what for one in (definitions if reached is None else reached) for what in one.unseen})


def _closure(by_name: dict[str, list[_Definition]], start: str) -> list[_Definition] | None:
    met: dict[int, _Definition] = {}
    names, waiting = {start, "*"}, [start, "*"]
    while waiting:
        for one in by_name.get(waiting.pop(), ()):
            if _ANY in one.uses:
                return None
            met[id(one)] = one
            new = (one.uses | one.binds) - names
            names |= new
            waiting += new
    return list(met.values())


@functools.lru_cache(maxsize=4000)
def _definitions(path: str, content: bytes) -> tuple[_Definition, ...]:
    if not path.endswith(".py"):
        return ()
    try:
        tree = ast.parse(content, path)
    except (SyntaxError, ValueError):
        return ()  # it can't be imported either
    name = path.rpartition("/")[2]
    return tuple(_define(statement, name) for statement in _top(tree))


def _top(tree: ast.Module) -> Iterator[ast.stmt]:
    """The statements of a module; of those that stand in `if` and `try`, each by itself."""
    waiting = list(tree.body)
    while waiting:
        statement = waiting.pop(0)
        if isinstance(statement, ast.If | ast.Try | ast.With | ast.For | ast.While):
            inner = [one for one in ast.iter_child_nodes(statement) if isinstance(one, ast.stmt)]
            inner += [one for handler in getattr(statement, "handlers", ()) for one in handler.body]
            waiting = inner + waiting
        yield statement


def _define(statement: ast.stmt, file: str) -> _Definition:  # noqa: C901 - a branch for each kind of node
    found = _Definition()
    named = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    if isinstance(statement, named):
        found.binds.add(statement.name)
        for decorator in statement.decorator_list:  # such as one that puts it into a registry
            found.binds |= {node.id for node in ast.walk(decorator) if isinstance(node, ast.Name)} - {"clew", "step"}
    inside = isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef)
    for node in ast.walk(statement):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not inside:
            found.binds.add(node.name)  # a method
        elif isinstance(node, ast.Name | ast.Attribute):
            name = node.id if isinstance(node, ast.Name) else node.attr
            if isinstance(node.ctx, ast.Load):
                found.uses.add(name)
            elif not inside:
                found.binds.add(name)
        elif isinstance(node, ast.Global):
            found.binds |= set(node.names)
        elif isinstance(node, ast.Subscript) and not isinstance(node.ctx, ast.Load):
            found.binds |= {one.id for one in ast.walk(node.value) if isinstance(one, ast.Name)}
        elif isinstance(node, ast.Import | ast.ImportFrom):
            _import(node, found, file, inside=inside)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.isidentifier():
            found.uses.add(node.value)  # looked up by text
        elif isinstance(node, ast.Call):
            _call(node, found, file)
    return found


def _call(node: ast.Call, found: _Definition, file: str) -> None:
    called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    if called in _CLOCK and isinstance(node.func, ast.Attribute) and len(node.args) <= 1:
        found.unseen.append(f"the clock ({file}:{node.lineno})")
    elif called in ("eval", "exec", "globals") or (
        called in ("getattr", "__import__", "import_module", "attrgetter", "methodcaller")
        and not all(isinstance(one, ast.Constant) for one in node.args[called == "getattr" :])
    ):
        found.uses.add(_ANY)


def _import(node: ast.Import | ast.ImportFrom, found: _Definition, file: str, *, inside: bool) -> None:
    module = (node.module or "") if isinstance(node, ast.ImportFrom) else ""
    for alias in node.names:
        if not inside:
            found.binds.add(alias.asname or alias.name.partition(".")[0])
        found.uses.add(alias.name.rpartition(".")[2])
        top = (module or alias.name).partition(".")[0]
        if top in LIBRARIES and not getattr(node, "level", 0):
            found.unseen.append(f"{top} ({file}:{node.lineno})")
