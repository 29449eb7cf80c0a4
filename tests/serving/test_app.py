import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.serving.served import (
    ENDPOINT,
    ROW,
    Caller,
    Reply,
    day,
    endpoint,
    journalled,
    label,
    register,
    run,
    serving,
)

from clew.serving.app import App
from clew.serving.clock import DataClock
from clew.serving.server import Server

ID = "0198c7a2-7b3e-7cc1-8a00-123456789abc"


@pytest.fixture
def server(folder: Path) -> Iterator[Server]:
    endpoint(folder)
    with serving(folder, ENDPOINT, data_clock=True) as found:
        yield found


def call(server: Server, method: str, path: str, body: Any = b"", **settings: Any) -> Reply:
    headers, parts = settings.pop("headers", None), settings.pop("parts", 1)

    async def once() -> Reply:
        return await Caller(server, **settings)(method, path, body, headers, parts=parts)

    return run(once)


def predict(server: Server, *rows: Any, path: str = "/invocations", **headers: str) -> Reply:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return call(server, "POST", path, {"dataframe_records": list(rows)}, headers=named)


def test_a_prediction_comes_with_its_id_and_is_in_the_journal(server: Server, folder: Path) -> None:
    reply = predict(server, ROW, clew_occurred_at="2020-01-05")
    assert reply.status == 200
    assert reply.headers["content-type"] == "application/json"
    assert reply.json["predictions"] == [200.0]
    assert reply.json["model_version"] == "plot@1"
    [prediction_id] = reply.json["prediction_ids"]
    assert reply.headers["clew-prediction-id"] == prediction_id
    [kept], _ = journalled(folder)
    assert (kept.id, kept.endpoint, kept.entity, kept.output) == (prediction_id, ENDPOINT, "P1", 200.0)
    assert kept.inputs == {"area": 100.0, "rooms": 3, "side": "sunny", "seen": "2020-01-01"}
    assert kept.occurred_at == 1_578_182_400_000_000
    assert (kept.role, kept.share, kept.error, kept.others) == ("champion", 1.0, None, [])


def test_several_rows_have_an_id_each(server: Server, folder: Path) -> None:
    rows = [ROW | {"plot": f"P{number}", "area": 50.0 + number} for number in range(7)]
    reply = predict(server, *rows, path=f"/endpoints/{ENDPOINT}/invocations/")
    assert reply.json["predictions"] == [100.0 + 2 * number for number in range(7)]
    assert len(set(reply.json["prediction_ids"])) == 7
    kept, _ = journalled(folder)
    assert [(one.row, one.entity, one.id) for one in kept] == [
        (number, f"P{number}", one) for number, one in enumerate(reply.json["prediction_ids"])
    ]
    assert len({one.request_id for one in kept}) == 1


def test_the_body_may_come_in_pieces(server: Server) -> None:
    for parts in (1, 2, 7, 1000):
        reply = call(server, "POST", "/invocations", {"dataframe_records": [ROW]}, parts=parts)
        assert reply.json["predictions"] == [200.0]


