"""A second set of edits, written without sight of the code that they test."""

from collections.abc import Sequence
from typing import Any

from tests.pipelines.mutations import Case

MAIN = """

@clew.pipeline
def main() -> None:
    answer()
"""


def _after(before: dict[str, str], edits: Sequence[tuple[str, str, str]], new: dict[str, str] | None) -> dict[str, str]:
    """The texts of the files that the edits touch; each edit's old text stands once in its file."""
    after = dict(new or {})
    for name, old, text in edits:
        whole = after.get(name, before.get(name, ""))
        assert whole.count(old) == 1, (name, old, whole.count(old))
        after[name] = whole.replace(old, text)
    return after


def rerun(
    first: Any, then: Any, before: dict[str, str], *edits: tuple[str, str, str], new: dict[str, str] | None = None
) -> Case:
    return Case(before, _after(before, edits, new), first, then, reruns=True)


def keep(value: Any, before: dict[str, str], *edits: tuple[str, str, str], new: dict[str, str] | None = None) -> Case:
    return Case(before, _after(before, edits, new), value, value, reruns=False)


SECOND: dict[str, Case] = {}

# ---------------------------------------------------------------- must run again: modules changed from afar

SECOND["vars(module).update in a third file"] = rerun(
    120.0,
    150.0,
    {
        "settings.py": "RATE = 0.1\nFLOOR = 0\n",
        "site_overrides.py": "import settings\n\nvars(settings).update(RATE=0.2, FLOOR=0)\n",
        "costs.py": """
import settings


def gross(net):
    return max(settings.FLOOR, round(net * (1 + settings.RATE), 6))
""",
        "pipeline.py": """
import costs
import site_overrides  # noqa: F401


@clew.step
def answer() -> float:
    return costs.gross(100)
"""
        + MAIN,
    },
    ("site_overrides.py", "RATE=0.2", "RATE=0.50"),
)

SECOND["order of two imports that both set the same value"] = rerun(
    "eu",
    "us",
    {
        "state.py": "REGION = None\n",
        "region_us.py": "import state\n\nsetattr(state, 'REGION', 'us')\n",
        "region_eu.py": "import state\n\nsetattr(state, 'REGION', 'eu')\n",
        "pipeline.py": """
import state
import region_us
import region_eu


@clew.step
def answer() -> str:
    return state.REGION
"""
        + MAIN,
    },
    ("pipeline.py", "import region_us\nimport region_eu\n", "import region_eu\n\nimport region_us\n"),
)

SECOND["an imported list grown by augmented assignment under another name"] = rerun(
    "age,income,zip",
    "age,income,zip,tenure",
    {
        "schema.py": "COLUMNS = ['age', 'income']\n",
        "enrich.py": "from schema import COLUMNS as wanted\n\nwanted += ['zip']\n",
        "pipeline.py": """
from schema import COLUMNS
import enrich  # noqa: F401


@clew.step
def answer() -> str:
    return ",".join(COLUMNS)
"""
        + MAIN,
    },
    ("enrich.py", "['zip']", "['zip', 'tenure']"),
)

SECOND["globals().update from a comprehension over another file's dict"] = rerun(
    42,
    420,
    {
        "grid.py": "BASE = {'depth': 6, 'leaves': 7}\n",
        "params.py": """
import grid

globals().update({f"MAX_{key.upper()}": value for key, value in grid.BASE.items()})
""",
        "pipeline.py": """
import params


@clew.step
def answer() -> int:
    return params.MAX_DEPTH * params.MAX_LEAVES
"""
        + MAIN,
    },
    ("grid.py", "'leaves': 7", "'leaves': 70"),
)

SECOND["functions made by exec at import"] = rerun(
    25,
    34,
    {
        "lags.py": '''
_TEMPLATE = """
def lag_{n}(x):
    return x - {n} * STEP
"""
STEP = 3
for _n in (1, 2, 4):
    exec(_TEMPLATE.format(n=_n))
del _n
''',
        "pipeline.py": """
import lags


@clew.step
def answer() -> int:
    return lags.lag_1(20) + lags.lag_4(20)
"""
        + MAIN,
    },
    ("lags.py", "x - {n} * STEP\n", "x - ({n} - 1) * STEP + 0 * {n}\n"),
    ("lags.py", "STEP = 3\n", "STEP = (2)\n"),
)

SECOND["a loop variable rebound far below the closures that read it"] = rerun(
    [30, 30, 30],
    [300, 300, 300],
    {
        "pipeline.py": """
SCORERS = []
for weight in (1, 2, 3):
    SCORERS.append(lambda x: x * weight)


@clew.step
def answer() -> list:
    return [score(3) for score in SCORERS]


def unrelated():
    return None


weight = 10
"""
        + MAIN,
    },
    ("pipeline.py", "weight = 10\n", "weight = 100\n"),
)

SECOND["a global set by a function that import calls"] = rerun(
    7,
    11,
    {
        "limits.py": """
LIMIT = 0


def _offset():
    return 2


def _configure(size):
    global LIMIT
    for _ in range(size):
        LIMIT += 1
    LIMIT += _offset()


def cap(x):
    return min(x, LIMIT)


_configure(5)
""",
        "pipeline.py": """
from limits import cap


@clew.step
def answer() -> int:
    return cap(1_000)
"""
        + MAIN,
    },
    ("limits.py", "return 2\n", "return 6 * 1\n"),
)

SECOND["a fast path's file appears beside the try/except import"] = rerun(
    "pure python: 6",
    "compiled: 6.0",
    {
        "kernels.py": """
try:
    from fastpath_ext import total
except ImportError:

    def total(values):
        return f"pure python: {sum(values)}"
""",
        "pipeline.py": """
from kernels import total


@clew.step
def answer() -> str:
    return total([1, 2, 3])
"""
        + MAIN,
    },
    new={
        "fastpath_ext.py": """
def total(values):
    return f"compiled: {float(sum(values))}"
"""
    },
)

SECOND["a package appears that takes the place of the module"] = rerun(
    3.0,
    2.5,
    {
        "cleaning.py": "def impute(values):\n    return float(max(v for v in values if v is not None))\n",
        "pipeline.py": """
import cleaning


@clew.step
def answer() -> float:
    return cleaning.impute([2, None, 3])
"""
        + MAIN,
    },
    new={
        "cleaning/__init__.py": "from .impute import impute\n",
        "cleaning/impute.py": """
def impute(values):
    known = [v for v in values if v is not None]
    return sum(known) / len(known)
""",
    },
)

SECOND["a namespace package gains an __init__ that patches its submodule"] = rerun(
    5,
    9,
    {
        "feats/windows.py": "SIZE = 5\n\n\ndef width():\n    return SIZE\n",
        "pipeline.py": """
@clew.step
def answer() -> int:
    from feats import windows

    return windows.width()
"""
        + MAIN,
    },
    new={"feats/__init__.py": "from . import windows\n\nwindows.SIZE = 9\n"},
)

SECOND["an option of pandas set by another file's import"] = rerun(
    "0  3.1416",
    "0  3.14",
    {
        "display.py": "import pandas as pd\n\npd.set_option('display.precision', 4)\n",
        "pipeline.py": """
import display  # noqa: F401
import pandas as pd


@clew.step
def answer() -> str:
    return pd.DataFrame({"x": [3.14159265]}).to_string(header=False)
"""
        + MAIN,
    },
    ("display.py", "'display.precision', 4", "'display.' + 'precision', 2"),
)

SECOND["a name put into builtins by another file"] = rerun(
    "12%",
    "12.5%",
    {
        "shortcuts.py": """
import builtins

builtins.second_as_pct = lambda x: f"{x * 100:.0f}%"
""",
        "tables.py": "def cell(x):\n    return second_as_pct(x)  # noqa: F821\n",
        "pipeline.py": """
import shortcuts  # noqa: F401
import tables


@clew.step
def answer() -> str:
    return tables.cell(0.125)
"""
        + MAIN,
    },
    ("shortcuts.py", ":.0f}%", ":0.1f}%"),
)

SECOND["a polars namespace registered by another file"] = rerun(
    6.0,
    6.6,
    {
        "fx_plugin.py": """
for _owner in (pl.Expr,):
    if hasattr(_owner, "second_fx"):
        delattr(_owner, "second_fx")


@pl.api.register_expr_namespace("second_fx")
class Fx:
    def __init__(self, expr):
        self._expr = expr

    def to_eur(self):
        return self._expr * 1.0
""",
        "pipeline.py": """
import fx_plugin  # noqa: F401


@clew.step
def answer() -> float:
    frame = pl.DataFrame({"usd": [1, 2, 3]})
    return round(frame.select(pl.col("usd").second_fx.to_eur().sum()).item(), 6)
"""
        + MAIN,
    },
    ("fx_plugin.py", "self._expr * 1.0", "self._expr * 1.100"),
)

SECOND["equal but not the same: a Decimal's zeros set by setattr"] = rerun(
    "2.0",
    "2.00",
    {
        "money.py": "from decimal import Decimal\n\nUNIT = Decimal('1')\n",
        "locale_de.py": """
import money
from decimal import Decimal

for _name, _digits in (("UNIT", "1.0"),):
    setattr(money, _name, Decimal(_digits))
""",
        "pipeline.py": """
import money
import locale_de  # noqa: F401


@clew.step
def answer() -> str:
    return str(money.UNIT * 2)
"""
        + MAIN,
    },
    ("locale_de.py", '"1.0"', '"1.00"'),
)

