"""Whether a result is what the code says now: a helper is edited, then a comment; each in a process of its own."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from scripts.bench_parts.data_peers.environments import Dvc
from scripts.bench_parts.data_peers.measure import fresh, process
from scripts.bench_parts.data_peers.rows import Row, progress

from .peers import metaflow, metaflow_settings, program

PART: Final = "stale results"
_HELPER: Final = "def add(x):\n    return x + {number}\n"
# What says that it ran is a file; clew, which would see it written, is asked for the step's status instead.
_STEPS: Final = """from helper import add

def one(x: int) -> int:
    # {comment}
    with open({ran!r}, "a") as file:
        file.write("ran\\n")
    return add(x)
"""
_CLEW: Final = """import clew
from helper import add

@clew.step
def one(x: int) -> int:
    # {comment}
    return add(x)

@clew.pipeline
def main() -> None:
    one(1)
"""
_FLOW: Final = """from metaflow import FlowSpec, step
import steps
class Flow(FlowSpec):
    @step
    def start(self):
        self.x = steps.one(1)
        self.next(self.end)
    @step
    def end(self):
        with open({value!r}, "w") as file:
            file.write(str(self.x))
if __name__ == "__main__":
    Flow()
"""
_SCRIPT: Final = "import json, steps\nopen('value.json', 'w').write(json.dumps(steps.one(1)))\n"
_NOTES: Final = {
    "kedro": "has no cache: it runs everything, always",
    "metaflow": "resume, which takes results by name",
    "dvc": "its deps are script.py and steps.py: what is imported counts when it is written down by hand",
}
Ask = Callable[[Path], int]
"""Runs what is in the folder; gives the result."""


def measure(folder: Path, rounds: int) -> list[Row]:
    """Two rows for each peer."""
    del rounds
    progress(PART)
    own = _edited(fresh(folder / "clew"), _clew, _CLEW)
    rows = []
    for name, ask in _PEERS.items():
        theirs = _edited(fresh(folder / name), ask, _STEPS)
        note = _NOTES.get(name, "")
        stale, again = (own[0], theirs[0]), (own[1], theirs[1])
        rows.append(_row("after an edit of a helper: results that stay old", stale, name, note))
        rows.append(_row("after an edit of a comment: steps that run again", again, name, note))
    return sorted(rows, key=lambda row: row.name, reverse=True)


def _row(words: str, counts: tuple[int, int], peer: str, note: str) -> Row:
    return Row(PART, words, counts[0], "of 1", peer, counts[1], limit=0, limit_text="none", note=note)


def _edited(folder: Path, ask: Ask, steps: str) -> tuple[int, int]:
    """How many results of one were stale after the edit of the helper, how many ran again after that of a comment."""
    name = "pipeline.py" if steps is _CLEW else "steps.py"

    def write(number: int, comment: str) -> None:
        (folder / "helper.py").write_text(_HELPER.format(number=number))
        (folder / name).write_text(steps.format(comment=comment, ran=str(folder / "ran")))

    write(1, "as it was")
    if ask(folder) != 2:
        raise RuntimeError(f"the first run in {folder} gave something else")
    before = _runs(folder)
    write(1, "another comment")
    ask(folder)
    again = _runs(folder) - before
    write(10, "another comment")
    return int(ask(folder) != 11), again


def _runs(folder: Path) -> int:
    try:
        return len((folder / "ran").read_text().splitlines())
    except FileNotFoundError:
        return 0


def _clew(folder: Path) -> int:
    command = [sys.executable, "-m", "clew.cli", "--workspace", str(folder)]
    if not (folder / ".clew").exists():
        subprocess.run([*command[:3], "init", str(folder)], check=True, capture_output=True)
    done = subprocess.run([*command, "run", "pipeline.py", "--json"], cwd=folder, check=True, capture_output=True)
    [step] = json.loads(done.stdout)["steps"]
    if step["status"] == "ran":
        with (folder / "ran").open("a") as file:
            file.write("ran\n")
    import clew
    from clew.pipelines.history import output

    with clew.open_workspace(folder) as workspace:
        return int(output(workspace, "latest", "one"))


def _library(name: str) -> Ask:
    return lambda folder: int(program(name, "stale", str(folder))["value"])


def _metaflow(folder: Path) -> int:
    value = folder / "value"
    first = not value.exists()
    (folder / "flow.py").write_text(_FLOW.format(value=str(value)))
    # `end` runs again, so that what it is given is seen.
    process(metaflow("flow.py", *(["run"] if first else ["resume", "end"])), folder, metaflow_settings(folder))
    return int(value.read_text())


def _dvc(folder: Path) -> int:
    made = Dvc(folder)
    if not (folder / ".dvc").exists():
        made = Dvc.create(folder)
        (folder / "script.py").write_text(_SCRIPT)
        stage: dict[str, Any] = {
            "cmd": f"{sys.executable} script.py", "deps": ["script.py", "steps.py"], "outs": ["value.json"]
        }  # fmt: skip
        (folder / "dvc.yaml").write_text(json.dumps({"stages": {"one": stage}}))
    made.run("repro", "--quiet")
    return int(json.loads((folder / "value.json").read_text()))


_PEERS: Final[dict[str, Ask]] = {
    "joblib": _library("joblib"),
    "sf-hamilton": _library("sf-hamilton"),
    "redun": _library("redun"),
    "metaflow": _metaflow,
    "dvc": _dvc,
    "kedro": _library("kedro"),
}
