"""A client that asks an application in this process, as a browser on the same site would."""

from __future__ import annotations

from typing import Any

import httpx2


class Client:
    """Asks an application as a browser on the same site would."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def get(self, path: str, **headers: str) -> httpx2.Response:
        return await self._ask("GET", path, None, headers)

    async def post(self, path: str, data: dict[str, str], **headers: str) -> httpx2.Response:
        form = "application/x-www-form-urlencoded"
        return await self._ask(
            "POST", path, data, {"sec-fetch-site": "same-origin", "content-type": form, **headers}
        )

    async def _ask(
        self, method: str, path: str, data: dict[str, str] | None, headers: dict[str, str]
    ) -> httpx2.Response:
        transport = httpx2.ASGITransport(app=self._app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8765") as client:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            return await client.request(method, path, data=data, headers=named)