SECOND["equal but in another order: a dict's keys"] = rerun(
    "a|b|c",
    "c|b|a",
    {
        "layout.py": "WIDTHS = {}\n",
        "layout_fill.py": """
import layout

for _key in ("a", "b", "c"):
    layout.WIDTHS.setdefault(_key, 1)
""",
        "pipeline.py": """
from layout import WIDTHS
import layout_fill  # noqa: F401


@clew.step
def answer() -> str:
    return "|".join(WIDTHS)
"""
        + MAIN,
    },
    ("layout_fill.py", '("a", "b", "c")', 'reversed(("a", "b", "c"))'),
)

# ---------------------------------------------------------------- must run again: functions, closures, decorators

SECOND["a wrapper with functools.wraps between the step and its function"] = rerun(
    10,
    40,
    {
        "instrument.py": """
import functools


def calibrated(factor):
    def decorate(fn):
        @functools.wraps(fn)
        def wrapper(*args, **kwargs):
            return _adjust(fn(*args, **kwargs), factor)

        return wrapper

    return decorate


def _adjust(value, factor):
    return value * factor
""",
        "pipeline.py": """
from instrument import calibrated


@clew.step
@calibrated(2)
def answer() -> int:
    return 5
"""
        + MAIN,
    },
    ("instrument.py", "return value * factor\n", "return value * factor**3\n"),
)

SECOND["two stacked decorators of a helper change places"] = rerun(
    9,
    10,
    {
        "guards.py": """
import functools


def clipped(low, high):
    def decorate(fn):
        @functools.wraps(fn)
        def inner(x):
            return max(low, min(high, fn(x)))

        return inner

    return decorate


def plus_one(fn):
    @functools.wraps(fn)
    def inner(x):
        return fn(x) + 1

    return inner
""",
        "model.py": """
import guards


@guards.clipped(0, 9)
@guards.plus_one
def predict(x):
    return x * 4
""",
        "pipeline.py": """
import model


@clew.step
def answer() -> int:
    return model.predict(5)
"""
        + MAIN,
    },
    (
        "model.py",
        "@guards.clipped(0, 9)\n@guards.plus_one\n",
        "@guards.plus_one\n@guards.clipped(0, high=9)\n",
    ),
)

SECOND["a nonlocal in the third level of a factory"] = rerun(
    2.75,
    2.5,
    {
        "smoothing.py": """
def ema_factory(alpha):
    def start(first):
        level = first

        def update(x):
            nonlocal level
            level = alpha * x + (1 - alpha) * level
            return level

        return update

    return start


half = ema_factory(0.5)
""",
        "pipeline.py": """
from smoothing import half as smoother


@clew.step
def answer() -> float:
    update = smoother(1.0)
    return [update(x) for x in (2.0, 4.0)][-1]
"""
        + MAIN,
    },
    ("smoothing.py", "            nonlocal level\n            level = alpha", "            level = alpha"),
    ("smoothing.py", "(1 - alpha) * level\n", "(1 - alpha) * first\n"),
)

SECOND["a default that a function only reached there builds"] = rerun(
    "other",
    "mid",
    {
        "bands.py": """
def _edges():
    return tuple(range(0, 20, 10))


def _table():
    return dict(zip(_edges(), ("low", "mid")))


def band(x, *, _lookup=_table()):
    return _lookup.get(x, "other")
""",
        "pipeline.py": """
import bands


@clew.step
def answer() -> str:
    return bands.band(15)
"""
        + MAIN,
    },
    ("bands.py", "range(0, 20, 10)", "range(0, 30, 15)[:2]"),
)

SECOND["__kwdefaults__ and __defaults__ set from another file"] = rerun(
    8,
    16,
    {
        "scoring.py": "def score(x, power=1, *, bias=0):\n    return x**power + bias\n",
        "tuned.py": """
from scoring import score

score.__defaults__ = (3,)
score.__kwdefaults__["bias"] = 0
""",
        "pipeline.py": """
from scoring import score
import tuned  # noqa: F401


@clew.step
def answer() -> int:
    return score(2)
"""
        + MAIN,
    },
    ("tuned.py", "= (3,)\n", "= (3,)  # cubic\n"),
    ("tuned.py", '["bias"] = 0', '["bias"] = 8'),
)

SECOND["__code__ swapped in by another file"] = rerun(
    12,
    36,
    {
        "distance.py": "def cost(a, b):\n    return abs(a - b)\n",
        "experiment.py": """
import distance


def _candidate(a, b):
    return (a - b) * 2


distance.cost.__code__ = _candidate.__code__
""",
        "pipeline.py": """
import distance
import experiment  # noqa: F401


@clew.step
def answer() -> int:
    return distance.cost(9, 3)
"""
        + MAIN,
    },
    ("experiment.py", "return (a - b) * 2", "return (a - b) ** 2"),
)

SECOND["an attribute of a function that other code sets in a loop"] = rerun(
    "auc:3 f1:1",
    "auc:3 f1:12",
    {
        "metrics_lib.py": """
def auc():
    return "auc"


def f1():
    return "f1"
""",
        "weights_lib.py": """
import metrics_lib

for _name, _weight in zip(["auc", "f1"], [3, 1]):
    getattr(metrics_lib, _name).weight = _weight
""",
        "pipeline.py": """
import metrics_lib
import weights_lib  # noqa: F401


@clew.step
def answer() -> str:
    return " ".join(f"{m()}:{m.weight}" for m in (metrics_lib.auc, metrics_lib.f1))
"""
        + MAIN,
    },
    ("weights_lib.py", "[3, 1]", "[3, 12]"),
)

SECOND["a cached helper's constant two aliases away"] = rerun(
    21,
    210,
    {
        "consts.py": "SEVEN = 7\n",
        "mid_consts.py": "from consts import SEVEN as FACTOR\n",
        "memo.py": """
import functools

import mid_consts as m


@functools.lru_cache(maxsize=None)
def expensive(n):
    return n * m.FACTOR


lookup = functools.cache(lambda n: expensive(n))
""",
        "pipeline.py": """
from memo import lookup


@clew.step
def answer() -> int:
    return lookup(3)
"""
        + MAIN,
    },
    ("consts.py", "SEVEN = 7", "SEVEN = 70"),
)

SECOND["a new plugin file registers a closer overload of singledispatch"] = rerun(
    "int:1",
    "flag:True",
    {
        "encode/__init__.py": """
import importlib
import pkgutil

from ._core import encode  # noqa: F401

for _info in pkgutil.iter_modules(__path__):
    if not _info.name.startswith("_"):
        importlib.import_module(f"{__name__}.{_info.name}")
""",
        "encode/_core.py": """
from functools import singledispatch


@singledispatch
def encode(value):
    raise TypeError(type(value))
""",
        "encode/numbers_.py": """
from ._core import encode


@encode.register
def _(value: int):
    return f"int:{value:d}"
""",
        "pipeline.py": """
from encode import encode


@clew.step
def answer() -> str:
    return encode(True)
"""
        + MAIN,
    },
    new={
        "encode/flags.py": """
from . import _core


@_core.encode.register(bool)
def _encode_flag(value):
    return f"flag:{value}"
"""
    },
)

SECOND["what a context manager does after its yield"] = rerun(
    [10, 1],
    [10, 0.1],
    {
        "ledger.py": """
from contextlib import contextmanager

FEES = (1, 0)


@contextmanager
def posting(book):
    try:
        yield book
    finally:
        book.append(FEES[0])
""",
        "pipeline.py": """
import ledger


@clew.step
def answer() -> list:
    with ledger.posting([]) as book:
        book.append(10)
    return book
"""
        + MAIN,
    },
    ("ledger.py", "book.append(FEES[0])", "book.append(FEES[0] / 10)"),
)

SECOND["a chain of closures folded by reduce"] = rerun(
    "3.5 kg",
    "3.5 Kg",
    {
        "chain.py": """
from functools import reduce
from operator import methodcaller


def _then(f, g):
    return lambda x: g(f(x))


_SPEC = [("strip",), ("replace", ",", "."), ("lower",)]
normalise = reduce(_then, [methodcaller(*call) for call in _SPEC], lambda x: x)
del _SPEC
""",
        "pipeline.py": """
import chain


@clew.step
def answer() -> str:
    return chain.normalise("  3,5 KG ")
"""
        + MAIN,
    },
    ("chain.py", '("lower",)', '("replace", "KG", "Kg")'),
)

SECOND["a partial of a partial whose keyword comes from a third file"] = rerun(
    [4, 5, 9],
    [9, 5, 4],
    {
        "order_flags.py": "FLAGS = dict(reverse=False)\n",
        "ordering.py": """
from functools import partial

import order_flags

_by_value = partial(sorted, **order_flags.FLAGS)
rank = partial(_by_value, key=float)
""",
        "pipeline.py": """
from ordering import rank


@clew.step
def answer() -> list:
    return rank([5, 9, 4])
"""
        + MAIN,
    },
    ("order_flags.py", "reverse=False", "reverse=True"),
)

