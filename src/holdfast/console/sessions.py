"""Who has signed in here: kept by this process, named by a cookie that nothing can be read from."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from holdfast.console.access import Visitor

LONGEST: Final = timedelta(hours=12)
IDLE: Final = timedelta(hours=2)
_MOST: Final = 10_000


@dataclass(slots=True)
class _Session:
    visitor: Visitor
    begun: datetime
    seen: datetime


@dataclass(slots=True)
class Sessions:
    """The sessions of one console.

    Each sign-in makes a new one, whatever cookie came along: an id that somebody else chose is never adopted.
    Signing out ends it here, so that a copy of the cookie is worth nothing afterwards.

    Attributes:
        now: The time.
        is_secure: Whether the console is reached over TLS only; ``None``: as each request came.
    """

    now: Callable[[], datetime]
    is_secure: bool | None = None
    _known: dict[str, _Session] = field(default_factory=dict[str, _Session])

    def visitor(self, request: Request) -> Visitor | None:
        """Return who the request's session belongs to."""
        cookie = request.cookies.get(self.cookie(request), "")
        name, now = _hashed(cookie), self.now()
        session = self._known.get(name)
        if session is None:
            return None
        if now - session.begun > LONGEST or now - session.seen > IDLE:
            del self._known[name]
            return None
        session.seen = now
        return session.visitor

    def begin(self, request: Request, response: Response, visitor: Visitor) -> None:
        """Begin a session for *visitor*; the one that the request came with is over."""
        self.end(request, response)
        now, cookie = self.now(), secrets.token_urlsafe(32)
        if len(self._known) >= _MOST:
            del self._known[min(self._known, key=lambda name: self._known[name].seen)]
        self._known[_hashed(cookie)] = _Session(visitor, now, now)
        response.set_cookie(
            self.cookie(request),
            cookie,
            path="/",
            secure=self._over_tls(request),
            httponly=True,
            samesite="strict",
        )

    def end(self, request: Request, response: Response) -> None:
        """End the request's session."""
        name = self.cookie(request)
        self._known.pop(_hashed(request.cookies.get(name, "")), None)
        response.delete_cookie(
            name, path="/", secure=self._over_tls(request), httponly=True, samesite="strict"
        )

    def cookie(self, request: Request) -> str:
        """Return the cookie's name: over TLS one that no other host can set, else one of this port's own."""
        return "__Host-holdfast" if self._over_tls(request) else f"holdfast-{request.url.port or 80}"

    def _over_tls(self, request: Request) -> bool:
        return request.url.scheme == "https" if self.is_secure is None else self.is_secure


def _hashed(cookie: str) -> str:
    return hashlib.sha256(cookie.encode("utf-8", "surrogateescape")).hexdigest()
