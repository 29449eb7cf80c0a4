import random
import shutil
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.rollouts.replays import Replay, begin, controlled, decisions, verdicts
from tests.serving.served import ENDPOINT, ROW, START, Caller, day, endpoint, journalled, register, run, serving

import clew
from clew import rollouts
from clew.errors import CatalogError
from clew.rollouts import Controller
from clew.serving import current_route

PROMOTED = ["advance"] * 4 + ["promote"]


def replayed(folder: Path) -> dict[str, Any]:
    with clew.open_workspace(folder) as session:
        return rollouts.replay(session, ENDPOINT)


def test_a_better_candidate_is_promoted_stage_by_stage(folder: Path) -> None:
    begin(folder, "plot@2")
    with controlled(folder) as server:
        Replay().play(server, 0, 12)
        assert server.routes[ENDPOINT].champion.model_version == "plot@2"
        assert server.routes[ENDPOINT].candidate is None
    found = decisions(folder)
    assert [one["verdict"] for one in found] == PROMOTED
    assert [(one["from"], one["to"]) for one in found] == [
        ("shadow", "1%"),
        ("1%", "5%"),
        ("5%", "25%"),
        ("25%", "50%"),
        ("50%", "100%"),
    ]
    # Before the look of the sixth day were 80 outcomes, about the first four.
    assert [one["at"] for one in found] == [day(n).isoformat() for n in range(6, 11)]
    assert (found[0]["requests"], found[0]["outcomes"]) == (120, 80)
    assert replayed(folder)["same"]
    with clew.open_workspace(folder) as session:
        status = rollouts.status(session, ENDPOINT)
        assert (status["state"], status["share"]) == ("promoted", 1.0)
        route = current_route(session, ENDPOINT)
        assert route.occurred_at == day(10)
        assert route.reason.startswith("promote: the mean loss differs by -")


def test_a_worse_candidate_goes_back(folder: Path) -> None:
    begin(folder, register(folder, offset=30.0))
    with controlled(folder) as server:
        Replay().play(server, 0, 12)
        assert server.routes[ENDPOINT].champion.model_version == "plot@1"
        assert len(server.runtimes) == 1
    assert verdicts(folder) == ["rollback"]
    assert replayed(folder)["same"]