SECOND["attrgetter down a path that another file fills"] = rerun(
    0.3,
    0.35,
    {
        "tree.py": """
from types import SimpleNamespace as NS

CFG = NS(train=NS(opt=NS(lr=None)))
""",
        "tree_local.py": """
import tree

_node = tree.CFG
for _part in "train.opt".split("."):
    _node = getattr(_node, _part)
_node.lr = 0.3
""",
        "pipeline.py": """
from operator import attrgetter

import tree
import tree_local  # noqa: F401

learning_rate = attrgetter("train.opt.lr")


@clew.step
def answer() -> float:
    return learning_rate(tree.CFG)
"""
        + MAIN,
    },
    ("tree_local.py", "0.3\n", "0.35\n"),
)

SECOND["a comprehension's variable hides the global only inside"] = rerun(
    15,
    105,
    {
        "pipeline.py": """
k = 10


def energy():
    inner = sum(k * k for k in range(3))
    return inner + k


@clew.step
def answer() -> int:
    return energy()
"""
        + MAIN,
    },
    ("pipeline.py", "k = 10\n", "k = 100\n"),
)

SECOND["a class body reads the global of its own attribute's name"] = rerun(
    40,
    432,
    {
        "plans.py": """
from plan_consts import *


class Plan:
    rate = rate * 2  # noqa: F405

    def price(self, rate=rate):
        return rate * self.rate // 4
""",
        "plan_consts.py": "rate = _hidden = 0\nrate += 4\n",
        "pipeline.py": """
import plans


@clew.step
def answer() -> int:
    return plans.Plan().price() + plans.Plan.rate * 3
"""
        + MAIN,
    },
    ("plan_consts.py", "rate += 4", "rate += 18"),
)

SECOND["the value that a generator returns to yield from"] = rerun(
    [1, 2, "dropped 1"],
    [1, 2, "kept 2"],
    {
        "rows.py": """
def _clean(values):
    kept = 0
    for value in values:
        if value is not None:
            kept += 1
            yield value
    return f"dropped {len(values) - kept}"


def cleaned(values):
    note = yield from _clean(values)
    yield note
""",
        "pipeline.py": """
import rows


@clew.step
def answer() -> list:
    return [*rows.cleaned([1, None, 2])]
"""
        + MAIN,
    },
    ("rows.py", 'f"dropped {len(values) - kept}"', 'f"kept {kept}"'),
)

SECOND["an async context manager's helper under asyncio.run"] = rerun(
    [2, 4],
    [3, 5],
    {
        "aio.py": """
import asyncio


class Session:
    async def __aenter__(self):
        self.offset = _offset()
        return self

    async def __aexit__(self, *exc):
        return False

    async def fetch(self, x):
        await asyncio.sleep(0)
        return x + self.offset


def _offset():
    return 1


async def fetch_all(xs):
    async with Session() as session:
        return await asyncio.gather(*(session.fetch(x) for x in xs))
""",
        "pipeline.py": """
import asyncio

import aio


@clew.step
def answer() -> list:
    return list(asyncio.run(aio.fetch_all([1, 3])))
"""
        + MAIN,
    },
    ("aio.py", "return 1\n", "return 1 + 1\n"),
)

SECOND["the default of a context variable"] = rerun(
    "v1/en",
    "v1/de-AT",
    {
        "ctx.py": """
from contextvars import ContextVar

language = ContextVar("language", default="en")
version = ContextVar("version")


def prefix():
    token = version.set("v1")
    try:
        return f"{version.get()}/{language.get()}"
    finally:
        version.reset(token)
""",
        "pipeline.py": """
from ctx import prefix


@clew.step
def answer() -> str:
    return prefix()
"""
        + MAIN,
    },
    ("ctx.py", 'default="en"', 'default="de-AT"'),
)

# ---------------------------------------------------------------- must run again: classes

SECOND["methods put on a class in a loop from another file"] = rerun(
    [6, 9],
    [6, 27],
    {
        "scorer.py": "class Scorer:\n    def __init__(self, x):\n        self.x = x\n",
        "scorer_ext.py": """
from scorer import Scorer

for _name, _fn in {
    "double": lambda self: self.x * 2,
    "power": lambda self: self.x**2,
}.items():
    setattr(Scorer, _name, property(_fn))
""",
        "pipeline.py": """
from scorer import Scorer
import scorer_ext  # noqa: F401


@clew.step
def answer() -> list:
    s = Scorer(3)
    return [s.double, s.power]
"""
        + MAIN,
    },
    ("scorer_ext.py", "self.x**2", "self.x ** (2 + 1)"),
)

SECOND["__bases__ assigned by another file"] = rerun(
    "mean",
    "huber",
    {
        "losses.py": """
class Base:
    pass


class Mean(Base):
    def name(self):
        return "mean"


class Huber(Base):
    def name(self):
        return "huber"


class Loss(Mean):
    pass
""",
        "choose_loss.py": "import losses\n\nlosses.Loss.__bases__ = (losses.Mean,)\n",
        "pipeline.py": """
from losses import Loss
import choose_loss  # noqa: F401


@clew.step
def answer() -> str:
    return Loss().name()
"""
        + MAIN,
    },
    ("choose_loss.py", "(losses.Mean,)", "(losses.Huber,)"),
)

SECOND["mixins in another order under super()"] = rerun(
    22,
    21,
    {
        "mixins.py": """
class Base:
    def transform(self, x):
        return x


class Doubled:
    def transform(self, x):
        return super().transform(x) * 2


class Shifted:
    def transform(self, x):
        return super().transform(x) + 1
""",
        "zoo.py": "from mixins import *\n\n\nclass Model(Doubled, Shifted, Base):\n    pass\n",
        "pipeline.py": """
import zoo


@clew.step
def answer() -> int:
    class Local(zoo.Model):
        pass

    return Local().transform(10)
"""
        + MAIN,
    },
    ("zoo.py", "(Doubled, Shifted, Base)", "(Shifted, Doubled, Base, object)"),
)

SECOND["__init_subclass__ of a base in another file reads a class keyword"] = rerun(
    {"Ridge": 2, "Lasso": 5},
    {"Ridge": 20, "Lasso": 50},
    {
        "core/__init__.py": "",
        "core/base.py": """
class Estimator:
    registry = {}

    def __init_subclass__(cls, *, weight=5, **kwargs):
        super().__init_subclass__(**kwargs)
        Estimator.registry[cls.__name__] = weight
""",
        "core/linear.py": """
from .base import Estimator


class Ridge(Estimator, weight=2):
    pass


class Lasso(Estimator):
    pass
""",
        "pipeline.py": """
from core.linear import Ridge


@clew.step
def answer() -> dict:
    return dict(Ridge.registry)
"""
        + MAIN,
    },
    ("core/base.py", "= weight\n", "= weight * 10\n"),
)

SECOND["a class that nothing names joins __subclasses__()"] = rerun(
    ["LagFeature", "RollFeature"],
    ["LagFeature", "RatioFeature", "RollFeature"],
    {
        "feature_base.py": "class Feature:\n    enabled = True\n",
        "feature_defs.py": """
from feature_base import Feature


class LagFeature(Feature):
    pass


class RollFeature(LagFeature):
    pass
""",
        "pipeline.py": """
import feature_defs  # noqa: F401
from feature_base import Feature


def walk(cls):
    for sub in cls.__subclasses__():
        if sub.enabled:
            yield sub.__name__
        yield from walk(sub)


@clew.step
def answer() -> list:
    return sorted(walk(Feature))
"""
        + MAIN,
    },
    (
        "feature_defs.py",
        "class RollFeature(LagFeature):\n    pass\n",
        "class RollFeature(LagFeature):\n    pass\n\n\nclass RatioFeature(Feature):\n    pass\n",
    ),
)

SECOND["a descriptor's __set_name__"] = rerun(
    "raw_age=41",
    "src.age=41",
    {
        "columns.py": """
class Column:
    def __set_name__(self, owner, name):
        self.source = f"raw_{name}"

    def __get__(self, obj, owner=None):
        if obj is None:
            return self
        return f"{self.source}={obj.row[self.source[4:]]}"
""",
        "tables.py": """
from columns import Column


class Person:
    age = Column()

    def __init__(self, row):
        self.row = row
""",
        "pipeline.py": """
import tables


@clew.step
def answer() -> str:
    return tables.Person({"age": 41}).age
"""
        + MAIN,
    },
    ("columns.py", 'f"raw_{name}"', '"src." + name'),
)

SECOND["__missing__ behind format_map"] = rerun(
    "store=? day=3",
    "store=n/a day=3",
    {
        "fills.py": "class Fill(dict):\n    def __missing__(self, key):\n        return '?'\n",
        "pipeline.py": """
from fills import Fill


@clew.step
def answer() -> str:
    return "store={store} day={day}".format_map(Fill(day=3))
"""
        + MAIN,
    },
    ("fills.py", "'?'", "'n/a'"),
)

SECOND["__format__ of a base, reached from an f-string"] = rerun(
    "total 3.50 EUR",
    "total EUR 3.5",
    {
        "amounts.py": """
class Formatted:
    def __format__(self, spec):
        return f"{self.value:.2f} {spec.upper()}"


class Amount(Formatted):
    __slots__ = ("value",)

    def __init__(self, value):
        self.value = value
""",
        "pipeline.py": """
from amounts import Amount

TOTAL = Amount(3.5)


@clew.step
def answer() -> str:
    return f"total {TOTAL:eur}"
"""
        + MAIN,
    },
    ("amounts.py", 'f"{self.value:.2f} {spec.upper()}"', 'f"{spec.upper()} {self.value}"'),
)

