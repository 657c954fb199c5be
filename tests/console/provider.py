"""An OpenID provider on this machine that speaks the real protocol, and lies where a test asks it to."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

SECRET = "a-secret-of-the-client"
CLIENT = "holdfast-console"
KEY = RSAKey.generate_key(2048, {"kid": "one", "use": "sig"})


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@dataclass
class Provider:
    """The provider.

    Attributes:
        claims: What the next token says beyond, or instead of, what is true; ``None`` leaves a claim out.
        alg: How it is signed; ``none`` and ``HS256`` as an attacker would.
        told: What the way back is told beyond, or instead of, what is true.
        asked: What the authorization endpoint was asked, time after time.
    """

    issuer: str = ""
    claims: dict[str, Any] = field(default_factory=dict)
    alg: str = "RS256"
    told: dict[str, str | None] = field(default_factory=dict)
    document: dict[str, Any] = field(default_factory=dict)
    asked: list[dict[str, str]] = field(default_factory=list)
    token_requests: list[dict[str, str]] = field(default_factory=list)
    key: Any = field(default_factory=lambda: KEY)
    foreign: Any = field(default_factory=lambda: ECKey.generate_key("P-256", {"kid": "two", "use": "sig"}))
    _codes: dict[str, dict[str, str]] = field(default_factory=dict)

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/.well-known/openid-configuration", self._describe),
                Route("/authorize", self._authorize),
                Route("/token", self._token, methods=["POST"]),
                Route("/keys", self._keys),
            ]
        )

    async def _describe(self, _: Request) -> Response:
        return JSONResponse(
            {
                "issuer": self.issuer,
                "authorization_endpoint": f"{self.issuer}/authorize",
                "token_endpoint": f"{self.issuer}/token",
                "jwks_uri": f"{self.issuer}/keys",
                "authorization_response_iss_parameter_supported": True,
                **self.document,
            }
        )

    async def _authorize(self, request: Request) -> Response:
        query = dict(request.query_params)
        self.asked.append(query)
        code = f"code-{len(self.asked)}"
        self._codes[code] = query
        told = {"code": code, "state": query.get("state", ""), "iss": self.issuer, **self.told}
        back = urlencode({name: value for name, value in told.items() if value is not None})
        return RedirectResponse(f"{query['redirect_uri']}?{back}", 302)

    async def _token(self, request: Request) -> Response:
        form = {name: str(value) for name, value in (await request.form()).items()}
        self.token_requests.append(form)
        asked = self._codes.pop(form.get("code", ""), None)
        given = request.headers.get("authorization", "")
        expected = "Basic " + base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode()
        challenge = _text(hashlib.sha256(form.get("code_verifier", "").encode()).digest())
        if asked is None or given != expected or challenge != asked["code_challenge"]:
            return JSONResponse({"error": "invalid_grant"}, 400)
        return JSONResponse(
            {"access_token": "at", "token_type": "Bearer", "id_token": self._signed(asked["nonce"])}
        )

    async def _keys(self, _: Request) -> Response:
        return JSONResponse(KeySet([self.key]).as_dict())

    def _signed(self, nonce: str) -> str:
        now = int(time.time())
        true = {
            "iss": self.issuer,
            "aud": CLIENT,
            "sub": "user-1",
            "exp": now + 300,
            "iat": now,
            "auth_time": now - 20,
            "nonce": nonce,
            "email": "dana@acme.example",
            "email_verified": True,
            "amr": ["pwd", "mfa"],
        }
        claims = {name: value for name, value in {**true, **self.claims}.items() if value is not None}
        if self.alg == "none":
            header = _text(json.dumps({"alg": "none", "kid": "one"}).encode())
            return f"{header}.{_text(json.dumps(claims).encode())}."
        if self.alg == "HS256":  # signed with the public key, for who takes any algorithm for its own
            public = self.key.as_pem(private=False)
            signed = f"{_text(json.dumps({'alg': 'HS256', 'kid': 'one'}).encode())}.{_text(json.dumps(claims).encode())}"
            return f"{signed}.{_text(hmac.new(public, signed.encode(), hashlib.sha256).digest())}"
        if self.alg == "foreign":
            return str(jwt.encode({"alg": "ES256", "kid": "one"}, claims, self.foreign))
        return str(jwt.encode({"alg": "RS256", "kid": self.key.kid}, claims, self.key))
