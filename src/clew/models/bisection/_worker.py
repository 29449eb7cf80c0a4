"""A process that makes builds for a bisection: it reads a request a line, and answers each with a line.

What the user's code prints goes to stderr, so that it can't be taken for an answer, and it has nothing to read. When
nobody asks any more, as the bisection's process is gone, this one ends at once, with all that steps started.
"""

import hashlib
import json
import os
import queue
import shutil
import signal
import sys
import threading
import traceback
import zipfile
from pathlib import Path
from typing import IO, Any

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
    answers, questions = os.fdopen(os.dup(1), "w"), os.fdopen(os.dup(0))
    os.dup2(2, 1)
    with open(os.devnull) as nothing:  # noqa: PTH123 - it is no path of a folder
        os.dup2(nothing.fileno(), 0)
    asked: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(questions, asked), daemon=True).start()
    root, folder = Path(sys.argv[1]), Path(sys.argv[2])
    with open_folder(root) as workspace:
        while True:
            try:
                answer = _build(workspace, folder, json.loads(asked.get()))
            except ClewError as error:
                answer = {"error": str(error)}
            except SystemExit as error:
                answer = {"error": f"a step called sys.exit({error.code!r})"}
            except Exception:  # noqa: BLE001 - the model's own code may raise anything
                answer = {"error": traceback.format_exc(limit=-3)}
            answers.write(json.dumps(answer) + "\n")
            answers.flush()


def _listen(questions: IO[str], asked: "queue.SimpleQueue[str]") -> None:
    for line in questions:
        asked.put(line)
    if os.getpgrp() == os.getpid():  # it was started as a group of its own
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(0)


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
        contracts=False,
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