SECOND["__hash__ and __eq__ that decide what a set drops"] = rerun(
    2,
    1,
    {
        "keys.py": """
class Key:
    def __init__(self, text):
        self.text = text

    def __eq__(self, other):
        return self._norm() == other._norm()

    def __hash__(self):
        return hash(self._norm())

    def _norm(self):
        return self.text.strip()
""",
        "pipeline.py": """
from keys import Key


@clew.step
def answer() -> int:
    return len({Key(t) for t in ("A ", "a")})
"""
        + MAIN,
    },
    ("keys.py", "self.text.strip()", "self.text.strip().casefold()"),
)

SECOND["a metaclass that iterates its class, under sum()"] = rerun(
    6,
    14,
    {
        "tiers.py": """
class Members(type):
    def __iter__(cls):
        return (v for k, v in sorted(vars(cls).items()) if k.isupper())


class Tier(metaclass=Members):
    GOLD = 3
    SILVER = 2
    TIN = 1
""",
        "pipeline.py": """
import tiers


@clew.step
def answer() -> int:
    return sum(tiers.Tier)
"""
        + MAIN,
    },
    ("tiers.py", "return (v for", "return (v * v for"),
)

SECOND["__class_getitem__ that makes a subclass"] = rerun(
    3.0,
    2.0,
    {
        "rolling.py": """
class Rolling:
    size = 1

    def __class_getitem__(cls, size):
        return type(f"{cls.__name__}{size}", (cls,), {"size": size})

    def __call__(self, values):
        tail = values[-self.size :]
        return sum(tail) / len(tail)
""",
        "pipeline.py": """
from rolling import Rolling

Smooth = Rolling[3]


@clew.step
def answer() -> float:
    return Smooth()([1, 1, 1, 4, 4])
"""
        + MAIN,
    },
    ("rolling.py", '{"size": size}', '{"size": size + 1 * 2}'),
    ("rolling.py", "return sum(tail) / len(tail)", "return (sum(tail) - 1) / len(tail)"),
)

SECOND["an instance's method replaced from another file"] = rerun(
    11,
    110,
    {
        "engine_mod.py": """
class Engine:
    def score(self, x):
        return x


ENGINE = Engine()
""",
        "hotfix.py": """
import types

from engine_mod import ENGINE


def _score(self, x):
    return x + BONUS


BONUS = 1
ENGINE.score = types.MethodType(_score, ENGINE)
""",
        "pipeline.py": """
import hotfix  # noqa: F401
from engine_mod import ENGINE


@clew.step
def answer() -> int:
    return ENGINE.score(10)
"""
        + MAIN,
    },
    ("hotfix.py", "BONUS = 1\n", "BONUS = 100\n"),
)

SECOND["__getattr__ hands on to a strategy picked by string"] = rerun(
    "min",
    "max!",
    {
        "strategies.py": """
class Low:
    def pick(self, values):
        return min(values, key=len)


class High:
    def pick(self, values):
        return max(values, key=len)


MODE = "Low"
""",
        "proxy.py": """
import strategies


class Proxy:
    def __getattr__(self, name):
        return getattr(vars(strategies)[strategies.MODE](), name)
""",
        "pipeline.py": """
from proxy import Proxy


@clew.step
def answer() -> str:
    return Proxy().pick(["max!", "min"])
"""
        + MAIN,
    },
    ("strategies.py", 'MODE = "Low"', 'MODE = "High"'),
)

SECOND["sorted() under total_ordering and __bool__ under filter(None)"] = rerun(
    "b,c",
    "c,b",
    {
        "priority.py": """
from functools import total_ordering


@total_ordering
class Task:
    def __init__(self, name, rank):
        self.name, self.rank = name, rank

    def __bool__(self):
        return self.rank > 0

    def __eq__(self, other):
        return self.rank == other.rank

    def __lt__(self, other):
        return self.rank < other.rank
""",
        "pipeline.py": """
from priority import Task

TASKS = [Task("a", 0), Task("c", 2), Task("b", 1)]


@clew.step
def answer() -> str:
    return ",".join(t.name for t in sorted(filter(None, TASKS)))
"""
        + MAIN,
    },
    ("priority.py", "return self.rank < other.rank", "return -self.rank < -other.rank"),
)

SECOND["a class decorator in another file fills in methods"] = rerun(
    "a=1;b=2",
    "a:1;b:2;",
    {
        "autodoc.py": """
def described(sep):
    def decorate(cls):
        def describe(self):
            return ";".join(f"{k}{sep}{v}" for k, v in vars(self).items()) + _END

        cls.describe = cls.__str__ = describe
        return cls

    return decorate


_END = ""
""",
        "record.py": """
from autodoc import described


@described("=")
class Record:
    def __init__(self):
        self.a, self.b = 1, 2
""",
        "pipeline.py": """
from record import Record


@clew.step
def answer() -> str:
    return f"{Record()}"
"""
        + MAIN,
    },
    ("autodoc.py", '_END = ""', '_END = ";"  # closes'),
    ("record.py", '@described("=")', '@described(sep=":")'),
)

SECOND["the base of an exception class decides which except it meets"] = rerun(
    "skipped: bad row 3",
    "fatal",
    {
        "errors.py": """
class Recoverable(Exception):
    pass


class Fatal(Exception):
    pass


class BadRow(Recoverable):
    def __init__(self, n):
        super().__init__(f"bad row {n}")
""",
        "pipeline.py": """
import errors


def parse(n):
    raise errors.BadRow(n)


@clew.step
def answer() -> str:
    try:
        return parse(3)
    except errors.Recoverable as problem:
        return f"skipped: {problem}"
    except Exception:
        return "fatal"
"""
        + MAIN,
    },
    ("errors.py", "class BadRow(Recoverable)", "class BadRow(Fatal)"),
)

SECOND["a partialmethod's keyword and the method behind it"] = rerun(
    [1, 3],
    [1, 2, 3],
    {
        "frames.py": """
from functools import partialmethod


class Rows(list):
    def take(self, *, every):
        return list(self[::every])

    thin = partialmethod(take, every=2)
""",
        "pipeline.py": """
from frames import Rows


@clew.step
def answer() -> list:
    return Rows([1, 2, 3]).thin()
"""
        + MAIN,
    },
    ("frames.py", "every=2)", "every=1 * 1)"),
)

SECOND["a property of the module's own class"] = rerun(
    64,
    640,
    {
        "live_conf.py": """
import sys
import types


class _Conf(types.ModuleType):
    @property
    def batch(self):
        return self._base * 2


_base = 32
sys.modules[__name__].__class__ = _Conf
""",
        "pipeline.py": """
import live_conf


@clew.step
def answer() -> int:
    return live_conf.batch
"""
        + MAIN,
    },
    ("live_conf.py", "self._base * 2", "self._base * 20"),
)

# ---------------------------------------------------------------- must run again: enums, dataclasses, tuples

SECOND["a member put in before others of an auto() Flag"] = rerun(
    3,
    6,
    {
        "perms.py": """
from enum import Flag, auto


class Perm(Flag):
    READ = auto()
    WRITE = auto()

    @classmethod
    def default(cls):
        return cls.READ | cls.WRITE
""",
        "pipeline.py": """
from perms import Perm


@clew.step
def answer() -> int:
    return Perm.default().value
"""
        + MAIN,
    },
    ("perms.py", "    READ = auto()\n", "    LIST = auto()\n    READ = auto()\n"),
)

SECOND["an enum's _missing_ and _generate_next_value_ from a mixin"] = rerun(
    "unknown-x",
    "UNKNOWN",
    {
        "enum_base.py": """
import enum


class Named(enum.StrEnum):
    @staticmethod
    def _generate_next_value_(name, start, count, last):
        return name.lower() + "-x"

    @classmethod
    def _missing_(cls, value):
        return cls["UNKNOWN"]
""",
        "kinds.py": """
from enum import auto

from enum_base import Named


class Kind(Named):
    RETAIL = auto()
    UNKNOWN = auto()
""",
        "pipeline.py": """
from kinds import Kind


@clew.step
def answer() -> str:
    return str(Kind("nonsense").value)
"""
        + MAIN,
    },
    ("enum_base.py", 'name.lower() + "-x"', "name"),
)

SECOND["the order of an inherited dataclass's fields"] = rerun(
    "lo=1 hi=9 step=2",
    "lo=9 hi=1 step=2",
    {
        "spans.py": """
from dataclasses import dataclass


@dataclass
class Span:
    lo: int
    hi: int
""",
        "grids.py": """
from dataclasses import dataclass

from spans import Span


@dataclass(frozen=False)
class Grid(Span):
    step: int = 2
""",
        "pipeline.py": """
from grids import Grid


@clew.step
def answer() -> str:
    g = Grid(1, 9)
    return f"lo={g.lo} hi={g.hi} step={g.step}"
"""
        + MAIN,
    },
    ("spans.py", "    lo: int\n    hi: int\n", "    hi: int\n\n    lo: int\n"),
)

