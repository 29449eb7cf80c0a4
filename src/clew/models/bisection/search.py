"""Which of the changes made it worse: builds with some of them, and what follows from how they did.

From both ends: each change is added to the good version alone, and taken out of the bad one alone. Two that only hurt
together show by the second and not by the first. A change that is guilty is taken apart, with the other guilty ones in
place, and the same is asked of its parts.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from clew.models.bisection.changes import Change, grouped
from clew.models.bisection.metrics import Measured, contrast
from clew.stats import Interval

Cell = frozenset[Change]
"""The changes that a build takes from the bad version."""

MOST: Final = 6  # changes that are crossed one by one; more are taken together first
_MATTERS: Final = 0.1  # share of the loss that an effect must have to count
_EXPLAINS: Final = 0.85  # share of the loss that the smallest set must show
_AT_LEAST: Final = 0.5  # or so much, where what remains may be nothing


class BudgetSpentError(Exception):
    """No more builds are allowed; internal to the search."""


@dataclass(frozen=True)
class Unbuilt:
    """A build that failed, as some mixtures do."""

    error: str


Measure = Callable[[Sequence[Cell]], list[Measured | Unbuilt]]


@dataclass
class Effect:
    """What one change does: added to the good version alone, and taken out of the bad one alone."""

    change: Change
    adding: Interval | None = None
    removing: Interval | None = None
    matters: bool = False
    unbuilt: str | None = None

    @property
    def size(self) -> float:
        """The mean of the two; one of them, where the other couldn't be built."""
        known = [one.estimate for one in (self.adding, self.removing) if one is not None]
        return sum(known) / len(known) if known else 0.0

    @property
    def most(self) -> float:
        """The larger of the two."""
        return max((one.estimate for one in (self.adding, self.removing) if one is not None), default=0.0)


@dataclass
class Level:
    """What was found among some changes, while others were in place."""

    good: Measured
    bad: Measured
    loss: Interval
    is_loss: bool
    effects: list[Effect] = field(default_factory=list)
    interactions: list[tuple[Change, Change, Interval]] = field(default_factory=list)
    smallest: list[Change] = field(default_factory=list)
    remaining: Interval | None = None
    """What the bad version loses beyond a build with the smallest set alone."""
    inner: dict[str, "Level"] = field(default_factory=dict)
    complete: bool = True
    """Whether the budget sufficed."""

    def guilty(self) -> "list[Change]":
        """The smallest set, and of each of it the part that was found guilty where it was taken apart."""
        found = []
        for change in self.smallest:
            inner = self.inner.get(change.key)
            found += inner.guilty() if inner is not None and inner.is_loss and inner.smallest else [change]
        return found


