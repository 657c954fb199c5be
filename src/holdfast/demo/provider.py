"""A client for the payments provider, as thin as a vendor's SDK would be."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import quote, urlsplit

_TIMEOUT_S = 60.0


class ProviderUnreachable(ConnectionError):
    """No answer came. A charge that was on its way may or may not have been made."""


class ProviderRefused(Exception):
    """The provider understood the request and refused it; nothing was charged."""


class Provider:
    """The provider at one URL. Blocking; a connection per request; never retries by itself."""

    def __init__(self, url: str) -> None:
        self._address = urlsplit(url).netloc

    def charge(
        self,
        order_id: str,
        amount_cents: int,
        currency: str,
        *,
        reference: str,
        idempotency_key: str | None = None,
    ) -> dict[str, Any]:
        """Take the money and return the charge.

        Raises:
            ProviderUnreachable: There was no answer, so nobody here knows whether the money was taken.
            ProviderRefused: Nothing was charged.
        """
        order = {
            "order_id": order_id,
            "amount_cents": amount_cents,
            "currency": currency,
            "reference": reference,
        }
        headers = {} if idempotency_key is None else {"Idempotency-Key": idempotency_key}
        return self._ask("POST", "/charges", order, headers)

    def find(self, reference: str) -> list[dict[str, Any]]:
        """Return the charges that carry *reference*, oldest first."""
        found: list[dict[str, Any]] = self._ask("GET", f"/charges?reference={quote(reference, safe='')}")[
            "charges"
        ]
        return found

    def charges_created(self, order_id: str) -> int:
        """Count the charges of one order in the provider's own log."""
        count: int = self._ask("GET", f"/stats?order_id={quote(order_id, safe='')}")["charges_created"]
        return count

    def plan_faults(self, faults: Sequence[Mapping[str, object]]) -> None:
        """Decide what befalls the next charges; replaces what was planned before."""
        self._ask("PUT", "/faults", {"next": list(faults)})

    def _ask(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        connection = HTTPConnection(self._address, timeout=_TIMEOUT_S)
        try:
            payload = None if body is None else json.dumps(body)
            connection.request(method, path, payload, {"Content-Type": "application/json", **(headers or {})})
            response = connection.getresponse()
            answer: dict[str, Any] = json.loads(response.read())
        except (OSError, HTTPException, ValueError) as error:
            what = f"{method} {path.partition('?')[0]}: {type(error).__name__}"
            raise ProviderUnreachable(what) from error
        finally:
            connection.close()
        if response.status >= HTTPStatus.BAD_REQUEST:
            raise ProviderRefused(str(answer.get("error", response.status)))
        return answer
