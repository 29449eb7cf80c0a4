"""Edits of small projects, each saying whether a step must run again because of it."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Case:
    """A project before and after an edit; what its step `answer` gives before and after; whether it must run again."""

    before: dict[str, str]
    after: dict[str, str]
    first: Any
    then: Any
    reruns: bool


_MAIN = """
@clew.pipeline
def main() -> None:
    answer()
"""


def _step(body: str, top: str = "", returns: str = "float") -> str:
    inner = "\n".join(f"    {line}" for line in body.splitlines())
    return f"{top}\n@clew.step\ndef answer() -> {returns}:\n{inner}\n{_MAIN}"


def _edit(name: str, before: str, after: str, pipeline: str, *, others: dict[str, str] | None = None) -> Case:
    """One file changes, and the answer goes from 1 to 2."""
    return Case({"pipeline.py": pipeline, name: before, **(others or {})}, {name: after}, 1, 2, reruns=True)


def _same(before: str, after: str, name: str = "pipeline.py", **others: str) -> Case:
    """The text changes, and the answer stays 1."""
    files = {f"{one}.py": text for one, text in others.items()}
    return Case({**files, name: before}, {name: after}, 1, 1, reruns=False)


def _text(before: str, after: str) -> Case:
    """The pipeline's file changes, and the answer goes from 1 to 2."""
    return Case({"pipeline.py": before}, {"pipeline.py": after}, 1, 2, reruns=True)


def _changed(template: str, body: str, returns: str = "float") -> Case:
    """As `_text`: `?` in the file's top is 1 and then 2."""
    return _text(_step(body, template.replace("?", "1"), returns), _step(body, template.replace("?", "2"), returns))


