"""The little of ASGI that an endpoint needs: no framework, and nothing believed that came."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, Final, TypeAlias

Scope: TypeAlias = "MutableMapping[str, Any]"
Receive: TypeAlias = "Callable[[], Awaitable[MutableMapping[str, Any]]]"
Send: TypeAlias = "Callable[[MutableMapping[str, Any]], Awaitable[None]]"
_MOST_BYTES: Final = 256 << 10


class Refused(Exception):
    """A request that is answered with an error.

    Attributes:
        status: Of the answer.
        told: Its body.
    """

    def __init__(self, status: int, **told: Any) -> None:
        super().__init__(status)
        self.status = status
        self.told = told


def headers_of(scope: Scope) -> dict[str, str]:
    """Return the headers by their names in small letters.

    Raises:
        Refused: One came twice: of two nobody knows which one somebody else has looked at.
    """
    found: dict[str, str] = {}
    for raw, value in scope.get("headers", ()):
        name = raw.decode("latin-1").lower()
        if name in found and name.startswith(("webhook-", "x-slack-", "content-type", "content-length")):
            raise Refused(400, error="a header came twice")
        found[name] = value.decode("latin-1")
    return found


async def body_of(scope: Scope, receive: Receive) -> bytes:
    """Return the body of a POST, byte by byte as it came.

    Raises:
        Refused: It is no POST, or too long.
    """
    if scope["method"] != "POST":
        raise Refused(405, error="use POST: nothing is decided by anything else")
    body, more = bytearray(), True
    while more:
        event = await receive()
        if event["type"] == "http.disconnect":
            raise Refused(400, error="the body ended early")
        body += event.get("body", b"")
        more = event.get("more_body", False)
        if len(body) > _MOST_BYTES:
            raise Refused(413, error="the body is too long")
    return bytes(body)


async def answer(send: Send, status: int, told: Mapping[str, Any] | None) -> None:
    """Answer with JSON; ``None`` for an empty body."""
    body = b"" if told is None else json.dumps(told).encode()
    kind = [] if told is None else [(b"content-type", b"application/json")]
    head = [*kind, (b"content-length", str(len(body)).encode()), (b"cache-control", b"no-store")]
    if status == 405:  # noqa: PLR2004
        head.append((b"allow", b"POST"))
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": body})


async def is_http(scope: Scope, receive: Receive, send: Send) -> bool:
    """Whether it is a request; what else a server sends is answered here."""
    if scope["type"] == "lifespan":
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
    elif scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1003})
    is_request: bool = scope["type"] == "http"
    return is_request


def strict_json(text: str | bytes) -> Any:
    """Return what JSON *text* says; a name that comes twice in an object, or NaN, is refused.

    Raises:
        ValueError: It is no such text.
    """
    return json.loads(text, object_pairs_hook=_once, parse_constant=_no_constant)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        msg = "a name comes twice"
        raise ValueError(msg)
    return found


def _no_constant(name: str) -> Any:
    msg = f"{name} is no number"
    raise ValueError(msg)


async def ask(method: Callable[..., Any], *args: Any) -> Any:
    """Call a method of either kind of ledger; a blocking one keeps nobody else waiting."""
    if inspect.iscoroutinefunction(method):
        return await method(*args)
    return await asyncio.to_thread(method, *args)
