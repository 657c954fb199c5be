"""How OpenAI and Anthropic say no, and what they say about limits in the headers of every answer."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

from holdfast.testing.faultserver.wire import Answer
from holdfast.testing.model.reading import Json
from holdfast.testing.model.turns import Failure

_REQUESTS_PER_MINUTE: Final = 10_000
_TOKENS_PER_MINUTE: Final = 2_000_000
_LIMITED: Final = 429
_SERVER: Final = 500


class Family(StrEnum):
    """Whose manners an answer has."""

    OPENAI = "openai"
    ANTHROPIC = "anthropic"


_ANTHROPIC_TYPES: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    504: "timeout_error",
    529: "overloaded_error",
}
#: Type and code of each status.
_OPENAI_TYPES: Final[Mapping[int, tuple[str, str | None]]] = {
    401: ("invalid_request_error", "invalid_api_key"),
    403: ("invalid_request_error", "unsupported_country_region_territory"),
    404: ("invalid_request_error", "model_not_found"),
    429: ("requests", "rate_limit_exceeded"),
    500: ("server_error", None),
    503: ("service_unavailable_error", None),
    529: ("service_unavailable_error", "server_is_overloaded"),
}
_MESSAGES: Final = {
    400: "the request is not valid",
    401: "the key is not valid",
    403: "this is not allowed",
    404: "there is no such thing",
    413: "the request is too large",
    429: "too many requests",
    500: "something went wrong",
    503: "unavailable",
    529: "overloaded",
}


def error_body(family: Family, failure: Failure, request_id: str, param: str = "") -> Json:
    """Return an error as the body of an answer has it."""
    message = failure.message or _MESSAGES.get(failure.status, "the request failed")
    if family is Family.ANTHROPIC:
        fallback = "api_error" if failure.status >= _SERVER else "invalid_request_error"
        kind = _ANTHROPIC_TYPES.get(failure.status, fallback)
        if failure.code in _ANTHROPIC_TYPES.values():
            kind = failure.code
        code = failure.code if failure.code.startswith("thread_") else ""
        told: Json = {"type": kind, "message": message}
        if code:
            told["details"] = {"error_code": code}
        return {"type": "error", "error": told, "request_id": request_id}
    fallback = "server_error" if failure.status >= _SERVER else "invalid_request_error"
    kind, usual = _OPENAI_TYPES.get(failure.status, (fallback, None))
    if failure.code == "insufficient_quota":
        kind = failure.code
    error = {"message": message, "type": kind, "param": param or None, "code": failure.code or usual}
    return {"error": error}


class Headers:
    """Says in each answer who it is and what is left of the limits.

    The limits are large, and told to nobody but the client: a script says when they are reached.

    Args:
        clock: What time it is (aware, UTC).
    """

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock

    def of(
        self, family: Family, number: int, *, tokens: int = 0, wait_s: float | None = None
    ) -> dict[str, str]:
        """Return the headers of an answer.

        Args:
            family: Whose they are.
            number: Of the request; so many have been used up.
            tokens: That the answer used.
            wait_s: Seconds until there is something left again; ``None`` while there is.
        """
        is_out = wait_s is not None
        requests = 0 if is_out else max(_REQUESTS_PER_MINUTE - number, 0)
        left = 0 if is_out else max(_TOKENS_PER_MINUTE - tokens, 0)
        after_s = wait_s if wait_s is not None else 60 / _REQUESTS_PER_MINUTE
        if family is Family.ANTHROPIC:
            at = (self._clock() + timedelta(seconds=math.ceil(after_s))).astimezone(UTC)
            return _anthropic_headers(requests, left, at.strftime("%Y-%m-%dT%H:%M:%SZ"))
        return _openai_headers(requests, left, f"{math.ceil(after_s * 1000)}ms")

    def of_wait(self, failure: Failure) -> dict[str, str]:
        """Return what tells a client how long to wait."""
        seconds = failure.retry_after_s
        return {} if seconds is None else {"retry-after": f"{seconds:g}"}


def refused(
    family: Family, failure: Failure, headers: dict[str, str], request_id: str, param: str = ""
) -> Answer:
    """Return an error as an answer."""
    name = "request-id" if family is Family.ANTHROPIC else "x-request-id"
    return Answer(
        status=failure.status,
        body=error_body(family, failure, request_id, param),
        headers={name: request_id, **headers},
    )


def _openai_headers(requests: int, tokens: int, reset: str) -> dict[str, str]:
    return {
        "openai-version": "2020-10-01",
        "openai-processing-ms": "1",
        "x-ratelimit-limit-requests": str(_REQUESTS_PER_MINUTE),
        "x-ratelimit-limit-tokens": str(_TOKENS_PER_MINUTE),
        "x-ratelimit-remaining-requests": str(requests),
        "x-ratelimit-remaining-tokens": str(tokens),
        "x-ratelimit-reset-requests": reset,
        "x-ratelimit-reset-tokens": reset,
    }


def _anthropic_headers(requests: int, tokens: int, reset: str) -> dict[str, str]:
    counts = {"requests": (_REQUESTS_PER_MINUTE, requests)}
    counts |= dict.fromkeys(("tokens", "input-tokens", "output-tokens"), (_TOKENS_PER_MINUTE, tokens))
    return {
        f"anthropic-ratelimit-{what}-{which}": value
        for what, (most, left) in counts.items()
        for which, value in (("limit", str(most)), ("remaining", str(left)), ("reset", reset))
    }
