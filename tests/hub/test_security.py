import time

import pytest
from tests.hub.client import Pages
from tests.hub.conftest import House

from clew.hub import create_app, security
from clew.hub.security import Sessions, is_loopback

TOKEN = "a-long-token-of-the-hub"


@pytest.fixture
def guarded(house: House) -> Pages:
    return Pages(create_app(house.workspace, token=TOKEN), "http://hub.example")


def test_every_answer_keeps_the_page_to_itself(house: House, guarded: Pages) -> None:
    for answer in (
        house.pages.get("/"),
        house.pages.get("/nothing"),
        house.pages.get("/api/runs"),
        house.pages.post("/"),
        guarded.get("/"),
        guarded.get("/api/runs"),
        guarded.get("/login"),
    ):
        assert answer.headers["content-security-policy"].startswith("default-src 'self'; script-src 'self'")
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-frame-options"] == "DENY"


def test_assets_come_from_a_fixed_list(house: House) -> None:
    sheet = house.pages.get("/static/clew.css")
    assert sheet.headers["content-type"].startswith("text/css")
    assert "prefers-color-scheme: dark" in sheet.text
    assert "public" in sheet.headers["cache-control"]
    assert house.pages.get("/static/clew.svg").headers["content-type"].startswith("image/svg+xml")
    for wrong in ("/static/", "/static/x", "/static/..%2Fapp.py", "/static/%2Fetc%2Fpasswd", "/static/clew.css/x"):
        assert house.pages.get(wrong).status_code == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_nothing_can_be_changed(house: House, method: str) -> None:
    for path in ("/", "/runs", "/api/runs", "/static/clew.css"):
        assert house.pages.ask(method, path).status_code == 405


def test_without_a_token_only_this_machine_is_answered(house: House) -> None:
    app = create_app(house.workspace)
    for good in ("http://127.0.0.1:8686", "http://localhost", "http://[::1]:8686", "http://127.9.9.9"):
        assert Pages(app, good).get("/").status_code == 200
    for wrong in (
        "http://hub.example",
        "http://127.0.0.1.evil.example",
        "http://10.0.0.7:8686",
        "http://localhost.evil",
    ):
        refused = Pages(app, wrong).get("/")
        assert refused.status_code == 403
        assert "house-price" not in refused.text
        assert Pages(app, wrong).get("/api/overview").status_code == 403
    assert Pages(app).get("/login").status_code == 404


def test_with_a_token_every_page_asks_for_it(guarded: Pages) -> None:
    for path in ("/", "/runs", "/predictions/x", "/nothing", "/static"):
        answer = guarded.get(path)
        assert answer.status_code == 303
        assert answer.headers["location"] == f"/login?next={path}"
    for path in ("/api/overview", "/api/nothing"):
        answer = guarded.get(path)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.json()["mend"] == "send Authorization: Bearer TOKEN"
    assert guarded.get("/health").status_code == 200
    assert guarded.get("/static/clew.css").status_code == 200


def test_a_bearer_token_opens_pages_and_api(guarded: Pages) -> None:
    for given, status in ((f"Bearer {TOKEN}", 200), (f"bearer  {TOKEN} ", 200), (f"Bearer {TOKEN}x", 401)):
        assert guarded.get("/api/overview", headers={"Authorization": given}).status_code == status
    for wrong in ("Bearer", "Bearer ", f"Basic {TOKEN}", TOKEN, "Bearer é".encode("latin-1")):
        assert guarded.get("/api/overview", headers={"Authorization": wrong}).status_code == 401
    assert guarded.get("/", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200


def test_login_gives_a_session_that_scripts_and_other_sites_cannot_use(guarded: Pages) -> None:
    assert 'name="token"' in guarded.get("/login?next=/runs").text
    answer = guarded.post("/login", data={"token": TOKEN, "next": "/runs"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/runs")
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert TOKEN not in cookie
    assert "secure" not in cookie  # this one came over plain HTTP
    assert guarded.get("/runs").status_code == 200
    assert guarded.get("/api/overview").status_code == 200
    left = guarded.post("/login", data={"leave": "1"})
    assert left.headers["location"] == "/login"
    assert guarded.get("/runs").status_code == 303


def test_over_https_the_session_stays_there(house: House) -> None:
    pages = Pages(create_app(house.workspace, token=TOKEN), "https://hub.example")
    assert "secure" in pages.post("/login", data={"token": TOKEN}).headers["set-cookie"].lower()


def test_a_wrong_token_gives_no_session_and_costs_time(guarded: Pages) -> None:
    begin = time.perf_counter()
    answer = guarded.post("/login", data={"token": "wrong", "next": '"><script>'})
    assert time.perf_counter() - begin > 0.25
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers
    assert "not the token" in answer.text
    assert "<script>" not in answer.text
    assert guarded.post("/login").status_code == 401
    assert guarded.post("/login", content=b"x" * 10_000).status_code == 400


@pytest.mark.parametrize(
    "there",
    ["//evil.example", "https://evil.example", "/\\evil.example", "\\\\evil", "evil", "/a\r\nSet-Cookie: x=1", ""],
)
def test_a_login_never_leads_to_another_site(guarded: Pages, there: str) -> None:
    assert guarded.post("/login", data={"token": TOKEN, "next": there}).headers["location"] == "/"


def test_sessions_are_made_here_alone_and_end(monkeypatch: pytest.MonkeyPatch) -> None:
    sessions = Sessions(TOKEN)
    cookie = sessions.new()
    assert sessions.is_valid(cookie)
    ends, _, proof = cookie.partition(".")
    for forged in (f"{int(ends) + 1}.{proof}", f"{ends}.{proof[:-1]}x", ends, "", ".", f"x.{proof}", f"é.{proof}é"):
        assert not sessions.is_valid(forged)
    assert not Sessions(TOKEN).is_valid(cookie)  # another process has another secret
    later = time.time() + security.SESSION_SECONDS + 1
    monkeypatch.setattr(time, "time", lambda: later)
    assert not sessions.is_valid(cookie)


def test_loopback_is_told_from_its_likenesses() -> None:
    assert all(map(is_loopback, ["localhost", "127.0.0.1", "127.1.2.3", "::1", "[::1]"]))
    assert not any(map(is_loopback, ["0.0.0.0", "", "localhost.example", "127.0.0.1.example", "10.0.0.1", "::"]))
