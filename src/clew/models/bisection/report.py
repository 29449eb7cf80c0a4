"""What a bisection found, as facts and in words."""

from collections.abc import Iterator
from typing import Any

from clew._words import number
from clew.models.bisection.changes import Change
from clew.models.bisection.metrics import Metric
from clew.models.bisection.search import Effect, Level
from clew.stats import Interval

Facts = dict[str, Any]


def level_facts(level: Level, metric: Metric) -> Facts:
    """A level as JSON: effects, interactions, the smallest set, and the levels inside of it. More is worse."""
    return {
        "good": metric.shown(level.good.value),
        "bad": metric.shown(level.bad.value),
        "loss": _interval(level.loss),
        "is_loss": level.is_loss,
        "effects": [_effect(one, level) for one in sorted(level.effects, key=lambda one: -one.most)],
        "interactions": [
            {"between": [a.says, b.says], "effect": _interval(found)} for a, b, found in level.interactions
        ],
        "smallest": [_change(change) for change in level.smallest],
        "remaining": _interval(level.remaining),
        "inside": {
            change.says: level_facts(level.inner[change.key], metric)
            for change in level.smallest
            if change.key in level.inner
        },
        "complete": level.complete,
    }


def _change(change: Change) -> Facts:
    about = {name: value for name, value in change.about.items() if name != "all"}
    return {"key": change.key, "kind": change.kind, "says": change.says, **about}


def _effect(effect: Effect, level: Level) -> Facts:
    loss = level.loss.estimate
    return {
        "key": effect.change.key,
        "kind": effect.change.kind,
        "says": effect.change.says,
        "adding": _interval(effect.adding),
        "removing": _interval(effect.removing),
        "share": effect.size / loss if loss else None,
        "matters": effect.matters,
        "unbuilt": effect.unbuilt,
    }


def _interval(found: Interval | None) -> list[float] | None:
    return None if found is None else [found.estimate, found.low, found.high]


def describe(facts: Facts) -> str:
    """What a bisection found, in words."""
    lines = [f"{facts['good']} → {facts['bad']}: {facts['verdict']}", f"  {facts['says']}"]
    if facts["found"] is not None and facts["found"]["is_loss"]:
        lines += ["", *_level(facts["found"], "  ")]
    if facts["chance"] is not None:
        lines.append(f"  another seed moves {facts['metric']} by {number(facts['chance'])}")
    lines += [f"  note: {note}" for note in facts["notes"]]
    made = facts["builds"]
    fresh = sum(bool(one.get("fresh")) for one in made)
    lines.append(f"  {len(made)} builds, {len(made) - fresh} of them wholly from the cache")
    return "\n".join(lines)


def _level(level: Facts, indent: str) -> Iterator[str]:
    yield f"{indent}loss {_said(level['loss'])}"
    if len(level["effects"]) > 1:
        width = max(len(one["says"]) for one in level["effects"])
        width = min(width, 76)
        yield f"{indent}{'change'.ljust(width)}  {'added to the good one':26}  taken out of the bad one"
        for one in level["effects"]:
            mark = "  ←" if one["matters"] else ""
            says = one["says"] if len(one["says"]) <= width else one["says"][: width - 1] + "…"
            yield f"{indent}{says.ljust(width)}  {_said(one['adding']):26}  {_said(one['removing'])}{mark}"
    for one in level["interactions"]:
        yield f"{indent}together, {' and '.join(one['between'])} do {_said(one['effect'])} beyond what each does alone"
    yield f"{indent}smallest set that shows it: {'; '.join(one['says'] for one in level['smallest'])}"
    if level["remaining"] is not None and level["remaining"][0]:
        yield f"{indent}  beyond it the bad version loses {_said(level['remaining'])}"
    for one in level["smallest"]:
        inside = level["inside"].get(one["says"])
        if one.get("diff"):
            yield from (f"{indent}    {line}" for line in one["diff"].splitlines())
        if inside is not None and inside["is_loss"]:
            yield f"{indent}inside of {one['says']}:"
            yield from _level(inside, indent + "  ")


def _said(interval: list[float] | None) -> str:
    if interval is None:
        return "couldn't be built"
    estimate, low, high = interval
    if low == high == 0:
        return "0 (the same predictions)"
    return f"{_signed(estimate)} ({_signed(low)} to {_signed(high)})"


def _signed(value: float) -> str:
    return f"{'+' if value > 0 else ''}{number(value)}"