SECOND["a default_factory that calls a helper of another file"] = rerun(
    ["id", "ts"],
    ["id", "ts", "run"],
    {
        "keyset.py": """
_KEYS = "id ts"


def keys():
    return _KEYS.split()
""",
        "job.py": """
import dataclasses as dc

import keyset


@dc.dataclass
class Job:
    on: list = dc.field(default_factory=lambda: keyset.keys())
    extra: tuple = ()

    def __post_init__(self):
        self.on += self.extra
""",
        "pipeline.py": """
import job


@clew.step
def answer() -> list:
    return job.Job().on
"""
        + MAIN,
    },
    ("keyset.py", '"id ts"', '"id ts run"'),
)

SECOND["a NamedTuple's fields change places under unpacking"] = rerun(
    0.5,
    2.0,
    {
        "stats_types.py": """
from typing import NamedTuple


class Ratio(NamedTuple):
    num: float = 1.0
    den: float = 2.0
""",
        "pipeline.py": """
from stats_types import Ratio


@clew.step
def answer() -> float:
    top, bottom = Ratio()
    return top / bottom
"""
        + MAIN,
    },
    (
        "stats_types.py",
        "    num: float = 1.0\n    den: float = 2.0\n",
        "    den: float = 2.0\n\n    num: float = 1.0\n",
    ),
)

# ---------------------------------------------------------------- must run again: imports and look-ups by string

SECOND["a second star import's __all__ takes over a name"] = rerun(
    10,
    1000,
    {
        "scale_a.py": "def scale(x):\n    return x * 10\n",
        "scale_b.py": """
__all__ = ["offset"]


def offset(x):
    return x + 1


def scale(x):
    return x * 1000
""",
        "toolbox.py": "from scale_a import *\nfrom scale_b import *\n",
        "pipeline.py": """
import toolbox as tb


@clew.step
def answer() -> int:
    return tb.scale(1)
"""
        + MAIN,
    },
    ("scale_b.py", '__all__ = ["offset"]\n', '__all__ = ["offset"]\n__all__ += ["scale"]\n'),
)

SECOND["importlib with a relative name built from an enum"] = rerun(
    7.0,
    8.0,
    {
        "loaders/__init__.py": """
import enum
import importlib


class Kind(enum.Enum):
    DAILY = "daily"


def loader(kind):
    return importlib.import_module(f".{kind.value}_v{VERSION}", __package__).load


VERSION = 2
""",
        "loaders/daily_v2.py": "from ._shared import days\n\n\ndef load():\n    return float(len(days()))\n",
        "loaders/_shared.py": "def days():\n    return 'mtwtfss'\n",
        "pipeline.py": """
from loaders import Kind, loader


@clew.step
def answer() -> float:
    return loader(Kind.DAILY)()
"""
        + MAIN,
    },
    ("loaders/_shared.py", "'mtwtfss'", "'mtwtfss' + '*'"),
)

SECOND["__import__ of a name put together from two files"] = rerun(
    "fast",
    "slow but sure",
    {
        "mode_conf.py": "MODE = 'quick'\n",
        "impl_quick.py": "def run():\n    return 'fast'\n",
        "impl_careful.py": "def run():\n    return 'slow but sure'\n",
        "pipeline.py": """
import mode_conf


@clew.step
def answer() -> str:
    return __import__("impl_" + mode_conf.MODE).run()
"""
        + MAIN,
    },
    ("mode_conf.py", "'quick'", "'careful'"),
)

SECOND["a module's __getattr__ over a table of another module"] = rerun(
    0.05,
    0.01,
    {
        "_alphas.py": "TABLE = {'alpha': 0.05}\n",
        "thresholds.py": """
def __getattr__(name):
    import _alphas

    try:
        return _alphas.TABLE[name.lower()]
    except KeyError:
        raise AttributeError(name) from None
""",
        "pipeline.py": """
import thresholds


@clew.step
def answer() -> float:
    return thresholds.ALPHA
"""
        + MAIN,
    },
    ("_alphas.py", "{'alpha': 0.05}", "dict(alpha=0.01)"),
)

SECOND["a re-export under another name through two packages"] = rerun(
    "v1:5",
    "v2:5",
    {
        "api/__init__.py": "from .public import fit as train\n",
        "api/public.py": "from .impl import fit_one as fit\n",
        "api/impl/__init__.py": "from .one import go as fit_one\n",
        "api/impl/one.py": "def go(x):\n    return f'v1:{x}'\n",
        "api/impl/two.py": "def go(x):\n    return f'v2:{x}'\n",
        "pipeline.py": """
from api import train


@clew.step
def answer() -> str:
    return train(5)
"""
        + MAIN,
    },
    ("api/impl/__init__.py", "from .one import go as fit_one\n", "from . import two\n\nfit_one = two.go\n"),
)

SECOND["two modules that import each other"] = rerun(
    6,
    60,
    {
        "ring_a.py": "import ring_b\n\nSTEP = 2\n\n\ndef up(n):\n    return 0 if n == 0 else ring_b.down(n)\n",
        "ring_b.py": """
import ring_a


def down(n):
    return ring_a.STEP + ring_a.up(n - 1)
""",
        "pipeline.py": """
from ring_a import up


@clew.step
def answer() -> int:
    return up(3)
"""
        + MAIN,
    },
    ("ring_a.py", "STEP = 2\n", "STEP = 20\n"),
)

SECOND["globals()[...] with a name from a match at import"] = rerun(
    "linear(2)",
    "spline(2, k=3)",
    {
        "curves.py": """
from curve_conf import SHAPE

match SHAPE:
    case {"knots": int(k), **rest} if k > 1:
        kind = "spline"
    case {"knots": k}:
        kind = "linear"


def _linear(x):
    return f"linear({x})"


def _spline(x):
    return f"spline({x}, k={k})"


def curve(x):
    return globals()["_" + kind](x)
""",
        "curve_conf.py": "SHAPE = {'knots': 1, 'tension': 0.5}\n",
        "pipeline.py": """
from curves import curve


@clew.step
def answer() -> str:
    return curve(2)
"""
        + MAIN,
    },
    ("curve_conf.py", "'knots': 1,", "'knots': 2 + 1,"),
)

SECOND["eval of a formula over the globals and locals"] = rerun(
    17.0,
    16.0,
    {
        "formulas.py": """
FORMULA = "base + slope * x"


def evaluate(x):
    base = 2.0
    scope = {**globals(), **locals()}
    return eval(FORMULA, scope)


slope, curvature = 5.0, 0.0
""",
        "pipeline.py": """
import formulas


@clew.step
def answer() -> float:
    return formulas.evaluate(3)
"""
        + MAIN,
    },
    ("formulas.py", '"base + slope * x"', '"base * 0 + slope * x + curvature"'),
    ("formulas.py", "slope, curvature = 5.0, 0.0", "slope, curvature = 5.0, 1.00"),
)

SECOND["eval of a formula: only the global that it names changes"] = rerun(
    15.0,
    75.0,
    {
        "formula_text.py": "TEXT = ' * '.join(['x', 'gain'])\n",
        "formula_vars.py": """
import formula_text

gain = 5.0


def value(x):
    return eval(formula_text.TEXT)
""",
        "pipeline.py": """
import formula_vars


@clew.step
def answer() -> float:
    return formula_vars.value(3)
"""
        + MAIN,
    },
    ("formula_vars.py", "gain = 5.0", "gain = 25.0"),
)

SECOND["getattr on sys.modules with a prefix from a class attribute"] = rerun(
    4,
    44,
    {
        "rules.py": """
import sys


def rule_age(row):
    return row


def rule_zip(row):
    return row * 2


class Runner:
    prefix = "rule_"

    def run(self, row):
        here = sys.modules[__name__]
        names = [n for n in dir(here) if n.startswith(self.prefix)]
        return max(getattr(here, n)(row) for n in sorted(names))
""",
        "pipeline.py": """
from rules import Runner


@clew.step
def answer() -> int:
    return Runner().run(2)
"""
        + MAIN,
    },
    ("rules.py", "class Runner:", "def rule_income(row):\n    return row * 22\n\n\nclass Runner:"),
)

# ---------------------------------------------------------------- must run again: source, names, docs, annotations

SECOND["a comment in a function whose source the step reads"] = rerun(
    3,
    4,
    {
        "prompts.py": """
def example(x):
    y = x + 1
    return y
""",
        "pipeline.py": """
import inspect

import prompts


@clew.step
def answer() -> int:
    return len(inspect.getsource(prompts.example).strip().splitlines())
"""
        + MAIN,
    },
    ("prompts.py", "    return y\n", "    # explain yourself\n    return y\n"),
)

SECOND["a docstring inherited from a base and used as a prompt"] = rerun(
    "Say yes or no. Be brief.",
    "Say yes or no. Give your reasons.",
    {
        "agents_base.py": '''
class Agent:
    def prompt(self):
        """Say yes or no.

        Be brief.
        """
        raise NotImplementedError
''',
        "agents.py": """
import inspect

from agents_base import Agent


class Judge(Agent):
    def prompt(self):
        return " ".join(inspect.getdoc(self.prompt).split())
""",
        "pipeline.py": """
from agents import Judge


@clew.step
def answer() -> str:
    return Judge().prompt()
"""
        + MAIN,
    },
    ("agents_base.py", "Be brief.", "Give your reasons."),
)

