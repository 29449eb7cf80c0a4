"""A process that makes builds for a bisection: it reads a request a line, and answers each with a line.

What the user's code prints goes to stderr, so that it can't be taken for an answer.
"""

import hashlib
import json
import os
import shutil
import sys
import traceback
import zipfile
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from clew.catalog.commands import ArtifactSpec
from clew.data import find as find_snapshot
from clew.errors import ClewError, UsageError
from clew.models import package  # noqa: F401 - so that stored models can be read
from clew.models.model import Model
from clew.pipelines import load, run
from clew.pipelines.project import ELSEWHERE
from clew.pipelines.values import Stored
from clew.workspace import Workspace, open_folder


def main() -> None:
    """Answer requests until there are no more."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    root, folder = Path(sys.argv[1]), Path(sys.argv[2])
    with open_folder(root) as workspace:
        for line in sys.stdin:
            try:
                answer = _build(workspace, folder, json.loads(line))
            except ClewError as error:
                answer = {"error": str(error)}
            except Exception:  # noqa: BLE001 - the model's own code may raise anything
                answer = {"error": traceback.format_exc(limit=-3)}
            answers.write(json.dumps(answer) + "\n")
            answers.flush()


def _build(workspace: Workspace, folder: Path, request: dict[str, Any]) -> dict[str, Any]:
    code = folder / "code"
    shutil.rmtree(code, ignore_errors=True)
    with zipfile.ZipFile(request["archive"]) as archive:
        archive.extractall(code)  # written by the bisection itself
    elsewhere = str(code / ELSEWHERE)
    if elsewhere not in sys.path:
        sys.path.append(elsewhere)
    pipeline, entry = load(f"{code / request['entry']}:{request['pipeline']}")
    known = pipeline.defaults
    result = run(
        workspace,
        pipeline,
        entry,
        {name: value for name, value in request["settings"].items() if name in known},
        executor="inline",
        pins={role: _pinned(workspace, one) for role, one in request["pins"].items()},
        parent=request["parent"],
    )
    offered = result.offered.get(request["model"])
    if offered is None:
        raise UsageError(f"this build registers no {request['model']}")
    rows = pl.read_ipc(request["rows"])
    model: Model = offered["model"].load(workspace.objects, Model)
    predicted = pl.Series("prediction", model.predict(rows)).to_frame()
    body = predicted.write_ipc(None, compression="uncompressed").getvalue()
    Path(request["out"]).write_bytes(body)
    return {
        "run": result.run,
        "fresh": [step.name for step in result.steps if step.status == "ran"],
        "metrics": result.metrics,
        "predictions": hashlib.sha256(body).hexdigest(),
    }


def _pinned(workspace: Workspace, one: dict[str, Any]) -> Any:
    if "snapshot" in one:
        return find_snapshot(workspace, one["snapshot"])
    return Stored(msgspec.convert(one["table"], ArtifactSpec))


if __name__ == "__main__":
    main()
