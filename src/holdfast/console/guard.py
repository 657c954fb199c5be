"""What holds for every request: who may send forms, what browsers are told, where links lead."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_SAFE: Final = frozenset({"GET", "HEAD"})
_PREFIX: Final = re.compile(r"(/(?!\.\.?(?:/|$))[A-Za-z0-9._~-]+)*")
_FORM: Final = "application/x-www-form-urlencoded"
_MOST_BYTES: Final = 64 << 10
_TOLD: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    ),
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""What every answer says, unless it says something else itself. A policy of no referrer at all would hide the
origin that forms are judged by."""


def is_same_origin(headers: Headers) -> bool:
    """Whether a form was sent by a page of ours, or by a person's own program.

    Browsers say so themselves (Fetch Metadata), old ones name the origin; who says neither is no browser, and
    nobody's cookies come with it.
    """
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site in {"same-origin", "none"}
    origin = headers.get("origin")
    return origin is None or urlsplit(origin).netloc == headers.get("host")


class Guard:
    """Refuses forms from other sites, and tells browsers what they must not do with our pages.

    Args:
        on_forged: Told of each request that is refused; what it does changes no answer.
    """

    def __init__(self, app: ASGIApp, on_forged: Callable[[Request], Awaitable[None]]) -> None:
        self.app = app
        self._on_forged = on_forged

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what may pass."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _TOLD.items():
                    headers.setdefault(name, value)
            await send(message)

        if scope["method"] not in _SAFE and not is_same_origin(Headers(scope=scope)):
            await self._on_forged(Request(scope))
            refusal = PlainTextResponse("This form was sent by another site. Nothing was done.\n", 403)
            await refusal(scope, receive, told)
            return
        await self.app(scope, receive, told)


def base_of(request: Request) -> str:
    """Return where the console is, as the browser sees it: what a proxy cut off, and what it is mounted at.

    A prefix that is no plain path is not believed: scripts are loaded from below it.
    """
    given = request.headers.get("x-forwarded-prefix", "").rstrip("/")
    prefix = given if _PREFIX.fullmatch(given) else ""
    return prefix + str(request.scope.get("root_path", "")).rstrip("/")


def only_hosts(app: ASGIApp, hosts: Sequence[str]) -> ASGIApp:
    """Return *app* for requests to these hosts only: a name of another site may lead to this machine, too."""

    async def served(scope: Scope, receive: Receive, send: Send) -> None:
        host = Headers(scope=scope).get("host", "") if scope["type"] == "http" else ""
        if scope["type"] == "http" and host.rpartition(":")[0] not in hosts and host not in hosts:
            await PlainTextResponse("This console is not at that address.\n", 421)(scope, receive, send)
            return
        await app(scope, receive, send)

    return served


async def read_form(request: Request) -> tuple[dict[str, str] | None, int]:
    """Return the fields of a form, or why it is not read."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
        return None, 415
    length = request.headers.get("content-length", "")
    if not length.isdecimal():
        return None, 411
    if int(length) > _MOST_BYTES:
        return None, 413
    async with request.form(max_files=0, max_fields=50) as form:
        return {name: value for name, value in form.items() if isinstance(value, str)}, 200