SECOND["a decorator runs the docstring as SQL"] = rerun(
    60,
    50,
    {
        "sqlfn.py": """
import functools


def sql(fn):
    @functools.wraps(fn)
    def run(frame):
        return fn(pl.SQLContext(sales=frame).execute(run.__doc__, eager=True))

    return run
""",
        "queries.py": '''
from sqlfn import sql


@sql
def total(result):
    """SELECT SUM(amount) AS total FROM sales"""
    return result["total"].item()
''',
        "pipeline.py": """
import queries


@clew.step
def answer() -> int:
    return queries.total(pl.DataFrame({"amount": [10, 20, 30]}))
"""
        + MAIN,
    },
    ("queries.py", "FROM sales", "FROM sales WHERE amount > 10"),
)

SECOND["an Annotated unit read by get_type_hints"] = rerun(
    {"mass": 2000.0, "size": 3.0},
    {"mass": 2000.0, "size": 300.0},
    {
        "units.py": """
import typing


class Scale:
    def __init__(self, factor):
        self.factor = factor


def convert(schema, row):
    hints = typing.get_type_hints(schema, include_extras=True)
    return {
        name: row[name] * (hint.__metadata__[0].factor if hasattr(hint, "__metadata__") else 1)
        for name, hint in hints.items()
    }
""",
        "schemas.py": """
from typing import Annotated

from units import Scale


class Parcel:
    mass: Annotated[float, Scale(1000)]
    size: float
""",
        "pipeline.py": """
import schemas
import units


@clew.step
def answer() -> dict:
    return units.convert(schemas.Parcel, {"mass": 2.0, "size": 3.0})
"""
        + MAIN,
    },
    ("schemas.py", "size: float", "size: Annotated[float, Scale(100)]"),
)

SECOND["the annotation of a helper's parameter picks its argument"] = rerun(
    "model=small",
    "model=large-v2",
    {
        "inject.py": """
import inspect

PROVIDERS = {}


def provide(cls):
    PROVIDERS[cls.__name__] = cls
    return cls


def call(fn):
    wanted = {}
    for name, parameter in inspect.signature(fn).parameters.items():
        wanted[name] = parameter.annotation()
    return fn(**wanted)
""",
        "providers.py": """
from inject import provide


@provide
class Small(str):
    def __new__(cls):
        return super().__new__(cls, "small")


@provide
class Large(str):
    def __new__(cls):
        return super().__new__(cls, "large-v2")
""",
        "use.py": """
from providers import Large, Small  # noqa: F401


def describe(model: Small):
    return f"model={model}"
""",
        "pipeline.py": """
import inject
import use


@clew.step
def answer() -> str:
    return inject.call(use.describe)
"""
        + MAIN,
    },
    ("use.py", "model: Small", "model: 'Large'.__class__ and Large"),
)

SECOND["__qualname__ of a nested function as a label"] = rerun(
    "outer.<locals>.inner",
    "Wide.build.<locals>.inner",
    {
        "labels.py": """
def outer():
    def inner():
        return inner.__qualname__

    return inner


class Wide:
    @staticmethod
    def build():
        def inner():
            return inner.__qualname__

        return inner


make = outer
""",
        "pipeline.py": """
from labels import make


@clew.step
def answer() -> str:
    return make()()
"""
        + MAIN,
    },
    ("labels.py", "make = outer", "make = Wide.build"),
)

# ---------------------------------------------------------------- must run again: values built at import

SECOND["a long regular expression's end, built from a name since deleted"] = rerun(
    "term_059",
    "term_059_extra",
    {
        "lexicon.py": """
import re

_terms = [f"term_{i:03d}" for i in range(59)]
_terms.append("term_059")
FINDER = re.compile("|".join(_terms))
del _terms
""",
        "pipeline.py": """
import lexicon


@clew.step
def answer() -> str:
    return lexicon.FINDER.search("about term_059_extra").group()
"""
        + MAIN,
    },
    ("lexicon.py", '"term_059"', '"term_059_extra"'),
)

SECOND["one cell in the middle of a big array, set from another file"] = rerun(
    5007.0,
    5123.0,
    {
        "big.py": "import numpy as np\n\nWEIGHTS = np.ones(5001)\n",
        "big_fix.py": "import big\n\nbig.WEIGHTS[2500] = 7\n",
        "pipeline.py": """
import big
import big_fix  # noqa: F401


@clew.step
def answer() -> float:
    return float(big.WEIGHTS.sum())
"""
        + MAIN,
    },
    ("big_fix.py", "= 7\n", "= 123\n"),
)

SECOND["one cell in the middle of a frame made by a helper at import"] = rerun(
    99,
    105,
    {
        "lookup.py": """
def _make():
    frame = pl.DataFrame({"k": range(100), "w": [1] * 100})
    return frame.with_columns(pl.when(pl.col("k") == ODD).then(FIX).otherwise(pl.col("w")).alias("w"))


ODD, FIX = 57, 0
LOOKUP = _make()
""",
        "pipeline.py": """
from lookup import LOOKUP


@clew.step
def answer() -> int:
    return LOOKUP["w"].sum()
"""
        + MAIN,
    },
    ("lookup.py", "ODD, FIX = 57, 0", "ODD, FIX = 57, 6 + 0"),
)

SECOND["a Python function inside a polars expression built at import"] = rerun(
    12.0,
    21.0,
    {
        "exprs.py": """
def _clip(s):
    return s.clip(0, TOP)


FEATURES = {
    "spend": pl.col("x").map_batches(_clip, return_dtype=pl.Float64).sum(),
}
TOP = 5
""",
        "pipeline.py": """
import exprs


@clew.step
def answer() -> float:
    return pl.DataFrame({"x": [2.0, 5.0, 14.0]}).select(exprs.FEATURES["spend"]).item()
"""
        + MAIN,
    },
    ("exprs.py", "TOP = 5\n", "TOP = 50 or 5\n"),
)

SECOND["a scikit-learn pipeline's parameter set by another file"] = rerun(
    0.5,
    0.1667,
    {
        "estimators.py": """
from sklearn.linear_model import Ridge
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from sk_funcs import centre

MODEL = Pipeline([("centre", FunctionTransformer(centre)), ("ridge", Ridge(alpha=1.0, fit_intercept=False))])
""",
        "sk_funcs.py": "def centre(x):\n    return x - x.mean(axis=0)\n",
        "tuning.py": "from estimators import MODEL\n\nMODEL.set_params(**{'ridge__alpha': 2.0})\n",
        "pipeline.py": """
import numpy as np
from sklearn.base import clone

import tuning  # noqa: F401
from estimators import MODEL


@clew.step
def answer() -> float:
    x = np.array([[-1.0], [1.0]])
    fitted = clone(MODEL).fit(x, np.array([-1.0, 1.0]))
    return round(float(fitted.predict(x)[1]), 4)
"""
        + MAIN,
    },
    ("tuning.py", "2.0}", "10.00}"),
)

SECOND["a function inside a scikit-learn transformer calls another"] = rerun(
    3.0,
    9.0,
    {
        "sk_steps.py": """
from sklearn.preprocessing import FunctionTransformer

from sk_helpers import squash

STEPS = [FunctionTransformer(f) for f in (squash,)]
""",
        "sk_helpers.py": """
def _limit():
    return 3.0


def squash(x):
    return x.clip(max=_limit())
""",
        "pipeline.py": """
import numpy as np

from sk_steps import STEPS


@clew.step
def answer() -> float:
    data = np.array([[1.0], [9.0]])
    for step in STEPS:
        data = step.fit_transform(data)
    return float(data.max())
"""
        + MAIN,
    },
    ("sk_helpers.py", "return 3.0", "return 30.0"),
)

SECOND["a string.Template subclass's delimiter"] = rerun(
    "SELECT %col FROM t",
    "SELECT price FROM t",
    {
        "templating.py": """
import string


class Sql(string.Template):
    delimiter = "$"


QUERY = Sql("SELECT %col FROM t")
""",
        "pipeline.py": """
from templating import QUERY


@clew.step
def answer() -> str:
    return QUERY.safe_substitute(col="price")
"""
        + MAIN,
    },
    ("templating.py", 'delimiter = "$"', 'delimiter = ("%")'),
)

SECOND["a walrus in a comprehension leaks the name that the step reads"] = rerun(
    "2024-03-01",
    "2024-03-31",
    {
        "calendar_conf.py": """
from datetime import date, timedelta

START = date(2024, 2, 25)
_ = [last := START + timedelta(days=n) for n in range(0, 6, 5)]
""",
        "pipeline.py": """
import calendar_conf


@clew.step
def answer() -> str:
    return calendar_conf.last.isoformat()
"""
        + MAIN,
    },
    ("calendar_conf.py", "range(0, 6, 5)", "range(0, 36, 5)"),
)

SECOND["a dict of lambdas that another package's __init__ adds to"] = rerun(
    [2, 30],
    [2, 300],
    {
        "ops/__init__.py": "from .table import OPS\nfrom . import more\n",
        "ops/table.py": "OPS = {'twice': lambda x: x * 2}\n",
        "ops/more.py": "from .table import OPS\n\nOPS |= {'many': lambda x, n=30: x * n}\n",
        "pipeline.py": """
import ops


@clew.step
def answer() -> list:
    return [op(1) for _, op in sorted(ops.OPS.items(), reverse=True)]
"""
        + MAIN,
    },
    ("ops/more.py", "n=30", "n=300"),
)

