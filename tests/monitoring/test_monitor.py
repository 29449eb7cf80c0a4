from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from tests.serving.served import ENDPOINT, ROW, Caller, day, endpoint, label, plots, register, run, serving

import clew
from clew.errors import CatalogError, NotFoundError
from clew.monitoring import Monitor, status
from clew.serving.server import Server


def play(server: Server, first: int, last: int, *, daily: int = 60, area: float = 0.0, off: float = 0.0) -> None:
    """Days of requests with the truth about each; `area` is added to areas, `off` to what is true."""

    async def days() -> None:
        caller = Caller(server)
        for number in range(first, last):
            found = plots(daily, 500 + number)
            rows = [row | {"seen": str(row["seen"]), "area": row["area"] + area} for row in found.to_dicts()]
            reply = await caller.predict(rows, **{"clew-occurred-at": day(number).isoformat()})
            assert reply.status == 200
            told = [
                label(one, row["price"] + 2 * area + off, day(number))
                for one, row in zip(reply.json["prediction_ids"], rows, strict=True)
            ]
            assert (await caller("POST", "/outcomes", told)).status == 200

    run(days)


def seen(folder: Path) -> dict[str, Any]:
    with clew.open_workspace(folder) as session:
        return status(session, ENDPOINT)


def test_before_anything_was_seen_there_is_nothing_to_say(folder: Path) -> None:
    endpoint(folder)
    with clew.open_workspace(folder) as session:
        monitor = Monitor(session, ENDPOINT)
        assert monitor.advance(day(5)) == []
        with pytest.raises(NotFoundError, match="nothing was seen at plots yet"):
            status(session, ENDPOINT)
        with pytest.raises(NotFoundError, match="houses"):
            Monitor(session, "houses")


def test_traffic_as_in_training_raises_nothing(folder: Path) -> None:
    endpoint(folder)
    with serving(folder, ENDPOINT, data_clock=True) as server:
        play(server, 0, 10)
        assert Monitor(server.workspace, ENDPOINT).advance(day(11)) == []
    found = seen(folder)
    [report] = found["reports"]
    assert (report["version"], report["predictions"], report["outcomes"]) == ("plot@1", 600, 600)
    assert [column["column"] for column in report["columns"]] == ["area", "rooms", "side", "prediction"]
    assert found["alerts"] == []
    assert report["until"] == day(11).isoformat()
    assert abs(report["performance"]["live"] - 10) < 0.5


def test_an_alert_is_raised_once_and_stays(folder: Path) -> None:
    endpoint(folder)
    with serving(folder, ENDPOINT, data_clock=True) as server:
        monitor = Monitor(server.workspace, ENDPOINT)
        play(server, 0, 3)
        assert monitor.advance(day(3)) == []
        play(server, 3, 9, area=30.0)
        raised = monitor.advance(day(9))
        assert {message.split(": ")[1].split()[0] for message in raised} == {"area", "prediction"}
        play(server, 9, 12, area=30.0)
        assert monitor.advance(day(12)) == []
        first = seen(folder)["alerts"]
        assert [(one["subject"], one["at"]) for one in first] == [
            ("area", day(9).isoformat()),
            ("prediction", day(9).isoformat()),
        ]
        assert Monitor(server.workspace, ENDPOINT).advance(day(12))  # it is new to another process
        assert seen(folder)["alerts"] == first


def test_errors_beyond_the_promise_are_an_alert(folder: Path) -> None:
    endpoint(folder, "plot@2")
    with serving(folder, ENDPOINT, data_clock=True) as server:
        monitor = Monitor(server.workspace, ENDPOINT)
        play(server, 0, 4, off=5.0)
        [message] = monitor.advance(day(5))
    assert message.startswith("plot@2: mean absolute error of price is 4.8")
    [alert] = seen(folder)["alerts"]
    assert (alert["kind"], alert["version"], alert["state"]) == ("performance", "plot@2", "open")


def test_at_whatever_speed_and_however_often_the_reports_are_the_same(folder: Path) -> None:
    endpoint(folder)
    with serving(folder, ENDPOINT, data_clock=True) as server:
        daily = Monitor(server.workspace, ENDPOINT)
        for number in range(6):
            play(server, number, number + 1, area=5.0 * number)
            daily.advance(day(number + 1))
        found = seen(folder)["reports"]
        Monitor(server.workspace, ENDPOINT).advance(day(6))
        assert seen(folder)["reports"] == found
        assert found[0]["predictions"] == 360


def test_each_version_that_answers_has_its_own_watch(folder: Path) -> None:
    endpoint(folder)
    endpoint(folder, "plot@2", name="other")
    with serving(folder, ENDPOINT, data_clock=True) as server:
        play(server, 0, 2)
        monitor = Monitor(server.workspace, "other")
        assert monitor.advance(day(3)) == []
        assert not monitor.watches


def test_a_version_without_a_profile_is_not_watched(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint(folder)
    with serving(folder, ENDPOINT, data_clock=True) as server:
        play(server, 0, 2)

        def none(self: Any, role: str) -> Any:
            raise NotFoundError(f"{self.reference} was registered without {role}")

        monkeypatch.setattr("clew.models.ModelVersion.artifact", none)
        monitor = Monitor(server.workspace, ENDPOINT)
        assert monitor.advance(day(3)) == []
        assert not monitor.watches


def test_what_failed_midway_is_taken_again_whole(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint(folder)
    with serving(folder, ENDPOINT, data_clock=True) as server:
        play(server, 0, 3)
        monitor = Monitor(server.workspace, ENDPOINT)
        with monkeypatch.context() as patched:

            def locked(command: Any, actor: Any = None) -> Any:
                raise CatalogError("the database is locked")

            patched.setattr(server.workspace.catalog, "execute", locked)
            with pytest.raises(CatalogError):
                monitor.advance(day(4))
        assert monitor.advance(day(4)) == []
    [report] = seen(folder)["reports"]
    assert (report["predictions"], report["outcomes"]) == (180, 180)


def test_predictions_of_a_model_that_failed_are_left_aside(folder: Path) -> None:
    endpoint(folder, register(folder, fault="raise"))
    with serving(folder, ENDPOINT, data_clock=True) as server:

        async def bad() -> None:
            at: datetime = day(0)
            reply = await Caller(server).predict([ROW | {"area": 2000.0}], **{"clew-occurred-at": at.isoformat()})
            assert reply.status == 500

        run(bad)
        play(server, 0, 2)
        assert Monitor(server.workspace, ENDPOINT).advance(day(3)) == []
    [report] = seen(folder)["reports"]
    assert report["predictions"] == 120
