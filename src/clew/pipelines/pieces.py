"""The text of a project in pieces: each top-level statement, with the names that it binds, uses and changes.

A piece is named by its normalised syntax tree: comments, docstrings, formatting and annotations that nothing reads
don't count. Scopes are Python's own: a local name never leads to a global of the same name.
"""

import ast
import functools
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from clew.pipelines.native import CLOCK, LIBRARIES

_FUNCTIONS: Final = (ast.FunctionDef, ast.AsyncFunctionDef)
_COMPREHENSIONS: Final = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_BY_TEXT: Final = frozenset(("getattr", "hasattr", "setattr", "delattr", "attrgetter", "methodcaller"))
_IMPORTS: Final = frozenset(("__import__", "import_module", "resolve_name", "locate"))
_ANYTHING: Final = frozenset(
    (
        "eval", "exec", "globals", "locals", "compile", "getmembers", "get_objects", "run_path", "run_module",
        "exec_module", "load_module", "iter_modules", "walk_packages", "__subclasses__", "__globals__", "__dict__",
        "currentframe", "_getframe", "modules",
    )
)  # fmt: skip
_READ_SOURCE: Final = frozenset(
    (
        "getsource", "getsourcelines", "getsourcefile", "findsource", "getcomments", "getframeinfo", "getline",
        "getlines", "generate_tokens", "get_source", "co_firstlineno", "f_lineno", "tb_lineno",
    )
)  # fmt: skip
_ANY_OF: Final = frozenset(("vars", "dir"))
_READ_HINTS: Final = frozenset(
    ("get_type_hints", "__annotations__", "get_annotations", "signature", "getfullargspec", "singledispatch")
)
_READ_DOCS: Final = frozenset(("__doc__", "getdoc", "docopt"))
_CHANGERS: Final = frozenset(
    (
        "append", "appendleft", "add", "update", "extend", "insert", "setdefault", "register", "pop", "popitem",
        "remove", "clear", "discard", "sort", "reverse", "connect",
    )
)  # fmt: skip
_ACTING: Final = re.compile(
    r"(?:set|seed|manual_seed|enable|disable|use|config|configure|patch|install|register)(?:_|\Z)"
)


@dataclass(frozen=True)
class Import:
    """A name that comes from a module: from the module itself where `attribute` is empty."""

    module: str
    attribute: str
    level: int


@dataclass(frozen=True)
class Piece:
    """A top-level statement of a module."""

    file: str
    first: int
    last: int
    label: str
    digest: str
    hinted: str
    """As `digest`, with all annotations and docstrings: for when something reads them."""
    binds: frozenset[str]
    methods: frozenset[str]
    """Names that its classes bind, by which it may be met as an attribute of an object."""
    sets: frozenset[str]
    """Attributes that it sets, on whatever object, and texts in its decorators, by which a library may know it."""
    changes: frozenset[str]
    """Names whose values it changes without binding them."""
    names: frozenset[str]
    chains: frozenset[tuple[str, ...]]
    """Attributes that it uses: `("", "a")` for `anything.a`, `("m", "a", "b")` for `m.a.b` with a global m."""
    imports: tuple[tuple[str, Import], ...]
    stars: tuple[Import, ...]
    acts: bool
    """Whether it does more than bind names when it is imported."""
    main: bool
    """Whether it only runs where the file is the program."""
    reads_text: bool
    reads_source: bool
    """Whether it may look at the source as it is written, comments included."""
    dynamic: tuple[str, ...]
    natives: tuple[tuple[str, str], ...]
    """Modules that it imports and whose reads nobody sees, if they aren't of the project; and what to say."""
    unseen: tuple[str, ...]


@functools.lru_cache(maxsize=10_000)
def pieces_of(file: str, content: bytes) -> tuple[Piece, ...]:
    """The pieces of a Python file; of anything else one, its bytes. Nothing for text that can't be parsed."""
    if not file.endswith(".py"):
        return (_whole(file, content),)
    try:
        tree = ast.parse(content, file)
    except (SyntaxError, ValueError):
        return ()  # it can't be imported either
    body = tree.body[1:] if ast.get_docstring(tree, clean=False) is not None else tree.body
    marks = _clews_own(tree)
    return tuple(_piece(file, statement, marks) for one in body for statement in _split(one))


def _whole(file: str, content: bytes) -> Piece:
    digest = hashlib.sha256(content).hexdigest()
    stem = file.rpartition("/")[2].partition(".")[0]
    none: frozenset[str] = frozenset()
    return Piece(
        file, 0, 0, file, digest, digest, frozenset((stem,)), none, none, none, none, frozenset(), (), (),
        acts=True, main=False, reads_text=False, reads_source=False, dynamic=(), natives=(), unseen=(),
    )  # fmt: skip


