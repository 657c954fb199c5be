"""Sign in at an OpenID provider: authorization code with PKCE, state, nonce, and every claim checked."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from holdfast.console.access import Role, Visitor
from holdfast.console.accounts import Accounts
from holdfast.console.guard import base_of
from holdfast.console.openid_provider import Provider, Refused, challenge, check_https
from holdfast.console.sessions import Sessions
from holdfast.errors import InvalidTool

_PATIENCE: Final = timedelta(minutes=10)
_MOST: Final = 1000


@dataclass(frozen=True, slots=True)
class _Departure:
    """Somebody who is at the provider's now.

    Attributes:
        browser: What their browser's cookie says: who comes back in another one is somebody else.
    """

    browser: str
    nonce: str
    verifier: str
    target: str
    at: datetime


class OpenID:
    """Access for whom an OpenID provider vouches.

    Args:
        issuer: The provider, exactly as it names itself.
        client_id: As whom it knows this console.
        client_secret: What it gave with that; ``None`` for a public client.
        url: Where browsers reach this console, e.g. ``https://ops.example.com/holdfast``; the provider has to
            know ``<url>/-/sign-in/back``.
        roles: What somebody is, by the claims about them; whoever is nothing sees nothing.
        accounts: Whose account it is (``<issuer>|<sub>``), and what they are, by the directory of people; in
            place of *roles* and *identity*.
        identity: Which claim names people in the audit trail. An ``email`` counts only when the provider says
            that it has verified it; anybody may write any address into an account.
        scope: What is asked for.
        now: The time.

    Raises:
        InvalidTool: An address is none, or goes over the network unprotected; or neither of *roles* and
            *accounts* says what somebody is, or both do.
    """

    entrance = "/-/sign-in"

    def __init__(
        self,
        issuer: str,
        *,
        client_id: str,
        url: str,
        roles: Callable[[Mapping[str, Any]], Iterable[Role]] | None = None,
        accounts: Accounts | None = None,
        client_secret: str | None = None,
        identity: str = "email",
        scope: str = "openid email",
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        if "openid" not in scope.split():
            raise InvalidTool(f"scope={scope!r} does not ask for an identity", "let it begin with openid")
        if (roles is None) is (accounts is None):
            raise InvalidTool("OpenID has roles= and accounts=, or neither", "give one of them")
        self._issuer = issuer
        self._accounts = accounts
        self._provider = Provider(check_https("issuer", issuer), client_id, client_secret, now)
        self._url = check_https("url", url).rstrip("/")
        self._roles = roles
        self._identity = identity
        self._scope = scope
        self._now = now
        self._is_secure = urlsplit(url).scheme == "https"
        self._sessions = Sessions(now, is_secure=self._is_secure)
        self._departed: dict[str, _Departure] = {}

    @property
    def _back(self) -> str:
        return f"{self._url}/-/sign-in/back"

    @property
    def _browser_cookie(self) -> str:
        return "__Host-holdfast-leaving" if self._is_secure else "holdfast-leaving"

    async def visitor(self, request: Request) -> Visitor | None:
        """Return who the session belongs to."""
        return self._sessions.visitor(request)

    def routes(self) -> Sequence[BaseRoute]:
        """Return the way to the provider, the way back, and the way out."""
        return (
            Route(self.entrance, self._leave, methods=["GET"]),
            Route(f"{self.entrance}/back", self._return, methods=["GET"]),
            Route("/-/sign-out", self._sign_out, methods=["POST"]),
        )

    async def _leave(self, request: Request) -> Response:
        try:
            where = await self._provider.endpoint("authorization_endpoint")
        except Refused as refused:
            return _drawn(request, str(refused))
        state, nonce, verifier, browser = (secrets.token_urlsafe(32) for _ in range(4))
        self._forget()
        self._departed[state] = _Departure(browser, nonce, verifier, f"{base_of(request)}/", self._now())
        query = {
            "response_type": "code",
            "client_id": self._provider.client_id,
            "redirect_uri": self._back,
            "scope": self._scope,
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge(verifier),
            "code_challenge_method": "S256",
        }
        joint = "&" if urlsplit(where).query else "?"
        response = RedirectResponse(f"{where}{joint}{urlencode(query)}", 303)
        # Lax: it has to come along when the provider sends the browser back.
        response.set_cookie(
            self._browser_cookie,
            browser,
            max_age=int(_PATIENCE.total_seconds()),
            path="/",
            secure=self._is_secure,
            httponly=True,
            samesite="lax",
        )
        return response

    async def _return(self, request: Request) -> Response:
        try:
            departure = self._departure(request)
            claims = await self._claims(request, departure)
            visitor = self._visitor_of(claims)
        except Refused as refused:
            return _drawn(request, str(refused))
        # A strict cookie does not go with what another site began: a page of ours in between does.
        data = {"target": departure.target}
        response: Response = _renderer(request).drawn(request, "arrived.html", "Signed in", data, 200)
        self._sessions.begin(request, response, visitor)
        response.delete_cookie(self._browser_cookie, path="/", secure=self._is_secure, httponly=True)
        return response

    def _departure(self, request: Request) -> _Departure:
        """Return who left with this state; it is used up, whatever comes of it."""
        departure = self._departed.pop(request.query_params.get("state", ""), None)
        if departure is None or self._now() - departure.at > _PATIENCE:
            raise Refused("This way back is unknown, was used, or is too old: sign in again.")
        browser = request.cookies.get(self._browser_cookie, "")
        if not hmac.compare_digest(browser.encode(), departure.browser.encode()):
            raise Refused("Somebody began to sign in in another browser: sign in again.")
        return departure

    async def _claims(self, request: Request, departure: _Departure) -> Mapping[str, Any]:
        query = request.query_params
        await self._provider.check_issuer(query.get("iss"))
        if "error" in query or not query.get("code"):
            raise Refused("The provider did not let you in.")
        return await self._provider.claims(query["code"], self._back, departure.verifier, departure.nonce)

    def _visitor_of(self, claims: Mapping[str, Any]) -> Visitor:
        if self._accounts is None:
            return _vouched(self._name(claims), claims, () if self._roles is None else self._roles(claims))
        account = f"{self._issuer}|{_text(claims, 'sub')}"
        found = self._accounts.visitor("oidc", account, _vouched(account, claims, ()))
        if found is None:
            raise Refused("Nobody here has this account: ask whoever keeps the directory of people.")
        return found

    def _name(self, claims: Mapping[str, Any]) -> str:
        name = _text(claims, self._identity)
        if self._identity == "email" and claims.get("email_verified") is not True:
            raise Refused("The provider has not verified your e-mail address.")
        return name

    async def _sign_out(self, request: Request) -> Response:
        response = _drawn(request, "You are signed out here.", status=200)
        self._sessions.end(request, response)
        return response

    def _forget(self) -> None:
        """Let go of who did not come back, and of the oldest when too many are away."""
        for state in [s for s, one in self._departed.items() if self._now() - one.at > _PATIENCE]:
            del self._departed[state]
        while len(self._departed) >= _MOST:
            del self._departed[next(iter(self._departed))]


def _text(claims: Mapping[str, Any], name: str) -> str:
    text = claims.get(name)
    if not isinstance(text, str) or not text.strip() or not text.isprintable():
        raise Refused(f"The provider does not say {name}.")
    return text


def _vouched(name: str, claims: Mapping[str, Any], roles: Iterable[Role]) -> Visitor:
    told = claims.get("auth_time", claims.get("iat"))
    methods: Any = claims.get("amr")
    return Visitor(
        name,
        frozenset(roles),
        method="oidc",
        auth_time=datetime.fromtimestamp(told, UTC) if isinstance(told, int | float) else None,
        mfa=isinstance(methods, list) and "mfa" in methods,
    )


def _renderer(request: Request) -> Any:
    return request.app.state.console.renderer


def _drawn(request: Request, says: str, status: int = 403) -> Response:
    data = {"says": says, "entrance": OpenID.entrance, "again": False, "target": ""}
    drawn: Response = _renderer(request).drawn(request, "problem.html", "Sign in", data, status)
    return drawn
