"""`clew run` and `clew runs`: pipelines and what became of them."""

import contextlib
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clew._words import number
from clew.cli._shared import Json, OccurredAt, Settings, emit, parse_moment, parse_settings, say, session, table

if TYPE_CHECKING:
    from clew.pipelines import RunResult
    from clew.pipelines.sweep import SweepResult
    from clew.workspace import Workspace

runs = typer.Typer(help="Runs that were.", no_args_is_help=True, rich_markup_mode=None)
_MARKS = {"ran": "ran     ", "cached": "cached  ", "failed": "FAILED  ", "skipped": "skipped "}


def run(
    target: Annotated[str, typer.Argument(metavar="FILE.py[:PIPELINE]", help="The pipeline.")],
    settings: Settings = None,
    plan: Annotated[bool, typer.Option("--plan", help="Show the steps, and run nothing.")] = False,
    executor: Annotated[
        str,
        typer.Option(
            envvar="CLEW_EXECUTOR",
            help="Where steps run: inline, processes, ray; auto takes processes when there is parallel work.",
        ),
    ] = "auto",
    workers: Annotated[int | None, typer.Option(help="How many processes at most.")] = None,
    pin: Annotated[
        list[str] | None,
        typer.Option(help="NAME=REF: read REF where the pipeline says NAME, which may be a reference: --pin x@2=x@1."),
    ] = None,
    occurred_at: OccurredAt = None,
    as_json: Json = False,
) -> None:
    """Run a pipeline; steps that ran before on the same data, code and parameters are taken from the cache."""
    from clew import pipelines
    from clew.errors import RefusedError, StepError

    with session() as workspace:
        parameters = parse_settings(settings)
        if plan:
            with _others_apart():
                pipeline, _ = pipelines.load(target)
                steps = pipelines.plan_of(pipeline.wire(pipeline.bind(parameters)))
            emit(steps, as_json, lambda: _drawn(steps))
            return
        progress = _Progress(quiet=as_json)
        try:
            with _others_apart():
                pipeline, path = pipelines.load(target)
                result = pipelines.run(
                    workspace,
                    pipeline,
                    path,
                    parameters,
                    observer=progress,
                    occurred_at=parse_moment(occurred_at),
                    executor=pipelines.mode(executor),
                    workers=workers,
                    pins=_pinned(workspace, pin),
                )
        except StepError:
            if as_json:
                emit(_failed(workspace, progress), as_json, str)
            raise
        finally:
            progress.close()
    value = {
        "run": result.run,
        "status": result.status,
        "steps": [{"name": one.name, "status": one.status, "why": one.why} for one in result.steps],
        "metrics": result.metrics,
        "models": result.models,
    }
    for note in result.notes:
        say(f"note: {note}")
    emit(value, as_json, lambda: _words(result))
    if result.refused:
        raise RefusedError(f"the model was refused: {'; '.join(result.refused)}", mend="clew runs show latest")


def _others_apart() -> "contextlib.redirect_stdout[Any]":
    """What the user's modules and libraries print goes where messages go: the answer stands alone on stdout."""
    return contextlib.redirect_stdout(sys.stderr)