def _split(statement: ast.stmt) -> Iterator[ast.stmt]:
    """An import by each of its names, so that one more of them is no change to those who use another."""
    if isinstance(statement, ast.Import | ast.ImportFrom) and len(statement.names) > 1:
        for alias in statement.names:
            one = (
                ast.Import([alias])
                if isinstance(statement, ast.Import)
                else ast.ImportFrom(statement.module, [alias], statement.level)
            )
            yield ast.copy_location(one, statement)
    else:
        yield statement


def _clews_own(tree: ast.Module) -> frozenset[str]:
    """The names by which the module knows clew's decorators."""
    found = set()
    for node in tree.body:
        if isinstance(node, ast.Import):
            found |= {f"{one.asname or one.name}.step" for one in node.names if one.name in ("clew", "clew.pipelines")}
        elif isinstance(node, ast.ImportFrom) and node.module in ("clew", "clew.pipelines"):
            found |= {one.asname or one.name for one in node.names if one.name == "step"}
    return frozenset(found)


def _is_anything(root: str, name: str) -> bool:
    if name == "compile":
        return root != "re"
    return name in _ANYTHING and (name != "modules" or root == "sys")


@dataclass
class _Scope:
    bound: frozenset[str]
    is_class: bool
    is_comprehension: bool = False


