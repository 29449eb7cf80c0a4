"""The state of a PyTorch module as JSON and a list of tensors, and back, without executing what a file says."""

import base64
import importlib
import sys
from collections import OrderedDict
from types import BuiltinFunctionType, FunctionType
from typing import Any

from clew.errors import IntegrityError, UsageError
from clew.models.capsule import Capsule, own_name

_CONTAINERS: dict[str, Any] = {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset}
_MAPPINGS: dict[str, Any] = {"dict": dict, "ordered": OrderedDict}


class Writer:
    """Takes a module apart. `tensors` are its weights, each once; `modules` the Python modules of its classes."""

    def __init__(self, torch: Any) -> None:
        self.torch = torch
        self.tensors: list[Any] = []
        self.modules: set[str] = set()
        self._tensors: dict[int, int] = {}
        self._modules: dict[int, int] = {}
        self._keep: list[Any] = []  # so that no address is used twice

    def value(self, value: Any, where: str) -> Any:  # noqa: PLR0911, C901 - a line for each kind
        """A value as JSON. Raises UsageError, naming where in the module it is."""
        torch = self.torch
        if value is None or type(value) in (str, int, bool):
            return value
        if type(value) is float:
            return ["float", value.hex()]
        if isinstance(value, torch.Tensor):
            return self._tensor(value)
        if isinstance(value, torch.nn.Module):
            return self._module(value, where)
        if isinstance(value, torch.Size):
            return ["size", list(value)]
        if isinstance(value, torch.dtype | torch.device):
            return [type(value).__name__, str(value).removeprefix("torch.")]
        if type(value) is bytes:
            return ["bytes", base64.b64encode(value).decode()]
        for name, kind in _CONTAINERS.items():
            if type(value) is kind:
                items = sorted(value, key=repr) if "set" in name else value
                return [name, [self.value(one, f"{where}[{at}]") for at, one in enumerate(items)]]
        for name, kind in _MAPPINGS.items():
            if type(value) is kind:
                return [name, [[self.value(k, where), self.value(v, f"{where}.{k}")] for k, v in value.items()]]
        if isinstance(value, type | FunctionType | BuiltinFunctionType):
            return ["named", self._named(value, where)]
        raise UsageError(
            f"{where} is a {type(value).__name__}, which can't be kept with a PyTorch module",
            mend="keep only plain values, tensors, modules and functions defined with def in it",
        )

    def _tensor(self, value: Any) -> Any:
        at = self._tensors.get(id(value))
        if at is None:
            at = self._tensors[id(value)] = len(self.tensors)
            self._keep.append(value)
            self.tensors.append(value.detach().cpu().clone().contiguous())
        if isinstance(value, self.torch.nn.Parameter):
            return ["parameter", at, value.requires_grad]
        return ["tensor", at]

    def _module(self, module: Any, where: str) -> Any:
        at = self._modules.get(id(module))
        if at is not None:
            return ["again", at]
        at = self._modules[id(module)] = len(self._modules)
        self._keep.append(module)
        state = dict(module.__getstate__())
        state["training"] = False
        state.pop("_compiled_call_impl", None)
        found = [[name, self.value(one, f"{where}.{name}")] for name, one in state.items()]
        return ["module", self._named(type(module), where), at, found]

    def _named(self, value: Any, where: str) -> str:
        module = getattr(value, "__module__", None) or "torch"
        name = value.__qualname__ if _at(module, value.__qualname__) is value else value.__name__
        if module == "__main__" or "<" in name or _at(module, name) is not value:
            raise UsageError(
                f"{where} is {name} of {module}, which can't be found again when the model is loaded",
                mend="define it at the top of a module beside the pipeline, with class or def",
            )
        if module.split(".")[0] != "torch":
            self.modules.add(module)
        return f"{own_name(module)}:{name}"


class Reader:
    """Puts a module together again. Raises IntegrityError for names that are neither torch's nor the package's."""

    def __init__(self, torch: Any, tensors: dict[int, Any], capsule: Capsule) -> None:
        self.torch = torch
        self._tensors = tensors
        self._capsule = capsule
        self._modules: dict[int, Any] = {}
        self._parameters: dict[int, Any] = {}

    def value(self, said: Any) -> Any:  # noqa: PLR0911, PLR0912, C901 - a line for each kind
        """The value."""
        if not isinstance(said, list):
            return said
        kind, inner, *more = said
        match kind:
            case "float":
                return float.fromhex(inner)
            case "tensor":
                return self._tensors[inner]
            case "parameter":
                if inner not in self._parameters:
                    self._parameters[inner] = self.torch.nn.Parameter(self._tensors[inner], requires_grad=more[0])
                return self._parameters[inner]
            case "module":
                return self._module(inner, *more)
            case "again":
                return self._modules[inner]
            case "size":
                return self.torch.Size(inner)
            case "dtype":
                return getattr(self.torch, inner)
            case "device":
                return self.torch.device("cpu")
            case "bytes":
                return base64.b64decode(inner)
            case "named":
                return self._named(inner)
            case _ if kind in _CONTAINERS:
                return _CONTAINERS[kind](self.value(one) for one in inner)
            case _ if kind in _MAPPINGS:
                return _MAPPINGS[kind]((self.value(key), self.value(one)) for key, one in inner)
        raise IntegrityError(f"a PyTorch module with a value of the kind {kind!r}", mend="pip install --upgrade clew")

    def _module(self, name: str, at: int, said: Any) -> Any:
        kind: Any = self._named(name)
        if not (isinstance(kind, type) and issubclass(kind, self.torch.nn.Module)):
            raise IntegrityError(f"{name} is no module of PyTorch", mend="register the model anew")
        module: Any = object.__new__(kind)
        self._modules[at] = module
        state = {name: self.value(one) for name, one in said}
        module.__setstate__(state)
        return module

    def _named(self, path: str) -> Any:
        module, _, name = path.partition(":")
        if self._capsule.has(module):
            return self._capsule.attribute(path)
        if module.split(".")[0] != "torch":
            raise IntegrityError(f"the model's code has no module {module!r}", mend="register the model anew")
        importlib.import_module(module)
        return _at(module, name)


def _at(module: str, name: str) -> Any:
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return found
