"""ONNX as its bytes, predicted by onnxruntime."""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from clew.errors import DataError, IntegrityError, NotFoundError, UsageError
from clew.models.capsule import Capsule
from clew.models.flavors._libraries import library
from clew.models.flavors.base import Packed, flat, library_of, numbers

_TYPES = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(bool)": np.bool_,
    "tensor(string)": np.object_,
}

_COLUMNS = {
    "tensor(float)": pl.Float32,
    "tensor(double)": pl.Float64,
    "tensor(float16)": pl.Float32,
    "tensor(int64)": pl.Int64,
    "tensor(int32)": pl.Int32,
    "tensor(bool)": pl.Boolean,
    "tensor(string)": pl.String,
}


class OnnxModel:
    """An ONNX model that predicts; its session is made at the first prediction.

    Raises DataError when the bytes are no ONNX model that this onnxruntime can run.
    """

    def __init__(self, body: bytes) -> None:
        self.body = body

    @functools.cached_property
    def session(self) -> Any:
        """The session of onnxruntime."""
        runtime = library("onnxruntime", "this ONNX model")
        options = runtime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = options.inter_op_num_threads = 1  # the same sums in the same order
        try:
            return runtime.InferenceSession(self.body, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            if type(error).__module__.startswith("onnxruntime"):
                raise DataError(
                    f"onnxruntime can't run this as an ONNX model: {str(error).splitlines()[0]}",
                    mend="check it with onnx.checker.check_model; its weights must be in the same file",
                ) from error
            raise

    def columns(self) -> dict[str, Any]:
        """Names and polars types of the columns that it takes; of one input n × k, x0 to x(k−1). Empty if it's open."""
        inputs = self.session.get_inputs()
        if len(inputs) > 1:
            return {one.name: _COLUMNS[one.type] for one in inputs if one.type in _COLUMNS}
        shape = inputs[0].shape
        width = shape[1] if len(shape) == 2 else None
        if not isinstance(width, int) or inputs[0].type not in _COLUMNS:
            return {}
        return {f"x{at}": _COLUMNS[inputs[0].type] for at in range(width)}

    def predict(self, matrix: Any) -> np.ndarray:
        """The first output for n rows.

        With one input it takes a table or an array n × inputs; with several, a table with a column for each, or a
        mapping of arrays. Raises UsageError when they don't fit.
        """
        inputs = self.session.get_inputs()
        if isinstance(matrix, Mapping):
            feed = {one.name: np.asarray(matrix[one.name], dtype=_dtype(one)) for one in inputs if one.name in matrix}
        elif len(inputs) == 1:
            feed = {inputs[0].name: numbers(matrix, _dtype(inputs[0]))}
        else:
            feed = {one.name: _column(matrix, one) for one in inputs}
        missing = [one.name for one in inputs if one.name not in feed]
        if missing:
            raise UsageError(f"the ONNX model needs {', '.join(missing)} too", mend="let `before` give all its inputs")
        first = self.session.get_outputs()[0].name
        return flat(np.asarray(self.session.run([first], feed)[0]))


def _dtype(one: Any) -> Any:
    if one.type not in _TYPES:
        raise UsageError(
            f"input {one.name!r} of the ONNX model is {one.type}, which rows can't carry",
            mend=f"give it one of {', '.join(_TYPES)}",
        )
    return _TYPES[one.type]


def _column(matrix: Any, one: Any) -> np.ndarray:
    """The column of a table that is the input of that name, n or n × 1 as the input has it."""
    try:
        values = np.asarray(matrix[one.name], dtype=_dtype(one))
    except (KeyError, IndexError, TypeError, ValueError, LookupError) as error:
        raise UsageError(
            f"the ONNX model needs a column {one.name!r}: {error}",
            mend="give a table with a column for each of its inputs, or let `before` give a mapping of arrays",
        ) from error
    except Exception as error:
        if type(error).__name__ == "ColumnNotFoundError":
            raise UsageError(f"the ONNX model needs a column {one.name!r}", mend="give that column") from error
        raise
    return values.reshape(-1, 1) if len(one.shape) == 2 else values


class Onnx:
    """An onnx ModelProto, the path of an .onnx file, or its bytes."""

    name = "onnx"

    def accepts(self, estimator: Any) -> bool:
        """Whether it is one of these."""
        return isinstance(estimator, OnnxModel | Path | bytes | str) or (
            library_of(estimator) == "onnx" and type(estimator).__name__ == "ModelProto"
        )

    def wrap(self, estimator: Any) -> OnnxModel:
        """The model as what predicts. Raises NotFoundError, DataError."""
        if isinstance(estimator, OnnxModel):
            return estimator
        if isinstance(estimator, str | Path):
            path = Path(estimator)
            if not path.is_file():
                raise NotFoundError(f"there is no file {path}", mend="give the path of an .onnx file")
            body = path.read_bytes()
        elif isinstance(estimator, bytes):
            body = estimator
        else:
            body = estimator.SerializeToString(deterministic=True)
        found = OnnxModel(body)
        _ = found.session  # what is no model is refused here
        return found

    def pack(self, estimator: Any) -> Packed:
        """Its bytes as they are."""
        return Packed(estimator.body, {}, frozenset(), ("numpy", "onnxruntime"))

    def load(self, body: bytes, about: Mapping[str, Any], capsule: Capsule) -> OnnxModel:
        """The model; its session is made at once, so that the first request needn't wait."""
        del about, capsule
        found = OnnxModel(body)
        try:
            _ = found.session
        except DataError as error:
            raise IntegrityError(error.message, mend="register the model anew") from error
        return found