class _Reader(ast.NodeVisitor):
    """Reads a statement: which names are global, and what is done with them."""

    def __init__(self, file: str, marks: frozenset[str]) -> None:
        self.place = file.rpartition("/")[2]
        self.marks = marks
        self.scopes: list[_Scope] = []
        self.binds: set[str] = set()
        self.methods: set[str] = set()
        self.sets: set[str] = set()
        self.changes: set[str] = set()
        self.names: set[str] = set()
        self.chains: set[tuple[str, ...]] = set()
        self.imports: list[tuple[str, Import]] = []
        self.stars: list[Import] = []
        self.dynamic: list[str] = []
        self.natives: list[tuple[str, str]] = []
        self.unseen: list[str] = []

    def is_global(self, name: str) -> bool:
        """Whether a name that is used here is, or may be, one of the module."""
        for depth, scope in enumerate(reversed(self.scopes)):
            if name in scope.bound and not (scope.is_class and depth):
                return scope.is_class  # a class's body may use the global before it binds its own
        return True

    def _say(self, node: ast.AST, what: str) -> str:
        return f"{what} ({self.place}:{getattr(node, 'lineno', 0)})"

    def visit_Name(self, node: ast.Name) -> None:
        name = node.id
        if isinstance(node.ctx, ast.Load):
            if self.is_global(name):
                self.names.add(name)
                if _is_anything("", name):
                    self.dynamic.append(self._say(node, name))
        elif not self.scopes:
            self.binds.add(name)
        elif self.scopes[-1].is_class:
            self.methods.add(name)

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        if all(scope.is_comprehension for scope in self.scopes):  # := binds in the scope around a comprehension
            self.binds.add(node.target.id)
        self.visit(node.value)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        chain = [node.attr]
        base: ast.expr = node.value
        while isinstance(base, ast.Attribute):
            chain.append(base.attr)
            base = base.value
        root = base.id if isinstance(base, ast.Name) and self.is_global(base.id) else ""
        self.chains.add((root, *reversed(chain)))
        if _is_anything(root, node.attr):
            self.dynamic.append(self._say(node, node.attr))
        if not isinstance(node.ctx, ast.Load):
            self.sets.add(node.attr)
            if root:
                self.changes.add(root)
        if not isinstance(base, ast.Name):
            self.visit(base)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        if not isinstance(node.ctx, ast.Load):
            self._changed(node.value)
        self.generic_visit(node)

    def _changed(self, target: ast.expr) -> None:
        while isinstance(target, ast.Attribute | ast.Subscript):
            if isinstance(target, ast.Attribute):
                self.sets.add(target.attr)
            target = target.value
        if isinstance(target, ast.Name) and self.is_global(target.id):
            self.changes.add(target.id)

    def visit_Call(self, node: ast.Call) -> None:
        called = _called(node)
        if isinstance(node.func, ast.Attribute):
            if called in CLOCK and len(node.args) <= 1:
                self.unseen.append(self._say(node, "the clock"))
            if called in _CHANGERS:
                self._changed(node.func.value)
        if called in _BY_TEXT:
            self._by_text(node, called)
        elif called in _IMPORTS:
            self._import_by_text(node, called)
        elif called in _ANY_OF and node.args and isinstance(node.func, ast.Name):
            self.dynamic.append(self._say(node, called))
        self.generic_visit(node)

    def _by_text(self, node: ast.Call, called: str) -> None:
        """An attribute is named by a text."""
        for one in node.args if called in ("attrgetter", "methodcaller") else node.args[1:2]:
            text = _literal(one)
            if text is None:
                if called != "methodcaller" or one is node.args[0]:
                    self.dynamic.append(self._say(node, f"{called} with a name that isn't written out"))
                continue
            self.chains |= {("", part) for part in text.split(".")}
            if called == "setattr":
                self.sets.add(text)
                self._changed(node.args[0])

    def _import_by_text(self, node: ast.Call, called: str) -> None:
        text = _literal(node.args[0]) if node.args else None
        if text is None:
            self.dynamic.append(self._say(node, f"{called} with a name that isn't written out"))
        else:
            self.imports.append(("", Import(text.lstrip("."), "", 0)))
            self._library(node, text)

    def _library(self, node: ast.AST, module: str) -> None:
        top = module.partition(".")[0]
        if top in LIBRARIES:
            self.natives.append((top, self._say(node, top)))

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            local = alias.asname or alias.name.partition(".")[0]
            self._bind(local)
            self.imports.append((local, Import(alias.name, "", 0)))
            self._library(node, alias.name)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        module = node.module or ""
        for alias in node.names:
            if alias.name == "*":
                self.stars.append(Import(module, "*", node.level))
                continue
            self._bind(alias.asname or alias.name)
            self.imports.append((alias.asname or alias.name, Import(module, alias.name, node.level)))
        if not node.level:
            self._library(node, module)

    def _bind(self, name: str) -> None:
        if not self.scopes:
            self.binds.add(name)
        elif self.scopes[-1].is_class:
            self.methods.add(name)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self._bind(node.name)
        for decorator in node.decorator_list:
            self._decorator(decorator)
        self._function(node.args, node.body)
        if node.returns is not None:
            self.visit(node.returns)

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815 - ast's own naming

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self._function(node.args, [ast.Expr(node.body)])

    def _function(self, arguments: ast.arguments, body: list[ast.stmt]) -> None:
        every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        every += [one for one in (arguments.vararg, arguments.kwarg) if one is not None]
        for one in every:
            if one.annotation is not None:  # of what is decorated: of others they were taken out
                self.visit(one.annotation)
        for default in (*arguments.defaults, *arguments.kw_defaults):
            if default is not None:
                self.visit(default)
        local, outer = _bound_in(body)
        self.changes |= outer
        self.scopes.append(_Scope(frozenset({one.arg for one in every} | local), is_class=False))
        for statement in body:
            self.visit(statement)
        self.scopes.pop()

    def _decorator(self, decorator: ast.expr) -> None:
        if _is_mark(decorator, self.marks):
            return
        self.visit(decorator)
        for node in ast.walk(decorator):
            if isinstance(node, ast.Name | ast.Attribute) and not self.scopes:
                self.changes.add(node.id if isinstance(node, ast.Name) else node.attr)  # it may put it into a registry
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                self.sets.add(node.value)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._bind(node.name)
        for decorator in node.decorator_list:
            self._decorator(decorator)
        for base in (*node.bases, *(keyword.value for keyword in node.keywords)):
            self.visit(base)
            if isinstance(base, ast.Name) and not self.scopes:
                self.changes.add(base.id)  # a base class may keep a list of those who inherit from it
        local, _ = _bound_in(node.body)
        self.scopes.append(_Scope(frozenset(local), is_class=True))
        for statement in node.body:
            self.visit(statement)
        self.scopes.pop()

    def _comprehension(self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp) -> None:
        local: set[str] = set()
        for number, one in enumerate(node.generators):
            if number == 0:
                self.visit(one.iter)  # in the scope around it
            local |= {name.id for name in ast.walk(one.target) if isinstance(name, ast.Name)}
        self.scopes.append(_Scope(frozenset(local), is_class=False, is_comprehension=True))
        for number, one in enumerate(node.generators):
            self.visit(one.target)
            if number:
                self.visit(one.iter)
            for test in one.ifs:
                self.visit(test)
        for value in (node.key, node.value) if isinstance(node, ast.DictComp) else (node.elt,):
            self.visit(value)
        self.scopes.pop()

    visit_ListComp = visit_SetComp = visit_GeneratorExp = visit_DictComp = _comprehension  # noqa: N815 - as above


def _literal(node: ast.expr) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def _is_mark(decorator: ast.expr, marks: frozenset[str]) -> bool:
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    return isinstance(called, ast.Name | ast.Attribute) and ast.unparse(called) in marks


