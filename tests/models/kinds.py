"""A model of each flavor, made anew by each call; used by the conformance suite of flavors."""

from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest

from clew.models import Model

RNG = np.random.default_rng(7)
X = RNG.normal(size=(120, 3))
Y = X @ [1.0, -2.0, 0.5] + RNG.normal(size=120) * 0.1
CLASSES = np.where(Y > 0, "high", "low")
ROWS = pl.DataFrame(X, schema=["a", "b", "c"])


def sklearn_regressor() -> Model:
    from sklearn.ensemble import RandomForestRegressor

    return Model(RandomForestRegressor(5, random_state=0).fit(ROWS.to_pandas(), Y), example=ROWS.to_pandas())


def sklearn_classifier() -> Model:
    from sklearn.linear_model import LogisticRegression

    return Model(LogisticRegression().fit(X, CLASSES), example=X)


def xgboost_regressor() -> Model:
    xgboost = pytest.importorskip("xgboost")
    return Model(xgboost.XGBRegressor(n_estimators=5, n_jobs=1).fit(ROWS.to_pandas(), Y), example=ROWS.to_pandas())


def xgboost_classifier() -> Model:
    xgboost = pytest.importorskip("xgboost")
    estimator = xgboost.XGBClassifier(n_estimators=5, n_jobs=1, max_depth=3).fit(X, (Y > 0).astype(int))
    return Model(estimator, example=ROWS.to_arrow())


def xgboost_booster() -> Model:
    xgboost = pytest.importorskip("xgboost")
    booster = xgboost.train({"nthread": 1}, xgboost.DMatrix(ROWS.to_pandas(), Y), 5)
    return Model(booster, example=ROWS)


def xgboost_in_a_pipeline() -> Model:
    xgboost = pytest.importorskip("xgboost")
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    estimator = make_pipeline(StandardScaler(), xgboost.XGBRegressor(n_estimators=5, n_jobs=1)).fit(X, Y)
    return Model(estimator, example=X.astype(np.float32))


def lightgbm_regressor() -> Model:
    lightgbm = pytest.importorskip("lightgbm")
    estimator = lightgbm.LGBMRegressor(n_estimators=5, n_jobs=1, verbose=-1).fit(ROWS.to_pandas(), Y)
    return Model(estimator, example=ROWS.to_pandas())


def lightgbm_booster() -> Model:
    lightgbm = pytest.importorskip("lightgbm")
    booster = lightgbm.train({"verbose": -1, "num_threads": 1}, lightgbm.Dataset(X, Y), 5)
    return Model(booster, example=ROWS)


def lightgbm_in_a_pipeline() -> Model:
    lightgbm = pytest.importorskip("lightgbm")
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    estimator = make_pipeline(StandardScaler(), lightgbm.LGBMClassifier(n_estimators=5, n_jobs=1, verbose=-1))
    return Model(estimator.fit(X, CLASSES), example=X)


def onnx_line() -> Any:
    """The ModelProto of a linear model of three inputs."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["rows", "weights"], ["product"]),
            helper.make_node("Add", ["product", "one"], ["y"]),
        ],
        "line",
        [helper.make_tensor_value_info("rows", kind, [None, 3])],
        [helper.make_tensor_value_info("y", kind, [None, 1])],
        [
            helper.make_tensor("weights", kind, [3, 1], [1.0, -2.0, 0.5]),
            helper.make_tensor("one", kind, [1], [1.0]),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def onnx() -> Model:
    return Model(onnx_line(), example=ROWS)


def onnx_bytes() -> Model:
    return Model(onnx_line().SerializeToString(), example=ROWS.to_pandas())


def torch_sequential() -> Model:
    torch = pytest.importorskip("torch")
    torch.manual_seed(3)
    layers = (torch.nn.Linear(3, 8), torch.nn.BatchNorm1d(8), torch.nn.GELU(), torch.nn.Dropout(0.5))
    return Model(torch.nn.Sequential(*layers, torch.nn.Linear(8, 1)), example=ROWS)


def torch_recurrent() -> Model:
    """With shared weights, and attributes that are functions, sizes and types."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(3)
    layer = torch.nn.TransformerEncoderLayer(4, 2, 8, activation=torch.nn.functional.gelu, batch_first=True)
    first = torch.nn.Linear(3, 4)
    last = torch.nn.Linear(3, 4)
    last.weight = first.weight
    return Model(torch.nn.Sequential(first, layer, torch.nn.Linear(4, 3), last), example=X.astype(np.float32))


KINDS: dict[str, tuple[Callable[[], Model], str]] = {
    "sklearn regressor": (sklearn_regressor, "skops"),
    "sklearn classifier": (sklearn_classifier, "skops"),
    "XGBRegressor": (xgboost_regressor, "ubj"),
    "XGBClassifier": (xgboost_classifier, "ubj"),
    "xgboost Booster": (xgboost_booster, "ubj"),
    "xgboost in a Pipeline": (xgboost_in_a_pipeline, "skops"),
    "LGBMRegressor": (lightgbm_regressor, "skops"),
    "lightgbm Booster": (lightgbm_booster, "lgb"),
    "lightgbm in a Pipeline": (lightgbm_in_a_pipeline, "skops"),
    "onnx ModelProto": (onnx, "onnx"),
    "onnx bytes": (onnx_bytes, "onnx"),
    "torch Sequential": (torch_sequential, "torch"),
    "torch with shared weights": (torch_recurrent, "torch"),
}
