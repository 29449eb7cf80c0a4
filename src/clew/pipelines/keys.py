"""The key of a step: everything that its result may depend on, in parts that can be explained."""

import dataclasses
import enum
import hashlib
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any

import msgspec
import numpy as np
import polars as pl

from clew.errors import NotFoundError, UsageError
from clew.pipelines import environment
from clew.pipelines._step import Step
from clew.pipelines.graph import DatasetInput, Handle, Node
from clew.pipelines.project import Project, file_hash, hashed
from clew.pipelines.reach import Reached
from clew.pipelines.secrets import Secret

SCHEME = "k3"


_MOST_NAMED = 6
_SINGLE = {
    "code": "",
    "libraries": "library",
    "inputs": "input",
    "parameters": "parameter",
    "files": "file",
    "env": "variable",
    "values": "value",
    "imported": "what an import reads:",
}


def parts(
    node: Node,
    project: Project,
    environment_id: str,
    inputs: Mapping[str, str],
    constants: Mapping[str, Any],
    *,
    reached: Reached,
    imported: Mapping[str, Any],
) -> dict[str, Any]:
    """The parts of a key, each of them JSON-able.

    Args:
        node: the call.
        project: the code.
        environment_id: the content id of what is installed.
        inputs: content ids of what the step is handed, by argument.
        constants: plain arguments.
        reached: the code, values and libraries that the step reaches.
        imported: hashes of what the project's modules read while they were imported.
    """
    step = node.step
    return {
        "scheme": SCHEME,
        "step": f"{step.function.__module__}.{getattr(step.function, '__qualname__', step.name)}",
        "code": dict(reached.closure.parts),
        "whole": list(reached.closure.whole),
        "platform": environment.platform_of_results(),
        "libraries": {"all": environment_id} if reached.libraries is None else dict(reached.libraries),
        "inputs": dict(sorted(inputs.items())),
        "parameters": {name: _plain(node, name, value) for name, value in sorted(constants.items())},
        "values": dict(sorted(reached.values.items())),
        "imported": dict(sorted(imported.items())),
        **declared(step, project),
    }


def declared(step: Step[..., Any], project: Project) -> dict[str, Any]:
    """The hashes of the files and variables that a step declares, as they are now."""
    return {
        "files": {name: _file_hash(project.root, name) for name in step.files},
        "env": {name: hashed(os.environ.get(name)) for name in step.env},
    }


def key(of: Mapping[str, Any]) -> str:
    """The key itself."""
    return f"{SCHEME}:{hashlib.sha256(msgspec.json.encode(of, order='deterministic')).hexdigest()}"


def difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What changed between two keys of one step, in words."""
    if old.get("scheme") != new.get("scheme"):
        return [f"steps' keys are made in another way now ({old.get('scheme')} → {new.get('scheme')})"]
    found = []
    for name, single in _SINGLE.items():
        if name == "values" and old.get("code") != new.get("code"):
            continue  # they follow from the code
        before, after = old.get(name, {}), new.get(name, {})
        changed = [part for part in sorted(before.keys() | after.keys()) if before.get(part) != after.get(part)]
        if name == "code" and old.get("whole") != new.get("whole"):
            changed = changed[:1]
        found += [_changed(name, single, part, before.get(part), after.get(part)) for part in changed[:_MOST_NAMED]]
        if len(changed) > _MOST_NAMED:
            found.append(f"and {len(changed) - _MOST_NAMED} more of the {name}")
    return found + [f"{name} changed" for name in ("step", "platform") if old.get(name) != new.get(name)]


def _changed(name: str, single: str, part: str, before: Any, after: Any) -> str:
    said = f"{single} {part}".strip()
    if name == "libraries" and part == "all":
        return "the environment changed"
    if name in ("parameters", "libraries"):
        return f"{said} changed ({before} → {after})"
    if name == "code" and (before is None or after is None):
        return f"{said} is {'no longer reached' if after is None else 'reached now'}"
    return f"{said} changed"


def _plain(node: Node, name: str, value: Any) -> Any:
    try:
        return _exact(value)
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"step {node.name} ({node.where}): argument {name!r} is a {type(value).__name__}, "
            f"which can't be part of a key: {error}",
            mend="hand over plain values (numbers, text, lists, dataclasses) or what another step gives",
        ) from error


def _exact(value: Any) -> Any:  # noqa: C901, PLR0912 - a branch for each kind of value
    """A value as JSON in which no two different values are the same: plain where JSON has it, else with its type."""
    kind = type(value)
    if value is None or kind in (bool, int, str) or (kind is float and math.isfinite(value)):
        return value
    if kind is list:
        return [_exact(one) for one in value]
    if kind is dict:
        in_order = all(type(name) is str for name in value) and list(value) == sorted(value)
        if in_order and "type" not in value:
            return {name: _exact(one) for name, one in value.items()}
        return {"type": "dict", "value": [[_exact(name), _exact(one)] for name, one in value.items()]}
    if isinstance(value, Secret):
        return {"type": "secret", "value": value.name}
    if isinstance(value, DatasetInput | Handle):
        raise TypeError("it holds what isn't known before the run; hand it over by itself")
    if kind is tuple:
        inner: Any = [_exact(one) for one in value]
    elif kind in (set, frozenset):
        inner = sorted((_exact(one) for one in value), key=lambda one: json.dumps(one, sort_keys=True))
    elif kind is float or isinstance(value, PurePath | np.dtype | complex):
        inner = str(value)
    elif isinstance(value, np.ndarray | np.generic | pl.DataFrame | pl.Series | type) or callable(value):
        raise TypeError("only plain values can")
    elif isinstance(value, enum.Enum):
        inner = [value.name, _exact(value.value)]
    elif dataclasses.is_dataclass(value):
        inner = {field.name: _exact(getattr(value, field.name)) for field in dataclasses.fields(value)}
    elif isinstance(value, msgspec.Struct):
        inner = {name: _exact(getattr(value, name)) for name in value.__struct_fields__}
    else:
        inner = _other(value)
    return {"type": f"{kind.__module__}.{kind.__qualname__}", "value": inner}


def _other(value: Any) -> Any:
    """Kinds of collections, and what msgspec knows besides (dates, decimals, UUIDs, bytes, attrs classes)."""
    if isinstance(value, dict):
        return [[_exact(name), _exact(one)] for name, one in value.items()]
    if isinstance(value, list | tuple):
        return [_exact(one) for one in value]
    inner = msgspec.to_builtins(value)
    return _exact(inner) if isinstance(inner, dict | list) else inner


def _file_hash(root: Path, name: str) -> str:
    found = file_hash(root / name)
    if found is None:
        raise NotFoundError(f"the declared file {root / name} isn't there", mend="correct files=… of the step")
    return found