def _bound_in(body: list[ast.stmt]) -> tuple[set[str], set[str]]:
    """The names that a scope binds itself, and those that it declares to be the module's.

    What it imports isn't among them: such a name leads to a module wherever it is bound.
    """
    local: set[str] = set()
    outer: set[str] = set()
    waiting: list[ast.AST] = list(body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Global | ast.Nonlocal):
            if isinstance(node, ast.Global):
                outer |= set(node.names)
            continue
        if isinstance(node, (*_FUNCTIONS, ast.ClassDef)):
            local.add(node.name)
            continue
        if isinstance(node, ast.Lambda):
            continue
        if isinstance(node, _COMPREHENSIONS):
            # Its own names stay inside, but what := binds in it is of the scope around.
            local |= {one.target.id for one in ast.walk(node) if isinstance(one, ast.NamedExpr)}
            continue
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            local.add(node.id)
        elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
            local.add(node.name)
        elif isinstance(node, ast.MatchMapping) and node.rest:
            local.add(node.rest)
        waiting += ast.iter_child_nodes(node)
    return local - outer, outer


class _Normal(ast.NodeTransformer):
    """Takes out what doesn't matter to what the code does: documentation, and annotations that nothing reads."""

    def __init__(self, marks: frozenset[str]) -> None:
        self.marks = marks
        self.inside = False

    def _body(self, body: list[ast.stmt]) -> list[ast.stmt]:
        kept = [one for one in body if not (isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant))]
        return kept or [ast.Pass()]

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.AST:
        if not node.decorator_list:
            node.returns = None
            for one in ast.walk(node.args):
                if isinstance(one, ast.arg):
                    one.annotation = None
        node.decorator_list = [one for one in node.decorator_list if not _is_mark(one, self.marks)]
        node.body = self._body(node.body)
        around, self.inside = self.inside, True
        self.generic_visit(node)
        self.inside = around
        return node

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815 - ast's own naming

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        node.body = self._body(node.body)
        around, self.inside = self.inside, False
        self.generic_visit(node)
        self.inside = around
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        if self.inside:  # never evaluated there
            node.annotation = ast.Constant(None)
        self.generic_visit(node)
        return node


def _piece(file: str, statement: ast.stmt, marks: frozenset[str]) -> Piece:
    hinted = _digest(statement)
    first = min([statement.lineno, *(one.lineno for one in getattr(statement, "decorator_list", ()))])
    last = statement.end_lineno or statement.lineno
    words = {getattr(node, "attr", getattr(node, "id", "")) for node in ast.walk(statement)}
    words |= {alias.name for node in ast.walk(statement) if isinstance(node, ast.ImportFrom) for alias in node.names}
    statement = _Normal(marks).visit(statement)
    reader = _Reader(file, marks)
    reader.visit(statement)
    module = _module_name(file)
    name = min(reader.binds, default="")
    return Piece(
        file=file,
        first=first,
        last=last,
        label=f"{module}.{name}" if name else f"{module}, line {first}",
        digest=_digest(statement),
        hinted=hinted,
        binds=frozenset(reader.binds),
        methods=frozenset(reader.methods),
        sets=frozenset(reader.sets),
        changes=frozenset(reader.changes),
        names=frozenset(reader.names),
        chains=frozenset(reader.chains),
        imports=tuple(reader.imports),
        stars=tuple(reader.stars),
        acts=_acts(statement),
        main=_is_main(statement),
        reads_text=not words.isdisjoint(_READ_HINTS | _READ_DOCS),
        reads_source=not words.isdisjoint(_READ_SOURCE),
        dynamic=tuple(reader.dynamic),
        natives=tuple(reader.natives),
        unseen=tuple(reader.unseen),
    )


def _digest(statement: ast.stmt) -> str:
    return hashlib.sha256(ast.dump(statement, annotate_fields=False).encode(errors="surrogatepass")).hexdigest()


def _module_name(file: str) -> str:
    return file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _is_main(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.If) and ast.unparse(statement.test) in (
        "__name__ == '__main__'",
        "'__main__' == __name__",
    )


def _acts(statement: ast.stmt) -> bool:
    """Whether a statement does more than bind names."""
    if isinstance(statement, (ast.Import, ast.ImportFrom, ast.ClassDef, ast.Pass, ast.Global, *_FUNCTIONS)):
        return False
    if isinstance(statement, ast.Expr):
        return not isinstance(statement.value, ast.Constant)
    if isinstance(statement, ast.Assign | ast.AnnAssign | ast.AugAssign):
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        plain = all(isinstance(one, ast.Name | ast.Tuple | ast.List) for one in targets)
        return not plain or any(_ACTING.match(_called(node)) for node in ast.walk(statement))
    if isinstance(statement, ast.If | ast.Try):
        handlers = [one for handler in getattr(statement, "handlers", ()) for one in handler.body]
        inner = [*statement.body, *statement.orelse, *getattr(statement, "finalbody", ()), *handlers]
        return any(map(_acts, inner))
    return True


def _called(node: ast.AST) -> str:
    if not isinstance(node, ast.Call):
        return ""
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
