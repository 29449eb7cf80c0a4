"""The same chain of 100 steps and map of 1,000 that do nothing, in clew and in each peer, cold and cached."""

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from scripts.bench_parts.data_peers.environments import Dvc
from scripts.bench_parts.data_peers.measure import Cost, fresh, median, process
from scripts.bench_parts.data_peers.rows import Row, progress

from .clews import Builds
from .peers import metaflow, metaflow_settings, program

PART: Final = "beside others"
STEPS: Final = 100
WIDTH: Final = 1000
_NARROW: Final = 100  # as wide as the map is where each call is a process of seconds
Found = dict[str, Cost]
_WHAT: Final = {
    "start": "start of the process, until its first step has run, CPU",
    "first": f"{STEPS} steps in a chain, first run, CPU of the driver",
    "cached": f"the same {STEPS} again, CPU of the driver",
    "map": f"a map of {WIDTH:,}, on the clock",
}
_NOTES: Final = {
    ("joblib", "first"): "results are pickled to files, and nothing is kept of runs, code or environment",
    ("joblib", "map"): "joblib.Parallel of two processes, cached functions",
    ("redun", "map"): "its threads",
    ("sf-hamilton", "map"): "Parallelizable and Collect, two threads, with its cache",
    ("kedro", "first"): "keeps nothing: results stay in memory",
    ("kedro", "map"): "1,000 nodes and one that takes them all",
    ("metaflow", "first"): "a process for each step; CPU of all of them",
    ("metaflow", "cached"): "resume, which takes results by name",
    ("dvc", "first"): "a stage is a command (cp); CPU of all processes",
    ("metaflow", "map"): f"foreach over {_NARROW} alone, two at once",
    ("dvc", "map"): f"foreach over {_NARROW} alone",
}


def measure(folder: Path, rounds: int) -> list[Row]:
    """One row for each peer and each of start, first, cached and map."""
    own = _clew(fresh(folder / "clew"), rounds)
    found: dict[str, Found] = {}
    for name in ("joblib", "sf-hamilton", "kedro", "redun"):
        progress(f"{PART}: {name}")
        turns = [_library(name, fresh(folder / name)) for _ in range(1 if name == "redun" else rounds)]
        found[name] = {what: median([turn[what] for turn in turns]) for what in turns[0]}
    for name, act in {"metaflow": _metaflow, "dvc": _dvc}.items():
        progress(f"{PART}: {name}")
        found[name] = act(fresh(folder / name))
    rows = []
    for what, words in _WHAT.items():
        for peer, costs in found.items():
            if what in costs:
                rows.append(_row(what, words, own, peer, costs[what]))
            elif what == "cached":
                rows.append(Row(PART, words, own[what].cpu, "s", peer, note="has no cache: it runs all again"))
        if what == "map":
            plain = found["joblib"]["plain map"]
            rows.append(_row(what, f"{words}; joblib without its cache", own, "joblib", plain, "keeps nothing"))
    return rows


def _row(what: str, words: str, own: Found, peer: str, theirs: Cost, note: str | None = None) -> Row:
    note = _NOTES.get((peer, what), "") if note is None else note
    narrow = what == "map" and peer in ("metaflow", "dvc")
    if narrow:
        words = f"a map of {WIDTH:,} in clew, of {_NARROW} in {peer}, on the clock"
    if what == "map":
        said = f"CPU {own[what].cpu:.2g} s against {theirs.cpu:.2g} s"
        value, other = own[what].wall, theirs.wall
    else:
        said = f"on the clock {own[what].wall:.2g} s against {theirs.wall:.2g} s" if what != "start" else ""
        value, other = own[what].cpu, theirs.cpu
    return Row(PART, words, value, "s", peer, other, note="; ".join(one for one in (said, note) if one))


def _clew(folder: Path, rounds: int) -> Found:
    progress(f"{PART}: clew")
    builds = Builds(folder)
    builds.fresh("chain", length=STEPS)
    builds.fresh("spread", "processes", width=WIDTH)
    taken: dict[str, list[Cost]] = {"first": [], "cached": [], "map": []}
    for _ in range(rounds):
        taken["first"].append(builds.fresh("chain", length=STEPS))
        taken["cached"].append(builds.again("chain", length=STEPS))
        taken["map"].append(builds.fresh("spread", "processes", width=WIDTH))
    builds.close()
    command = [sys.executable, "-m", "clew.cli", "run", f"{builds.file}:chain", "--json"]
    starts = [process([*command, "--set", f"k={-turn}"], folder, {"CLEW_WORKSPACE": os.fspath(folder)})
              for turn in range(1, rounds + 1)]  # fmt: skip
    return {"start": median(starts)} | {what: median(costs) for what, costs in taken.items()}


def _library(name: str, folder: Path) -> Found:
    return {what: Cost(one["wall"], one["cpu"]) for what, one in program(name, "speed", str(folder)).items()}


_FLOW: Final = """from metaflow import FlowSpec, Parameter, step
class Flow(FlowSpec):
    k = Parameter("k", default=0)
{steps}
if __name__ == "__main__":
    Flow()
"""
_STEP: Final = "    @step\n    def {name}(self{more}):\n        {body}\n"


def _metaflow(folder: Path) -> Found:
    names = ["start", *(f"s{number}" for number in range(1, STEPS - 1)), "end"]
    texts = [
        _STEP.format(name=name, more="", body="self.x = 1" + (f"; self.next(self.{after})" if after else ""))
        for name, after in zip(names, [*names[1:], ""], strict=True)
    ]
    (folder / "chain.py").write_text(_FLOW.format(steps="".join(texts)))
    fan = [("start", "", f"self.xs = list(range({_NARROW})); self.next(self.one, foreach='xs')"),
           ("one", "", "self.y = self.input; self.next(self.join)"),
           ("join", ", inputs", "self.total = sum(one.y for one in inputs); self.next(self.end)"),
           ("end", "", "pass")]  # fmt: skip
    (folder / "fan.py").write_text(_FLOW.format(steps="".join(_STEP.format(name=n, more=m, body=b) for n, m, b in fan)))
    (folder / "single.py").write_text(
        _FLOW.format(steps=_STEP.format(name="start", more="", body="self.next(self.end)")
                     + _STEP.format(name="end", more="", body="pass"))
    )  # fmt: skip
    settings = metaflow_settings(folder)

    def flow(name: str, *words: str) -> Cost:
        return process(metaflow(f"{name}.py", *words), folder, settings)

    return {
        "start": flow("single", "run"),
        "first": flow("chain", "run"),
        "cached": flow("chain", "resume"),
        "map": flow("fan", "run", "--max-workers", "2"),
    }


def _dvc(folder: Path) -> Found:
    def repository(name: str, stages: dict[str, Any]) -> Callable[[], Cost]:
        made = Dvc.create(folder / name)
        (made.folder / "x0").write_text("0")
        (made.folder / "dvc.yaml").write_text(json.dumps({"stages": stages}))  # YAML holds JSON
        return lambda: process(made.command("repro", "--quiet"), made.folder, made.settings)

    def stage(before: str, after: str) -> dict[str, Any]:
        return {"cmd": f"cp {before} {after}", "deps": [before], "outs": [after]}

    single = repository("single", {"s1": stage("x0", "x1")})
    chain = repository("chain", {f"s{n}": stage(f"x{n - 1}", f"x{n}") for n in range(1, STEPS + 1)})
    fan = repository("fan", {"one": {"foreach": list(range(_NARROW)), "do": stage("x0", "y${item}")}})
    found = {"start": single(), "first": chain(), "cached": chain(), "map": fan()}
    shutil.rmtree(folder)
    return found
