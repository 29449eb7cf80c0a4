"""Models packed and loaded again, here and in processes that know nothing of their code."""

import json
import shutil
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from tests.projects import ROWS, start

from clew.errors import IntegrityError, UsageError
from clew.models import Model
from clew.models.package import pack, read_about, unpack

CODE = """
import numpy as np
import polars as pl
from sklearn.base import BaseEstimator, TransformerMixin
import helper
class Line:
    def __init__(self, slope):
        self.slope = slope
    def predict(self, matrix):
        return matrix[:, 0] * self.slope + helper.OFFSET
class Shift(TransformerMixin, BaseEstimator):
    def fit(self, x, y=None):
        return self
    def transform(self, x):
        return x + helper.OFFSET
class Outer:
    class Inner(Line):
        pass
    @staticmethod
    def after(values):
        return values * 10
def matrix(rows):
    return rows.select("x").to_numpy()
def after(values):
    import helper
    return values + helper.OFFSET
made = lambda rows: rows
def local():
    def inner(rows):
        return rows
    return inner
"""


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A module `parts` in a folder of its own."""
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "parts.py").write_text(CODE)
    (folder / "helper.py").write_text("OFFSET = 0\n")
    monkeypatch.syspath_prepend(str(folder))
    yield __import__("parts")
    for name in ("parts", "helper"):
        sys.modules.pop(name, None)


def written(model: Model, folder: Path) -> Path:
    path = folder / "package.zip"
    path.write_bytes(pack(model))
    return path


def elsewhere(path: Path) -> list[float]:
    """What the packed model predicts in a process that can't find its code."""
    child = start(
        "import json, pathlib, polars as pl; from clew.models.package import unpack\n"
        f"model = unpack(pathlib.Path({str(path)!r}))\n"
        "print(json.dumps(model.predict(pl.DataFrame({'x': [1.0, 2.0]})).tolist()))",
        path.parent,
    )
    assert child.wait() == 0, child.stderr
    found: list[float] = json.loads(child.stdout)
    return found


def test_a_plain_class_comes_from_the_package(code: Any, tmp_path: Path) -> None:
    model = Model(code.Line(2.0), example=ROWS.select("x"), before=code.matrix, after=code.Outer.after)
    path = written(model, tmp_path)
    shutil.rmtree(tmp_path / "code")
    assert elsewhere(path) == [20.0, 40.0]
    again = unpack(path)
    assert again.signature == model.signature
    assert again.example.equals(model.example)
    np.testing.assert_array_equal(again.predict(ROWS), model.predict(ROWS))
    assert read_about(path)["flavor"] == "pickle"


def test_sklearn_needs_no_pickle_and_gives_the_same_bytes(code: Any, tmp_path: Path) -> None:
    from sklearn.linear_model import LinearRegression

    def fitted() -> Model:
        estimator = LinearRegression().fit(code.matrix(ROWS), ROWS["y"].to_numpy())
        return Model(estimator, example=ROWS.select("x"), before=code.matrix, after=code.after)

    path = written(fitted(), tmp_path)
    assert read_about(path)["flavor"] == "skops"
    assert pack(fitted()) == path.read_bytes()
    np.testing.assert_allclose(unpack(path).predict(ROWS), [2, 4, 6, 8])


def test_a_transformer_of_ones_own_in_sklearns_pipeline(code: Any, tmp_path: Path) -> None:
    from sklearn.linear_model import LinearRegression
    from sklearn.pipeline import make_pipeline

    estimator = make_pipeline(code.Shift(), LinearRegression()).fit(code.matrix(ROWS), ROWS["y"].to_numpy())
    path = written(Model(estimator, example=ROWS.select("x"), before=code.matrix), tmp_path)
    shutil.rmtree(tmp_path / "code")
    np.testing.assert_allclose(elsewhere(path), [2, 4])


def test_two_versions_side_by_side(code: Any, tmp_path: Path) -> None:
    model = Model(code.Line(1.0), example=ROWS.select("x"), before=code.matrix, after=code.after)
    one = unpack(written(model, tmp_path))
    (tmp_path / "code" / "helper.py").write_text("OFFSET = 100\n")
    two = unpack(written(model, tmp_path))
    rows = pl.DataFrame({"x": [1.0]})
    assert one.predict(rows).tolist() == [1.0]
    assert two.predict(rows).tolist() == [201.0]
    assert one.predict(rows).tolist() == [1.0]


def test_a_loaded_model_packed_again(code: Any, tmp_path: Path) -> None:
    model = Model(code.Line(3.0), example=ROWS.select("x"), before=code.matrix, after=code.after)
    loaded = unpack(written(model, tmp_path))
    shutil.rmtree(tmp_path / "code")
    for name in ("parts", "helper"):
        del sys.modules[name]
    assert elsewhere(written(loaded, tmp_path)) == [3.0, 6.0]


def test_what_cannot_be_found_again_is_refused(code: Any) -> None:
    from functools import partial

    example = ROWS.select("x")
    odd: list[Any] = [lambda rows: rows, code.made, code.local(), partial(code.matrix), code.Line(1).predict]
    for function in odd:
        with pytest.raises(UsageError, match="can't be found again"):
            pack(Model(code.Line(1), example=example, before=function))
    local = type("Local", (), {"predict": lambda _self, _rows: 0})
    with pytest.raises(UsageError, match="can't be packaged"):
        pack(Model(local(), example=example))
    holder = code.Line(1)
    holder.lock = __import__("threading").Lock()
    with pytest.raises(UsageError, match="can't be packaged"):
        pack(Model(holder, example=example))
    odd = [ROWS.head(0), {"x": [1]}, None]
    for wrong in odd:
        with pytest.raises(UsageError, match="example"):
            Model(code.Line(1), example=wrong)
    with pytest.raises(UsageError, match="can't predict"):
        Model(object(), example=example)


def test_damaged_packages(code: Any, tmp_path: Path) -> None:
    path = written(Model(code.Line(1.0), example=ROWS.select("x"), before=code.matrix), tmp_path)
    whole = path.read_bytes()
    refused = 0
    for at in range(0, len(whole), max(1, len(whole) // 150)):
        harmed = bytearray(whole)
        harmed[at] ^= 0xFF
        path.write_bytes(bytes(harmed))
        try:
            unpack(path)
        except IntegrityError:
            refused += 1
    assert refused > 75  # elsewhere it changes a date or a flag that nothing reads
    for body in (b"", b"PK", whole[:-30], whole[: len(whole) // 2]):
        path.write_bytes(body)
        with pytest.raises(IntegrityError):
            unpack(path)
        with pytest.raises(IntegrityError):
            read_about(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model.json", "[]")
    with pytest.raises(IntegrityError):
        unpack(path)


def test_a_wrong_number_of_values(code: Any) -> None:
    model = Model(code.Line(1.0), example=ROWS.select("x"), before=code.matrix, after=lambda values: values[:1])
    with pytest.raises(UsageError, match="for 4 rows"):
        model.predict(ROWS)
