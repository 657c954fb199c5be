"""The verdicts on errors that the real libraries raise, against a server that answers as told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from email.utils import format_datetime
from functools import partial
from http.client import HTTPConnection
from typing import Any, Final

import aiohttp
import httpx
import pytest
import requests
import urllib3
from misbehaving import (
    Server,
    answer,
)
from senders import (
    ANSWERED,
    NOW,
    short,
    verdict,
)

from holdfast._core.fault import Cause, FaultKind, fault_of_response

each_answered = pytest.mark.parametrize("name", ANSWERED)

VERDICTS: Final[dict[int, tuple[FaultKind, Cause]]] = {
    400: (FaultKind.PERMANENT, Cause.CLIENT),
    401: (FaultKind.AUTH, Cause.AUTH),
    403: (FaultKind.AUTH, Cause.AUTH),
    404: (FaultKind.PERMANENT, Cause.CLIENT),
    407: (FaultKind.AUTH, Cause.AUTH),
    408: (FaultKind.AMBIGUOUS, Cause.SERVER),
    409: (FaultKind.TRANSIENT, Cause.CLIENT),
    422: (FaultKind.PERMANENT, Cause.CLIENT),
    425: (FaultKind.TRANSIENT, Cause.SERVER),
    429: (FaultKind.RATE_LIMITED, Cause.THROTTLE),
    499: (FaultKind.AMBIGUOUS, Cause.SERVER),
    500: (FaultKind.AMBIGUOUS, Cause.SERVER),
    501: (FaultKind.PERMANENT, Cause.SERVER),
    503: (FaultKind.AMBIGUOUS, Cause.SERVER),
    529: (FaultKind.AMBIGUOUS, Cause.SERVER),
}
UNTOLD: Final = {"stripe", "openai", "anthropic"}
"""Stripe repeats and does not tell; what the SDK of a model sends is a question, whatever its path."""

UNPROVEN: Final = {status for status, (kind, _) in VERDICTS.items() if kind is FaultKind.AMBIGUOUS} | {501}


@each_answered
@pytest.mark.parametrize("status", VERDICTS)
def test_a_status_means_the_same_from_every_library(name: str, status: int) -> None:
    """RET-03, RET-05, RET-06, RET-08, RET-09."""
    with Server(answer(status)) as server:
        write = verdict(partial(ANSWERED[name], "POST", server.url))
        read = verdict(partial(ANSWERED[name], "GET", server.url))

    assert (write.kind, write.cause) == VERDICTS[status]
    assert (read.kind, read.cause) == VERDICTS[status]
    assert (write.status, read.status) == (status, status)
    assert read.may_have_acted, "the refusal of a read says nothing of a write before it"
    assert write.may_have_acted is (status in UNPROVEN or name in UNTOLD)
    assert str(status) in write.why


DATE: Final = format_datetime(NOW + timedelta(seconds=90), usegmt=True)


@each_answered
@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({"Retry_After": "7"}, 7.0),
        ({"retry_after": DATE}, 90.0),
        ({"RETRY_AFTER_MS": "1500", "retry_after": "2"}, 1.5),
        ({"retry_after": "soon"}, None),
        ({}, None),
    ],
    ids=["seconds", "date", "milliseconds", "garbage", "none"],
)
def test_every_library_hands_on_how_long_to_wait(
    name: str, headers: dict[str, str], wait_s: float | None
) -> None:
    """RET-05."""
    with Server(answer(429, **headers)) as server:
        fault = verdict(partial(ANSWERED[name], "POST", server.url))

    assert (fault.kind, fault.retry_after_s) == (FaultKind.RATE_LIMITED, wait_s)


@each_answered
def test_an_overloaded_server_may_say_when_to_come_back_and_leaves_doubt_all_the_same(name: str) -> None:
    """RET-06."""
    with Server(answer(503, retry_after="120")) as server:
        fault = verdict(partial(ANSWERED[name], "POST", server.url))

    assert short(fault) == ("ambiguous", "server", True)
    assert (fault.status, fault.retry_after_s) == (503, 120.0)


def httpx_response(url: str) -> Any:
    return httpx.post(url)


def requests_response(url: str) -> Any:
    return requests.post(url, timeout=5)


def aiohttp_response(url: str) -> Any:
    async def send() -> Any:
        async with aiohttp.ClientSession() as session, session.post(url) as response:
            await response.read()
            return response

    return asyncio.run(send())


def urllib3_response(url: str) -> Any:
    with urllib3.PoolManager() as pool:
        return pool.request("POST", url, retries=False)


def stdlib_response(url: str) -> Any:
    connection = HTTPConnection(url.removeprefix("http://"), timeout=5)
    connection.request("POST", "/")
    response = connection.getresponse()
    response.read()
    connection.close()
    return response


RESPONSES: Final = [httpx_response, requests_response, aiohttp_response, urllib3_response, stdlib_response]


@pytest.mark.parametrize("send", RESPONSES)
def test_a_response_is_read_like_the_error_that_it_would_have_been(send: Callable[[str], Any]) -> None:
    """RET-03, RET-05."""
    with Server(answer(429, Retry_After="7")) as server:
        fault = fault_of_response(send(server.url), now=NOW)

    assert fault is not None
    assert (fault.kind, fault.status, fault.retry_after_s) == (FaultKind.RATE_LIMITED, 429, 7.0)
    assert fault.may_have_acted is (send in {urllib3_response, stdlib_response}), "these tell no method"


@pytest.mark.parametrize("send", RESPONSES)
def test_a_response_that_is_no_refusal_is_no_fault(send: Callable[[str], Any]) -> None:
    """RET-03."""
    with Server(answer(202)) as server:
        assert fault_of_response(send(server.url), now=NOW) is None