def test_unicode_passes_through(server: Server, folder: Path) -> None:
    row = ROW | {"plot": "Grundstück №5 🏡", "side": "sonnig ☀"}
    assert predict(server, row).status == 200
    [kept], _ = journalled(folder)
    assert (kept.entity, kept.inputs["side"]) == ("Grundstück №5 🏡", "sonnig ☀")


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({}, "'area'"),
        ({name: value for name, value in ROW.items() if name != "rooms"}, "'rooms' is missing"),
        (ROW | {"area": "large"}, "'area' must be a float"),
        (ROW | {"area": None}, "'area' is null"),
        (ROW | {"area": True}, "'area'"),
        (ROW | {"rooms": 2.5}, "'rooms' must be a int"),
        (ROW | {"rooms": 2**63}, "'rooms'"),
        (ROW | {"area": 10**400}, "'area'"),
        (ROW | {"side": 3}, "'side'"),
        (ROW | {"side": ["sunny"]}, "'side'"),
        (ROW | {"seen": "soon"}, "'seen' must be a date"),
        (ROW | {"plot": {"id": 1}}, "'plot'"),
        (ROW | {"plot": [1]}, "'plot'"),
    ],
)
def test_a_row_that_doesnt_fit_is_refused_by_field_and_journals_nothing(
    server: Server, folder: Path, row: Any, said: str
) -> None:
    reply = predict(server, ROW, row)
    assert reply.status == 400
    assert reply.json["error_code"] == "BAD_REQUEST"
    assert reply.json["message"].startswith("row 1: ")
    assert said in reply.json["message"]
    assert reply.json["mend"]
    assert journalled(folder) == ([], [])


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "status", "said"),
    [
        ("POST", "/invocations", b"{", {}, 400, "no JSON"),
        ("POST", "/invocations", b"[]", {}, 400, "dataframe_records"),
        ("POST", "/invocations", b"", {}, 400, "no JSON"),
        ("POST", "/invocations", b"[" * 200_000, {}, 400, "no JSON"),
        ("POST", "/invocations", b"a,b", {"content-type": "text/csv"}, 415, "content-type: 'text/csv'"),
        ("POST", "/invocations", b"{}", {"clew-occurred-at": "soon"}, 400, "clew-occurred-at"),
        ("POST", "/invocations", b"{}", {"clew-occurred-at": "0001-01-01"}, 400, "clew-occurred-at"),
        ("GET", "/invocations", b"", {}, 405, "GET"),
        ("DELETE", "/ping", b"", {}, 405, "DELETE"),
        ("POST", "/endpoints", b"", {}, 405, "POST"),
        ("HEAD", "/outcomes", b"", {}, 405, "HEAD"),
        ("POST", "/", b"", {}, 404, "nothing at /"),
        ("POST", "/endpoints/houses/invocations", b"{}", {}, 404, "no endpoint 'houses' here; there are: plots"),
        ("POST", "/endpoints/" + "x" * 5000 + "/invocations", b"{}", {}, 404, "no endpoint 'xxx"),
        ("POST", "/endpoints//invocations", b"{}", {}, 404, "no endpoint ''"),
        ("GET", "/x" * 5000, b"", {}, 404, "nothing at /x"),
        ("POST", "/outcomes", b"{}", {}, 400, "name"),
        ("POST", "/outcomes", [label(ID, 1, day(0)), {"prediction_id": "x"}], {}, 400, "outcome 1"),
        ("POST", "/clock", b"[]", {}, 400, "no clock"),
        ("POST", "/clock", b'{"now": 7}', {}, 400, "no clock"),
        ("POST", "/clock", b"[" * 200_000, {}, 400, "no clock"),
        ("POST", "/clock", b"{}", {}, 400, "'now' is missing"),
        ("POST", "/clock", {"now": "soon"}, {}, 400, "'now' must be a date"),
        ("POST", "/clock", {"now": "1990-01-01"}, {}, 400, "'now': time doesn't go back"),
        ("POST", "/clock", {"now": "9999-12-31"}, {}, 400, "'now' must be"),
    ],
)
def test_every_refusal_says_what_and_has_a_mend(
    server: Server, folder: Path, method: str, path: str, body: Any, headers: dict[str, str], status: int, said: str
) -> None:
    reply = call(server, method, path, body, headers=headers)
    assert reply.status == status
    assert said in reply.json["message"]
    assert len(reply.json["message"]) < 400
    assert reply.json["mend"]
    assert reply.json["error_code"].isupper()
    assert reply.headers["content-length"] == str(len(reply.content))
    assert ("allow" in reply.headers) == (status == 405)
    assert journalled(folder) == ([], [])


@pytest.mark.parametrize("parts", [1, 10])
def test_too_large_a_body_is_refused_whether_it_says_so_or_not(server: Server, parts: int) -> None:
    body = b'{"dataframe_records": "' + b"x" * 100_000 + b'"}'
    for headers in ({}, {"content-length": str(len(body))}, {"content-length": "9" * 5000}):
        reply = call(server, "POST", "/invocations", body, headers=headers, parts=parts, most_bytes=50_000)
        assert (reply.status, reply.json["error_code"]) == (413, "TOO_LARGE")
        assert reply.json["mend"]
    assert call(server, "POST", "/invocations", {"dataframe_records": [ROW]}, most_bytes=50_000).status == 200


def test_a_client_that_leaves_in_its_body_leaves_nothing(server: Server, folder: Path) -> None:
    sent: list[Any] = []
    parts = [{"type": "http.request", "body": b'{"dataframe_rec', "more_body": True}, {"type": "http.disconnect"}]

    async def leave() -> None:
        async def receive() -> Any:
            return parts.pop(0)

        async def send(message: Any) -> None:
            sent.append(message)

        await App(server)({"type": "http", "method": "POST", "path": "/invocations", "headers": []}, receive, send)

    run(leave)
    assert sent[0]["status"] == 400
    assert journalled(folder) == ([], [])


def test_a_token_is_asked_for_everywhere_but_at_health(server: Server) -> None:
    for path in ("/invocations", "/outcomes", "/clock", "/endpoints", "/nowhere"):
        for given in ({}, {"authorization": "Bearer ö"}, {"authorization": "Bearer secret2"}, {"authorization": "x"}):
            reply = call(server, "POST", path, b"{}", headers=given, token="secret")
            assert (reply.status, reply.json["error_code"]) == (401, "UNAUTHORIZED")
            assert reply.json["mend"]
            assert reply.headers["www-authenticate"] == "Bearer"
    for path in ("/ping", "/health"):
        assert call(server, "GET", path, token="secret").json == {"status": "ok"}
    good = {"authorization": "Bearer secret"}
    assert call(server, "GET", "/endpoints", headers=good, token="secret").status == 200


def test_outcomes_are_kept_once_they_are_acknowledged(server: Server, folder: Path) -> None:
    prediction_id = predict(server, ROW).json["prediction_ids"][0]
    one = label(prediction_id, 7, day(3))
    assert call(server, "POST", "/outcomes", one).json == {"recorded": 1}
    assert call(server, "POST", "/outcomes", [one, one | {"name": "sold", "kind": "response"}]).json == {"recorded": 2}
    _, kept = journalled(folder)
    assert [(found.prediction_id, found.name, found.value) for found in kept] == [
        (prediction_id, "price", 7.0),
        (prediction_id, "price", 7.0),
        (prediction_id, "sold", 7.0),
    ]


