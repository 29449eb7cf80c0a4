"""What every flavor promises, held for each kind of model."""

import hashlib
import importlib
import io
import json
import shutil
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from tests.models.kinds import KINDS, ROWS, X, Y, onnx_line
from tests.projects import Project, start

from clew.errors import ClewError, DataError, IntegrityError, MissingDependencyError, NotFoundError, UsageError
from clew.models import Model, flavors
from clew.models.capsule import Capsule
from clew.models.package import pack, read_about, unpack
from clew.pipelines import values

Kind = tuple[Callable[[], Model], str]


@pytest.fixture(params=list(KINDS), scope="module")
def kind(request: pytest.FixtureRequest) -> Kind:
    return KINDS[request.param]


@pytest.fixture(scope="module")
def packed(kind: Kind, tmp_path_factory: pytest.TempPathFactory) -> tuple[Model, Path]:
    model = kind[0]()
    path = tmp_path_factory.mktemp("packed") / "model.zip"
    path.write_bytes(pack(model))
    return model, path


def test_the_same_predictions_bit_for_bit(packed: tuple[Model, Path]) -> None:
    model, path = packed
    again = unpack(path)
    assert again.signature == model.signature
    assert again.shape == model.shape
    before, after = model.predict(rows_of(model)), again.predict(rows_of(model))
    assert before.dtype == after.dtype
    np.testing.assert_array_equal(before, after)
    # a value a row, and not the same one for all
    assert before.shape[0] == ROWS.height
    assert len(np.unique(before, axis=0)) > 1


def rows_of(model: Model) -> pl.DataFrame:
    return ROWS.rename(dict(zip(ROWS.columns, model.signature.names, strict=True)))


def test_the_same_bytes_for_the_same_model(kind: Kind, packed: tuple[Model, Path]) -> None:
    model, path = packed
    assert pack(kind[0]()) == path.read_bytes()
    assert pack(model) == path.read_bytes()  # also after it has predicted
    assert pack(unpack(path)) == path.read_bytes()  # and when it is packaged again


def test_no_pickle_and_the_versions_of_its_libraries(kind: Kind, packed: tuple[Model, Path]) -> None:
    about = read_about(packed[1])
    assert about["flavor"] == kind[1] != "pickle"
    for name, version in about["libraries"].items():
        assert version == sys.modules[name].__version__
    library = {"skops": "sklearn", "ubj": "xgboost", "lgb": "lightgbm", "onnx": "onnxruntime", "torch": "torch"}
    assert library[kind[1]] in about["libraries"]


def test_a_fresh_process_predicts_the_same(packed: tuple[Model, Path]) -> None:
    model, path = packed
    child = start(
        "import hashlib, pathlib, polars as pl; from clew.models.package import unpack\n"
        f"found = unpack(pathlib.Path({str(path)!r})).predict(pl.read_ipc({str(path.with_suffix('.arrow'))!r}))\n"
        "print(found.dtype, found.shape, hashlib.sha256(found.astype(str).tobytes()).hexdigest())",
        _with_rows(path, model),
    )
    assert child.wait() == 0, child.stderr
    values_ = model.predict(rows_of(model))
    assert child.stdout.split() == [
        str(values_.dtype),
        *str(values_.shape).split(),
        hashlib.sha256(values_.astype(str).tobytes()).hexdigest(),
    ]


def _with_rows(path: Path, model: Model) -> Path:
    rows_of(model).write_ipc(path.with_suffix(".arrow"))
    return path.parent


def test_changed_bytes_are_refused(packed: tuple[Model, Path], tmp_path: Path) -> None:
    """Of a whole package each byte counts, since the workspace names it by its hash; of the estimator's bytes, the
    flavor refuses what is cut short, also when the zip around it is whole."""
    _, path = packed
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    for cut in (0, 1, 7, 40):
        harmed = tmp_path / "harmed.zip"
        with zipfile.ZipFile(harmed, "w") as archive:
            for name, body in parts.items():
                archive.writestr(name, body[:cut] if name.startswith("estimator.") else body)
        with pytest.raises(IntegrityError, match=r"read|run|whole|damaged"):
            unpack(harmed)