SECOND["a bound method kept in a nested tuple at import"] = rerun(
    "<b>x</b>",
    "<strong>x</strong>",
    {
        "render.py": """
class Tag:
    def __init__(self, name):
        self.name = name

    def wrap(self, text):
        return f"<{self.name}>{text}</{self.name}>"


bold = Tag("b")
RENDERERS = (("plain", (str,)), ("bold", (bold.wrap,)))
""",
        "restyle.py": "import render\n\nrender.bold.__dict__['name'] = 'b'\n",
        "pipeline.py": """
import restyle  # noqa: F401
from render import RENDERERS


@clew.step
def answer() -> str:
    return dict(RENDERERS)["bold"][0]("x")
"""
        + MAIN,
    },
    ("restyle.py", "'b'", "'strong'"),
)

SECOND["a function deleted and defined again under a condition"] = rerun(
    "exact",
    "approximate",
    {
        "sketch.py": """
from sketch_conf import ROWS


def count():
    return "exact"


if ROWS > 1_000_000:
    del count

    def _approximate():
        return "approximate"

    count = _approximate
""",
        "sketch_conf.py": "ROWS = 10**3\n",
        "pipeline.py": """
import sketch


@clew.step
def answer() -> str:
    return sketch.count()
"""
        + MAIN,
    },
    ("sketch_conf.py", "10**3", "10**3 * 10**6"),
)

SECOND["the output of an upstream's upstream changes in another file"] = rerun(
    6,
    10,
    {
        "sources.py": "SIZE = 3\n\n\n@clew.step\ndef numbers() -> list:\n    return list(range(1, SIZE + 1))\n",
        "pipeline.py": """
from sources import numbers


@clew.step
def upstream() -> list:
    return [n for n in numbers_list()]


def numbers_list():
    return list(range(1, __import__("sources").SIZE + 1))


@clew.step
def answer(values: list = ()) -> int:
    return sum(values)


@clew.pipeline
def main() -> None:
    numbers()
    answer(upstream())
""",
    },
    ("sources.py", "SIZE = 3\n", "SIZE = 2 + 2\n"),
)

# ---------------------------------------------------------------- must not run again

SECOND["comments and blank lines move lambdas and closures down"] = keep(
    [4, 9, 8],
    {
        "shapes.py": """
def power(n):
    def inner(x):
        return x**n

    return inner


TABLE = {"square": power(2), "twice": lambda x: x * 2}
""",
        "pipeline.py": """
from shapes import TABLE

RAISE = [lambda x: TABLE["square"](x), lambda x: TABLE["square"](x + 1), lambda x: TABLE["twice"](x + 2)]


@clew.step
def answer() -> list:
    return [f(2) for f in RAISE]
"""
        + MAIN,
    },
    (
        "shapes.py",
        "\ndef power(n):\n",
        "\n# Shapes of curves.\n#\n# See the wiki.\n\n\ndef power(n):\n    # n: the exponent\n",
    ),
    ("shapes.py", "x**n\n", "x**n  # fast\n"),
    ("pipeline.py", "\n\n@clew.step\n", "  # all of them\n\n\n# The step.\n\n\n@clew.step\n"),
)

SECOND["docstrings that nobody reads, of helper, class and module"] = keep(
    18,
    {
        "area.py": '''
class Box:
    """A box."""

    def __init__(self, side):
        """Make it."""
        self.side = side

    @property
    def volume(self):
        """How much it holds."""
        return self.side * 6


def volume(side):
    """Volume of a box."""
    return Box(side).volume
''',
        "pipeline.py": '''
import area


@clew.step
def answer() -> int:
    """The volume."""
    return area.volume(3)
'''
        + MAIN,
    },
    ("area.py", '"""A box."""', '"""A box, as the warehouse knows it."""'),
    ("area.py", '        """Make it."""\n', '        """Make it.\n\n        side: in metres\n        """\n'),
    ("area.py", '"""How much it holds."""', '"""Its volume."""'),
    ("area.py", '"""Volume of a box."""', '"""The volume of a box with that side."""'),
    ("pipeline.py", '"""The volume."""', '"""The volume of the box of side three."""'),
)

SECOND["formatting: digits, quotes, raw strings, brackets, commas, line breaks"] = keep(
    "1000 255 0.001 a-b \\d",
    {
        "fmt.py": """
import re

LIMIT = 1_000
MASK = 0xFF
TINY = 1e-3
JOINED = "a" "-b"
DIGIT = r"\\d"
PATTERN = re.compile("x", re.I | re.M)


def line(limit, mask, tiny):
    return f"{limit} {mask} {tiny} {JOINED} {DIGIT}"
""",
        "pipeline.py": """
import fmt


@clew.step
def answer() -> str:
    return fmt.line(fmt.LIMIT, fmt.MASK, fmt.TINY) if fmt.PATTERN.match("X") else ""
"""
        + MAIN,
    },
    ("fmt.py", "1_000", "1000"),
    ("fmt.py", "0xFF", "255"),
    ("fmt.py", "1e-3", "0.001"),
    ("fmt.py", '"a" "-b"', "'a-b'"),
    ("fmt.py", 'r"\\d"', '"\\\\d"'),
    ("fmt.py", 're.compile("x", re.I | re.M)', "re.compile(\n    'x',\n    (re.I | re.M),\n)"),
    ("fmt.py", "def line(limit, mask, tiny):", "def line(\n    limit,\n    mask,\n    tiny,\n):"),
    (
        "pipeline.py",
        '    return fmt.line(fmt.LIMIT, fmt.MASK, fmt.TINY) if fmt.PATTERN.match("X") else ""\n',
        "    return (\n        fmt.line(\n            fmt.LIMIT, fmt.MASK, fmt.TINY,\n        )\n"
        "        if fmt.PATTERN.match('X')\n        else ''\n    )\n",
    ),
)

SECOND["annotations that nothing reads, and the import for them"] = keep(
    2.0,
    {
        "avg.py": """
def mean(values, weights=None):
    return sum(values) / len(values)
""",
        "pipeline.py": """
import avg


@clew.step
def answer() -> float:
    return avg.mean([1, 2, 3])
"""
        + MAIN,
    },
    (
        "avg.py",
        "\ndef mean(values, weights=None):\n",
        "\nfrom collections.abc import Sequence\n\n\n"
        "def mean(values: Sequence[float], weights: Sequence[float] | None = None) -> float:\n",
    ),
)

SECOND["a standard library import added, unused by the step, and imports sorted"] = keep(
    3.0,
    {
        "roots.py": "import math\nimport functools\n\n\n@functools.lru_cache\ndef root(x):\n    return math.sqrt(x)\n",
        "pipeline.py": """
import roots


@clew.step
def answer() -> float:
    return roots.root(9)
"""
        + MAIN,
    },
    ("roots.py", "import math\nimport functools\n", "import collections\nimport functools\nimport math\n"),
    ("pipeline.py", "import roots\n", "import textwrap\n\nimport roots\n"),
)

SECOND["a namesake method of a class that the step doesn't use"] = keep(
    "mean 2.0",
    {
        "models.py": """
class Mean:
    label = "mean"

    def fit(self, xs):
        return sum(xs) / len(xs)


class Median:
    label = "median"

    def fit(self, xs):
        return sorted(xs)[0]
""",
        "pipeline.py": """
from models import Mean, Median


@clew.step
def answer() -> str:
    model = Mean()
    return f"{model.label} {model.fit([1, 2, 3])}"


@clew.step
def other() -> int:
    return Median().fit([3, 1])


@clew.pipeline
def main() -> None:
    other()
    answer()
""",
    },
    (
        "models.py",
        "        return sorted(xs)[0]\n",
        "        return sorted(xs)[len(xs) // 2]\n\n    def reset(self):\n        pass\n",
    ),
)

SECOND["another step's body, log text and constant"] = keep(
    20,
    {
        "conf.py": "RATE = 2\nREPORT_TITLE = 'Weekly'\n",
        "pipeline.py": """
import logging

import conf

log = logging.getLogger(__name__)


@clew.step
def report() -> str:
    log.info("writing report")
    return conf.REPORT_TITLE


@clew.step
def answer() -> int:
    log.debug("computing")
    return conf.RATE * 10


@clew.pipeline
def main() -> None:
    report()
    answer()
""",
    },
    ("conf.py", "'Weekly'", "'Monthly ' + 'figures'"),
    ("pipeline.py", '"writing report"', '"writing the report now"'),
    ("pipeline.py", "    return conf.REPORT_TITLE\n", "    title = conf.REPORT_TITLE\n    return title.upper()\n"),
)

SECOND["upstream's body and helper change, its output doesn't"] = keep(
    6,
    {
        "prep.py": "def tidy(values):\n    return sorted(values)\n",
        "pipeline.py": """
import prep


@clew.step
def upstream() -> list:
    return prep.tidy([3, 1, 2])


@clew.step
def answer(values: list) -> int:
    return sum(values)


@clew.pipeline
def main() -> None:
    answer(upstream())
""",
    },
    ("prep.py", "    return sorted(values)\n", "    out = list(values)\n    out.sort(key=int)\n    return out\n"),
    ("pipeline.py", "    return prep.tidy([3, 1, 2])\n", "    raw = [3, 2, 1]\n    return prep.tidy(raw)\n"),
)

