"""Who may look: bearer tokens, sessions, and the headers that keep a page to itself."""

import asyncio
import hashlib
import hmac
import ipaddress
import secrets
import time
from collections.abc import Callable
from typing import Final
from urllib.parse import parse_qs, quote

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from clew.errors import ClewError, NotPermittedError, UsageError

COOKIE: Final = "clew_session"
SESSION_SECONDS: Final = 12 * 3600
_OPEN: Final = ("/login", "/health", "/static/")
_MOST_FORM_BYTES: Final = 4096
_WRONG_TOKEN_WAIT: Final = 0.3

HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self'; object-src 'none'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}

Refuse = Callable[[Request, ClewError, int], Response]


def is_loopback(host: str) -> bool:
    """Whether a name or address never leaves this machine."""
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class Sessions:
    """Checks the token, and gives out sessions that this process alone can make and that end by themselves."""

    def __init__(self, token: str) -> None:
        self._token = _sha256(token)
        self._secret = secrets.token_bytes(32)

    def is_token(self, given: str) -> bool:
        """Whether this is the token; takes the same time whatever is wrong with it."""
        return hmac.compare_digest(_sha256(given), self._token)

    def new(self) -> str:
        """A session's cookie: when it ends, and the proof that it was made here."""
        ends = str(int(time.time()) + SESSION_SECONDS)
        return f"{ends}.{self._proof(ends)}"

    def is_valid(self, cookie: str) -> bool:
        """Whether a session was made here and hasn't ended."""
        ends, _, proof = cookie.partition(".")
        genuine = hmac.compare_digest(proof.encode(), self._proof(ends).encode())
        return genuine and int(ends) > time.time()

    def _proof(self, ends: str) -> str:
        return hmac.new(self._secret, ends.encode(), hashlib.sha256).hexdigest()


def _sha256(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


class Guard:
    """Stands before all pages: the host's name, the token or the session, and the headers of every answer.

    Without a token only a loopback name is answered, so that a page from elsewhere can't point its own name at this
    machine and read on behalf of the browser in front of it.
    """

    def __init__(self, app: ASGIApp, *, sessions: Sessions | None, refuse: Refuse) -> None:
        self._app = app
        self._sessions = sessions
        self._refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or refuse, one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        answer = self._refusal(Request(scope))
        await (answer or self._app)(scope, receive, with_headers)

    def _refusal(self, request: Request) -> Response | None:
        path = request.url.path
        if "\0" in path or "%00" in request.url.query:
            return self._refuse(request, UsageError("that address has a NUL character"), 400)
        if self._sessions is None:
            return None if is_loopback(_host(request.headers)) else self._other_host(request)
        if path.startswith(_OPEN) or self._may(request, self._sessions):
            return None
        if path.startswith("/api/"):
            answer = self._refuse(
                request, NotPermittedError("a token is needed", mend="send Authorization: Bearer TOKEN"), 401
            )
            answer.headers["WWW-Authenticate"] = "Bearer"
            return answer
        return RedirectResponse(f"/login?next={quote(path, safe='/')}", 303)

    def _may(self, request: Request, sessions: Sessions) -> bool:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return sessions.is_token(given.strip())
        return sessions.is_valid(request.cookies.get(COOKIE, ""))

    def _other_host(self, request: Request) -> Response:
        error = NotPermittedError(
            "this hub has no token, so it answers to the names of this machine alone",
            mend="open http://127.0.0.1 with its port, or start it with a token in CLEW_TOKEN",
        )
        return self._refuse(request, error, 403)


def _host(headers: Headers) -> str:
    """The host's name without its port."""
    host = headers.get("host", "")
    return host[: host.find("]") + 1] if host.startswith("[") else host.partition(":")[0]


async def login(request: Request, sessions: Sessions, form: Callable[[str, str | None, int], Response]) -> Response:
    """Give a session for the token, or take it back. `form(next, complaint, status)` makes the page that asks."""
    if request.method != "POST":
        return form(_inside(request.query_params.get("next", "/")), None, 200)
    fields = parse_qs(await _body(request), max_num_fields=10)
    there = _inside(fields.get("next", ["/"])[0])
    if "leave" in fields:
        answer: Response = RedirectResponse("/login", 303)
        answer.delete_cookie(COOKIE, httponly=True, samesite="strict")
        return answer
    if not sessions.is_token(fields.get("token", [""])[0].strip()):
        await asyncio.sleep(_WRONG_TOKEN_WAIT)
        return form(there, "That is not the token of this hub.", 401)
    answer = RedirectResponse(there, 303)
    secure = request.url.scheme == "https"
    answer.set_cookie(
        COOKIE, sessions.new(), max_age=SESSION_SECONDS, httponly=True, samesite="strict", secure=secure, path="/"
    )
    return answer


async def _body(request: Request) -> str:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MOST_FORM_BYTES:
            raise UsageError("that form is too long to be a login")
    return body.decode("utf-8", "replace")


def _inside(path: str) -> str:
    """A path of this hub, and never an address elsewhere."""
    plain = path.isprintable() and "\\" not in path
    return path if plain and path.startswith("/") and not path.startswith("//") else "/"