def test_a_candidate_that_cant_be_loaded_goes_back(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begin(folder, register(folder, fault="unloadable"))
    monkeypatch.setenv("PLOTS_BREAK", "1")
    with controlled(folder) as server:
        Replay().play(server, 0, 3)
    assert verdicts(folder) == ["rollback"]
    assert "it fails more often than is allowed" in decisions(folder)[0]["reason"]


def test_entities_keep_their_version_while_the_share_grows(folder: Path) -> None:
    begin(folder, "plot@2", shares=[0.5, 1.0], min_outcomes=60, min_requests=1000)
    with controlled(folder) as server:
        Replay(daily=40).play(server, 0, 9)
    by_entity: dict[str | None, list[tuple[float, str]]] = {}
    for one in journalled(folder)[0]:
        share = one.share if one.role == "candidate" else 1 - one.share
        by_entity.setdefault(one.entity, []).append((share, one.model_version))
    assert {version for answers in by_entity.values() for _, version in answers} == {"plot@1"}


@pytest.mark.parametrize("at_once", [1, 16])
def test_requests_of_a_day_may_come_in_any_order_and_at_once(folder: Path, tmp_path: Path, at_once: int) -> None:
    begin(folder, "plot@2")
    found = []
    for number in range(2):
        copy = tmp_path / f"copy{number}"
        shutil.copytree(folder, copy)
        with controlled(copy) as server:
            Replay(order=random.Random(number), at_once=at_once).play(server, 0, 12)
        assert replayed(copy)["same"]
        found.append(decisions(copy))
    assert found[0] == found[1]
    assert [one["verdict"] for one in found[0]] == PROMOTED


@pytest.mark.parametrize("pause", [1, 4, 6, 8])
def test_a_restart_in_the_middle_decides_the_same_afterwards(folder: Path, tmp_path: Path, pause: int) -> None:
    begin(folder, "plot@2")
    shutil.copytree(folder, tmp_path / "whole")
    with controlled(tmp_path / "whole") as server:
        Replay().play(server, 0, 12)
    replay = Replay()
    with controlled(folder) as server:
        replay.play(server, 0, pause)
    with controlled(folder) as server:
        replay.play(server, pause, 12)
    assert decisions(folder) == decisions(tmp_path / "whole")
    assert replayed(folder)["same"]


def test_days_that_were_missed_are_made_up_for(folder: Path, tmp_path: Path) -> None:
    """The server stops deciding for a week: the next look decides what would have been decided, but in shadow."""
    begin(folder, "plot@2")
    with controlled(folder) as server:
        run(lambda: Caller(server)("POST", "/clock", {"now": day(0).isoformat()}))
        replay = Replay()

        async def without_clock() -> None:
            for number in range(8):
                await replay._day(Caller(server), number)

        run(without_clock)
        replay.play(server, 8, 12)
    found = decisions(folder)
    assert [one["verdict"] for one in found] == PROMOTED
    assert found[0]["at"] == day(6).isoformat()
    assert replayed(folder)["same"]


@pytest.mark.parametrize("pause", [None, 4, 7])
def test_labels_that_come_late_count_and_replay_the_same(folder: Path, pause: int | None) -> None:
    """Each truth happened on the day of its prediction, and is told five days later."""
    begin(folder, "plot@2")
    replay = Replay(delay=5, backdated=True)
    with controlled(folder) as server:
        replay.play(server, 0, pause or 16)
    if pause is not None:
        with controlled(folder) as server:
            replay.play(server, pause, 16)
    assert verdicts(folder) == PROMOTED
    assert replayed(folder)["same"]
    assert decisions(folder)[0]["at"] == day(9).isoformat()


def test_repeated_labels_count_once(folder: Path, tmp_path: Path) -> None:
    begin(folder, "plot@2")
    shutil.copytree(folder, tmp_path / "once")

    class Insistent(Replay):
        async def _day(self, caller: Caller, number: int) -> None:
            told = list(self.due.get(number, []))
            await super()._day(caller, number)
            for _ in range(3):
                if told:
                    await caller("POST", "/outcomes", told)

    with controlled(folder) as server:
        Insistent().play(server, 0, 12)
    with controlled(tmp_path / "once") as server:
        Replay().play(server, 0, 12)
    assert decisions(folder) == decisions(tmp_path / "once")


def test_two_rollouts_at_two_endpoints_dont_mix(folder: Path) -> None:
    worse = register(folder, offset=30.0)
    endpoint(folder, name="other")
    begin(folder, "plot@2")
    with clew.open_workspace(folder) as session:
        rollouts.start(session, "other", worse, {"min_outcomes": 80}, occurred_at=START)
        controller = Controller(session)

        def decide(now: datetime) -> None:
            controller.advance(now)

        async def both() -> None:
            with serving(folder, data_clock=True, on_advance=decide) as server:
                replays = {ENDPOINT: Replay(), "other": Replay()}
                for number in range(12):
                    for name, replay in replays.items():
                        caller = Elsewhere(server, name)
                        await replay._clock(caller, number)
                        await replay._day(caller, number)

        run(both)
        assert [one["verdict"] for one in rollouts.status(session, "other")["decisions"]] == ["rollback"]
        assert rollouts.replay(session, "other")["same"]
    assert verdicts(folder) == PROMOTED
    assert replayed(folder)["same"]


class Elsewhere(Caller):
    """Predicts at an endpoint that the path names."""

    def __init__(self, server: Any, name: str) -> None:
        super().__init__(server)
        self.name = name

    async def predict(self, rows: Any, **headers: str) -> Any:
        path = f"/endpoints/{self.name}/invocations"
        return await self("POST", path, {"dataframe_records": rows}, headers)


def test_a_rollout_that_is_ended_by_hand_takes_effect_and_stays_ended(folder: Path) -> None:
    begin(folder, "plot@2")
    replay = Replay()
    with controlled(folder) as server:
        replay.play(server, 0, 7)
        assert server.routes[ENDPOINT].candidate is not None
        with clew.open_workspace(folder) as session:
            rollouts.end(session, ENDPOINT, verdict="abort", reason="because")
        run(lambda: Caller(server).predict([ROW]))
        assert server.routes[ENDPOINT].candidate is None
        replay.play(server, 7, 10)
    assert verdicts(folder)[-1] == "abort"
    assert replayed(folder)["same"]
    with clew.open_workspace(folder) as session:
        rollouts.start(session, ENDPOINT, "plot@2", {"min_outcomes": 80, "min_requests": 10}, occurred_at=day(10))
    with controlled(folder) as server:
        replay.play(server, 10, 21)
    assert verdicts(folder) == PROMOTED
    assert decisions(folder)[0]["requests"] == 120  # those before the new rollout say nothing about it
    assert replayed(folder)["same"]


def test_a_rollout_started_without_a_time_begins_with_its_first_prediction(folder: Path) -> None:
    """In the middle of a replay, when the machine's time is long after the data's."""
    endpoint(folder)
    replay = Replay()
    with controlled(folder) as server:
        replay.play(server, 0, 3)
        with clew.open_workspace(folder) as session:
            rollouts.start(session, ENDPOINT, "plot@2", {"min_outcomes": 80, "min_requests": 10})
        replay.play(server, 3, 15)
    assert verdicts(folder) == PROMOTED
    assert decisions(folder)[0]["at"] == day(9).isoformat()
    assert replayed(folder)["same"]


def test_two_controllers_dont_decide_twice(folder: Path) -> None:
    begin(folder, "plot@2")
    with clew.open_workspace(folder) as session, controlled(folder) as server:
        other = Controller(session)

        async def both() -> None:
            replay, caller = Replay(), Caller(server)
            for number in range(12):
                await replay._clock(caller, number)
                other.advance(day(number))
                await replay._day(caller, number)

        run(both)
    assert verdicts(folder) == PROMOTED
    assert replayed(folder)["same"]


def test_a_decision_that_couldnt_be_written_is_made_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begin(folder, "plot@2")
    replay = Replay()
    with clew.open_workspace(folder) as session:
        controller = Controller(session)
        with controlled(folder) as server:
            server.on_advance = lambda _now: None
            replay.play(server, 0, 7)
        with monkeypatch.context() as patched:

            def locked(command: Any, actor: Any = None) -> Any:
                raise CatalogError("the database is locked")

            patched.setattr(session.catalog, "execute", locked)
            with pytest.raises(CatalogError):
                controller.advance(day(7))
        assert [decision.verdict for _, decision in controller.advance(day(7))] == ["advance"]
        assert decisions(folder)[0]["at"] == day(6).isoformat()
        assert replayed(folder)["same"]


def test_other_lengths_between_looks(folder: Path) -> None:
    begin(folder, "plot@2")
    with controlled(folder) as server:
        server.on_advance = lambda _now: None
        Replay().play(server, 0, 12)
    with clew.open_workspace(folder) as session:
        controller = Controller(session, look=timedelta(hours=6))
        assert controller.advance(day(12))
        assert decisions(folder)[0]["at"] == (day(5) + timedelta(hours=6)).isoformat()
    assert replayed(folder)["same"]
