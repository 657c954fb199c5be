"""What clients send again by themselves takes the evidence away from the last request's error."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import aiohttp
import httpx
import pytest
import requests
import urllib3
from misbehaving import (
    Act,
    Server,
    answer,
    nobody,
    reset,
    vanish,
)
from requests.adapters import HTTPAdapter
from senders import (
    NOW,
    anthropic_at,
    aws,
    by_httpx,
    by_requests,
    error_of,
    openai_at,
    short,
    verdict,
)

from holdfast._core.fault import FaultKind, fault_of


@pytest.mark.parametrize("at", [openai_at, anthropic_at])
@pytest.mark.parametrize("last", [answer(400), vanish], ids=["refused", "gone"])
def test_the_model_sdks_own_retries_take_the_evidence_away(at: Callable[..., Any], last: Act) -> None:
    """RET-10, RET-19."""

    def send() -> None:
        with at(server.url, max_retries=1) as client:
            client.post("/tools/cancel", cast_to=object, body={})

    script = [reset, last] if last is not vanish else [vanish]
    with Server(*script) as server:
        error = error_of(send)

    fault = fault_of(error, now=NOW)
    assert fault.kind in {FaultKind.PERMANENT, FaultKind.TRANSIENT}
    assert fault.may_have_acted


def repeating(total: int) -> requests.Session:
    session = requests.Session()
    session.mount(
        "http://", HTTPAdapter(max_retries=urllib3.Retry(total, allowed_methods=None, backoff_factor=0))
    )
    return session


def test_the_retries_of_requests_take_the_evidence_of_an_answer_away() -> None:
    """RET-10, RET-19: urllib3 keeps what came before the answer."""

    def send() -> None:
        with repeating(1) as session:
            session.post(server.url, timeout=5).raise_for_status()

    with Server(reset, answer(409)) as server:
        fault = verdict(send)
        again = verdict(send)

    assert short(fault) == ("transient", "client", True)
    assert short(again) == ("transient", "client", False), "no repetition, no doubt"
    assert len(server.requests) == 3


@pytest.mark.parametrize("total", [1, 3])
def test_the_retries_of_requests_take_the_evidence_of_a_refused_connection_away(total: int) -> None:
    """RET-10, RET-19: the first request was read, the last one never sent."""

    def send() -> None:
        with repeating(total) as session:
            session.post(server.url, timeout=5)

    with Server(vanish) as server:
        error = error_of(send)

    assert "refused" in str(error)
    assert short(fault_of(error, now=NOW)) == ("transient", "network", True)
    assert len(server.requests) == 1


def test_a_refused_connection_without_a_traceback_is_no_evidence() -> None:
    """RET-10: urllib3's error does not say how often it tried; only its traceback does."""
    error = error_of(partial(by_requests, "POST", nobody()))
    assert isinstance(error, requests.ConnectionError)
    assert not fault_of(error, now=NOW).may_have_acted
    error.args[0].with_traceback(None)

    assert short(fault_of(error, now=NOW)) == ("transient", "network", True)


@pytest.mark.parametrize(
    ("status", "expected"),
    [(503, ("ambiguous", "server", True)), (429, ("rate_limited", "throttle", True))],
)
def test_a_status_that_requests_gave_up_on_is_found_in_its_error(
    status: int, expected: tuple[str, str, bool]
) -> None:
    """RET-05, RET-06, RET-19."""

    def send() -> None:
        retry = urllib3.Retry(1, allowed_methods=None, status_forcelist=[status], backoff_factor=0)
        with requests.Session() as session:
            session.mount("http://", HTTPAdapter(max_retries=retry))
            session.post(server.url, timeout=5)

    with Server(answer(status)) as server:
        error = error_of(send)

    fault = fault_of(error, now=NOW)
    assert isinstance(error, requests.exceptions.RetryError)
    assert (short(fault), fault.status) == (expected, status)


@pytest.mark.parametrize(("method", "may_have_acted"), [("DELETE", True), ("PUT", True), ("POST", False)])
def test_a_request_that_aiohttp_sends_twice_by_itself_is_no_evidence(
    method: str, may_have_acted: bool
) -> None:
    """RET-10, RET-19: it repeats some methods when a kept connection breaks, and does not say so."""

    async def send() -> None:
        async with aiohttp.ClientSession() as session:
            async with session.get(server.url) as kept:
                await kept.read()
            await session.request(method, server.url, raise_for_status=True)

    script = [answer(200), reset, answer(404)] if may_have_acted else [answer(200), answer(404)]
    with Server(*script) as server:
        fault = verdict(lambda: asyncio.run(send()))

    assert short(fault) == ("permanent", "client", may_have_acted)
    assert len(server.requests) == (3 if may_have_acted else 2)


@pytest.mark.parametrize(("status", "answers"), [(400, 1), (400, 2)])
def test_boto3_says_how_often_it_tried(status: int, answers: int) -> None:
    """RET-10, RET-19."""

    def send() -> None:
        with aws("sqs", server.url, total_max_attempts=2, mode="standard") as client:
            client.send_message(QueueUrl=f"{server.url}/1/q", MessageBody="x")

    with Server(*([reset] * (answers - 1)), answer(status)) as server:
        fault = verdict(send)

    assert short(fault) == ("permanent", "client", answers == 2)
    assert len(server.requests) == answers


def test_a_redirected_write_that_fails_on_its_way_to_the_answer_is_no_evidence() -> None:
    """RET-10: the POST was answered; what was refused is the GET of the page after it."""

    def by_httpx_following() -> None:
        httpx.post(server.url, follow_redirects=True).raise_for_status()

    def by_requests_following() -> None:
        requests.post(server.url, timeout=5).raise_for_status()

    for send in (by_httpx_following, by_requests_following):
        with Server(answer(303, location=nobody()), answer(303, location="/other"), answer(404)) as server:
            unsent, refused = verdict(send), verdict(send)

        assert short(unsent) == ("transient", "network", True)
        assert short(refused) == ("permanent", "client", True)


def test_a_first_try_that_was_never_answered_leaves_doubt_over_the_second() -> None:
    """RET-10: the handler's own retry, in its ``except``."""

    def send() -> None:
        try:
            by_httpx("POST", server.url)
        except httpx.TransportError:
            by_httpx("POST", server.url)

    with Server(reset, answer(409)) as server:
        fault = verdict(send)
        plain = verdict(partial(by_httpx, "POST", server.url))

    assert short(fault) == ("transient", "client", True)
    assert short(plain) == ("transient", "client", False)


def test_a_look_before_the_write_leaves_no_doubt_over_it() -> None:
    """RET-10: not there, so make it; the making was refused."""

    def send() -> None:
        try:
            by_httpx("GET", server.url)
        except httpx.HTTPStatusError:
            by_httpx("POST", server.url)

    with Server(answer(404), answer(429)) as server:
        fault = verdict(send)

    assert short(fault) == ("rate_limited", "throttle", False)


def test_an_error_of_the_handlers_own_keeps_the_kind_but_is_no_evidence() -> None:
    """RET-10: who knows how many requests it stands for."""

    class ShopError(Exception):
        pass

    def send() -> None:
        try:
            by_httpx("POST", server.url)
        except httpx.HTTPStatusError as error:
            raise ShopError from error

    with Server(answer(429, retry_after="3")) as server:
        fault = verdict(send)

    assert short(fault) == ("rate_limited", "throttle", True)
    assert (fault.status, fault.retry_after_s) == (429, 3.0)
