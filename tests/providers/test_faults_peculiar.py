"""What single libraries say in ways of their own."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import aiohttp
import httpx
import httpx2
import pytest
import requests
import urllib3
from google import genai
from misbehaving import (
    Server,
    answer,
    garbage,
    hang,
    nobody,
    reset,
)
from senders import (
    ANSWERED,
    HASTE_S,
    NOW,
    PATIENCE_S,
    SENDERS,
    anthropic_at,
    by_aiohttp,
    by_httpx,
    by_requests,
    error_of,
    openai_at,
    short,
    verdict,
)

from holdfast._core.fault import FaultKind, fault_of


@pytest.mark.parametrize("headers", [{"retry_after": "60"}, {"x_ratelimit_remaining": "0"}], ids=str)
def test_a_403_that_says_when_to_come_back_is_a_rate_limit(headers: dict[str, str]) -> None:
    """RET-05: as GitHub answers."""
    with Server(answer(403, **headers)) as server:
        fault = verdict(partial(by_requests, "POST", server.url))

    assert short(fault) == ("rate_limited", "throttle", False)


def test_an_answer_that_aiohttp_cannot_read_is_no_refusal_although_its_error_says_400() -> None:
    """RET-10."""
    with Server(garbage) as server:
        error = error_of(partial(by_aiohttp, "POST", server.url))

    assert getattr(error, "status", None) == 400
    assert short(fault_of(error, now=NOW)) == ("ambiguous", "network", True)


def test_an_answer_of_another_type_than_asked_for_does_not_fit_its_schema() -> None:
    """RET-07: but an error page is what its status says."""

    async def send() -> None:
        async with aiohttp.ClientSession() as session, session.post(server.url) as response:
            await response.json()

    with Server(
        answer(200, b"<p>", content_type="text/html"), answer(502, content_type="text/html")
    ) as server:
        odd, error_page = (verdict(lambda: asyncio.run(send())) for _ in range(2))

    assert short(odd) == ("schema", "schema", True)
    assert (short(error_page), error_page.status) == (("ambiguous", "server", True), 502)


def test_an_answer_of_requests_that_is_no_json_does_not_fit_its_schema() -> None:
    """RET-07."""
    with Server(answer(200, b"<p>")) as server:
        fault = verdict(lambda: requests.get(server.url, timeout=5).json())

    assert short(fault) == ("schema", "schema", True)


def test_an_answer_that_the_model_sdks_cannot_place_does_not_fit_its_schema() -> None:
    """RET-07."""

    def send(at: Callable[..., Any]) -> None:
        with at(server.url, _strict_response_validation=True) as client:
            client.models.list()

    with Server(answer(200, b'{"data": 7}')) as server:
        faults = [verdict(partial(send, at)) for at in (openai_at, anthropic_at)]

    assert [short(fault) for fault in faults] == [("schema", "schema", True)] * 2


def test_a_request_that_cannot_be_sent_as_it_is_will_not_be_sent_later() -> None:
    """RET-08."""
    faults = [
        verdict(lambda: httpx.post("ftp://127.0.0.1/")),
        verdict(lambda: httpx2.post("ftp://127.0.0.1/")),
        verdict(lambda: requests.post("ftp://127.0.0.1/", timeout=5)),
        verdict(lambda: requests.post("127.0.0.1", timeout=5)),
        verdict(lambda: urllib3.request("POST", "ftp://127.0.0.1/")),
        verdict(partial(by_aiohttp, "POST", "http://")),
    ]

    assert {(fault.kind.value, fault.cause.value) for fault in faults} == {("permanent", "client")}


def test_a_redirect_that_leads_nowhere_may_have_followed_a_write() -> None:
    """RET-10."""

    async def by_aiohttp_following() -> None:
        async with aiohttp.ClientSession() as session:
            await session.post(server.url)

    with Server(answer(302, location="/again")) as server:
        faults = [
            verdict(lambda: httpx.post(server.url, follow_redirects=True)),
            verdict(partial(by_httpx, "POST", server.url)),
            verdict(partial(by_requests, "POST", server.url)),
            verdict(lambda: urllib3.request("POST", server.url, retries=2)),
            verdict(lambda: asyncio.run(by_aiohttp_following())),
        ]

    assert {short(fault) for fault in faults} == {("permanent", "client", True)}


def test_the_errors_of_urllib_tell_status_and_cause_but_no_method() -> None:
    """RET-03, RET-05."""

    def send(url: str, patience_s: float = PATIENCE_S) -> None:
        urlopen(Request(url, data=b"{}", method="POST"), timeout=patience_s)

    with Server(answer(429, retry_after="7"), reset, hang) as server:
        refused = error_of(partial(send, server.url))
        assert isinstance(refused, HTTPError)
        with refused:
            limited = fault_of(refused, now=NOW)
        broken, late = verdict(partial(send, server.url)), verdict(partial(send, server.url, HASTE_S))
    unsent = verdict(partial(send, nobody()))

    assert (short(limited), limited.retry_after_s) == (("rate_limited", "throttle", True), 7.0)
    assert short(broken) == short(late) == ("ambiguous", "network", True)
    assert short(unsent) == ("transient", "network", True)


def test_google_repeats_requests_without_saying_so() -> None:
    """RET-03, RET-19."""

    def send() -> None:
        options = genai.types.HttpOptions(base_url=server.url, timeout=5000)
        with genai.Client(api_key="x", http_options=options) as client:
            client.files.delete(name="files/1")

    with Server(answer(429, b'{"error": {"code": 429, "message": "x", "status": "x"}}')) as server:
        fault = verdict(send)

    assert (short(fault), fault.status) == (("rate_limited", "throttle", True), 429)


def test_whatever_a_verdict_says_it_shows_no_address_no_header_and_no_message() -> None:
    """RET-21: it goes into logs."""
    secret = "s3cr3t"
    with Server(answer(429, secret.encode(), x_request=secret)) as server:
        url = f"{server.url}/{secret}?token={secret}"
        faults = [verdict(partial(send, "POST", url)) for send in ANSWERED.values()]
        faults += [verdict(partial(send, "POST", f"{nobody()}/{secret}")) for send in SENDERS.values()]

    for fault in faults:
        assert secret not in fault.why
        assert "127.0.0.1" not in fault.why


def test_errors_that_were_pickled_are_read_the_same_or_with_more_doubt() -> None:
    """RET-03: as they come from worker processes."""
    with Server(answer(429, retry_after="7")) as server:
        errors = [error_of(partial(SENDERS[name], "POST", server.url)) for name in ("requests", "boto3")]

    faults = [fault_of(pickle.loads(pickle.dumps(error)), now=NOW) for error in errors]

    assert [(fault.kind, fault.status) for fault in faults] == [(FaultKind.RATE_LIMITED, 429)] * 2