FIRST: dict[str, Case] = {
    # --- must run again ---
    "own body": _text(_step("return 1"), _step("return 2")),
    "helper": _changed("def helper():\n    return ?", "return helper()"),
    "helper of a helper": _changed("def low():\n    return ?\ndef high():\n    return low()", "return high()"),
    "global": _changed("LIMIT = ?", "return LIMIT"),
    "global by way of another": _changed("BASE = ?\nLIMIT = BASE * 1", "return LIMIT"),
    "global that is set twice": _changed("LIMIT = 0\nLIMIT += ?", "return LIMIT"),
    "global in a branch": _changed("if True:\n    LIMIT = ?\nelse:\n    LIMIT = 7", "return LIMIT"),
    "global filled by a loop": _changed("TABLE = {}\nfor key in 'ab':\n    TABLE[key] = ?", "return TABLE['a']"),
    "global changed by a call": _changed("SIZES = []\nSIZES.append(?)", "return SIZES[0]"),
    "closure": _changed(
        "def make(k):\n    def inner():\n        return k\n    return inner\nget = make(?)", "return get()"
    ),
    "decorator of a helper": _changed(
        "def twice(f):\n    def inner():\n        return f() * ?\n    return inner\n@twice\ndef one():\n    return 1",
        "return one()",
    ),
    "decorator's argument": _changed(
        "def times(k):\n    def wrap(f):\n        def inner():\n            return f() * k\n        return inner\n"
        "    return wrap\n@times(?)\ndef one():\n    return 1",
        "return one()",
    ),
    "method": _changed("class Scaler:\n    def scale(self):\n        return ?", "return Scaler().scale()"),
    "base class": _changed(
        "class Base:\n    def scale(self):\n        return ?\nclass Scaler(Base):\n    pass", "return Scaler().scale()"
    ),
    "class attribute": _changed("class Scaler:\n    factor = ?", "return Scaler.factor"),
    "operator": _changed("class Value:\n    def __add__(self, other):\n        return ?", "return Value() + Value()"),
    "property": _changed("class A:\n    @property\n    def p(self):\n        return ?", "return A().p"),
    "metaclass": _changed(
        "class Meta(type):\n    def __call__(cls):\n        return ?\nclass A(metaclass=Meta):\n    pass", "return A()"
    ),
    "object at the top": _changed(
        "class Scaler:\n    def scale(self):\n        return ?\nSCALER = Scaler()", "return SCALER.scale()"
    ),
    "registry": _changed(
        "REGISTRY = {}\ndef register(f):\n    REGISTRY[f.__name__] = f\n    return f\n@register\ndef one():\n    return ?",
        "return REGISTRY['one']()",
    ),
    "registry in another file": _edit(
        "plugin.py",
        "import registry\n@registry.register\ndef one():\n    return 1",
        "import registry\n@registry.register\ndef one():\n    return 2",
        _step("return registry.ALL['one']()", "import registry\nimport plugin"),
        others={"registry.py": "ALL = {}\ndef register(f):\n    ALL[f.__name__] = f\n    return f"},
    ),
    "registry of subclasses": _changed(
        "class Base:\n    kinds = {}\n    def __init_subclass__(cls):\n        Base.kinds[cls.__name__] = cls\n"
        "class One(Base):\n    value = ?",
        "return Base.kinds['One'].value",
    ),
    "partial": _changed("from functools import partial\ndef f(k):\n    return k\ng = partial(f, ?)", "return g()"),
    "default argument": _changed("def f(k=?):\n    return k", "return f()"),
    "keyword default": _changed("def f(*, k=?):\n    return k", "return f()"),
    "local import": _edit("late.py", "VALUE = 1", "VALUE = 2", _step("import late\nreturn late.VALUE")),
    "local import of a name": _edit(
        "late.py", "VALUE = 1", "VALUE = 2", _step("from late import VALUE as v\nreturn v")
    ),
    "relative import": _edit(
        "pack/leaf.py",
        "VALUE = 1",
        "VALUE = 2",
        _step("return get()", "from pack import get"),
        others={
            "pack/__init__.py": "from .mid import get",
            "pack/mid.py": "from .leaf import VALUE\ndef get():\n    return VALUE",
        },
    ),
    "star import": _edit(
        "stars.py", "def f():\n    return 1", "def f():\n    return 2", _step("return f()", "from stars import *")
    ),
    "module as a value": _edit(
        "tools.py",
        "def f():\n    return 1",
        "def f():\n    return 2",
        _step("return call(tools)", "import tools\ndef call(where):\n    return where.f()"),
    ),
    "enum": _changed("import enum\nclass Kind(enum.Enum):\n    A = ?", "return Kind.A.value"),
    "dataclass default": _changed(
        "from dataclasses import dataclass\n@dataclass\nclass C:\n    k: int = ?", "return C().k"
    ),
    "computed at import": _changed("def f():\n    return ?\nVALUE = f()", "return VALUE"),
    "getattr with a text": _changed("class A:\n    x = ?", "return getattr(A, 'x')"),
    "getattr with a name": _changed("class A:\n    x = ?\nNAME = 'x'", "return getattr(A, NAME)"),
    "globals": _changed("def one():\n    return ?", "return globals()['o' + 'ne']()"),
    "import by a name": _edit(
        "late.py",
        "VALUE = 1",
        "VALUE = 2",
        _step("return importlib.import_module('la' + 'te').VALUE", "import importlib"),
    ),
    "eval": _changed("def one():\n    return ?", "return eval('one()')"),
    "lambda in a dict": _changed("TABLE = {'a': lambda: ?}", "return TABLE['a']()"),
    "method put on a class": _changed("class A:\n    pass\ndef f(self):\n    return ?\nA.g = f", "return A().g()"),
    "function replaced at import": _edit(
        "patch.py",
        "import tools\ntools.f = lambda: 1",
        "import tools\ntools.f = lambda: 2",
        _step("return tools.f()", "import tools\nimport patch"),
        others={"tools.py": "def f():\n    return 0"},
    ),
    "polars namespace": _edit(
        "space.py",
        "@pl.api.register_dataframe_namespace('mine')\nclass Mine:\n    def __init__(self, df):\n        pass\n    def f(self):\n        return 1",
        "@pl.api.register_dataframe_namespace('mine')\nclass Mine:\n    def __init__(self, df):\n        pass\n    def f(self):\n        return 2",
        _step("return pl.DataFrame().mine.f()", "import space"),
    ),
    "singledispatch": _changed(
        "from functools import singledispatch\n@singledispatch\ndef f(x):\n    return 0\n@f.register\ndef _(x: int):\n    return ?",
        "return f(5)",
    ),
    "a name that only a comprehension hides": _changed(
        "def clean(x):\n    return x * ?", "return [clean for clean in [1]][0] * clean(1)"
    ),
    "module's __getattr__": _edit(
        "lazy.py",
        "def __getattr__(name):\n    return 1",
        "def __getattr__(name):\n    return 2",
        _step("return lazy.anything", "import lazy"),
    ),
    "nested package": _edit(
        "pack/deep/leaf.py",
        "def f():\n    return 1",
        "def f():\n    return 2",
        _step("return pack.deep.leaf.f()", "import pack.deep.leaf"),
        others={"pack/__init__.py": "", "pack/deep/__init__.py": ""},
    ),
    "generator": _changed("def gen():\n    yield ?", "return next(gen())"),
    "tuple of globals": _changed("A, B = ?, 5", "return A"),
    # --- must not run again ---
    "comment": _same(_step("return 1"), _step("# why not\nreturn 1  # one")),
    "formatting": _same(_step('return {"a": 1}["a"]'), _step("return (\n    {'a': 1}\n    ['a']\n)")),
    "docstring": _same(_step("return 1"), '"""Module."""\n' + _step('"""What it gives."""\nreturn 1')),
    "docstring of a helper": _same(
        _step("return f()", "def f():\n    return 1"), _step("return f()", 'def f():\n    """One."""\n    return 1')
    ),
    "annotation of a helper": _same(
        _step("return f(1)", "def f(x):\n    return x"), _step("return f(1)", "def f(x: int) -> int:\n    return x")
    ),
    "unrelated function": _same(
        _step("return 1", "def other():\n    return 1"), _step("return 1", "def other():\n    return 2")
    ),
    "unrelated constant": _same(_step("return 1", "OTHER = 1"), _step("return 1", "OTHER = 2\nMORE = 3")),
    "unrelated step": _same(
        _step("return 1", "@clew.step\ndef other() -> int:\n    return 1"),
        _step("return 1", "@clew.step\ndef other() -> int:\n    return 2"),
    ),
    "unrelated file that is imported": _same(
        "def used():\n    return 1\ndef other():\n    return 1",
        "def used():\n    return 1\ndef other():\n    return 2",
        "tools.py",
        pipeline=_step("return tools.used()", "import tools"),
    ),
    "unrelated file": _same("x = 1", "x = 2", "nobody.py", pipeline=_step("return 1")),
    "new import": _same(_step("return 1"), _step("return 1", "import json")),
    "one more name from a module": _same(
        _step("return floor(1.5)", "from math import floor"), _step("return floor(1.5)", "from math import ceil, floor")
    ),
    "pipeline's own comment": _same(
        _step("return 1"), _step("return 1").replace("    answer()", "    # here\n    answer()")
    ),
    "the program's own part": _same(
        _step("return 1") + "\nif __name__ == '__main__':\n    print(1)\n",
        _step("return 1") + "\nif __name__ == '__main__':\n    print(2)\n",
    ),
    "local of the same name": _same(
        _step("rows = 1\nreturn rows", "def rows():\n    return 1"),
        _step("rows = 1\nreturn rows", "def rows():\n    return 2"),
    ),
    "attribute of a library of the same name": _same(
        _step("return pl.Series([1]).sum()", "def sum():\n    return 1"),
        _step("return pl.Series([1]).sum()", "def sum():\n    return 2"),
    ),
    "another order of functions": _same(
        _step("return a()", "def a():\n    return 1\ndef b():\n    return 2"),
        _step("return a()", "def b():\n    return 2\ndef a():\n    return 1"),
    ),
}
