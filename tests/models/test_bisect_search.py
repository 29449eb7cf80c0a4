"""The search for what made it worse, on made-up effects: what it finds, what it never claims, and at what cost."""

from collections.abc import Callable, Sequence
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clew.models.bisection.changes import Change, grouped, several
from clew.models.bisection.metrics import METRICS, Measured, contrast
from clew.models.bisection.search import BudgetSpentError, Cell, Level, Search, Unbuilt

ROWS = 400


class World:
    """Builds whose metric is a function of the changes they have, with noise of its own for each row and build."""

    def __init__(
        self,
        effect: Callable[[set[str]], float],
        *,
        noise: float = 0.3,
        broken: Callable[[set[str]], bool] | None = None,
    ) -> None:
        self.effect, self.noise, self.broken = effect, noise, broken
        self.built: list[set[str]] = []
        self.base = np.random.default_rng(0).gamma(2.0, 5.0, ROWS)
        self.most = 1000

    def __call__(self, cells: Sequence[Cell]) -> list[Measured | Unbuilt]:
        if len(self.built) + len(cells) > self.most:
            raise BudgetSpentError
        return [self._one({one for change in cell for one in flat(change)}) for cell in cells]

    def _one(self, keys: set[str]) -> Measured | Unbuilt:
        self.built.append(keys)
        if self.broken is not None and self.broken(keys):
            return Unbuilt("it doesn't fit together")
        rng = np.random.default_rng([len(key) * ord(key[0]) + ord(key[-1]) for key in sorted(keys)] or 7)
        said = "".join(sorted(keys)) if self.noise else str(self.effect(keys))
        return Measured(self.base + self.effect(keys) + self.noise * rng.normal(size=ROWS), said)


def flat(change: Change) -> list[str]:
    """The smallest changes in one."""
    inner = change.about.get("all") or change.parts
    return [key for one in inner for key in flat(one)] if inner else [change.key]


def changes(*names: str) -> list[Change]:
    return [Change(name, "parameters", name) for name in names]


def found(level: Level | Unbuilt) -> list[str]:
    assert isinstance(level, Level)
    return sorted(change.key for change in level.smallest)


def test_one_guilty_change_among_harmless_ones_is_found_with_two_builds_for_each() -> None:
    world = World(lambda keys: 3.0 * ("b" in keys))
    level = Search(world).explore(changes("a", "b", "c", "d"))
    assert isinstance(level, Level)
    assert found(level) == ["b"]
    assert [effect.change.key for effect in level.effects if effect.matters] == ["b"]
    assert len(world.built) == 10
    assert not level.interactions
    assert level.remaining is not None
    assert level.remaining.low <= 0 <= level.remaining.high


def test_two_changes_that_only_hurt_together_are_found_and_named_as_such() -> None:
    level = Search(World(lambda keys: 3.0 * ({"a", "c"} <= keys))).explore(changes("a", "b", "c"))
    assert isinstance(level, Level)
    assert found(level) == ["a", "c"]
    assert [sorted((one.key, other.key)) for one, other, _ in level.interactions] == [["a", "c"]]
    assert level.interactions[0][2].estimate == pytest.approx(3.0, abs=0.1)


def test_either_of_two_suffices_and_one_is_enough_to_show_it() -> None:
    level = Search(World(lambda keys: 3.0 * bool({"a", "c"} & keys))).explore(changes("a", "b", "c"))
    assert found(level) in (["a"], ["c"])


def test_one_that_makes_up_for_another_is_no_member_of_the_smallest_set() -> None:
    level = Search(World(lambda keys: 5.0 * ("a" in keys) - 2.0 * ("b" in keys))).explore(changes("a", "b", "c"))
    assert isinstance(level, Level)
    assert found(level) == ["a"]
    assert next(one for one in level.effects if one.change.key == "b").size == pytest.approx(-2, abs=0.1)


@pytest.mark.parametrize("count", [9, 20])
def test_many_changes_are_taken_together_first(count: int) -> None:
    names = [f"p{number:02}" for number in range(count)]
    world = World(lambda keys: 3.0 * (names[-2] in keys))
    level = Search(world).explore(changes(*names))
    inner = level
    while isinstance(inner, Level) and inner.inner:
        [inner] = inner.inner.values()
    assert found(inner) == [names[-2]]
    assert len(world.built) < 2 * count + 2


def test_no_loss_costs_two_builds_and_claims_nothing() -> None:
    world = World(lambda _keys: 0.0)
    level = Search(world).explore(changes("a", "b", "c"))
    assert isinstance(level, Level)
    assert not level.is_loss
    assert len(world.built) == 2


def test_a_loss_within_the_margin_is_none() -> None:
    level = Search(World(lambda keys: 0.5 * ("a" in keys)), margin=1.0).explore(changes("a", "b"))
    assert isinstance(level, Level)
    assert not level.is_loss


def test_what_cannot_be_built_alone_is_taken_with_what_it_needs() -> None:
    world = World(lambda keys: 3.0 * ("a" in keys), broken=lambda keys: len({"a", "b"} & keys) == 1)
    level = Search(world).explore(changes("a", "b", "c"))
    assert isinstance(level, Level)
    assert [change.about["changes"] for change in level.smallest] == [["a", "b"]]


