"""The hub as a Starlette application: pages, their JSON twins, and what goes wrong said in words."""

import logging
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import quote

import msgspec
import sqlalchemy as sa
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from clew.catalog.tables import governance
from clew.errors import ClewError, NotFoundError, NotPermittedError, OutsideError, RefusedError, UsageError
from clew.hub import queries, render, security
from clew.workspace import Workspace

_LOG: Final = logging.getLogger(__name__)
_ASSETS: Final = {"clew.css": "text/css", "clew.svg": "image/svg+xml"}


class Page(NamedTuple):
    """One page: its path, its template, and the facts that it shares with `/api` before the same path."""

    path: str
    template: str
    facts: Callable[[Workspace, Request], dict[str, Any]]

    @property
    def api(self) -> str:
        """The path of its JSON twin."""
        return "/api/overview" if self.path == "/" else f"/api{self.path}"


PAGES: Final = (
    Page("/", "overview", lambda workspace, _: queries.overview(workspace)),
    Page("/datasets", "datasets", lambda workspace, _: queries.datasets(workspace)),
    Page("/datasets/{name}", "dataset", lambda workspace, ask: queries.dataset(workspace, _name(ask))),
    Page(
        "/datasets/{name}/{version}",
        "snapshot",
        lambda workspace, ask: queries.snapshot(workspace, _name(ask), _version(ask)),
    ),
    Page(
        "/datasets/{name}/{version}/changes",
        "changes",
        lambda workspace, ask: queries.changes(workspace, _name(ask), _version(ask), ask.query_params.get("since")),
    ),
    Page("/runs", "runs", lambda workspace, ask: queries.runs(workspace, _run_query(ask))),
    Page("/runs/{id}", "run", lambda workspace, ask: queries.run(workspace, _id(ask))),
    Page(
        "/runs/{id}/steps/{name:path}/log",
        "log",
        lambda workspace, ask: queries.log(workspace, _id(ask), _name(ask)),
    ),
    Page("/models", "models", lambda workspace, _: queries.models(workspace)),
    Page("/models/{name}", "model", lambda workspace, ask: queries.model(workspace, _name(ask))),
    Page(
        "/models/{name}/{version}",
        "model_version",
        lambda workspace, ask: queries.model_version(workspace, _name(ask), _version(ask)),
    ),
    Page(
        "/models/{name}/{version}/card",
        "model_card",
        lambda workspace, ask: queries.model_card(workspace, _name(ask), _version(ask)),
    ),
    Page("/endpoints", "endpoints", lambda workspace, _: queries.endpoints(workspace)),
    Page("/endpoints/{name}", "endpoint", lambda workspace, ask: queries.endpoint(workspace, _name(ask))),
    Page("/predictions", "predictions", lambda workspace, _: queries.predictions(workspace)),
    Page("/predictions/{id}", "prediction", lambda workspace, ask: queries.prediction(workspace, _id(ask))),
    Page(
        "/thread/{kind}/{name}",
        "thread",
        lambda workspace, ask: queries.thread(
            workspace, ask.path_params["kind"], _name(ask), ask.query_params.get("open")
        ),
    ),
    Page(
        "/compare/{name}/{other}",
        "compare",
        lambda workspace, ask: queries.against(workspace, _name(ask), ask.path_params["other"]),
    ),
)


def create_app(workspace: Workspace, *, token: str | None = None) -> Starlette:
    """The hub of a workspace.

    With `token`, everything but `/health` and the login needs `Authorization: Bearer` or a session. Without one, only
    requests for a loopback host are answered. The workspace stays the caller's, and open while the hub answers.
    """
    return _Hub(workspace, token).app


