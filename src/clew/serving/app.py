"""The HTTP surface: a small ASGI application over `Server`."""

import asyncio
import contextlib
import hmac
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from datetime import datetime
from typing import Any

import msgspec

from clew.errors import ClewError, UsageError
from clew.serving import requests
from clew.serving.clock import DataClock
from clew.serving.server import PredictionError, Server

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_LOG = logging.getLogger(__name__)
MOST_BYTES = 8 * 1024 * 1024
_TICK_SECONDS = 2.0
_CLOCK_FORM = 'send {"now": "1996-01-01"}'


class _Refused(Exception):  # noqa: N818 - it is an answer, not a fault
    def __init__(self, status: int, code: str, message: str, mend: str, *headers: tuple[bytes, bytes]) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers
        self.body = {"error_code": code, "message": message, "mend": mend}


class App:
    """Answers `/invocations`, `/endpoints/NAME/invocations`, `/outcomes`, `/clock`, `/ping`, `/health`.

    Args:
        server: what it serves.
        token: when given, every request but `/ping` and `/health` needs `Authorization: Bearer TOKEN`.
        most_bytes: the largest body that is read.
    """

    def __init__(self, server: Server, *, token: str | None = None, most_bytes: int = MOST_BYTES) -> None:
        self.server = server
        self.token = token
        self.most_bytes = most_bytes
        self._ticker: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                if not self.server.clock.replay:
                    self._ticker = asyncio.create_task(self._tick())
                await send({"type": "lifespan.startup.complete"})
            else:
                if self._ticker is not None:
                    self._ticker.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        await self._ticker
                self.server.stop()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _tick(self) -> None:
        """With the machine's clock, whoever decides is asked every two seconds."""
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            try:
                await self.server.advance(self.server.clock.now())
            except ClewError as error:
                print(f"clew serve: {error}", flush=True)  # noqa: T201 - the server's log is its output
            except Exception:  # noqa: BLE001 - a task's edge: whatever it was, the next look may be well
                _LOG.exception("deciding failed")

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            status, body, headers = await self._answer(scope, receive)
        except _Refused as refused:
            status, body, headers = refused.status, refused.body, list(refused.headers)
        except PredictionError as error:
            status, headers = 500, _id_headers(error.ids)
            body = {"error_code": "MODEL_ERROR", "message": error.message, "prediction_ids": error.ids}
        except UsageError as error:
            mend = error.mend or "correct that field, and send it again"
            status, body, headers = 400, {"error_code": "BAD_REQUEST", "message": error.message, "mend": mend}, []
        except ClewError as error:
            mend = error.mend or "send it again later"
            status, body, headers = 503, {"error_code": "UNAVAILABLE", "message": error.message, "mend": mend}, []
        content = msgspec.json.encode(body)
        await send(
            {
                "type": "http.response.start",
                "status": status,
                "headers": [
                    (b"content-type", b"application/json"),
                    (b"content-length", str(len(content)).encode()),
                    (b"x-content-type-options", b"nosniff"),
                    *headers,
                ],
            }
        )
        await send({"type": "http.response.body", "body": content})

    async def _answer(self, scope: Scope, receive: Receive) -> tuple[int, Any, list[tuple[bytes, bytes]]]:
        method, path = scope["method"], scope["path"].rstrip("/") or "/"
        headers = {name.lower(): value for name, value in scope["headers"]}
        if path in ("/ping", "/health"):
            _only(method, "GET")
            return 200, {"status": "ok"}, []
        self._check_token(headers)
        if path == "/endpoints":
            _only(method, "GET")
            return 200, {"endpoints": [self._described(route) for route in self.server.routes.values()]}, []
        if path == "/outcomes":
            _only(method, "POST")
            found = requests.outcomes(await self._body(headers, receive), self._now())
            return 200, {"recorded": await self.server.add_outcomes(found)}, []
        if path == "/clock":
            _only(method, "POST")
            return 200, await self._move_clock(await self._body(headers, receive)), []
        parts = path.split("/")
        if path == "/invocations" or (len(parts) == 4 and parts[1] == "endpoints" and parts[3] == "invocations"):
            _only(method, "POST")
            return await self._predict(None if path == "/invocations" else parts[2], headers, receive)
        raise _Refused(404, "NOT_FOUND", f"there is nothing at {path[:100]}", "POST /endpoints/NAME/invocations")

    def _described(self, route: Any) -> dict[str, Any]:
        return _describe(route, self.server.kept_back(route.endpoint))

    def _now(self) -> datetime | None:
        """The clock's time; None before the data's clock was set."""
        clock = self.server.clock
        return None if isinstance(clock, DataClock) and not clock.is_set else clock.now()

    async def _predict(
        self, name: str | None, headers: dict[bytes, bytes], receive: Receive
    ) -> tuple[int, Any, list[tuple[bytes, bytes]]]:
        try:
            route = self.server.route(name)
        except KeyError:
            known = ", ".join(self.server.routes) or "none"
            message = f"no endpoint {str(name)[:100]!r} here; there are: {known}"
            raise _Refused(404, "NOT_FOUND", message, "GET /endpoints lists what is served") from None
        occurred_at = None
        stamped = headers.get(b"clew-occurred-at")
        if stamped is not None:
            if not self.server.clock.replay:
                raise UsageError(
                    "header clew-occurred-at: this server goes by the machine's clock", mend="clew serve --clock data"
                )
            occurred_at = requests.moment(stamped.decode("latin-1"), "header clew-occurred-at")
        records = requests.rows(await self._body(headers, receive))
        await self.server.catch_up()
        predicted = await self.server.predict(route, records, occurred_at)
        body = {"predictions": predicted.values, "prediction_ids": predicted.ids, "model_version": predicted.version}
        return 200, body, _id_headers(predicted.ids)

    async def _move_clock(self, body: bytes) -> dict[str, Any]:
        clock = self.server.clock
        if not isinstance(clock, DataClock):
            raise UsageError("this server goes by the machine's clock", mend="clew serve --clock data")
        try:
            given = msgspec.json.decode(body, type=dict[str, str])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise UsageError(f"the body is no clock: {error}", mend=_CLOCK_FORM) from error
        if "now" not in given:
            raise UsageError("field 'now' is missing", mend=_CLOCK_FORM)
        clock.move(requests.moment(given["now"], "field 'now'"))
        await self.server.advance(clock.now())
        return {"now": clock.now().isoformat(), "endpoints": [self._described(r) for r in self.server.routes.values()]}

    async def _body(self, headers: dict[bytes, bytes], receive: Receive) -> bytes:
        kind = headers.get(b"content-type", b"application/json").split(b";")[0].strip().lower()
        if kind != b"application/json":
            raise _Refused(
                415,
                "UNSUPPORTED_MEDIA_TYPE",
                f"header content-type: {kind[:60].decode('latin-1')!r} is not understood",
                "send JSON, with content-type: application/json",
            )
        too_large = _Refused(413, "TOO_LARGE", f"a body may have {self.most_bytes} bytes at most", "send it in parts")
        declared = headers.get(b"content-length", b"0")
        if declared.isdigit() and int(declared[:20]) > self.most_bytes:
            raise too_large
        chunks, size = [], 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise _Refused(400, "BAD_REQUEST", "the client went away", "send the whole body")
            chunk = message.get("body", b"")
            size += len(chunk)
            if size > self.most_bytes:
                raise too_large
            chunks.append(chunk)
            if not message.get("more_body"):
                return b"".join(chunks)

    def _check_token(self, headers: dict[bytes, bytes]) -> None:
        if self.token is None:
            return
        given = headers.get(b"authorization", b"")
        if not hmac.compare_digest(given, f"Bearer {self.token}".encode()):
            raise _Refused(
                401,
                "UNAUTHORIZED",
                "header authorization: this server needs its token",
                "send authorization: Bearer TOKEN",
                (b"www-authenticate", b"Bearer"),
            )


def _only(method: str, allowed: str) -> None:
    if method != allowed and not (allowed == "GET" and method == "HEAD"):
        message = f"{method[:20]} can't be used here"
        raise _Refused(405, "METHOD_NOT_ALLOWED", message, f"send {allowed}", (b"allow", allowed.encode()))


def _id_headers(ids: list[str]) -> list[tuple[bytes, bytes]]:
    """The id of the prediction; of the first one when a request had several rows (the body lists all)."""
    return [(b"clew-prediction-id", ids[0].encode())]


def _describe(route: Any, kept_back: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "endpoint": route.endpoint,
        "revision": route.revision,
        "reason": route.reason,
        "not_journalled": kept_back,
        "targets": [{"model": t.model_version, "role": t.role, "share": t.share} for t in route.targets],
    }