def test_the_datas_clock_moves_and_says_what_is_live(server: Server) -> None:
    reply = call(server, "POST", "/clock", {"now": "2020-01-02T12:00:00+02:00"})
    assert reply.json["now"] == "2020-01-02T12:00:00+02:00"
    [live] = reply.json["endpoints"]
    assert live["targets"] == [{"model": "plot@1", "role": "champion", "share": 1.0}]
    assert call(server, "GET", "/endpoints").json == {"endpoints": [live]}


def test_before_the_datas_clock_is_set_everything_must_say_when(folder: Path) -> None:
    endpoint(folder)
    with serving(folder, ENDPOINT) as server:
        server.clock = DataClock()
        refused = predict(server, ROW)
        assert (refused.status, refused.json["mend"]) == (400, 'POST /clock {"now": "1996-01-01"}')
        told = predict(server, ROW, clew_occurred_at="2020-01-01")
        assert told.status == 200
        one = label(told.json["prediction_ids"][0], 7, day(0))
        assert call(server, "POST", "/outcomes", one).status == 200
        del one["occurred_at"]
        assert "'occurred_at' is missing" in call(server, "POST", "/outcomes", one).json["message"]


def test_the_machines_clock_is_neither_set_nor_told(folder: Path) -> None:
    endpoint(folder)
    with serving(folder, ENDPOINT) as server:
        for reply in (
            predict(server, ROW, clew_occurred_at="2020-01-01"),
            call(server, "POST", "/clock", {"now": "x"}),
        ):
            assert (reply.status, reply.json["mend"]) == (400, "clew serve --clock data")


def test_with_two_endpoints_the_path_names_one(folder: Path) -> None:
    endpoint(folder, name="one")
    endpoint(folder, "plot@2", name="two")
    with serving(folder) as server:
        assert predict(server, ROW).json["mend"] == "POST /endpoints/NAME/invocations"
        assert predict(server, ROW, path="/endpoints/one/invocations").json["predictions"] == [200.0]
        assert predict(server, ROW, path="/endpoints/two/invocations").json["predictions"] == [210.0]


@pytest.mark.parametrize("fault", ["raise", "exit", "nan", "shape", "number", "object", "bytes", "surrogate"])
def test_a_model_that_fails_is_an_error_of_the_server_with_its_prediction(folder: Path, fault: str) -> None:
    endpoint(folder, register(folder, fault=fault))
    with serving(folder, ENDPOINT) as server:
        reply = predict(server, ROW, ROW | {"area": 2000.0})
        assert (reply.status, reply.json["error_code"]) == (500, "MODEL_ERROR")
        kept, _ = journalled(folder)
        assert [one.id for one in kept] == reply.json["prediction_ids"]
        assert all(one.error == reply.json["message"] and one.output is None for one in kept)
        assert predict(server, ROW).json["predictions"] == [200.0]


def test_the_application_starts_and_stops_its_server(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint(folder)
    monkeypatch.setattr("clew.serving.app._TICK_SECONDS", 0.1)
    looked: list[Any] = []
    with serving(folder, ENDPOINT, on_advance=looked.append) as server:
        incoming: asyncio.Queue[Any] = asyncio.Queue()
        sent: list[str] = []

        async def life() -> None:
            async def send(message: Any) -> None:
                sent.append(message["type"])

            incoming.put_nowait({"type": "lifespan.startup"})
            task = asyncio.ensure_future(App(server)({"type": "lifespan"}, incoming.get, send))
            await asyncio.sleep(0.25)
            incoming.put_nowait({"type": "lifespan.shutdown"})
            await task

        run(life)
        assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
        assert len(looked) in (1, 2)
        stopped = predict(server, ROW)
        assert (stopped.status, stopped.json["error_code"]) == (503, "UNAVAILABLE")


def test_a_decider_that_fails_is_asked_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint(folder)
    monkeypatch.setattr("clew.serving.app._TICK_SECONDS", 0.02)
    looked: asyncio.Queue[Any] = asyncio.Queue()
    loops: list[asyncio.AbstractEventLoop] = []

    def fail(now: Any) -> None:
        loops[0].call_soon_threadsafe(looked.put_nowait, now)
        raise ZeroDivisionError

    with serving(folder, ENDPOINT, on_advance=fail) as server:
        incoming: asyncio.Queue[Any] = asyncio.Queue()

        async def life() -> None:
            async def send(message: Any) -> None:
                pass

            loops.append(asyncio.get_running_loop())
            incoming.put_nowait({"type": "lifespan.startup"})
            task = asyncio.ensure_future(App(server)({"type": "lifespan"}, incoming.get, send))
            for _ in range(3):
                await looked.get()
            incoming.put_nowait({"type": "lifespan.shutdown"})
            await task

        run(life)