class _Hub:
    def __init__(self, workspace: Workspace, token: str | None) -> None:
        self._workspace = workspace
        self._templates = render.environment()
        self._sessions = security.Sessions(token) if token is not None else None
        here = Path(__file__).parent / "static"
        self._assets = {name: (here / name).read_bytes() for name in _ASSETS}
        routes = [Route("/health", self._health), Route("/static/{name}", self._asset)]
        if self._sessions is not None:
            routes.append(Route("/login", self._login, methods=["GET", "POST"]))
        for page in PAGES:
            routes.append(Route(page.path, self._html(page)))
            routes.append(Route(page.api, self._json(page)))
        self.app = Starlette(
            routes=routes,
            middleware=[Middleware(security.Guard, sessions=self._sessions, refuse=self._refused)],
            exception_handlers={ClewError: self._clew_error, HTTPException: self._http_error, Exception: self._bug},
        )

    def _html(self, page: Page) -> Callable[[Request], Response]:
        def answer(request: Request) -> Response:
            wanted = request.query_params.get("id", "").strip() if page.path == "/predictions" else ""
            if wanted:
                return RedirectResponse(f"/predictions/{quote(wanted, safe='')}", 303)
            return self._page(page.template, request, page.facts(self._workspace, request))

        return answer

    def _json(self, page: Page) -> Callable[[Request], Response]:
        def answer(request: Request) -> Response:
            return _json(page.facts(self._workspace, request))

        return answer

    def _page(self, template: str, request: Request, facts: Any, status: int = 200) -> Response:
        text = self._templates.get_template(f"{template}.html").render(
            facts=facts, path=request.url.path, guarded=self._sessions is not None
        )
        return Response(text, status, media_type="text/html")

    def _health(self, _: Request) -> Response:
        self._workspace.catalog.first(sa.select(governance.workspace.c.id))
        return _json({"status": "ok"})

    def _asset(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in _ASSETS:
            raise NotFoundError("there is no such file")
        # The address has the version in it, so a new version is fetched anew.
        headers = {"Cache-Control": "public, max-age=86400"}
        return Response(self._assets[name], media_type=_ASSETS[name], headers=headers)

    async def _login(self, request: Request) -> Response:
        def form(there: str, complaint: str | None, status: int) -> Response:
            return self._page("login", request, {"next": there, "complaint": complaint}, status)

        if self._sessions is None:
            raise NotFoundError("this hub has no token", mend="open /")
        return await security.login(request, self._sessions, form)

    async def _clew_error(self, request: Request, error: Exception) -> Response:
        if not isinstance(error, ClewError):
            raise error
        if isinstance(error, OutsideError):
            _LOG.error("%s: %s", request.url.path, error)
        return await run_in_threadpool(self._refused, request, error, _status(error))

    async def _http_error(self, request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        mend = "go back to the overview: /" if status == 404 else None
        said = NotFoundError(f"{HTTPStatus(status).phrase.lower()}: {request.url.path}", mend=mend)
        answer = self._refused(request, said, status)
        if isinstance(error, HTTPException):
            answer.headers.update(error.headers or {})
        return answer

    async def _bug(self, request: Request, _: Exception) -> Response:
        """Starlette raises it again for the server's log; the browser hears no more than this."""
        error = ClewError("something went wrong in the hub", mend="look into the log of clew hub")
        answer = self._refused(request, error, 500)
        answer.headers.update(security.HEADERS)
        return answer

    def _refused(self, request: Request, error: ClewError, status: int) -> Response:
        facts = {"error": error.message, "mend": error.mend}
        if request.url.path.startswith("/api/"):
            return _json(facts, status)
        return self._page("error", request, {**facts, "status": status}, status)


_STATUS: Final = (
    (NotFoundError, 404),
    (UsageError, 400),
    (NotPermittedError, 403),
    (OutsideError, 503),
    (RefusedError, 409),
)


def _status(error: ClewError) -> int:
    for kind, status in _STATUS:
        if isinstance(error, kind):
            return status
    return 500


def _json(facts: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(facts), status, media_type="application/json")


def _name(request: Request) -> str:
    name: str = request.path_params["name"]
    return name


def _id(request: Request) -> str:
    """An id as it is written everywhere: lower case."""
    return str(request.path_params["id"]).lower()


def _version(request: Request) -> int:
    text: str = request.path_params["version"]
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise NotFoundError(f"{_name(request)} has no version {text!r}", mend="versions are numbers, such as 3")
    return int(text)


def _run_query(request: Request) -> queries.RunQuery:
    given = request.query_params
    page = given.get("page", "1")
    if not (page.isascii() and page.isdigit() and len(page) < 19):
        raise UsageError(f"{page!r} is no page", mend="begin with page=1")
    return queries.RunQuery(
        state=given.get("state") or None,
        name=given.get("name") or None,
        text=(given.get("text") or "").strip()[:200] or None,
        sort=given.get("sort") or "started",
        order=given.get("order") or "desc",
        page=int(page),
    )