class Search:
    """The search among the changes of one bisection.

    Args:
        measure: builds cells, and says how each did. Raises BudgetSpentError.
        alpha: of the intervals; those of one level hold together (Bonferroni).
        margin: a loss of no more than this is none.
    """

    def __init__(self, measure: Measure, *, alpha: float = 0.05, margin: float = 0.0) -> None:
        self._measure = measure
        self._alpha = alpha
        self._margin = margin
        self._known: dict[Cell, Measured | Unbuilt] = {}

    def cells(self, wanted: Sequence[Cell]) -> list[Measured | Unbuilt]:
        """How these builds did; each is made once."""
        new = list(dict.fromkeys(cell for cell in wanted if cell not in self._known))
        if new:
            self._known.update(zip(new, self._measure(new), strict=True))
        return [self._known[cell] for cell in wanted]

    def explore(self, changes: Sequence[Change], among: Iterable[Change] = ()) -> "Level | Unbuilt":
        """Find those that make it worse, with those of `among` in place. Unbuilt: an end of it can't be built."""
        on = frozenset(among)
        level, factors = self._ends(changes, on)
        if isinstance(level, Unbuilt) or not level.is_loss:
            return level
        try:
            self._cross(level, factors, on)
            self._pairs(level, on)
            self._choose(level, on)
            for change in level.smallest:
                if change.parts:
                    others = [one for one in level.smallest if one is not change]
                    inner = self.explore(change.parts, [*on, *others])
                    if isinstance(inner, Level):
                        level.inner[change.key] = inner
                        level.complete &= inner.complete
        except BudgetSpentError:
            level.complete = False
            if not level.smallest:
                level.smallest = [effect.change for effect in level.effects if effect.matters]
        return level

    def _ends(self, changes: Sequence[Change], on: Cell) -> "tuple[Level | Unbuilt, list[Change]]":
        factors = grouped(changes, MOST)
        good, bad = self.cells([on, on | frozenset(factors)])
        for end in (good, bad):
            if isinstance(end, Unbuilt):
                return end, factors
        assert isinstance(good, Measured)
        assert isinstance(bad, Measured)
        loss = contrast([bad], [good], self._alpha)
        return Level(good, bad, loss, loss.low > 0 and loss.estimate > self._margin), factors

    def _cross(self, level: Level, factors: list[Change], on: Cell) -> None:
        """Each change from both ends. What can't be built alone is taken together with what it needs."""
        every = frozenset(factors)
        if len(factors) == 1:
            level.effects = [Effect(factors[0], level.loss, level.loss, matters=True)]
            return
        cells = self.cells([*(on | {one} for one in factors), *(on | (every - {one}) for one in factors)])
        each = self._alpha / (2 * len(factors))
        level.effects = []
        for change, alone, without in zip(factors, cells[: len(factors)], cells[len(factors) :], strict=True):
            effect = Effect(change)
            if isinstance(alone, Measured):
                effect.adding = contrast([alone], [level.good], each)
            if isinstance(without, Measured):
                effect.removing = contrast([level.bad], [without], each)
            errors = [one.error for one in (alone, without) if isinstance(one, Unbuilt)]
            effect.unbuilt = errors[0] if errors else None
            effect.matters = any(
                one is not None and one.low > 0 and one.estimate >= _MATTERS * level.loss.estimate
                for one in (effect.adding, effect.removing)
            )
            level.effects.append(effect)
        broken = [effect for effect in level.effects if effect.unbuilt]
        if len(broken) > 1 and len(factors) > 2:
            together = _inseparable([effect.change for effect in broken])
            self._cross(level, [*(one for one in factors if one not in together.about["all"]), together], on)
        elif broken and all(one.adding is None and one.removing is None for one in broken):
            together = _inseparable(factors)
            self._cross(level, [together], on)

    def _cell(self, changes: Iterable[Change], on: Cell) -> Measured | Unbuilt:
        return self.cells([on | frozenset(changes)])[0]

    def _pairs(self, level: Level, on: Cell) -> None:
        """Interactions of two: among changes whose effect isn't the same from both ends."""
        each = self._alpha / max(1, len(level.effects))
        moved: list[Effect] = []
        for effect in level.effects:
            if effect.adding is None or effect.removing is None or len(level.effects) < 2:
                continue
            every = frozenset(one.change for one in level.effects)
            alone, without = self._cell([effect.change], on), self._cell(every - {effect.change}, on)
            assert isinstance(alone, Measured)
            assert isinstance(without, Measured)
            shift = contrast([level.bad, level.good], [without, alone], each)
            if (shift.low > 0 or shift.high < 0) and abs(shift.estimate) >= _MATTERS * level.loss.estimate:
                moved.append(effect)
        pairs = [(a.change, b.change) for at, a in enumerate(moved) for b in moved[at + 1 :]]
        built = self.cells([on | {a, b} for a, b in pairs])
        for (a, b), both in zip(pairs, built, strict=True):
            one, other = self._cell([a], on), self._cell([b], on)
            if isinstance(both, Measured) and isinstance(one, Measured) and isinstance(other, Measured):
                found = contrast([both, level.good], [one, other], self._alpha / max(1, len(pairs)))
                if found.low > 0 or found.high < 0:
                    level.interactions.append((a, b, found))

    def _choose(self, level: Level, on: Cell) -> None:
        """The smallest set that shows the loss by itself: none of its members can be left out."""
        ranked = sorted(level.effects, key=lambda effect: -effect.most)
        chosen = [effect.change for effect in ranked if effect.matters]
        for effect in ranked:
            if chosen and self._explains(level, chosen, on):
                break
            if effect.change not in chosen:
                chosen.append(effect.change)
        for change in reversed(list(chosen)):
            rest = [one for one in chosen if one is not change]
            if rest and self._explains(level, rest, on):
                chosen = rest
        level.smallest = chosen
        built = self._cell(chosen, on)
        if isinstance(built, Measured):
            level.remaining = contrast([level.bad], [built], self._alpha)

    def _explains(self, level: Level, changes: Sequence[Change], on: Cell) -> bool:
        built = self._cell(changes, on)
        if isinstance(built, Unbuilt):
            return False
        shown = built.value - level.good.value
        if shown >= _EXPLAINS * level.loss.estimate:
            return True
        return shown >= _AT_LEAST * level.loss.estimate and contrast([level.bad], [built], self._alpha).low <= 0


def _inseparable(changes: Sequence[Change]) -> Change:
    """Changes that can't be built one without the other, as one."""
    flat = [inner for change in changes for inner in change.about.get("all", [change])]
    key = " + ".join(change.key for change in changes)
    says = "; ".join(change.says for change in changes) + " (which don't work one without the other)"
    return Change(key, "several", says, {"all": list(changes), "changes": [one.says for one in flat]})
