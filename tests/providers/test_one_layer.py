"""Switching a client's own retries off changes nothing else; what cannot be known or changed is told."""

from __future__ import annotations

import logging
import socketserver
from collections.abc import Iterator
from typing import Any

import anthropic
import httpx
import httpx2
import openai
import pytest
import requests
import stripe
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.exceptions import MaxRetryError
from urllib3.util import Retry

from holdfast import SyncLedger, ToolCall
from holdfast._core.retry import RetryPolicy
from holdfast.adapters import NO_LIMIT, client_retries, one_layer
from providers.busy import Server, serving, settle_in


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    settle_in(monkeypatch)
    with serving(Server()) as running:
        yield running


@pytest.mark.parametrize(
    ("make", "send"),
    [
        (openai.OpenAI, lambda client: client.models.list()),
        (anthropic.Anthropic, lambda client: client.models.list()),
        (
            lambda api_key, base_url: stripe.StripeClient(
                api_key, base_addresses={"api": base_url}, max_network_retries=2
            ),
            lambda client: client.v1.charges.list(),
        ),
    ],
    ids=["openai", "anthropic", "stripe"],
)
@pytest.mark.parametrize(("prepare", "requests_per_attempt"), [(one_layer, 1), (lambda client: client, 3)])
def test_attempts_of_the_policy_are_requests_and_are_multiplied_without_one_layer(
    make: Any, send: Any, prepare: Any, requests_per_attempt: int, server: Server
):
    """RET-19, RET-15: total HTTP attempts = attempts of the policy."""
    client = prepare(make(api_key="k", base_url=server.url))
    policy = RetryPolicy(initial_interval=0.001, maximum_attempts=4)
    with SyncLedger("memory://") as ledger:
        ledger.tool(name="ask", safety="read", retry=policy)(lambda: send(client))
        with pytest.raises((openai.InternalServerError, anthropic.InternalServerError, stripe.APIError)):
            ledger.run(ToolCall(workflow_id="order-1", tool="ask", args={}))

    assert len(server.arrived) == 4 * requests_per_attempt


