"""The thread of a prediction in plain words, for a terminal."""

from collections.abc import Iterable, Mapping
from typing import Any

from clew.thread.words import amount, moment, plain, share

Fact = Mapping[str, Any]
_WIDTH = 110


def describe(thread: Fact) -> str:
    """What `why` found, in about 20 lines of at most 120 columns; control characters never reach the terminal."""
    lines = [f"prediction {plain(thread['prediction']['id'])}"]
    for label, text in _lines(thread):
        lines.append(f"  {label:<12}{_cut(plain(text))}")
    return "\n".join(lines) + "\n"


def _lines(thread: Fact) -> Iterable[tuple[str, str]]:
    yield from _prediction(thread)
    yield from _route(thread)
    yield from _model(thread)
    yield from _run(thread)
    yield from _data(thread)
    yield from _outcomes(thread)
    for note in thread["notes"]:
        yield "note", note


def _prediction(thread: Fact) -> Iterable[tuple[str, str]]:
    found = thread["prediction"]
    said = f"failed: {found['error']}" if found["error"] else amount(found["output"])
    entity = f" for {found['entity']}" if found["entity"] else ""
    yield "answered", f"{said}{entity}, by endpoint {found['endpoint']} in {found['latency_us'] / 1000:g} ms"
    late = "" if found["occurred_at"] == found["recorded_at"] else f", recorded {moment(found['recorded_at'])}"
    yield "when", f"{moment(found['occurred_at'])}{late}"
    yield "inputs", _pairs(found["inputs"])
    yield "version", f"{found['model_version']} as {found['role']}, share {share(found['share'])}: {found['reason']}"
    for other in found["shadow"]:
        said = f"failed: {other['error']}" if other["error"] else f"said {amount(other['output'])}"
        yield "shadow", f"{other['model_version']} ({other['role']}) {said}"


def _route(thread: Fact) -> Iterable[tuple[str, str]]:
    route = thread["route"]
    if route is None:
        return
    shares = ", ".join(f"{one['model_version']} {one['role']} {share(one['share'])}" for one in route["shares"])
    yield "route", f"revision {route['revision']}, {moment(route['occurred_at'])}: {shares}"
    yield "", route["reason"]
    if route["rollout"]:
        rollout = route["rollout"]
        yield "rollout", f"{rollout['champion']} → {rollout['candidate']}, {rollout['state'].replace('_', ' ')}"


def _model(thread: Fact) -> Iterable[tuple[str, str]]:
    model = thread["model"]
    if model is None:
        return
    aliases = f", also {', '.join(model['aliases'])}" if model["aliases"] else ""
    yield "model", f"{model['reference']}, {model['state']}, {model['provenance']}{aliases}, {_short(model)}"
    if model["metrics"]:
        yield "metrics", _pairs(model["metrics"])


def _run(thread: Fact) -> Iterable[tuple[str, str]]:
    run, code, environment = thread["run"], thread["code"], thread["environment"]
    if run is not None:
        yield "run", f"{run['name']} ({run['entry']}), {run['state']}, by {run['actor']}, {moment(run['occurred_at'])}"
        yield "", run["id"]
        if run["parameters"]:
            yield "parameters", _pairs(run["parameters"])
    if code is not None:
        commit = f", commit {code['git_commit'][:12]}" if code["git_commit"] else ""
        dirty = " with changes" if code["git_dirty"] else ""
        files = len(code["files"])
        yield "code", f"{_short(code)}, {files} file{'s' * (files != 1)}{commit}{dirty}"
    if environment is not None:
        what = f"Python {environment['python']} on {environment['platform']}"
        yield "environment", f"{what}, {_short(environment)}"
    if thread["steps"]:
        yield "steps", ", ".join(f"{step['name']} ({step['state']})" for step in thread["steps"])


def _data(thread: Fact) -> Iterable[tuple[str, str]]:
    for rows in thread["rows"]:
        yield f"{rows['role']} rows", f"{amount(rows['rows'])} rows, {_short(rows)}"
    for snapshot in thread["snapshots"]:
        size = f"{amount(snapshot['rows'])} rows" if snapshot["rows"] is not None else snapshot["kind"]
        yield "snapshot", f"{snapshot['reference']} as {snapshot['role']}, {size}, {_short(snapshot)}"
        for check in snapshot["checks"][:1]:
            found = len(check["findings"])
            findings = f", {found} finding{'s' * (found != 1)}" if found else ""
            yield "contract", f"{check['contract']}: {'passed' if check['passed'] else 'broken'}{findings}"
        if snapshot["policies"]:
            yield "policies", ", ".join(f"{one['column']} {one['action']}" for one in snapshot["policies"])
        for source in snapshot["sources"][:3]:
            sha256 = f", sha256 {source['sha256'][:12]}…" if source["sha256"] else ""
            yield "source", f"{source['uri']}{sha256}"
        if len(snapshot["sources"]) > 3:
            yield "", f"and {len(snapshot['sources']) - 3} more files"


def _outcomes(thread: Fact) -> Iterable[tuple[str, str]]:
    if not thread["outcomes"]:
        yield "outcome", "none yet"
    for one in thread["outcomes"]:
        off = "" if one["error"] is None else f", the answer was {_off(one['error'])}"
        days = one["delay_days"]
        when = f"{days:.1f} days later" if days >= 1 else f"{days * 24:.1f} hours later"
        yield "outcome", f"{one['name']} ({one['kind']}) = {amount(one['value'])}, {when}{off}"


def _short(thing: Fact) -> str:
    """The scheme and the first digits of a content id: enough for a reference."""
    return f"{thing['content_id'][:15]}…"


def _off(error: float) -> str:
    if error == 0:
        return "exact"
    return f"{amount(abs(error))} too {'high' if error > 0 else 'low'}"


def _pairs(values: Any) -> str:
    if not isinstance(values, Mapping):
        return amount(values)
    return ", ".join(f"{name}={amount(value)}" for name, value in values.items())


def _cut(text: str) -> str:
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 1]}…"