def test_an_end_that_cannot_be_built_is_said() -> None:
    level = Search(World(lambda _keys: 0.0, broken=lambda keys: len(keys) == 2)).explore(changes("a", "b"))
    assert level == Unbuilt("it doesn't fit together")


def test_when_the_budget_is_spent_what_is_known_so_far_is_given() -> None:
    world = World(lambda keys: 3.0 * ({"a", "c"} <= keys))
    world.most = 8
    level = Search(world).explore([several(changes("a", "c"), "two"), *changes("b", "d")])
    assert isinstance(level, Level)
    assert not level.complete
    assert [change.key for change in level.smallest] == ["a + c"]


def test_a_guilty_change_is_taken_apart_with_the_other_guilty_ones_in_place() -> None:
    outer = Change("data", "data", "data", inner=lambda: changes("x", "y", "z"))
    world = World(lambda keys: 3.0 * ({"code", "y"} <= keys))
    world.effect = lambda keys: 3.0 * ("code" in keys and bool({"y", "data"} & keys))
    level = Search(world).explore([outer, *changes("code", "other")])
    assert isinstance(level, Level)
    assert found(level) == ["code", "data"]
    assert found(level.inner["data"]) == ["y"]


@settings(max_examples=60, deadline=None)
@given(st.sets(st.sampled_from("abcde"), min_size=1, max_size=3), st.sampled_from(["sum", "all"]))
def test_whatever_set_is_guilty_is_found_exactly(guilty: set[str], how: str) -> None:
    def effect(keys: set[str]) -> float:
        return 2.0 * len(guilty & keys) if how == "sum" else 2.0 * (guilty <= keys)

    level = Search(World(effect, noise=0.0)).explore(changes(*"abcde"))
    assert found(level) == sorted(guilty)


@pytest.mark.slow
def test_harmless_changes_are_rarely_accused() -> None:
    """200 worlds of 5 changes, one guilty: of 800 harmless ones at most 5% of the worlds accuse any (Bonferroni)."""
    accused = missed = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        noise = {cell: rng.normal(0, 1.0, ROWS) for size in range(6) for cell in combinations("abcde", size)}
        base = rng.gamma(2.0, 5.0, ROWS)

        def measure(
            cells: Sequence[Cell], noise: dict[tuple[str, ...], np.ndarray] = noise, base: np.ndarray = base
        ) -> list[Measured | Unbuilt]:
            names = [tuple(sorted(change.key for change in cell)) for cell in cells]
            return [Measured(base + noise[one] + 0.5 * ("c" in one), str(one)) for one in names]

        level = Search(measure).explore(changes(*"abcde"))
        assert isinstance(level, Level)
        accused += any(effect.matters and effect.change.key != "c" for effect in level.effects)
        missed += found(level) != ["c"]
    assert accused <= 17  # 5% of 200, and three standard errors
    assert missed <= 10


def test_the_interval_of_a_difference_covers_it_at_its_level() -> None:
    """400 samples of 214 rows with skewed losses: 95% intervals hold the truth in 92 to 98% of them."""
    rng = np.random.default_rng(5)
    inside = 0
    for _ in range(400):
        one = rng.gamma(1.0, 10.0, 214)
        other = one * rng.normal(1.1, 0.2, 214)
        low, high = contrast([Measured(other, "b")], [Measured(one, "a")], 0.05)[1:]
        inside += low <= 1.0 <= high
    assert 0.92 * 400 <= inside <= 0.98 * 400


def test_predictions_that_are_the_same_cancel_exactly() -> None:
    rows = np.random.default_rng(0).normal(size=50)
    same = contrast([Measured(rows, "a"), Measured(rows + 1, "b")], [Measured(rows, "a"), Measured(rows + 1, "b")], 0.1)
    assert same == (0.0, 0.0, 0.0)


def test_metrics_say_more_for_worse_and_their_means_are_the_metric() -> None:
    truth, predicted = np.array([1.0, 2.0, 4.0]), np.array([1.5, 2.0, 2.0])
    assert METRICS["mae"].measure(truth, predicted).mean() == pytest.approx(2.5 / 3)
    assert METRICS["rmse"].measure(truth, predicted).mean() == pytest.approx(np.sqrt(4.25 / 3))
    assert METRICS["mape"].measure(truth, predicted).mean() == pytest.approx((0.5 + 0 + 0.5) / 3)
    labels, said = np.array(["a", "b", "b"]), np.array(["a", "a", "b"])
    assert METRICS["error_rate"].measure(labels, said).mean() == pytest.approx(1 / 3)
    assert METRICS["accuracy"].shown(METRICS["accuracy"].measure(labels, said).mean()) == pytest.approx(2 / 3)


def test_grouping_keeps_every_change() -> None:
    many = [*changes(*(f"p{n}" for n in range(9))), Change("code", "code", "code"), Change("data", "data", "data")]
    groups = grouped(many, 6)
    assert len(groups) <= 6
    assert sorted(key for one in groups for key in flat(one)) == sorted(change.key for change in many)
