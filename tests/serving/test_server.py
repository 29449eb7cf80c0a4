import asyncio
import errno
import itertools
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.serving.served import ENDPOINT, ROW, START, Caller, day, endpoint, journalled, label, register, run, serving

import clew
from clew import rollouts
from clew.errors import NotFoundError, NotPermittedError, OutsideError
from clew.serving import current_route
from clew.serving.journal.open_segment import OpenSegment
from clew.serving.server import PredictionError, Server

LARGE = ROW | {"area": 2000.0}


def ask(server: Server, *rows: dict[str, Any]) -> Any:
    async def once() -> Any:
        return await server.predict(server.route(ENDPOINT), list(rows), None)

    return run(once)


def shadow(folder: Path, **parameters: Any) -> None:
    """An endpoint with `plot@1`, and a rollout of another version in shadow."""
    endpoint(folder)
    reference = register(folder, **parameters)
    with clew.open_workspace(folder) as session:
        rollouts.start(session, ENDPOINT, reference, occurred_at=START)


def test_an_unknown_endpoint_and_a_taken_journal_are_refused(folder: Path) -> None:
    endpoint(folder)
    with pytest.raises(NotFoundError, match="houses"), serving(folder, "houses"):
        pass
    with serving(folder, ENDPOINT), pytest.raises(NotPermittedError), serving(folder, ENDPOINT):
        pass


def test_an_endpoint_that_is_made_while_it_serves_is_taken_over(folder: Path) -> None:
    with serving(folder) as server:
        assert not server.routes
        endpoint(folder)
        run(lambda: server.advance(START))
        assert ask(server, ROW).values == [200.0]


def test_what_was_answered_is_in_the_journal_before_the_answer(folder: Path) -> None:
    endpoint(folder)
    with serving(folder, ENDPOINT) as server:
        for _ in range(20):
            ids = ask(server, ROW).ids
            assert journalled(folder)[0][-1].id == ids[0]


def test_in_shadow_both_answer_and_the_client_hears_the_champion(folder: Path) -> None:
    shadow(folder, by_side=True)
    with serving(folder, ENDPOINT) as server:
        found = ask(server, ROW)
        assert (found.values, found.version) == ([200.0], "plot@1")
        [kept], _ = journalled(folder)
        [other] = kept.others
        assert (other.model_version, other.role, other.output, other.error) == ("plot@2", "candidate", 210.0, None)
        assert kept.rollout_id is not None
        assert kept.reason == "the champion answers; plot@2 answers in shadow"


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"fault": "raise"}, "ValueError: too large"),
        ({"fault": "exit"}, "SystemExit: 3"),
        ({"fault": "nan"}, "no finite number"),
        ({"fault": "shape"}, "for 1 rows"),
        ({"fault": "object"}, "dict"),
        ({"fault": "surrogate"}, "surrogates"),
        ({"fault": "unspeakable"}, "Unspeakable"),
        ({"extra": "extra"}, "its signature refuses the request: row 0: field 'extra' is missing"),
    ],
)
@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_candidate_that_fails_never_hurts_the_client(
    folder: Path, parameters: dict[str, Any], said: str, share: float
) -> None:
    shadow(folder, **parameters)
    with serving(folder, ENDPOINT) as server:
        if share:
            route = current_route(server.workspace, ENDPOINT)
            targets = [{"model_version_id": t.model_version_id, "role": t.role} for t in route.targets]
            move(server, [t | {"share": share if t["role"] == "candidate" else 1 - share} for t in targets])
        found = ask(server, LARGE)
        assert (found.values, found.version) == ([4000.0], "plot@1")
        [kept], _ = journalled(folder)
        assert (kept.role, kept.error) == ("champion", None)
        assert said in (kept.others[0].error or "")
        assert kept.others[0].output is None
        assert ("the candidate failed" in kept.reason) == bool(share)


def move(server: Server, targets: list[dict[str, Any]]) -> None:
    """Another stage of the running rollout, as a decision gives it."""
    from clew.catalog.commands import RecordDecision, Target

    server.workspace.catalog.execute(
        RecordDecision(
            rollout_id=str(rollouts.operate.newest(server.workspace, ENDPOINT).id),
            verdict="advance",
            reason="the test says so",
            stage_before="shadow",
            stage_after="100%",
            requests=0,
            outcomes=0,
            evidence={},
            state="running",
            targets=[Target(**target) for target in targets],
            occurred_at=START,
        )
    )
    server.refresh()