def test_a_tampered_object_of_the_workspace_is_refused(packed: tuple[Model, Path], project: Project) -> None:
    model, _ = packed
    stored = values.store(project.workspace.objects, model)
    path = project.workspace.objects.open_path(stored.spec.digest)
    body = bytearray(path.read_bytes())
    body[len(body) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(bytes(body))
    with pytest.raises(IntegrityError):
        project.workspace.objects.verify(stored.spec.digest)


NETS = """
import torch
from torch import nn

def double(x):
    return x * 2

class Block(nn.Module):
    def __init__(self, size, act):
        super().__init__()
        self.lstm = nn.LSTM(size, size, batch_first=True)
        self.act, self.scale, self.where = act, 0.1, {"a": (1, 2.5, None), 3: [torch.float32, torch.Size([1])]}
        self.register_buffer("seen", torch.arange(3.0), persistent=False)
    def forward(self, x):
        return self.act(self.lstm(x[:, None])[0][:, 0]) * self.scale + self.seen

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList([Block(3, double), Block(3, torch.tanh)])
        self.last = self.blocks[0]
        self.extra = nn.Parameter(torch.tensor(1.5), requires_grad=False)
    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return self.last(x).sum(1) * self.extra
"""


def test_a_module_of_ones_own_comes_from_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "nets.py").write_text(NETS)
    monkeypatch.syspath_prepend(str(folder))
    nets = __import__("nets")
    try:
        torch.manual_seed(1)
        net = nets.Net()
        assert net.training
        model = Model(net, example=ROWS)
        before = model.predict(ROWS)
        assert net.training  # it predicts in evaluation mode, and is left as it was
        path = tmp_path / "model.zip"
        path.write_bytes(pack(model))
        net.helper = lambda x: x
        with pytest.raises(UsageError, match=r"the module.helper is <lambda>|can't be found again"):
            pack(model)
        net.helper = object()
        with pytest.raises(UsageError, match=r"the module.helper is a object, which can't be kept"):
            pack(model)
    finally:
        del sys.modules["nets"]
    shutil.rmtree(folder)
    with zipfile.ZipFile(path) as archive:
        assert "code/nets.py" in archive.namelist()
    again = unpack(path)
    np.testing.assert_array_equal(again.predict(ROWS), before)
    inner = again.estimator.module
    assert inner.last is inner.blocks[0]
    assert not inner.extra.requires_grad
    assert inner.blocks[0].where == {"a": (1, 2.5, None), 3: [torch.float32, torch.Size([1])]}
    assert pack(again) == path.read_bytes()