def sweep(
    target: Annotated[str, typer.Argument(metavar="FILE.py[:PIPELINE]", help="The pipeline.")],
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="A parameter: name=4..8, name=log:1e-4..1, name=0..1:0.25, name=a,b,c; or one value."
        ),
    ] = None,
    trials: Annotated[int, typer.Option(help="How many trials, those of before counted.")] = 50,
    minimize: Annotated[str | None, typer.Option(help="The metric of which less is better.")] = None,
    maximize: Annotated[str | None, typer.Option(help="The metric of which more is better.")] = None,
    sampler: Annotated[str, typer.Option(help="tpe learns from the trials; random; grid tries all.")] = "tpe",
    prune: Annotated[
        str | None,
        typer.Option(metavar="STEP", help="End trials early by what the calls of this step give: folds, rounds."),
    ] = None,
    pruner: Annotated[str, typer.Option(help="median, or halving.")] = "median",
    seed: Annotated[int, typer.Option(help="Of the sampler.")] = 0,
    executor: Annotated[str, typer.Option(envvar="CLEW_EXECUTOR", help="auto, inline, processes or ray.")] = "auto",
    workers: Annotated[int | None, typer.Option(help="How many trials side by side.")] = None,
    occurred_at: OccurredAt = None,
    as_json: Json = False,
) -> None:
    """Run a pipeline with varying parameters; the best ones are named, and their model is registered.

    Steps that don't depend on what is varied run once. The same command again goes on where it stopped.
    """
    from clew import pipelines
    from clew.errors import RefusedError, UsageError
    from clew.pipelines.sweep import sweep as run_sweep
    from clew.pipelines.trials import Trial

    if (minimize is None) == (maximize is None):
        raise UsageError("what is the best?", mend="--minimize mae, or --maximize r2")
    if sampler not in ("tpe", "random", "grid"):
        raise UsageError(f"there is no sampler {sampler!r}", mend="tpe, random or grid")
    if pruner not in ("median", "halving"):
        raise UsageError(f"there is no pruner {pruner!r}", mend="median or halving")
    metric = minimize or maximize or ""
    with session() as workspace:

        def told(so_far: "SweepResult", trial: Trial) -> None:
            best = so_far.best
            ended = "ended early" if trial.pruned else "failed"
            said = ended if trial.value is None else f"{metric} = {number(trial.value)}"
            record = "  (best so far)" if best is trial else ""
            if not as_json:
                say(f"  {len(so_far.trials)}/{trials}  {said}  {_assigned(trial.parameters)}{record}")

        with _others_apart():
            pipeline, path = pipelines.load(target)
            result = run_sweep(
                workspace,
                pipeline,
                path,
                parse_settings(settings),
                metric=metric,
                direction="minimize" if minimize else "maximize",
                trials=trials,
                sampler=sampler,  # type: ignore[arg-type]
                prune=prune,
                pruner=pruner,  # type: ignore[arg-type]
                seed=seed,
                executor=pipelines.mode(executor),
                workers=workers,
                observer=told,
                occurred_at=parse_moment(occurred_at),
            )
    ranked = result.ranked()
    value = {
        "sweep": result.run,
        "metric": metric,
        "best": {"run": ranked[0].run, "value": ranked[0].value, "parameters": ranked[0].parameters},
        "trials": [
            {"run": one.run, "state": one.state, "value": one.value, "parameters": one.parameters}
            for one in result.trials
        ],
        "importance": result.importance,
        "run": None if result.last is None else result.last.run,
        "models": [] if result.last is None else result.last.models,
    }
    emit(value, as_json, lambda: _sweep_words(result))
    if result.last is not None and result.last.refused:
        raise RefusedError(f"the model was refused: {'; '.join(result.last.refused)}", mend="clew runs show latest")


def _assigned(parameters: dict[str, Any]) -> str:
    return " ".join(
        f"{name}={number(value) if isinstance(value, float) else value}" for name, value in parameters.items()
    )


def _sweep_words(result: "SweepResult") -> str:
    ranked = result.ranked()
    rows = [{result.metric: number(one.value or 0.0), **one.parameters, "run": one.run} for one in ranked[:10]]
    early = sum(trial.pruned for trial in result.trials)
    told = f", {early} ended early" if early else ""
    lines = [f"sweep {result.run}: {len(result.trials)} trials, {len(ranked)} of them with a value{told}; the best:"]
    lines.append(table(rows, list(rows[0]), empty=""))
    if result.importance:
        told = ", ".join(f"{name} {share:.0%}" for name, share in result.importance.items())
        lines.append(f"what made the difference: {told}")
    if result.last is not None:
        lines += [f"registered {one}" for one in result.last.models]
    return "\n".join(lines)


def _drawn(steps: list[dict[str, Any]]) -> str:
    """The plan as a table, in the order of wiring."""
    rows = [
        {
            "step": one["name"] + ("" if one["calls"] == 1 else f" × {one['calls'] or '?'}"),
            "after": ", ".join(one["after"]),
            "if": " and ".join(one["when"]),
            "where": one["where"],
        }
        for one in steps
    ]
    return table(rows, ("step", "after", "if", "where"), empty="no step")


def _pinned(workspace: "Workspace", pins: list[str] | None) -> dict[str, Any]:
    """Snapshots by what the pipeline calls them. Raises UsageError, NotFoundError."""
    from clew.data import find
    from clew.errors import UsageError

    found = {}
    for text in pins or []:
        name, _, reference = text.rpartition("=")
        if not name:
            raise UsageError(f"--pin {text} names nothing", mend="--pin sales@2=sales@1")
        found[name] = find(workspace, reference)
    return found


def _failed(workspace: "Workspace", progress: "_Progress") -> dict[str, Any]:
    """What is said of a run in which a step raised; its traceback goes to stderr."""
    from clew.pipelines.history import list_runs

    newest = list_runs(workspace, most=1)
    return {
        "run": newest[0]["run"] if newest else None,
        "status": "failed",
        "steps": progress.steps,
        "metrics": {},
        "models": [],
    }


def _words(result: "RunResult") -> str:
    lines = [f"run {result.run} {result.status}"]
    lines += [f"  {name} = {number(value)}" for name, value in result.metrics.items()]
    lines += [f"  registered {one}" for one in result.models]
    return "\n".join(lines)


