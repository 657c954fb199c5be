"""What an OpenID provider is asked, and what of its answers is believed."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, cast
from urllib.parse import urlsplit

from holdfast.errors import InvalidTool, MissingExtra

try:
    import httpx2
    from authlib.oauth2.rfc7636 import create_s256_code_challenge  # type: ignore[import-untyped]
    from authlib.oidc.core import CodeIDToken  # type: ignore[import-untyped]
    from joserfc import jwt
    from joserfc.errors import JoseError
    from joserfc.jwk import KeySet
except ImportError as error:
    raise MissingExtra("oidc", error.name or "authlib") from error

_ALGORITHMS: Final = (
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "EdDSA",
)
"""Only those whose key the provider alone has. ``none`` and the HMACs are not among them."""

_FRESH: Final = timedelta(hours=1)
_AGAIN: Final = timedelta(seconds=30)
_LEEWAY_S: Final = 60
_TIMEOUT_S: Final = 10.0


class Refused(Exception):
    """Nobody was let in; the text is for the visitor, and says nothing that is secret."""


def check_https(name: str, url: str) -> str:
    """Return *url* if what goes there is protected, or stays on this machine.

    Raises:
        InvalidTool: It is not.
    """
    parts = urlsplit(url)
    if parts.scheme == "https" and parts.hostname:
        return url
    if parts.scheme == "http" and parts.hostname and _is_here(parts.hostname):
        return url
    raise InvalidTool(f"{name}={url!r} is no https address", "give https://...; http only on this machine")


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def challenge(verifier: str) -> str:
    """Return what the provider is told of *verifier* before it is told the verifier."""
    return str(create_s256_code_challenge(verifier))  # pyright: ignore[reportUnknownArgumentType]


@dataclass(slots=True)
class Provider:
    """One OpenID provider, as its own documents describe it."""

    issuer: str
    client_id: str
    client_secret: str | None = field(repr=False)
    now: Callable[[], datetime]
    _document: dict[str, Any] = field(default_factory=dict[str, Any])
    _read_at: datetime | None = None
    _keys: KeySet | None = None
    _keys_at: datetime | None = None

    async def endpoint(self, name: str) -> str:
        """Return one of the provider's addresses.

        Raises:
            Refused: It cannot be had, or is not to be trusted.
        """
        document = await self._described()
        where = document.get(name)
        try:
            return check_https(name, where if isinstance(where, str) else "")
        except InvalidTool as wrong:
            raise Refused("The provider's addresses are not protected.") from wrong

    async def check_issuer(self, told: str | None) -> None:
        """Make sure that an answer is this provider's: another one could send its own codes here (RFC 9207).

        Raises:
            Refused: It is another's.
        """
        document = await self._described()
        is_needed = document.get("authorization_response_iss_parameter_supported") is True
        if told != self.issuer and (told is not None or is_needed):
            raise Refused("This answer is another provider's.")

    async def claims(self, code: str, back: str, verifier: str, nonce: str) -> Mapping[str, Any]:
        """Return what the provider says of who came back with *code*.

        Raises:
            Refused: It says nothing that can be believed.
        """
        where = await self.endpoint("token_endpoint")
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": back,
            "client_id": self.client_id,
            "code_verifier": verifier,
        }
        auth = None if self.client_secret is None else (self.client_id, self.client_secret)
        answer = await self._asked("POST", where, data=form, auth=auth)
        token, access = answer.get("id_token"), answer.get("access_token")
        if not isinstance(token, str):
            raise Refused("The provider did not say who you are.")
        return await self._verified(token, nonce, access)

    async def _verified(self, token: str, nonce: str, access: Any) -> Mapping[str, Any]:
        options: Any = {
            "iss": {"essential": True, "value": self.issuer},
            "aud": {"essential": True, "value": self.client_id},
            "nonce": {"essential": True, "value": nonce},
            "sub": {"essential": True},
            "exp": {"essential": True},
            "iat": {"essential": True},
        }
        try:
            read = await self._read(token)
            claims: Any = CodeIDToken(
                read.claims,
                read.header,
                options,
                {"nonce": nonce, "client_id": self.client_id, "access_token": access},
            )
            claims.validate(now=int(self.now().timestamp()), leeway=_LEEWAY_S)
        except (JoseError, ValueError, TypeError, KeyError) as wrong:
            raise Refused(
                f"What the provider says of you cannot be believed ({type(wrong).__name__})."
            ) from wrong
        return dict(claims)

    async def _read(self, token: str) -> jwt.Token:
        """Check the signature; a key that is not known may be a new one, and is asked for once in a while."""
        try:
            return jwt.decode(token, await self._key_set(), algorithms=list(_ALGORITHMS))
        except (JoseError, ValueError):
            if self._keys_at is not None and self.now() - self._keys_at < _AGAIN:
                raise
        self._keys = None
        return jwt.decode(token, await self._key_set(), algorithms=list(_ALGORITHMS))

    async def _key_set(self) -> KeySet:
        now = self.now()
        if self._keys is None or self._keys_at is None or now - self._keys_at > _FRESH:
            found: Any = await self._asked("GET", await self.endpoint("jwks_uri"))
            self._keys, self._keys_at = KeySet.import_key_set(found), now
        return self._keys

    async def _described(self) -> dict[str, Any]:
        now = self.now()
        if self._read_at is None or now - self._read_at > _FRESH:
            where = f"{self.issuer.rstrip('/')}/.well-known/openid-configuration"
            document = await self._asked("GET", where)
            if document.get("issuer") != self.issuer:
                raise Refused("The provider calls itself by another name.")
            self._document, self._read_at = document, now
        return self._document

    async def _asked(self, method: str, where: str, **more: Any) -> dict[str, Any]:
        try:
            async with httpx2.AsyncClient(
                timeout=_TIMEOUT_S, follow_redirects=False, trust_env=False
            ) as client:
                answer = await client.request(method, where, headers={"Accept": "application/json"}, **more)
            found: Any = answer.json() if answer.is_success else None
        except (httpx2.HTTPError, ValueError) as wrong:
            raise Refused("The provider does not answer.") from wrong
        if not isinstance(found, dict):
            raise Refused("The provider does not answer.")
        return cast("dict[str, Any]", found)
