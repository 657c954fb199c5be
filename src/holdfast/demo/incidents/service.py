"""A client for a service that takes money, as thin as a vendor's would be. It never tries again by itself."""

from __future__ import annotations

import json
from http.client import HTTPConnection, HTTPException
from typing import Any, Final
from urllib.parse import quote, urlsplit

from holdfast import Done, Effect, NotDone

_PATIENCE_S: Final = 20.0
_OK: Final = 200


class Service:
    """The service at one URL; a connection for each request."""

    def __init__(self, url: str) -> None:
        self._address = urlsplit(url).netloc

    def pay(self, cents: int, reference: str, *, key: str | None = None) -> dict[str, Any]:
        """Take money; return the charge.

        Raises:
            ConnectionError: No answer came: it may have been taken.
        """
        headers = {"Content-Type": "application/json"} | ({} if key is None else {"Idempotency-Key": key})
        return self._ask("POST", "/v1/charges", {"amount": cents, "reference": reference}, headers)

    def find(self, effect: Effect) -> Done | NotDone:
        """Look for the charge of an effect."""
        found = self._ask("GET", f"/v1/charges?idempotency_key={quote(effect.idem_key, safe='')}")["data"]
        return Done(found[0]) if found else NotDone()

    def _ask(
        self, method: str, path: str, body: object = None, headers: dict[str, str] | None = None
    ) -> dict[str, Any]:
        connection = HTTPConnection(self._address, timeout=_PATIENCE_S)
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers or {})
            response = connection.getresponse()
            answer: dict[str, Any] = json.loads(response.read())
        except (OSError, HTTPException, ValueError) as error:
            what = f"{method} {path.partition('?')[0]}: {type(error).__name__}"
            raise ConnectionError(what) from error
        finally:
            connection.close()
        if response.status != _OK:
            what = f"{method} {path.partition('?')[0]}: {response.status}"
            raise ConnectionError(what)
        return answer
