"""What is kept of an error is for people and logs: it holds no key."""

from __future__ import annotations

import httpx

from desk import Desk
from holdfast.errors import EffectFailed
from retry.world import Service, end_of


def test_a_key_in_the_url_of_a_refused_request_is_not_kept(desk: Desk) -> None:
    """RET-08: the failure is kept and told again; the caller's own error is left as it is."""
    request = httpx.Request("POST", "https://me:pass-SECRET@pay.test/charges?api_key=key-SECRET")
    response = httpx.Response(422, request=request)
    error = httpx.HTTPStatusError(
        f"422 for url '{request.url}' in https://me:pass-SECRET@pay.test/charges",
        request=request,
        response=response,
    )

    first = end_of(desk, Service(desk, error))
    second = end_of(desk, Service(desk))

    assert first is error
    assert "key-SECRET" in str(first)
    assert isinstance(second, EffectFailed)
    assert "https://[redacted]@pay.test/charges?[redacted]'" in str(second.error_message)
    assert "SECRET" not in f"{second} {second.error_message} {desk.effect.error} {desk.story}"