class _Progress:
    """Steps as they go, on stderr; a spinner only on a terminal."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self.steps: list[dict[str, str]] = []
        self._spinner = None
        if not quiet and sys.stderr.isatty():
            from rich.console import Console

            self._spinner = Console(stderr=True).status("…")
            self._spinner.start()

    def __call__(self, name: str, state: str, why: str) -> None:
        if state in _MARKS:
            self.steps.append({"name": name, "status": state, "why": "it raised" if state == "failed" else why})
        if self._spinner is not None and state == "running":
            self._spinner.update(f"{name} …")
        elif not self._quiet and state in _MARKS:
            say(f"  {_MARKS[state]}{name}" + (f"  ({why})" if why and state != "failed" else ""))

    def close(self) -> None:
        if self._spinner is not None:
            self._spinner.stop()


@runs.command("list")
def list_(most: Annotated[int, typer.Option(help="How many.")] = 50, as_json: Json = False) -> None:
    """The newest runs."""
    from clew.pipelines.alive import mark_interrupted
    from clew.pipelines.history import list_runs
    from clew.workspace import open_folder

    with open_folder() as workspace:
        mark_interrupted(workspace)
        found = list_runs(workspace, most=most)
    columns = ("run", "name", "state", "started", "seconds", "models")
    emit(found, as_json, lambda: table(found, columns, empty="nothing has run yet: clew run FILE.py"))


@runs.command()
def show(
    run: Annotated[str, typer.Argument(help="A run's id, six characters of it, or latest.")], as_json: Json = False
) -> None:
    """One run: data, code, parameters, environment, steps, metrics, models."""
    from clew.pipelines.history import show as show_run
    from clew.workspace import open_folder

    with open_folder() as workspace:
        found = show_run(workspace, run)
    emit(found, as_json, lambda: _show(found))


def _show(found: dict) -> str:  # type: ignore[type-arg]
    lines = [f"run {found['run']}  {found['name']}  {found['status']}  by {found['by']}  {found['provenance']}"]
    lines += [
        f"  read {one['snapshot']} ({one['id'][:13]}…) as {one['role']}"
        + (f", passed {one['contract']}" if one["contract"] else "")
        for one in found["inputs"]
    ]
    lines += [f"  {name} = {value}" for name, value in found["parameters"].items()]
    lines += [f"  {_MARKS.get(one['status'], one['status'])}{one['name']}  ({one['why']})" for one in found["steps"]]
    lines += [
        f"  trial {one['run']}  {one['state']}  {'' if one['value'] is None else number(one['value'])}  "
        f"{_assigned(one['parameters'])}"
        for one in found["trials"]
    ]
    lines += [f"  {name} = {number(value)}" for name, value in found["metrics"].items()]
    lines += [f"  registered {one}" for one in found["models"]]
    if found["error"]:
        lines.append(found["error"])
    return "\n".join(lines)


@runs.command()
def explain(run: str, step: str, as_json: Json = False) -> None:
    """Why a step ran, or didn't."""
    from clew.pipelines.history import explain as explain_step
    from clew.workspace import open_folder

    with open_folder() as workspace:
        found = explain_step(workspace, run, step)
    emit(found, as_json, lambda: "\n".join(_explained(found)))


@runs.command()
def log(run: str, step: str, as_json: Json = False) -> None:
    """What a step printed, and the tracebacks of attempts that were tried again."""
    from clew.pipelines.history import log as log_of
    from clew.workspace import open_folder

    with open_folder() as workspace:
        found = log_of(workspace, run, step)
    emit({"step": step, "log": found}, as_json, lambda: found.removesuffix("\n") or f"{step} printed nothing")


def _explained(found: dict[str, Any]) -> list[str]:
    """What became of a step, and all that its key is made of."""
    lines = [f"{found['step']}: {found['status']}, {found['why']}"]
    parts = found["parts"]
    if not parts:
        return lines
    if parts.get("whole"):
        lines.append(f"  code       all of the project counts, since it uses {'; '.join(parts['whole'])}")
    else:
        lines.append(f"  code       {', '.join(parts['code'])}")
    plain = {
        "inputs": dict.fromkeys(parts["inputs"]),
        "parameters": parts["parameters"],
        "libraries": parts["libraries"],
        "values": dict.fromkeys(parts["values"]),
        "files": dict.fromkeys(parts["files"]),
        "variables": dict.fromkeys(parts["env"]),
        "imports": dict.fromkeys(parts["imported"]),
    }
    lines += [
        f"  {name:<10} {', '.join(one if value is None else f'{one} {value}' for one, value in held.items())}"
        for name, held in plain.items()
        if held
    ]
    return [*lines, f"  platform   {parts['platform']}"]
