"""The key of a step: everything that its result may depend on, in parts that can be explained."""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from clew.errors import NotFoundError, UsageError
from clew.pipelines.graph import Node
from clew.pipelines.project import Project

SCHEME = "k1"


def parts(
    node: Node, project: Project, environment_id: str, inputs: Mapping[str, str], constants: Mapping[str, Any]
) -> dict[str, Any]:
    """The parts of a key, each of them JSON-able.

    Args:
        node: the call.
        project: the code; all of it counts.
        environment_id: the content id of what is installed.
        inputs: content ids of what the step is handed, by argument.
        constants: plain arguments.
    """
    step = node.step
    return {
        "scheme": SCHEME,
        "step": f"{step.function.__module__}.{getattr(step.function, '__qualname__', step.name)}",
        "code": project.content_id,
        "environment": environment_id,
        "inputs": dict(sorted(inputs.items())),
        "parameters": {name: _plain(node, name, value) for name, value in sorted(constants.items())},
        "files": {name: _file_hash(project.root, name) for name in step.files},
        "env": {name: _hashed(os.environ.get(name)) for name in step.env},
    }


def key(of: Mapping[str, Any]) -> str:
    """The key itself."""
    return f"{SCHEME}:{hashlib.sha256(msgspec.json.encode(of, order='deterministic')).hexdigest()}"


def difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What changed between two keys of one step, in words."""
    words = {"code": "the code changed", "environment": "the environment changed"}
    found = []
    for name in ("inputs", "parameters", "files", "env"):
        before, after = old.get(name, {}), new.get(name, {})
        single = {"inputs": "input", "parameters": "parameter", "files": "file", "env": "variable"}[name]
        for part in sorted(before.keys() | after.keys()):
            if before.get(part) != after.get(part):
                shown = f" ({before.get(part)} → {after.get(part)})" if name == "parameters" else ""
                found.append(f"{single} {part} changed{shown}")
    found += [text for name, text in words.items() if old.get(name) != new.get(name)]
    return found


def _plain(node: Node, name: str, value: Any) -> Any:
    try:
        return msgspec.to_builtins(value, order="deterministic")
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"step {node.name} ({node.where}): argument {name!r} is a {type(value).__name__}, "
            "which can't be part of a key",
            mend="hand over plain values (numbers, text, lists, dataclasses) or what another step gives",
        ) from error


def _file_hash(root: Path, name: str) -> str:
    path = root / name
    if not path.is_file():
        raise NotFoundError(f"the declared file {path} isn't there", mend="correct files=… of the step")
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _hashed(value: str | None) -> str | None:
    # Values of variables may be secrets: only a hash is kept.
    return None if value is None else hashlib.sha256(value.encode()).hexdigest()