class HangingUp(socketserver.ThreadingTCPServer):
    """Takes connections and closes them at once, so that no TLS client ever gets as far as a request."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), socketserver.BaseRequestHandler)
        self.url = f"https://127.0.0.1:{self.server_address[1]}"
        self.connections = 0

    def finish_request(self, *_: object) -> None:
        self.connections += 1


@pytest.fixture
def deaf(monkeypatch: pytest.MonkeyPatch) -> Iterator[HangingUp]:
    settle_in(monkeypatch)
    monkeypatch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0.0)
    with serving(HangingUp()) as running:
        yield running


def retries(client: object) -> int:
    told = client_retries(client)
    assert told is not None
    return told.retries


@pytest.mark.parametrize("library", [httpx, httpx2])
def test_the_connections_of_httpx_are_counted(library: Any, deaf: HangingUp):
    """RET-19."""
    seen = []
    for make in (lambda client: client, one_layer):
        with make(library.Client(transport=library.HTTPTransport(retries=1))) as client:
            before = deaf.connections
            with pytest.raises(library.ConnectError):
                client.get(deaf.url)
            seen.append((retries(client), deaf.connections - before))

    assert seen == [(1, 2), (0, 1)]


def test_what_a_clients_own_http_client_repeats_is_multiplied(deaf: HangingUp):
    """RET-19."""
    below = httpx2.Client(transport=httpx2.HTTPTransport(retries=1))
    loud = openai.OpenAI(api_key="k", base_url=deaf.url, max_retries=2, http_client=below)
    seen = []
    for make in (lambda client: client, one_layer):
        client, before = make(loud), deaf.connections
        told = retries(client)
        with pytest.raises(openai.APIConnectionError):
            client.models.list()
        seen.append((told, deaf.connections - before))
    below.close()

    assert seen == [(5, 6), (0, 1)]


@pytest.mark.parametrize("make", [openai.OpenAI, anthropic.Anthropic, openai.AsyncOpenAI])
async def test_a_copy_shares_the_connections_and_leaves_the_original_as_it_was(make: Any):
    """RET-19."""
    original = make(api_key="k", timeout=7)

    copy = one_layer(original)

    assert type(copy) is make
    assert copy._client is original._client
    assert copy.timeout == 7
    assert (copy.max_retries, original.max_retries) == (0, 2)


def test_a_client_that_cannot_be_copied_is_changed_itself():
    """RET-19."""

    class Ours(openai.OpenAI):
        def __init__(self, team: str) -> None:
            super().__init__(api_key=team)

    client = Ours("k")

    assert one_layer(client) is client
    assert retries(client) == 0


@pytest.mark.parametrize("make", [lambda: stripe.StripeClient("k"), requests.Session, httpx.Client])
def test_a_client_that_does_not_retry_is_returned_untouched(make: Any, caplog: pytest.LogCaptureFixture):
    """RET-19."""
    client = make()

    assert retries(client) == 0
    assert one_layer(client) is client
    assert caplog.messages == []


def test_redirects_are_followed_as_before(server: Server):
    """RET-19."""
    manager = one_layer(urllib3.PoolManager())
    session = requests.Session()
    session.mount("http://", HTTPAdapter(max_retries=3))
    with one_layer(session):
        assert manager.request("GET", f"{server.url}/moved").status == 200
        assert session.get(f"{server.url}/moved").status_code == 200

    assert server.arrived == ["/moved", "/found"] * 2


def test_pools_that_were_opened_before_retry_no_more(server: Server):
    """RET-19."""
    manager = urllib3.PoolManager(retries=1)
    manager.request("GET", server.url)

    one_layer(manager).request("GET", server.url)

    assert len(server.arrived) == 2 + 1


@pytest.mark.parametrize(
    ("given", "raises"),
    [
        (Retry(2), False),
        (Retry(9, status=2), True),
        (Retry(2, status=2), False),
        (Retry(2, status_forcelist=[503]), True),
        (Retry(2, status_forcelist=[503], raise_on_status=False), False),
        (Retry(None, status=2), False),
    ],
    ids=range(6),
)
def test_a_busy_answer_raises_or_is_returned_as_it_was_after_the_last_retry(
    given: Retry, raises: bool, server: Server
):
    """RET-19: a handler that waits for an exception does not get an answer that looks like success."""
    seen = []
    for make in (lambda manager: manager, one_layer):
        server.arrived.clear()
        try:
            make(urllib3.PoolManager(retries=given)).request("GET", server.url)
        except MaxRetryError:
            seen.append(True)
        else:
            seen.append(False)

    assert seen == [raises, raises]
    assert len(server.arrived) == 1


@pytest.mark.parametrize(
    ("given", "most"),
    [
        (None, 3),
        (False, 0),
        (True, 1),
        (5, 5),
        (Retry(4), 4),
        (Retry(9, connect=1, read=2, status=3, other=0), 6),
        (Retry(2, connect=1, read=2, status=3, other=0), 2),
        (Retry(None, connect=1, read=0, status=0, other=0), 1),
        (Retry(None, connect=1), NO_LIMIT),
        (Retry(0, read=False), 0),
    ],
    ids=range(10),
)
def test_the_limits_of_urllib3_are_read_as_urllib3_reads_them(given: Any, most: int):
    """RET-19."""
    assert retries(urllib3.PoolManager(retries=given)) == most
    assert retries(urllib3.HTTPConnectionPool("127.0.0.1", retries=given)) == most
    assert retries(one_layer(urllib3.PoolManager(retries=given))) == 0


def test_what_is_no_known_client_is_returned_with_a_warning(caplog: pytest.LogCaptureFixture):
    """RET-19."""

    class Client:
        def __repr__(self) -> str:
            return "hunter2"

    client = Client()

    assert client_retries(client) is None
    assert one_layer(client) is client
    [record] = caplog.records
    assert (record.name, record.levelno) == ("holdfast", logging.WARNING)
    assert f"{__name__}.Client is no client that holdfast knows" in record.message
    assert "hunter2" not in record.message