def test_a_candidate_that_cant_be_loaded_never_hurts_the_client(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shadow(folder, fault="unloadable")
    monkeypatch.setenv("PLOTS_BREAK", "1")
    with serving(folder, ENDPOINT) as server:
        assert ask(server, ROW).values == [200.0]
        [kept], _ = journalled(folder)
        assert "it can't be loaded" in (kept.others[0].error or "")


def test_a_candidate_that_hangs_costs_its_patience_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clew.serving.server._PATIENCE_SECONDS", 0.3)
    shadow(folder, fault="hang")
    begun = time.monotonic()
    with serving(folder, ENDPOINT) as server:
        assert ask(server, LARGE).values == [4000.0]
        first = time.monotonic()
        assert first - begun >= 0.3
        for _ in range(20):
            assert ask(server, ROW).values == [200.0]
        assert time.monotonic() - first < 1.5
        kept, _ = journalled(folder)
        assert "it had not answered 0.3 s after the champion" in (kept[0].others[0].error or "")
        assert all("it still works on rows" in (one.others[0].error or "") for one in kept[1:])
    assert time.monotonic() - begun < 10  # and the server stops all the same


def test_a_slow_candidate_is_waited_for_and_a_slow_champion_gives_it_time(folder: Path) -> None:
    shadow(folder, fault="slow")
    with serving(folder, ENDPOINT) as server:
        assert ask(server, LARGE).values == [4000.0]
        [kept], _ = journalled(folder)
        assert (kept.others[0].output, kept.others[0].error) == (4000.0, None)


def test_a_champion_that_fails_says_so_with_the_ids(folder: Path) -> None:
    endpoint(folder, register(folder, fault="raise"))
    with serving(folder, ENDPOINT) as server:
        with pytest.raises(PredictionError, match="too large") as failed:
            ask(server, LARGE, ROW)
        kept, _ = journalled(folder)
        assert [one.id for one in kept] == failed.value.ids


def test_routes_change_under_requests_and_none_fails(folder: Path) -> None:
    endpoint(folder)
    reference = register(folder, by_side=True)
    with serving(folder, ENDPOINT, data_clock=True) as server:
        done = threading.Event()
        targets: list[int] = []  # what the requests saw, the newest last

        def refresh_and_let_it_be_seen(count: int) -> None:
            server.refresh()
            given_up = time.monotonic() + 60
            while targets[-1:] != [count] and time.monotonic() < given_up:
                time.sleep(0.001)

        def change() -> None:
            try:
                with clew.open_workspace(folder) as session:
                    for _ in range(12):
                        rollouts.start(session, ENDPOINT, reference, occurred_at=START)
                        refresh_and_let_it_be_seen(2)
                        rollouts.end(session, ENDPOINT, verdict="abort", reason="test")
                        refresh_and_let_it_be_seen(1)
            finally:
                done.set()

        async def requests() -> int:
            caller, count = Caller(server), 0
            while not done.is_set():
                replies = await asyncio.gather(*(caller.predict([ROW]) for _ in range(8)))
                assert [reply.status for reply in replies] == [200] * 8
                listed = await caller("GET", "/endpoints")
                targets.append(len(listed.json["endpoints"][0]["targets"]))
                count += 8
            return count

        thread = threading.Thread(target=change)
        thread.start()
        count = run(requests)
        thread.join()
        kept, _ = journalled(folder)
        assert len(kept) == count
        assert [count for count, _ in itertools.groupby(targets)][-24:] == [2, 1] * 12
        assert list(server.runtimes) == [current_route(server.workspace, ENDPOINT).champion.model_version_id]


def test_a_request_that_waits_for_its_body_is_answered_by_what_is_live_then(folder: Path) -> None:
    endpoint(folder)
    with serving(folder, ENDPOINT, data_clock=True) as server:
        old = server.route(ENDPOINT)
        shadow_reference = register(folder, by_side=True)
        with clew.open_workspace(folder) as session:
            rollouts.start(session, ENDPOINT, shadow_reference, occurred_at=START)
        champion = [
            t.model_version_id for t in current_route(server.workspace, ENDPOINT).targets if t.role == "candidate"
        ]
        promote(server, champion[0])

        async def late() -> Any:
            return await server.predict(old, [ROW], None)

        assert run(late).version == "plot@2"


def promote(server: Server, version_id: str) -> None:
    from clew.catalog.commands import RecordDecision, Target

    server.workspace.catalog.execute(
        RecordDecision(
            rollout_id=str(rollouts.operate.newest(server.workspace, ENDPOINT).id),
            verdict="promote",
            reason="the test says so",
            stage_before="shadow",
            stage_after="100%",
            requests=0,
            outcomes=0,
            evidence={},
            state="promoted",
            targets=[Target(model_version_id=version_id, role="champion", share=1.0)],
            occurred_at=START,
        )
    )
    server.refresh()


def test_under_the_datas_clock_a_request_sees_the_routing_as_it_is(folder: Path) -> None:
    endpoint(folder)
    with serving(folder, ENDPOINT, data_clock=True) as server:
        shadow_reference = register(folder, by_side=True)

        async def one() -> None:
            assert (await Caller(server).predict([ROW])).status == 200

        run(one)
        with clew.open_workspace(folder) as session:
            rollouts.start(session, ENDPOINT, shadow_reference, occurred_at=START)
            run(one)
            rollouts.end(session, ENDPOINT, verdict="abort", reason="test")
        run(one)
        kept, _ = journalled(folder)
        assert [len(one.others) for one in kept] == [0, 1, 0]
        assert [one.route_revision for one in kept] == [1, 2, 3]


def test_a_version_that_is_gone_doesnt_stop_the_other_endpoints(folder: Path) -> None:
    endpoint(folder)
    with serving(folder) as server:
        endpoint(folder, "plot@2", name="bad")
        endpoint(folder, "plot@1", name="good")
        with clew.open_workspace(folder) as session:
            path = session.objects.open_path(session.model_version("plot@2").digest)
        path.chmod(0o644)
        path.unlink()
        with pytest.raises(clew.ClewError):
            server.refresh()
        assert set(server.routes) == {ENDPOINT, "good"}
        assert ask(server, ROW).values == [200.0]


class Disk:
    """A disk that can be full: the journal's writes raise ENOSPC while it is."""

    def __init__(self) -> None:
        self.full = False

    def guard(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def guarded(*arguments: Any, **named: Any) -> Any:
            if self.full:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return real(*arguments, **named)

        return guarded


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    found = Disk()
    monkeypatch.setattr(OpenSegment, "commit", found.guard(OpenSegment.commit))
    monkeypatch.setattr(OpenSegment, "__init__", found.guard(OpenSegment.__init__))
    yield found
    found.full = False


def test_what_cant_be_journalled_isnt_answered_and_it_recovers_by_itself(
    folder: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clew.serving.server._RECOVER_SECONDS", 0.05)
    endpoint(folder)
    with serving(folder, ENDPOINT) as server:

        async def story() -> None:
            caller = Caller(server)
            first = await caller.predict([ROW])
            assert first.status == 200
            disk.full = True
            one = label(first.json["prediction_ids"][0], 7, day(1))
            for _ in range(3):
                for reply in (await caller.predict([ROW]), await caller("POST", "/outcomes", one)):
                    assert (reply.status, reply.json["error_code"]) == (503, "UNAVAILABLE")
                    assert "No space left" in reply.json["message"]
                    assert reply.json["mend"]
                    assert b"predictions" not in reply.content
                await asyncio.sleep(0.06)
            disk.full = False
            await asyncio.sleep(0.06)
            assert (await caller.predict([ROW])).status == 200
            assert (await caller("POST", "/outcomes", one)).status == 200

        run(story)
    kept, outcomes = journalled(folder)
    assert (len(kept), len(outcomes)) == (2, 1)


def test_after_stop_nothing_is_answered(folder: Path) -> None:
    endpoint(folder)
    with serving(folder, ENDPOINT) as server:
        ask(server, ROW)
        server.stop()
        with pytest.raises(OutsideError, match="stopping"):
            ask(server, ROW)
    assert len(journalled(folder)[0]) == 1


def test_a_sealed_segment_is_in_the_catalog(folder: Path) -> None:
    from clew.catalog.tables import serving as tables

    endpoint(folder)
    with serving(folder, ENDPOINT) as server:
        ids = ask(server, ROW, ROW).ids
    with clew.open_workspace(folder) as session:
        import sqlalchemy as sa

        [row] = session.catalog.rows(sa.select(tables.journal_segments))
    assert (row.writer, row.sequence, row.state, row.predictions, row.outcomes) == ("test", 1, "sealed", 2, 0)
    assert (row.first_id, row.last_id) == (min(ids), max(ids))


def test_a_sealed_segment_doesnt_wait_for_the_catalog(folder: Path) -> None:
    endpoint(folder)
    with serving(folder, ENDPOINT) as server:
        shutil.move(folder / ".clew" / "catalog.sqlite", folder / "away")
        ask(server, ROW)
        server._journal.close()  # type: ignore[union-attr]
        server._control.submit(lambda: None).result(10)
        shutil.move(folder / "away", folder / ".clew" / "catalog.sqlite")


def test_requests_at_once_are_all_answered_in_batches(folder: Path) -> None:
    endpoint(folder)
    with serving(folder, ENDPOINT) as server:

        async def crowd() -> list[Any]:
            route = server.route(ENDPOINT)
            return await asyncio.gather(
                *(server.predict(route, [ROW | {"area": 50.0 + n, "plot": f"P{n}"}], None) for n in range(500))
            )

        found = run(crowd)
        assert [one.values for one in found] == [[100.0 + 2 * n] for n in range(500)]
        kept, _ = journalled(folder)
        assert {one.id for one in kept} == {one.ids[0] for one in found}


def test_entities_stay_with_their_version_and_missing_ones_are_served(folder: Path) -> None:
    shadow(folder, by_side=True)
    with serving(folder, ENDPOINT) as server:
        route = current_route(server.workspace, ENDPOINT)
        move(server, [{"model_version_id": t.model_version_id, "role": t.role, "share": 0.5} for t in route.targets])
        rows = [ROW | {"plot": f"P{number}"} for number in range(200)]
        ask(server, *rows)
        ask(server, *rows[::-1])
        kept, _ = journalled(folder)
        by_entity: dict[str | None, set[str]] = {}
        for one in kept:
            by_entity.setdefault(one.entity, set()).add(one.model_version)
        assert len(by_entity) == 200
        assert all(len(versions) == 1 for versions in by_entity.values())
        assert 60 < sum(versions == {"plot@2"} for versions in by_entity.values()) < 140
        without = {name: value for name, value in ROW.items() if name != "plot"}
        assert ask(server, without).values[0] in (200.0, 210.0)
        assert journalled(folder)[0][-1].entity is None
