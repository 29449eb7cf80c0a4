"""PyTorch modules: what they are as JSON, their weights loaded with `weights_only=True`; no pickle is executed.

A module is what its `__getstate__` gives, as pickle would have it, but each value is one of a few kinds: plain values,
containers, tensors, modules, and functions or classes by name (torch's, or of the package's code).
"""

import io
from collections.abc import Mapping
from typing import Any

import numpy as np

from clew.errors import IntegrityError, UsageError
from clew.models.capsule import Capsule
from clew.models.flavors._libraries import library
from clew.models.flavors._torch_state import Reader, Writer
from clew.models.flavors.base import Packed, flat, numbers


class TorchModel:
    """A module that predicts: in evaluation mode, without gradients, on the device where its weights are."""

    def __init__(self, module: Any) -> None:
        self.module = module

    def predict(self, matrix: Any) -> np.ndarray:
        """Predictions of n rows: a table, an array or tensor n × inputs, or a tuple or mapping of these."""
        torch = library("torch", "this PyTorch model")
        first = next((one for one in self.module.parameters() if one.is_floating_point()), None)
        dtype = torch.float32 if first is None else first.dtype
        device = torch.device("cpu") if first is None else first.device

        def tensor(value: Any) -> Any:
            if not isinstance(value, torch.Tensor):
                array = value if isinstance(value, np.ndarray) else numbers(value, np.float64)
                value = torch.from_numpy(np.ascontiguousarray(array))
            return value.to(device=device, dtype=dtype if value.is_floating_point() else None)

        training = self.module.training
        self.module.eval()
        try:
            with torch.inference_mode():
                if isinstance(matrix, tuple):
                    said = self.module(*(tensor(one) for one in matrix))
                elif isinstance(matrix, Mapping):
                    said = self.module(**{name: tensor(one) for name, one in matrix.items()})
                else:
                    said = self.module(tensor(matrix))
        finally:
            self.module.train(training)
        if not isinstance(said, torch.Tensor):
            raise UsageError(
                f"the module's forward gave a {type(said).__name__}", mend="let it give one tensor, a row for each row"
            )
        said = said.detach().cpu()
        return flat((said.float() if said.dtype in (torch.bfloat16, torch.float16) else said).numpy())


class Torch:
    """An nn.Module: one of torch, or of the user's code."""

    name = "torch"

    def accepts(self, estimator: Any) -> bool:
        """Whether it is a module of torch."""
        return isinstance(estimator, TorchModel) or any(
            base.__module__ == "torch.nn.modules.module" and base.__name__ == "Module"
            for base in type(estimator).__mro__
        )

    def wrap(self, estimator: Any) -> TorchModel:
        """The module as what predicts."""
        return estimator if isinstance(estimator, TorchModel) else TorchModel(estimator)

    def pack(self, estimator: TorchModel) -> Packed:
        """Its weights; what the module is goes beside them. Raises UsageError, naming what can't be kept."""
        torch = library("torch", "packaging a PyTorch model")
        writer = Writer(torch)
        state = writer.value(estimator.module, "the module")
        buffer = io.BytesIO()
        torch.save(dict(enumerate(writer.tensors)), buffer)
        return Packed(buffer.getvalue(), {"module": state}, frozenset(writer.modules), ("numpy", "torch"))

    def load(self, body: bytes, about: Mapping[str, Any], capsule: Capsule) -> TorchModel:
        """The module, in evaluation mode, on the CPU."""
        torch = library("torch", "this PyTorch model")
        try:
            tensors = torch.load(io.BytesIO(body), map_location="cpu", weights_only=True)
            module = Reader(torch, tensors, capsule).value(about["module"])
        except IntegrityError:
            raise
        except Exception as error:  # torch raises many kinds for bytes that aren't its own
            raise IntegrityError(f"the PyTorch model can't be read: {error}", mend="register the model anew") from error
        return TorchModel(module.eval())
