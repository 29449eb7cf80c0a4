"""A third set of edits: methods that syntax calls, look-ups by a text, library hooks, state set at import, builders."""

import textwrap

from tests.pipelines.mutations import Case

_MAIN = "\n@clew.pipeline\ndef main() -> None:\n    answer()\n"


def _file(top: str, body: str) -> str:
    inner = textwrap.indent(textwrap.dedent(body).strip(), "    ")
    return f"{textwrap.dedent(top)}\n@clew.step\ndef answer() -> float:\n{inner}\n{_MAIN}"


def rerun(top: str, body: str) -> Case:
    """`?` is 1 and then 2, and so is the answer."""
    texts = [_file(top.replace("?", number), body.replace("?", number)) for number in "12"]
    return Case({"pipeline.py": texts[0]}, {"pipeline.py": texts[1]}, 1, 2, reruns=True)


def beside(files: dict[str, str], top: str, body: str) -> Case:
    """As `rerun`, with `?` in the files beside the pipeline."""
    texts = [{name: textwrap.dedent(text).replace("?", number) for name, text in files.items()} for number in "12"]
    changed = {name: text for name, text in texts[1].items() if text != texts[0][name]}
    return Case({"pipeline.py": _file(top, body), **texts[0]}, changed, 1, 2, reruns=True)


def keep(top: str, after: str, body: str = "return helper()") -> Case:
    """The top becomes another, and the answer stays 1."""
    return Case({"pipeline.py": _file(top, body)}, {"pipeline.py": _file(after, body)}, 1, 1, reruns=False)


def _class(methods: str, base: str = "") -> str:
    return f"class Box{base}:\n" + textwrap.indent(textwrap.dedent(methods).strip(), "    ")


HELPER = "def helper():\n    return 1\n"

