"""What a bisection found, as facts and in words."""

import textwrap
from collections.abc import Iterator
from typing import Any, Final

from clew._words import number
from clew.models.bisection.changes import Change
from clew.models.bisection.metrics import Metric
from clew.models.bisection.search import Effect, Level
from clew.stats import Interval

Facts = dict[str, Any]
_WIDTH: Final = 120
_NARROWEST: Final = 30


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
    """What a bisection found, in words, in lines of at most 120 characters but for diffs."""
    lines = [f"{facts['good']} → {facts['bad']}: {facts['verdict']}", *_wrapped(facts["says"], "  ")]
    if facts["found"] is not None and facts["found"]["is_loss"]:
        lines += ["", *_level(facts["found"], "  "), ""]
    if facts["chance"] is not None:
        lines.append(f"  another seed moves {facts['metric']} by {number(facts['chance'])}")
    for note in facts["notes"]:
        lines += _wrapped(f"note: {note}", "  ")
    made = facts["builds"]
    failed = sum("error" in one for one in made)
    cached = sum("error" not in one and not one["fresh"] for one in made)
    said = f"  {len(made)} {'build' if len(made) == 1 else 'builds'}, {cached} of them wholly from the cache"
    lines.append(f"{said}; {failed} failed, as mixtures may" if failed else said)
    return "\n".join(lines)


def _wrapped(text: str, indent: str, more: str = "  ") -> list[str]:
    return textwrap.wrap(
        text, _WIDTH, initial_indent=indent, subsequent_indent=indent + more, break_long_words=False,
        break_on_hyphens=False,
    )  # fmt: skip


def _level(level: Facts, indent: str) -> Iterator[str]:
    yield f"{indent}loss {_said(level['loss'])}"
    if len(level["effects"]) > 1:
        yield from _effects(level["effects"], indent)
    for one in level["interactions"]:
        yield from _wrapped(
            f"together, {' and '.join(one['between'])} do {_said(one['effect'])} beyond what each does alone", indent
        )
    yield from _wrapped(f"smallest set that shows it: {'; '.join(one['says'] for one in level['smallest'])}", indent)
    if level["remaining"] is not None and level["remaining"][0]:
        yield f"{indent}  beyond it the bad version loses {_said(level['remaining'])}"
    for one in level["smallest"]:
        inside = level["inside"].get(one["says"])
        if one.get("diff"):
            yield from (f"{indent}    {line}" for line in one["diff"].splitlines())
        if inside is not None and inside["is_loss"]:
            yield ""
            yield from _wrapped(f"inside of {one['says']}:", indent)
            yield from _level(inside, indent + "  ")


def _effects(effects: list[Facts], indent: str) -> Iterator[str]:
    """A table: what each change does when it is added to the good version, and when it is taken out of the bad one."""
    heads = ("change", "added to the good one", "taken out of the bad one")
    cells = [(one["says"], _said(one["adding"]), _said(one["removing"])) for one in effects]
    adding = max(len(heads[1]), *(len(cell[1]) for cell in cells))
    removing = max(len(heads[2]), *(len(cell[2]) for cell in cells))
    room = max(_NARROWEST, _WIDTH - len(indent) - adding - removing - 4)
    width = min(room, max(len(heads[0]), *(len(cell[0]) for cell in cells)))
    yield f"{indent}{heads[0].ljust(width)}  {heads[1].ljust(adding)}  {heads[2]}".rstrip()
    for one, (says, added, removed) in zip(effects, cells, strict=True):
        # The arrow stands before, where no length of a line moves it.
        mark = f"{indent[:-2]}→ " if one["matters"] else indent
        first, *others = textwrap.wrap(says, width, break_on_hyphens=False) or [""]
        yield f"{mark}{first.ljust(width)}  {added.ljust(adding)}  {removed}".rstrip()
        yield from (f"{indent}  {line}" for line in textwrap.wrap(" ".join(others), width - 2, break_on_hyphens=False))


def _said(interval: list[float] | None) -> str:
    if interval is None:
        return "couldn't be built"
    estimate, low, high = interval
    if low == high == 0:
        return "0 (the same predictions)"
    return f"{_signed(estimate)} ({_signed(low)} to {_signed(high)})"


def _signed(value: float) -> str:
    return f"{'+' if value > 0 else ''}{number(value)}"
