import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.rollouts.replays import Replay, begin, controlled, decisions
from tests.serving.served import (
    ENDPOINT,
    START,
    Client,
    Process,
    day,
    endpoint,
    label,
    records,
    register,
)

import clew
from clew import rollouts
from clew.errors import NotFoundError, RefusedError, UsageError
from clew.serving.journal import rewrite_segment

DAYS = 12


def test_a_rollout_begins_in_shadow(folder: Path) -> None:
    begin(folder, "plot@2", margin=0.7)
    with clew.open_workspace(folder) as session:
        found = rollouts.status(session, ENDPOINT)
    assert (found["state"], found["share"], found["champion"], found["candidate"]) == (
        "running",
        0.0,
        "plot@1",
        "plot@2",
    )
    assert (found["decisions"], found["plan"]["margin"], found["started"]) == ([], 0.7, START.isoformat())
    assert json.loads(json.dumps(found)) == found


@pytest.mark.parametrize(
    ("candidate", "error", "said"),
    [
        ("plot@1", RefusedError, "is live at plots already"),
        ("plot@9", NotFoundError, "plot@9"),
        ("houses@1", NotFoundError, "houses"),
        ("plot@", UsageError, "plot@"),
    ],
)
def test_what_cant_be_rolled_out_is_refused(folder: Path, candidate: str, error: type[Exception], said: str) -> None:
    endpoint(folder)
    with clew.open_workspace(folder) as session:
        with pytest.raises(error, match=said):
            rollouts.start(session, ENDPOINT, candidate)
        with pytest.raises(NotFoundError, match="houses"):
            rollouts.start(session, "houses", "plot@2")
        with pytest.raises(NotFoundError, match="nothing was ever rolled out at plots"):
            rollouts.status(session, ENDPOINT)


def test_a_refused_version_is_not_rolled_out(folder: Path) -> None:
    endpoint(folder)
    with clew.open_workspace(folder) as session:
        reference = session.run(folder / "pipeline.py", offset=5000.0).models[0]
        with pytest.raises(RefusedError, match=f"{reference} is refused"):
            rollouts.start(session, ENDPOINT, reference)


def test_one_rollout_at_a_time(folder: Path) -> None:
    begin(folder, "plot@2")
    third = register(folder, offset=1.0)
    with clew.open_workspace(folder) as session:
        with pytest.raises(RefusedError, match="a rollout is running"):
            rollouts.start(session, ENDPOINT, third)
        ended = rollouts.end(session, ENDPOINT, verdict="rollback", reason="it is too slow")
        assert (ended["state"], ended["share"]) == ("rolled_back", 0.0)
        assert [(one["verdict"], one["reason"]) for one in ended["decisions"]] == [("rollback", "it is too slow")]
        with pytest.raises(RefusedError, match="the newest one is rolled_back"):
            rollouts.end(session, ENDPOINT, verdict="abort", reason="again")
        rollouts.start(session, ENDPOINT, third)
        assert rollouts.status(session, ENDPOINT)["candidate"] == third


def test_a_replay_sees_when_the_journal_says_something_else(folder: Path) -> None:
    begin(folder, "plot@2")
    with controlled(folder) as server:
        Replay().play(server, 0, DAYS)
    with clew.open_workspace(folder) as session:
        assert rollouts.replay(session, ENDPOINT)["same"]
        assert rewrite_segment(session.journal / "test", 1, lambda record: record.recorded_at < 0)
        found = rollouts.replay(session, ENDPOINT)
        assert not found["same"]
        assert (len(found["recorded"]), found["replayed"]) == (5, [])


def clew_(folder: Path, *arguments: str) -> tuple[int, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "clew.cli", *arguments, "--json"],
        env={**os.environ, "CLEW_WORKSPACE": str(folder)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, json.loads(done.stdout) if done.stdout else done.stderr


def test_from_the_command_line_with_a_real_server_that_is_killed_midway(folder: Path) -> None:
    """Start, status, abort, replay, monitor: as commands beside the server, over HTTP, with `kill -9` on day 7."""
    endpoint(folder)
    due: dict[int, list[dict[str, Any]]] = {}

    def play(client: Client, first: int, last: int) -> None:
        for number in range(first, last):
            client.clock(day(number))
            if number in due:
                assert client("POST", "/outcomes", due.pop(number)).status == 200
            for row in records(20, 100 + number):
                truth = row.pop("price")
                found = client.predict([row], clew_occurred_at=day(number).isoformat())
                told = label(found["prediction_ids"][0], truth, day(number + 2))
                due.setdefault(number + 2, []).append(told)
        client.clock(day(last))

    arguments = (ENDPOINT, "--port", "0", "--clock", "data", "--writer", "w")
    with Process(folder, *arguments) as process:
        with Client(process.wait()) as client:
            play(client, 0, 1)
            plan = ("--set", "min_outcomes=80", "--set", "min_requests=10", "--set", "shares=[0.25,1]")
            code, started = clew_(
                folder, "rollout", "start", ENDPOINT, "plot@2", "--occurred-at", day(1).isoformat(), *plan
            )
            assert (code, started["stage"]) == (0, "shadow")
            play(client, 1, 7)
        process.process.kill()
    assert [one["to"] for one in decisions(folder)] == ["25%"]
    with Process(folder, *arguments) as process:
        with Client(process.wait()) as client:
            play(client, 7, 11)
            [live] = client("GET", "/endpoints").json["endpoints"]
            assert live["targets"] == [{"model": "plot@2", "role": "champion", "share": 1.0}]
            code, monitored = clew_(folder, "monitor", "status", ENDPOINT)
            assert code == 0
            assert [report["version"] for report in monitored["reports"]] == ["plot@1", "plot@2"]
        assert process.stop() == 0
    code, status = clew_(folder, "rollout", "status", ENDPOINT)
    assert (code, status["state"], status["share"]) == (0, "promoted", 1.0)
    assert [(one["verdict"], one["at"]) for one in status["decisions"]] == [
        ("advance", day(7).isoformat()),
        ("promote", day(8).isoformat()),
    ]
    code, replayed = clew_(folder, "rollout", "replay", ENDPOINT)
    assert (code, replayed["same"]) == (0, True)
    assert clew_(folder, "rollout", "abort", ENDPOINT)[0] == 6
    assert len(decisions(folder)) == 2