THIRD: dict[str, Case] = {
    # --- must run again: methods that no name in the step says ---
    "__len__": rerun(_class("def __len__(self): return ?"), "return len(Box())"),
    "__bool__": rerun(_class("def __bool__(self): return ? > 1"), "return 2 if Box() else 1"),
    "__iter__ that yields": rerun(_class("def __iter__(self):\n    yield ?"), "return sum(Box())"),
    "__getitem__ by unpacking": rerun(
        _class("def __getitem__(self, at):\n    if at > 1: raise IndexError\n    return ?"), "a, b = Box(); return a"
    ),
    "__contains__": rerun(_class("def __contains__(self, x): return ? == 2"), "return 2 if 7 in Box() else 1"),
    "__lt__ in sorted": rerun(
        "class Box:\n    def __init__(self, n): self.n = n\n"
        "    def __lt__(self, other): return (self.n < other.n) is (? == 1)",
        "return sorted([Box(2), Box(1)])[0].n",
    ),
    "__eq__ and __hash__ in a set": rerun(
        "class Box:\n    def __init__(self, n): self.n = n\n    def __hash__(self): return 0\n"
        "    def __eq__(self, other): return ? == 1",
        "return len({Box(1), Box(2)})",
    ),
    "__format__ in an f-string": rerun(_class("def __format__(self, spec): return '?'"), 'return float(f"{Box():x}")'),
    "__enter__": rerun(
        _class("def __enter__(self): return ?\ndef __exit__(self, *error): return None"),
        "with Box() as found:\n    return found",
    ),
    "__call__": rerun(_class("def __call__(self): return ?"), "box = Box()\nreturn box()"),
    "__getattr__ of an object": rerun(_class("def __getattr__(self, name): return ?"), "return Box().anything"),
    "__missing__": rerun(_class("def __missing__(self, key): return ?", "(dict)"), "return Box()['x']"),
    "__set_name__": rerun(
        "class Slot:\n    def __set_name__(self, owner, name): owner.size = ?\nclass Box:\n    slot = Slot()",
        "return Box.size",
    ),
    "a descriptor": rerun(
        "class Slot:\n    def __get__(self, box, kind): return ?\nclass Box:\n    slot = Slot()", "return Box().slot"
    ),
    "__init_subclass__ with a registry": rerun(
        "KINDS = {}\nclass Base:\n    def __init_subclass__(cls, /, key, **more): KINDS[key] = cls\n"
        "class Box(Base, key='box'):\n    def size(self): return ?",
        "return KINDS['box']().size()",
    ),
    "a metaclass": rerun(
        "class Meta(type):\n    def __call__(cls): return ?\nclass Box(metaclass=Meta): pass", "return Box()"
    ),
    "__class_getitem__": rerun(_class("def __class_getitem__(cls, item): return ?"), "return Box[int]"),
    "__match_args__": rerun(
        "class Box:\n    __match_args__ = ('a', 'b') if ? == 1 else ('b', 'a')\n    a, b = 1, 2",
        "match Box():\n    case Box(first): return first",
    ),
    "__post_init__": rerun(
        "import dataclasses\n@dataclasses.dataclass\nclass Box:\n    n: int = 0\n    def __post_init__(self): self.n = ?",
        "return Box().n",
    ),
    "a default factory": rerun(
        "import dataclasses\ndef made(): return [?]\n@dataclasses.dataclass\nclass Box:\n"
        "    n: list = dataclasses.field(default_factory=made)",
        "return Box().n[0]",
    ),
    "an enum's _missing_": rerun(
        "import enum\nclass Size(enum.Enum):\n    A = 1\n    B = 2\n    @classmethod\n"
        "    def _missing_(cls, value): return cls(?)",
        "return Size(99).value",
    ),
    "an enum's auto and its order": rerun(
        "import enum\nclass Size(enum.IntEnum):\n    if ? == 2:\n        X = enum.auto()\n    A = enum.auto()",
        "return Size.A",
    ),
    # --- looked up by a text ---
    "operator.methodcaller": rerun(
        "import operator\nCALL = operator.methodcaller('size')\nclass Box:\n    def size(self): return ?",
        "return CALL(Box())",
    ),
    "operator.attrgetter": rerun(
        "import operator\nclass Inner:\n    size = ?\nclass Box:\n    inner = Inner()",
        "return operator.attrgetter('inner.size')(Box)",
    ),
    "polars' own method by a text": rerun(
        "class Box:\n    def size(self): return ?\ndef call(thing, name): return type(thing).__dict__[name](thing)",
        "return call(Box(), 'size')",
    ),
    "vars of an instance's class": rerun("class Box:\n    size = ?", "return vars(Box)['size']"),
    "a module in sys.modules": beside(
        {"sizes.py": "SIZE = ?\n"}, "import sys\nimport sizes  # noqa: F401", "return sys.modules['sizes'].SIZE"
    ),
    "a module's __getattr__": beside(
        {"sizes.py": "def __getattr__(name):\n    return ?\n"}, "import sizes", "return sizes.anything"
    ),
    "a module that replaces itself": beside(
        {"sizes.py": "import sys\nclass Sizes:\n    def size(self): return ?\nsys.modules[__name__] = Sizes()\n"},
        "import sizes",
        "return sizes.size()",
    ),
    "a class made by type()": rerun("Box = type('Box', (), {'size': lambda self: ?})", "return Box().size()"),
    "a namespace of functions": rerun(
        "import types\ndef size(): return ?\nTOOLS = types.SimpleNamespace(size=size)", "return TOOLS.size()"
    ),
    "an unpickled instance": rerun(
        "import pickle\nclass Box:\n    def __setstate__(self, state): self.n = ?\n    def __getstate__(self): return {'x': 1}",
        "return pickle.loads(pickle.dumps(Box())).n",
    ),
    "copy uses __deepcopy__": rerun(
        "import copy\nclass Box:\n    def __deepcopy__(self, memo): return ?", "return copy.deepcopy(Box())"
    ),
    # --- functions of functions ---
    "singledispatch registered beside": beside(
        {
            "kinds.py": "import shared\n@shared.size.register\ndef _(x: int): return ?\n",
            "shared.py": "import functools\n@functools.singledispatch\ndef size(x): return 0\n",
        },
        "import kinds  # noqa: F401\nimport shared",
        "return shared.size(5)",
    ),
    "a method of singledispatchmethod": rerun(
        "import functools\nclass Box:\n    @functools.singledispatchmethod\n    def size(self, x): return 0\n"
        "    @size.register\n    def _(self, x: str): return ?",
        "return Box().size('a')",
    ),
    "a partial of a partial": rerun(
        "import functools\ndef size(a, b): return a * b\nONE = functools.partial(size, 1)\nTWO = functools.partial(ONE, ?)",
        "return TWO()",
    ),
    "a memoised helper": rerun(
        "import functools\ndef low(): return ?\n@functools.lru_cache\ndef size(): return low()", "return size()"
    ),
    "a cached property": rerun(
        "import functools\nclass Box:\n    @functools.cached_property\n    def size(self): return ?",
        "return Box().size",
    ),
    "a context manager of a generator": rerun(
        "import contextlib\n@contextlib.contextmanager\ndef opened():\n    yield ?",
        "with opened() as found:\n    return found",
    ),
    "a coroutine": rerun(
        "import asyncio\nasync def size():\n    await asyncio.sleep(0)\n    return ?", "return asyncio.run(size())"
    ),
    "np.vectorize": rerun(
        "import numpy as np\ndef size(x): return x * ?\nEACH = np.vectorize(size)", "return float(EACH(np.ones(2))[0])"
    ),
    "np.frompyfunc": rerun("import numpy as np\nEACH = np.frompyfunc(lambda x: x * ?, 1, 1)", "return float(EACH(1))"),
    "a transformer of scikit-learn": rerun(
        "from sklearn.preprocessing import FunctionTransformer\nimport numpy as np\n"
        "def scaled(x): return x * ?\nPREPARE = FunctionTransformer(scaled)",
        "return float(PREPARE.transform(np.ones((1, 1)))[0, 0])",
    ),
    "an estimator of one's own in a pipeline": rerun(
        "from sklearn.base import BaseEstimator, TransformerMixin\nfrom sklearn.pipeline import make_pipeline\n"
        "import numpy as np\nclass Scaler(TransformerMixin, BaseEstimator):\n    def __init__(self, by=?): self.by = by\n"
        "    def fit(self, x, y=None):\n        self.done_ = True\n        return self\n"
        "    def transform(self, x): return x * self.by\nWHOLE = make_pipeline(Scaler())",
        "return float(WHOLE.fit_transform(np.ones((1, 1)))[0, 0])",
    ),
    "a pandas accessor": rerun(
        "import pandas as pd\n@pd.api.extensions.register_dataframe_accessor('boxes')\nclass Boxes:\n"
        "    def __init__(self, frame): self.frame = frame\n    def size(self): return ?",
        "return pd.DataFrame({'x': [1]}).boxes.size()",
    ),
    "pandas pipe and apply": rerun(
        "import pandas as pd\ndef grown(frame): return frame.apply(lambda column: column * ?)",
        "return float(pd.DataFrame({'x': [1]}).pipe(grown)['x'].iloc[0])",
    ),
    "a reducer of functools": rerun(
        "import functools\ndef join(a, b): return a + b * (? - 1)", "return functools.reduce(join, [1, 1])"
    ),
    # --- state that modules set while they are imported ---
    "the seed of random": rerun(
        "import random\nSTATE = random.Random(7)\nfor _ in range(?): STATE.random()\nCOUNT = ?", "return COUNT"
    ),
    "the precision of decimal": rerun(
        "import decimal\nCONTEXT = decimal.Context(prec=?)", "return len(CONTEXT.divide(1, 3).as_tuple().digits)"
    ),
    "a context variable's default": rerun(
        "import contextvars\nSIZE = contextvars.ContextVar('size', default=?)", "return SIZE.get()"
    ),
    "a compiled pattern": rerun("import re\nWORD = re.compile('a{?}')", "return len(WORD.match('aaa')[0])"),
    "a template": rerun("import string\nSAID = string.Template('?$end')", "return float(SAID.substitute(end=''))"),
    "an array in a dict of dicts": rerun(
        "import numpy as np\nTABLE = {'a': {'b': [np.array([?])]}}", "return float(TABLE['a']['b'][0][0])"
    ),
    "a table at the top": rerun("TABLE = pl.DataFrame({'x': [?]})", "return TABLE['x'][0]"),
    "a lazy table at the top": rerun(
        "TABLE = pl.DataFrame({'x': [1]}).lazy().select(pl.col('x') * ?)", "return TABLE.collect()['x'][0]"
    ),
    "an expression at the top": rerun("EACH = pl.col('x') * ?", "return pl.DataFrame({'x': [1]}).select(EACH)['x'][0]"),
    "a ChainMap": rerun("import collections\nALL = collections.ChainMap({'a': ?}, {'a': 7})", "return ALL['a']"),
    "a mapping proxy": rerun("import types\nALL = types.MappingProxyType({'a': ?})", "return ALL['a']"),
    "a deque and a counter": rerun(
        "import collections\nMANY = collections.deque([?])\nCOUNTS = collections.Counter(a=0)",
        "return MANY[0] + COUNTS['a']",
    ),
    "two dicts that differ in order": rerun(
        "ORDER = {'a': 1, 'b': 2} if ? == 1 else {'b': 2, 'a': 1}", "return next(iter(ORDER.values()))"
    ),
    "an instance with slots": rerun(
        "class Box:\n    __slots__ = ('n',)\n    def __init__(self, n): self.n = n\nBOX = Box(?)", "return BOX.n"
    ),
    "a bound method at the top": rerun(
        "class Box:\n    def __init__(self, n): self.n = n\n    def size(self): return self.n\nSIZE = Box(?).size",
        "return SIZE()",
    ),
    "a default bound in a loop": rerun(
        "CALLS = []\nfor n in range(?):\n    CALLS.append(lambda n=n: n + 1)", "return CALLS[-1]()"
    ),
    "a global set by a class body": rerun("class Box:\n    global SIZE\n    SIZE = ?", "return SIZE"),
    "a try that takes another import": beside(
        {"fast.py": "if ? == 1:\n    raise ImportError\nSIZE = 2\n", "slow.py": "SIZE = 1\n"},
        "try:\n    from fast import SIZE\nexcept ImportError:\n    from slow import SIZE",
        "return SIZE",
    ),
    "relative imports through two packages": beside(
        {
            "pkg/__init__.py": "from .inner import size\n",
            "pkg/inner/__init__.py": "from ..low import size\n",
            "pkg/low.py": "def size():\n    return ?\n",
        },
        "from pkg import size",
        "return size()",
    ),
    "a registry filled by a package's submodules": beside(
        {
            "pkg/__init__.py": "import importlib\nimport pkgutil\nKINDS = {}\n"
            "for found in pkgutil.iter_modules(__path__):\n    importlib.import_module(f'pkg.{found.name}')\n",
            "pkg/box.py": "import pkg\n@pkg.KINDS.setdefault('box', lambda f: f)\ndef size(): return ?\npkg.KINDS['size'] = size\n",
        },
        "import pkg",
        "return pkg.KINDS['size']()",
    ),
    # --- needn't run again ---
    "another function above": keep(HELPER, "def other():\n    return 9\n\n" + HELPER),
    "another class with other methods": keep(
        HELPER, HELPER + "class Other:\n    def unheard_of(self):\n        return 3\n"
    ),
    "what runs as a script alone": keep(
        HELPER + "if __name__ == '__main__':\n    print(1)\n", HELPER + "if __name__ == '__main__':\n    print(2)\n"
    ),
    "quotes and number forms": keep(
        "LIMIT = 1000\nNAME = 'a'\ndef helper():\n    return LIMIT / 1000 + len(NAME) - 1",
        'LIMIT = 1_000\nNAME = "a"\ndef helper():\n    return (LIMIT / 1000) + len(NAME) - 1',
    ),
    "an import for types alone": keep(
        HELPER,
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from collections.abc import Mapping\n" + HELPER,
    ),
    "a test beside the step": keep(HELPER, HELPER + "def test_helper():\n    assert helper() == 1\n"),
    "another constant": keep("A = 1\nB = 2\ndef helper():\n    return A", "A = 1\nB = 3\ndef helper():\n    return A"),
    "lines that move": keep(HELPER, "\n\n\n# far below\n\n" + HELPER),
    "an overload for types": keep(
        HELPER,
        "from typing import overload\n@overload\ndef other(x: int) -> int: ...\ndef other(x): return x\n" + HELPER,
    ),
}
