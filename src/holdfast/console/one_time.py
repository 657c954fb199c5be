"""Sign in by a token that was printed where the console was started; each opens the door once."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from holdfast.console.access import Role, Visitor
from holdfast.console.guard import base_of, read_form
from holdfast.console.sessions import Sessions


class OneTimeToken:
    """Access for who can read what the process prints.

    A link only leads to a form: what previews or loads ahead uses no token up.

    Args:
        tell: Given each token: the first by :meth:`announce`, the next one whenever one was used.
        visitor: Who signs in with it.
        roles: What they are.
        now: The time.
    """

    entrance = "/-/sign-in"

    def __init__(
        self,
        tell: Callable[[str], object],
        *,
        visitor: str,
        roles: Iterable[Role] = (Role.VIEWER,),
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._tell = tell
        self._id = visitor
        self._roles = frozenset(roles)
        self._now = now
        self._sessions = Sessions(now)
        self._token = secrets.token_urlsafe(32)

    def announce(self) -> None:
        """Tell the token that opens the door next."""
        self._tell(self._token)

    async def visitor(self, request: Request) -> Visitor | None:
        """Return who the session belongs to."""
        return self._sessions.visitor(request)

    def routes(self) -> Sequence[BaseRoute]:
        """Return the form, and what it and the way out lead to."""
        return (
            Route(self.entrance, self._form, methods=["GET"]),
            Route(self.entrance, self._sign_in, methods=["POST"]),
            Route("/-/sign-out", self._sign_out, methods=["POST"]),
        )

    async def _form(self, request: Request) -> Response:
        return _drawn(request, token=request.query_params.get("token", ""))

    async def _sign_in(self, request: Request) -> Response:
        form, status = await read_form(request)
        if form is None:
            return _drawn(request, problem="Send the form that is on this page.", status=status)
        given = form.get("token", "")
        if not hmac.compare_digest(given.encode(), self._token.encode()):
            return _drawn(
                request, problem="This token is wrong, or was used: take the last one printed.", status=403
            )
        response = RedirectResponse(f"{base_of(request)}/", 303)
        visitor = Visitor(self._id, self._roles, method="token", auth_time=self._now())
        self._sessions.begin(request, response, visitor)
        self._token = secrets.token_urlsafe(32)
        self.announce()
        return response

    async def _sign_out(self, request: Request) -> Response:
        response = RedirectResponse(f"{base_of(request)}{self.entrance}", 303)
        self._sessions.end(request, response)
        return response


def _drawn(request: Request, *, token: str = "", problem: str = "", status: int = 200) -> Response:
    renderer: Any = request.app.state.console.renderer
    data = {"token": token, "problem": problem}
    drawn: Response = renderer.drawn(request, "sign_in.html", "Sign in", data, status)
    return drawn
