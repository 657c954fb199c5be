"""The real clients: each sends one request, and raises what its users see."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final

import aiohttp
import anthropic
import boto3
import httpx
import httpx2
import openai
import pytest
import requests
import stripe
import urllib3
from botocore.config import Config

from holdfast._core.fault import Fault, fault_of

Send = Callable[..., Any]
"""Takes a method, a URL and, if a test has reason to hurry, ``patience_s``."""

NOW: Final = datetime(2026, 1, 31, 12, 0, 0, tzinfo=UTC)
PATIENCE_S: Final = 20.0
"""How long clients wait for a server that is going to answer, on a busy machine."""

HASTE_S: Final = 0.4
"""How long they wait for one that never does."""

TRUST: Final = ssl.create_default_context()
"""One for all clients of httpx, which would load the certificates for each client otherwise."""


def error_of(send: Callable[[], Any]) -> BaseException:
    with pytest.raises(BaseException) as caught:
        send()
    return caught.value


def verdict(send: Callable[[], Any]) -> Fault:
    return fault_of(error_of(send), now=NOW)


def short(fault: Fault) -> tuple[str, str, bool]:
    return fault.kind.value, fault.cause.value, fault.may_have_acted


def by_httpx(method: str, url: str, patience_s: float = PATIENCE_S) -> None:
    with httpx.Client(timeout=patience_s, verify=TRUST) as client:
        client.request(method, url, json={} if method != "GET" else None).raise_for_status()


def by_httpx2(method: str, url: str, patience_s: float = PATIENCE_S) -> None:
    with httpx2.Client(timeout=patience_s, verify=TRUST) as client:
        client.request(method, url, json={} if method != "GET" else None).raise_for_status()


def by_async_httpx(method: str, url: str, patience_s: float = PATIENCE_S) -> None:
    async def send() -> None:
        async with httpx.AsyncClient(timeout=patience_s, verify=TRUST) as client:
            (await client.request(method, url)).raise_for_status()

    asyncio.run(send())


def by_requests(method: str, url: str, patience_s: float = PATIENCE_S) -> None:
    with requests.Session() as session:
        session.request(method, url, json={}, timeout=patience_s).raise_for_status()


def by_urllib3(method: str, url: str, patience_s: float = PATIENCE_S) -> None:
    with urllib3.PoolManager(timeout=patience_s, retries=0) as pool:
        response = pool.request(method, url)
        if response.status >= 400:
            raise NotImplementedError  # urllib3 has no error for a status


def by_aiohttp(method: str, url: str, patience_s: float = PATIENCE_S) -> None:
    async def send() -> None:
        patience = aiohttp.ClientTimeout(sock_connect=patience_s, sock_read=patience_s)
        async with (
            aiohttp.ClientSession(timeout=patience) as session,
            session.request(method, url, raise_for_status=True) as response,
        ):
            await response.read()

    asyncio.run(send())


def openai_at(url: str, **more: Any) -> openai.OpenAI:
    client = openai.DefaultHttpxClient(verify=TRUST)
    options = {"timeout": PATIENCE_S, "max_retries": 0, **more}
    return openai.OpenAI(base_url=url, api_key="sk-x", http_client=client, **options)


def by_openai(method: str, url: str, patience_s: float = PATIENCE_S) -> None:
    with openai_at(url, timeout=patience_s) as client:
        if method == "GET":
            client.files.retrieve("file_1")
        client.fine_tuning.jobs.cancel("job_1")


def anthropic_at(url: str, **more: Any) -> anthropic.Anthropic:
    client = anthropic.DefaultHttpxClient(verify=TRUST)
    options = {"timeout": PATIENCE_S, "max_retries": 0, **more}
    return anthropic.Anthropic(base_url=url, api_key="x", http_client=client, **options)


def by_anthropic(method: str, url: str, patience_s: float = PATIENCE_S) -> None:
    with anthropic_at(url, timeout=patience_s) as client:
        if method == "GET":
            client.messages.batches.retrieve("batch_1")
        client.messages.batches.cancel("batch_1")


def by_stripe(method: str, url: str, patience_s: float = PATIENCE_S) -> None:
    client = stripe.StripeClient(
        "sk_test_x",
        base_addresses={"api": url},
        max_network_retries=0,
        http_client=stripe.RequestsClient(timeout=patience_s),
    )
    try:
        if method == "GET":
            client.v1.customers.retrieve("cus_1")
        client.v1.customers.create({"name": "Ada"})
    finally:
        client._requestor._client.close()


@contextmanager
def aws(service: str, url: str, patience_s: float = PATIENCE_S, **retries: Any) -> Iterator[Any]:
    config = Config(
        connect_timeout=patience_s, read_timeout=patience_s, retries=retries or {"total_max_attempts": 1}
    )
    client = boto3.client(
        service,
        region_name="eu-central-1",
        endpoint_url=url,
        aws_access_key_id="x",
        aws_secret_access_key="x",
        config=config,
    )
    try:
        yield client
    finally:
        client.close()


def by_boto3(method: str, url: str, patience_s: float = PATIENCE_S) -> None:
    with aws("sqs", url, patience_s) as client:
        if method == "GET":
            client.list_queues()
        client.send_message(QueueUrl=f"{url}/1/q", MessageBody="x")


HTTPX: Final[dict[str, Send]] = {
    "httpx": by_httpx,
    "httpx2": by_httpx2,
    "async httpx": by_async_httpx,
}
TELLING: Final[dict[str, Send]] = {
    **HTTPX,
    "requests": by_requests,
}
"""Those whose errors tell the method of a write, connection or not."""

SENDERS: Final[dict[str, Send]] = {
    **TELLING,
    "openai": by_openai,
    "anthropic": by_anthropic,
    "urllib3": by_urllib3,
    "aiohttp": by_aiohttp,
    "stripe": by_stripe,
    "boto3": by_boto3,
}
ANSWERED: Final = {name: send for name, send in SENDERS.items() if name != "urllib3"}
"""Those that raise an error for a status."""
