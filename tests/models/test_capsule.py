"""Code of several versions in one process, each with modules of its own."""

import pickle
import sys
import traceback
from pathlib import Path

import pytest

from clew.errors import IntegrityError
from clew.models.capsule import Capsule


def made(label: str = "test", /, **files: str) -> Capsule:
    """Files by path, with .py left away."""
    return Capsule({f"{name}.py": text.encode() for name, text in files.items()}, label)


def test_two_versions_of_one_module() -> None:
    one = made(features="import shared\ndef f(): return shared.X", shared="X = 1")
    two = made(features="import shared\ndef f(): return shared.X", shared="X = 2")
    assert [capsule.attribute("features:f")() for capsule in (one, two, one)] == [1, 2, 1]
    assert one.load("shared") is one.load("shared")
    assert "features" not in sys.modules
    assert "shared" not in sys.modules


def test_late_import_long_after() -> None:
    one = made(features="def f():\n    import shared\n    return shared.X", shared="X = 1")
    two = made(features="def f():\n    from shared import X\n    return X", shared="X = 2")
    f, g = one.attribute("features:f"), two.attribute("features:f")
    del one, two
    assert (f(), g()) == (1, 2)


IMPORTS = {
    "import a.b.c": "a.b.c.X",
    "import a.b.c as m": "m.X",
    "import a.b as m": "m.c.X",
    "from a.b import c": "c.X",
    "from a.b.c import X": "X",
    "from a.b.c import X as x": "x",
    "from a.b.c import *": "X",
    "from a.star import *": "leaf.X",
    "from a import up": "up.X",
    "from a.b import sideways": "sideways.X",
    "from space.leaf import X": "X",
    "import space.leaf": "space.leaf.X",
    "try:\n    import nowhere\nexcept ImportError:\n    from a.b.c import X": "X",
    "from a import optional": "optional.X",
    "import os.path, a.b.c": "a.b.c.X if os.path else 0",
    "from __future__ import annotations\nfrom a.b.c import X": "X",
}
TREE = {
    "a/__init__": "",
    "a/b/__init__": "from . import c",
    "a/b/c": "X = 7\nY = 8",
    "a/up": "from .b.c import X",
    "a/b/sideways": "from ..b import c as d\nfrom .c import Y\nX = d.X",
    "a/star/__init__": "__all__ = ['leaf']",
    "a/star/leaf": "X = 7",
    "a/optional": "try:\n    from .missing import X\nexcept ImportError:\n    X = 7",
    "space/leaf": "X = 7",
}


@pytest.mark.parametrize("statement", IMPORTS)
def test_imports(statement: str) -> None:
    capsule = made(main=f"{statement}\nVALUE = {IMPORTS[statement]}", **TREE)
    assert capsule.attribute("main:VALUE") == 7


def test_missing_names() -> None:
    for text in ("import a.missing", "from a import missing", "from a.missing import x", "import missing_everywhere"):
        with pytest.raises(ImportError):
            made(main=text, **TREE).load("main")
    with pytest.raises(IntegrityError, match="has no module 'nope'"):
        made(main="").load("nope")


def test_a_module_that_raises_leaves_nothing() -> None:
    before = set(sys.modules)
    capsule = made(main="import other\nraise KeyError", other="")
    with pytest.raises(KeyError):
        capsule.load("main")
    assert {name for name in set(sys.modules) - before if name.endswith(".main")} == set()
    capsule.close()
    assert {name for name in set(sys.modules) - before if "capsule" in name} == set()


def test_circular_imports() -> None:
    capsule = made(one="import two\nX = 1\ndef f(): return two.Y", two="import one\nY = 2")
    assert capsule.attribute("one:f")() == 2


CLASSES = """
from __future__ import annotations
import dataclasses, enum, typing
@dataclasses.dataclass
class Point:
    x: float
    kind: Kind = None
    more: list[Kind] = dataclasses.field(default_factory=list)
class Kind(enum.Enum):
    A = "{a}"
class Pair(typing.NamedTuple):
    left: int
hints = lambda: typing.get_type_hints(Point)
"""


def test_classes_and_hints() -> None:
    one, two = made(things=CLASSES.replace("{a}", "one")), made(things=CLASSES.replace("{a}", "two"))
    hints = one.attribute("things:hints")()
    assert hints["kind"] is one.attribute("things:Kind")
    assert hints["kind"].A.value == "one"
    assert two.attribute("things:Kind").A.value == "two"
    assert one.attribute("things:Point")(1.0) == one.attribute("things:Point")(1.0)
    assert one.attribute("things:Pair")(3).left == 3


def test_pickled_classes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "pickled_things.py").write_text("class Thing:\n    def f(self): return self.x + 1\n")
    thing = __import__("pickled_things").Thing()
    thing.x = 1
    body = pickle.dumps(thing)
    capsule = made(pickled_things="class Thing:\n    def f(self): return self.x + 100\n")
    assert capsule.unpickle(body).f() == 101
    assert pickle.loads(body).f() == 2
    del sys.modules["pickled_things"]
    for wrong in (body[:-5], b"", b"junk", body[:10]):
        with pytest.raises(IntegrityError):
            capsule.unpickle(wrong)


def test_tracebacks_show_the_lines() -> None:
    capsule = made("model 12345", features="def f():\n    return 1 / 0  # here\n")
    try:
        capsule.attribute("features:f")()
    except ZeroDivisionError:
        text = traceback.format_exc()
    assert '"<model 12345>/features.py", line 2' in text
    assert "return 1 / 0  # here" in text


def test_a_folder_that_bears_a_librarys_name() -> None:
    # Python takes the library, since the folder is no package.
    capsule = made("test", **{"polars/example": "X = 1"}, main="import polars\nVALUE = polars.DataFrame")
    assert capsule.attribute("main:VALUE").__name__ == "DataFrame"


def test_modules_from_elsewhere() -> None:
    capsule = Capsule({"main.py": b"import lib.part\nX = lib.part.X", "_elsewhere/lib/part.py": b"X = 5"}, "test")
    assert capsule.attribute("main:X") == 5
