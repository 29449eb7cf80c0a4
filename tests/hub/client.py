"""Asking a hub without a socket, as a browser would: cookies are kept, redirects are shown."""

import asyncio
from typing import Any

import httpx
from starlette.applications import Starlette


class Pages:
    def __init__(self, app: Starlette, base_url: str = "http://127.0.0.1:8686") -> None:
        self._app = app
        self._base_url = base_url
        self.cookies = httpx.Cookies()

    def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        async def go() -> httpx.Response:
            transport = httpx.ASGITransport(self._app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url=self._base_url, cookies=self.cookies) as client:
                answer = await client.request(method, path, **options)
                self.cookies = client.cookies
                return answer

        return asyncio.run(go())

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.ask("GET", path, **options)

    def post(self, path: str, **options: Any) -> httpx.Response:
        return self.ask("POST", path, **options)