SECOND["what stands under if __name__ == '__main__', in both files"] = keep(
    8,
    {
        "tool.py": """
def cube(x):
    return x**3


if __name__ == "__main__":
    print(cube(2))
""",
        "pipeline.py": """
from tool import cube


@clew.step
def answer() -> int:
    return cube(2)


@clew.pipeline
def main() -> None:
    answer()


if __name__ == "__main__":
    main()
""",
    },
    ("tool.py", "    print(cube(2))\n", "    for n in range(10):\n        print(n, cube(n))\n"),
    ("pipeline.py", "    main()\n", "    import sys\n\n    sys.exit(main())\n"),
)

SECOND["functions, classes and constants in another order in the file"] = keep(
    "x: 14",
    {
        "order.py": """
def first(x):
    return second(x) * FACTOR


def second(x):
    return Third(x).value


class Third:
    def __init__(self, value):
        self.value = value


FACTOR = 2
""",
        "pipeline.py": """
import order


def label(value):
    return f"x: {value}"


@clew.step
def answer() -> str:
    return label(order.first(7))
"""
        + MAIN,
    },
    new={
        "order.py": """
FACTOR = 2


class Third:
    def __init__(self, value):
        self.value = value


def second(x):
    return Third(x).value



def first(x):
    return second(x) * FACTOR
""",
        "pipeline.py": """
import order


@clew.step
def answer() -> str:
    return label(order.first(7))



def label(value):
    return f"x: {value}"
"""
        + MAIN,
    },
)

SECOND["tests, a README and an unrelated module appear"] = keep(
    5,
    {
        "lib/__init__.py": "",
        "lib/add.py": "def add(a, b):\n    return a + b\n",
        "pipeline.py": """
from lib.add import add


@clew.step
def answer() -> int:
    return add(2, 3)
"""
        + MAIN,
    },
    new={
        "README.md": "# The project\n\nRun it.\n",
        "conftest.py": "import sys\n\nsys.path.append('nowhere')\n",
        "tests/test_add.py": "from lib.add import add\n\n\ndef test_add():\n    assert add(1, 1) == 2\n",
        "lib/subtract.py": "def add(a, b):\n    return a - b\n",
    },
)

SECOND["another pipeline with a step of its own, and comments in main"] = keep(
    "nightly",
    {
        "pipeline.py": """
NAME = "nightly"


@clew.step
def answer() -> str:
    return NAME
"""
        + MAIN,
    },
    (
        "pipeline.py",
        "def main() -> None:\n    answer()\n",
        '''def main() -> None:
    """Everything."""
    # the only step
    answer()


@clew.step
def sample() -> str:
    return NAME[:3]


@clew.pipeline
def smoke() -> None:
    sample()
''',
    ),
)

SECOND["a TYPE_CHECKING block grows"] = keep(
    [1, 4],
    {
        "typed.py": """
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def squares(xs: "Iterable[int]"):
    return [x * x for x in xs]
""",
        "pipeline.py": """
import typed


@clew.step
def answer() -> list:
    return typed.squares([1, 2])
"""
        + MAIN,
    },
    (
        "typed.py",
        "    from collections.abc import Iterable\n",
        "    from collections.abc import Iterable, Iterator\n    from pathlib import Path\n\n    Rows = Iterator[Path]\n",
    ),
)

SECOND["a local variable elsewhere has the name of the step's global"] = keep(
    0.3,
    {
        "pipeline.py": """
THRESHOLD = 0.3


def plot_helper():
    THRESHOLD = 1
    return [THRESHOLD for _ in range(2)]


@clew.step
def plot() -> list:
    return plot_helper()


@clew.step
def answer() -> float:
    return THRESHOLD


@clew.pipeline
def main() -> None:
    answer()
    plot()
""",
    },
    ("pipeline.py", "    THRESHOLD = 1\n", "    THRESHOLD = 100\n"),
)

SECOND["a namesake helper in a module that only the other step uses"] = keep(
    10,
    {
        "train_utils.py": "def scale(x):\n    return x * 10\n",
        "eval_utils.py": "def scale(x):\n    return x / 10\n",
        "pipeline.py": """
import eval_utils
import train_utils


@clew.step
def answer() -> int:
    return train_utils.scale(1)


@clew.step
def evaluate() -> float:
    return eval_utils.scale(1)


@clew.pipeline
def main() -> None:
    answer()
    evaluate()
""",
    },
    ("eval_utils.py", "x / 10", "x / 1000"),
)

SECOND["live objects with addresses and unordered sets stay what they are"] = keep(
    "ok:3:b:5.0",
    {
        "objects.py": """
import enum
import re
import threading
from functools import partial

import numpy as np
from sklearn.linear_model import LinearRegression

MISSING = object()
STOP = {"the", "a", "of", "and"}
WORD = re.compile(r"[a-z]+")
LOCK = threading.Lock()
ROUND = partial(round, ndigits=1)
GRID = np.linspace(0, 10, 2001)
ESTIMATOR = LinearRegression()


class Kind(enum.Enum):
    B = "b"


def pick(row, key, default=MISSING):
    return row.get(key, default)
""",
        "pipeline.py": """
import objects as o


@clew.step
def answer() -> str:
    words = [w for w in o.WORD.findall("the cat of the old house") if w not in o.STOP]
    state = "ok" if o.pick({}, "k") is o.MISSING and not o.ESTIMATOR.positive else "bad"
    with o.LOCK:
        return f"{state}:{len(words)}:{o.Kind.B.value}:{o.ROUND(float(o.GRID.mean()))}"
"""
        + MAIN,
    },
    (
        "objects.py",
        "ESTIMATOR = LinearRegression()\n",
        "ESTIMATOR = LinearRegression()  # plain\nPLOT_STYLE = {'grid': True}\n",
    ),
)

SECOND["the unused half of a helper module: global, default, class"] = keep(
    42,
    {
        "halves.py": """
USED = 6
UNUSED = [1, 2]


def used(x):
    return x * USED


def unused(x, factor=3):
    return used(x) * factor + UNUSED[0]


class Report:
    rows = 10

    def render(self):
        return used(self.rows)
""",
        "pipeline.py": """
import halves


@clew.step
def answer() -> int:
    return halves.used(7)
"""
        + MAIN,
    },
    ("halves.py", "UNUSED = [1, 2]", "UNUSED = [9, 2, 7]"),
    ("halves.py", "factor=3", "factor=30"),
    ("halves.py", "    rows = 10\n", "    rows = 100\n    title = 'r'\n"),
)

SECOND["a sibling module in the package that nothing imports is rewritten"] = keep(
    "clean",
    {
        "pkg/__init__.py": "from .good import status\n",
        "pkg/good.py": "from ._words import WORD\n\n\ndef status():\n    return WORD\n",
        "pkg/_words.py": "WORD = 'clean'\n",
        "pkg/legacy.py": "from ._words import WORD\n\n\ndef status():\n    return WORD * 2\n",
        "pipeline.py": """
import pkg


@clew.step
def answer() -> str:
    return pkg.status()
"""
        + MAIN,
    },
    ("pkg/legacy.py", "return WORD * 2", "return WORD * 3 + '!'  # old clients"),
)

SECOND["a comment in a file whose dataclass, decorator and cache the step uses"] = keep(
    [3, 3],
    {
        "mixed.py": """
import dataclasses
import functools


def traced(fn):
    @functools.wraps(fn)
    def wrapper(*args):
        return fn(*args)

    return wrapper


@dataclasses.dataclass(frozen=True, slots=True)
class Point:
    x: int
    tags: tuple = dataclasses.field(default_factory=lambda: ("t",))


@functools.lru_cache(maxsize=8)
@traced
def shift(point):
    return dataclasses.replace(point, x=point.x + 1)
""",
        "pipeline.py": """
from mixed import Point, shift


@clew.step
def answer() -> list:
    return [shift(Point(2)).x for _ in range(2)]
"""
        + MAIN,
    },
    ("mixed.py", "\nimport dataclasses\n", "\n# Points and how they move.\n\nimport dataclasses\n"),
    ("mixed.py", "    x: int\n", "    # metres\n    x: int\n"),
    ("mixed.py", "@traced\n", "\n@traced  # for the log\n"),
    ("mixed.py", "        return fn(*args)\n", "        # pass on\n\n        return fn(*args)\n"),
)

SECOND["keyword lists and registries: an entry's text is laid out anew"] = keep(
    ["clip", "log1p"],
    {
        "reg.py": """
REGISTRY = {}


def register(name):
    def add(fn):
        REGISTRY[name] = fn
        return fn

    return add
""",
        "transforms.py": """
from reg import register


@register("log1p")
def _log1p(x):
    return pl.col(x).log1p()


@register("clip")
def _clip(x): return pl.col(x).clip(0, 1)
""",
        "pipeline.py": """
import transforms  # noqa: F401
from reg import REGISTRY


@clew.step
def answer() -> list:
    return sorted(name for name in REGISTRY if REGISTRY[name]("x") is not None)
"""
        + MAIN,
    },
    (
        "transforms.py",
        "def _clip(x): return pl.col(x).clip(0, 1)\n",
        "def _clip(x):\n    return pl.col(\n        x\n    ).clip(0, 1)  # both ends\n",
    ),
)
