"""Makes the MLflow folders in tests/models/mlflow, with what MLflow itself predicts from them.

Run it where mlflow-skinny 3.17.2, scikit-learn, skops, xgboost-cpu, lightgbm, onnx and onnxruntime are installed:
    python scripts/mlflow_fixtures.py
"""

import json
import shutil
from pathlib import Path

import lightgbm
import mlflow
import numpy as np
import onnx
import pandas as pd
import xgboost
from mlflow.models import infer_signature
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.linear_model import LogisticRegression

HERE = Path(__file__).parents[1] / "tests" / "models" / "mlflow"
rng = np.random.default_rng(0)
rows = pd.DataFrame(rng.normal(size=(80, 2)), columns=["area", "age"])
rows["rooms"] = rng.integers(1, 6, 80)
price = rows["area"] * 2 + rows["rooms"] - rows["age"] / 2
example = rows.head(4)


def line() -> onnx.ModelProto:
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["rows", "weights"], ["y"])],
        "line",
        [helper.make_tensor_value_info("rows", kind, [None, 3])],
        [helper.make_tensor_value_info("y", kind, [None, 1])],
        [helper.make_tensor("weights", kind, [3, 1], [2.0, -0.5, 1.0])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


class Doubles(mlflow.pyfunc.PythonModel):
    """A model that only MLflow can load."""

    def predict(self, context, model_input, params=None):  # noqa: ANN001, ANN201, ARG002
        """Twice the area."""
        return model_input["area"] * 2


shutil.rmtree(HERE, ignore_errors=True)
trees = GradientBoostingRegressor(n_estimators=3, max_depth=2, random_state=0).fit(rows, price)
dear = np.where(price > price.median(), "dear", "cheap")
xgb = xgboost.XGBRegressor(n_estimators=3, max_depth=2, n_jobs=1).fit(rows, price)
lgb = {"verbose": -1, "num_threads": 1, "num_leaves": 4, "min_data_in_leaf": 5}
with_example = {"signature": infer_signature(rows, trees.predict(rows)), "input_example": example}
mlflow.sklearn.save_model(
    trees, HERE / "sklearn_skops", skops_trusted_types=["sklearn.tree._tree.Tree"], **with_example
)
mlflow.sklearn.save_model(
    LogisticRegression().fit(rows, dear), HERE / "sklearn_pickle", serialization_format="cloudpickle", **with_example
)
mlflow.xgboost.save_model(xgb, HERE / "xgboost_estimator", **with_example)
mlflow.xgboost.save_model(xgb.get_booster(), HERE / "xgboost_booster", **with_example)
mlflow.lightgbm.save_model(
    lightgbm.LGBMRegressor(n_estimators=3, n_jobs=1, num_leaves=4, verbose=-1).fit(rows, price),
    HERE / "lightgbm_estimator",
    **with_example,
)
mlflow.lightgbm.save_model(
    lightgbm.train(lgb, lightgbm.Dataset(rows, price), 3), HERE / "lightgbm_booster", **with_example
)
numbers = example.to_numpy("float32")
mlflow.onnx.save_model(line(), HERE / "onnx", signature=infer_signature(numbers, numbers[:, :1]), input_example=numbers)
mlflow.pyfunc.save_model(HERE / "pyfunc", python_model=Doubles(), **with_example)

expected = {}
for folder in sorted(HERE.iterdir()):
    given = numbers if folder.name == "onnx" else example
    said = mlflow.pyfunc.load_model(str(folder)).predict(given)
    said = next(iter(said.values())) if isinstance(said, dict) else said
    expected[folder.name] = np.asarray(said).reshape(len(example), -1)[:, 0].tolist()
(HERE / "expected.json").write_text(json.dumps({"rows": example.to_dict("list"), "said": expected}, indent=1) + "\n")