def test_no_pickle_of_a_torch_package_is_executed(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    marker = tmp_path / "ran"

    class Evil:
        def __reduce__(self) -> Any:
            return (Path.touch, (marker,))

    buffer = io.BytesIO()
    torch.save({0: Evil()}, buffer)
    model = Model(torch.nn.Linear(3, 1), example=ROWS)
    about = json.loads(json.dumps(flavors.pack(model.estimator)[1].about))

    with pytest.raises(IntegrityError, match="can't be read"):
        flavors.named("torch").load(buffer.getvalue(), about, Capsule({}, "t"))
    about["module"][1] = "os:system"
    with pytest.raises(IntegrityError, match="no module 'os'"):
        flavors.named("torch").load(flavors.pack(model.estimator)[1].body, about, Capsule({}, "t"))
    assert not marker.exists()


def test_examples_of_every_kind_give_the_estimator_its_own_kind_again() -> None:
    import pandas as pd
    import pyarrow as pa

    seen: list[Any] = []

    class Looks:
        def predict(self, matrix: Any) -> np.ndarray:
            seen.append(matrix)
            return np.zeros(len(matrix))

    frame = pd.DataFrame({"n": np.array([1, 2], "int32"), "x": np.array([1, 2], "float32"), "k": ["a", None]})
    frame["c"] = pd.Categorical(["u", "v"], categories=["v", "u", "w"])
    examples: list[tuple[Any, str | None]] = [
        (frame, None),
        (pa.table({"n": pa.array([1, 2], pa.int32()), "x": pa.array([1, 2], pa.float32()), "k": ["a", None]}), None),
        (np.array([[1, 2], [3, 4]], "float32"), "float32"),
        (np.array([[1, 2], [3, 4]], "int16"), "int16"),
        (pl.DataFrame({"n": [1, 2]}), None),
    ]
    for example, dtypes in examples:
        model = Model(Looks(), example=example)
        model.predict(model.example)
        given = seen.pop()
        assert type(given) is type(example)
        if isinstance(given, pd.DataFrame):
            pd.testing.assert_frame_equal(given, example)
        elif isinstance(given, pa.Table):
            assert given.schema.equals(example.schema)
        elif isinstance(given, np.ndarray):
            assert given.dtype == dtypes
            np.testing.assert_array_equal(given, example)
        else:
            assert given.equals(example)


def test_bad_models_and_examples_say_how_to_mend_them(tmp_path: Path) -> None:
    import pandas as pd
    from sklearn.linear_model import LinearRegression

    good = LinearRegression().fit(X, Y)
    cases: list[tuple[Any, Any, type[ClewError], str]] = [
        (object(), X, UsageError, "can't predict"),
        (LinearRegression, X, UsageError, "is a class"),
        (good, [[1.0, 2.0]], UsageError, "no example of rows"),
        (good, X[0], UsageError, r"shape \(3,\)"),
        (good, np.array([["a", object()]], dtype=object), UsageError, "no types"),
        (good, X[:0], UsageError, "with rows"),
        (good, pl.DataFrame({"a": [[1.0]]}), UsageError, "which a request can't carry"),
        (good, pl.DataFrame({"a": [b"x"]}), UsageError, "which a request can't carry"),
        (good, pd.DataFrame({0: [1.0]}), UsageError, "names that are no text"),
        (good, pd.DataFrame({"a": [1.0]}, index=pd.Index([3], name="id")), UsageError, "index"),
        (good, pd.DataFrame([[1, 2]], columns=["a", "a"]), UsageError, "two columns of the name a"),
        (good, pd.DataFrame({"a": [1, "x"]}), UsageError, "can't be read as a table"),
        (good, pd.DataFrame({"a": pd.Categorical([1, 2])}), UsageError, "categories"),
        (b"no model", X, DataError, "onnxruntime can't run"),
        (tmp_path / "no.onnx", X, NotFoundError, "no file"),
    ]
    for estimator, example, error, match in cases:
        with pytest.raises(error, match=match) as caught:
            Model(estimator, example=example)
        assert caught.value.mend
    with pytest.raises(UsageError, match="can't predict its own example: NotFittedError") as found:
        pack(Model(LinearRegression(), example=X))
    assert "fit it first" in str(found.value)
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer

    lam = make_pipeline(FunctionTransformer(lambda x: x), LinearRegression()).fit(X, Y)
    with pytest.raises(UsageError, match=r"can't be packaged.*<lambda>") as found:
        pack(Model(lam, example=X))
    assert "with def and no lambda" in str(found.value)


def test_xgboost_that_is_not_fitted_and_numbers_of_numpy_as_parameters(tmp_path: Path) -> None:
    xgboost = pytest.importorskip("xgboost")
    with pytest.raises(UsageError, match="not fitted"):
        pack(Model(xgboost.XGBRegressor(), example=X))
    with pytest.raises(UsageError, match="can't predict"):
        Model(xgboost.DMatrix(X), example=X)
    fitted = xgboost.XGBRegressor(n_estimators=2, n_jobs=1, learning_rate=np.float64(0.5)).fit(X, Y)
    path = tmp_path / "model.zip"
    path.write_bytes(pack(Model(fitted, example=X)))
    assert read_about(path)["flavor"] == "ubj"
    assert unpack(path).estimator.get_params()["learning_rate"] == 0.5


def test_a_function_as_a_parameter_of_xgboost_goes_with_the_code() -> None:
    xgboost = pytest.importorskip("xgboost")
    estimator = xgboost.XGBRegressor(n_estimators=2, objective=lambda _t, p: (p, np.ones_like(p))).fit(X, Y)
    with pytest.raises(UsageError, match="can't be packaged"):
        pack(Model(estimator, example=X))


def test_a_missing_library_names_its_extra(packed: tuple[Model, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    about = read_about(packed[1])
    extras = {"skops": "sklearn", "ubj": "xgboost", "lgb": "lightgbm", "onnx": "onnx", "torch": "torch"}

    def missing(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(MissingDependencyError, match=rf"pip install 'clew\[{extras[about['flavor']]}\]'"):
        unpack(packed[1])


def test_onnx_with_an_input_for_each_column_and_a_path(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    helper = onnx.helper
    graph = helper.make_graph(
        [helper.make_node("Mul", ["a", "n"], ["y"])],
        "g",
        [
            helper.make_tensor_value_info("a", onnx.TensorProto.DOUBLE, [None, 1]),
            helper.make_tensor_value_info("n", onnx.TensorProto.DOUBLE, [None, 1]),
        ],
        [helper.make_tensor_value_info("y", onnx.TensorProto.DOUBLE, [None, 1])],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    rows = pl.DataFrame({"a": [1.5, 2.0], "n": [2, 3]})
    for example in (rows, rows.to_pandas(), rows.to_arrow()):
        assert Model(proto, example=example).predict(rows).tolist() == [3.0, 6.0]
    with pytest.raises(UsageError, match="needs a column 'n'"):
        Model(proto, example=rows.select("a")).predict(rows)
    (tmp_path / "line.onnx").write_bytes(onnx_line().SerializeToString())
    model = Model(tmp_path / "line.onnx", example=ROWS)
    np.testing.assert_allclose(model.predict(ROWS), X @ [1, -2, 0.5] + 1, atol=1e-5)


def test_early_stopping_is_kept() -> None:
    xgboost = pytest.importorskip("xgboost")
    made = xgboost.XGBRegressor(n_estimators=60, n_jobs=1, early_stopping_rounds=2, learning_rate=0.9)
    made.fit(X[:60], Y[:60], eval_set=[(X[60:], Y[60:])], verbose=False)
    assert made.best_iteration < 55
    booster = Model(made.get_booster(), example=X)
    rows = pl.DataFrame(X, schema=["x0", "x1", "x2"])
    np.testing.assert_array_equal(booster.predict(rows), made.predict(X))
