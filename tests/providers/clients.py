"""Clients as people make them: what each does by itself, how it is made not to, and one request that fails."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import aiohttp
import anthropic
import boto3
import httpx
import openai
import requests
import stripe
import urllib3
from boto3.resources.base import ServiceResource
from botocore.config import Config
from google import genai
from google.genai.types import HttpOptions, HttpRetryOptions
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from holdfast.adapters import one_layer


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A client as people make it.

    Attributes:
        make: Makes it, for a server's URL.
        send: Sends one request, which fails.
        mended: Makes it as ``fix`` says.
        retries: What the library does by itself.
        hangs_up: Whether it repeats lost connections, and not answers.
    """

    make: Callable[[str], Any]
    send: Callable[[Any, str], Any]
    mended: Callable[[str], Any]
    retries: int
    hangs_up: bool = False


async def settled(answer: Any) -> Any:
    return await answer if inspect.isawaitable(answer) else answer


async def close(client: Any) -> None:
    """Close a client in its own way."""
    if isinstance(client, stripe.StripeClient):
        client._requestor._client.close()
        await client._requestor._client.close_async()
    elif isinstance(client, genai.Client):
        client.close()
        await client.aio.aclose()
    elif isinstance(client, urllib3.PoolManager):
        client.clear()
    elif isinstance(client, ServiceResource):
        client.meta.client.close()
    else:
        await settled(client.close())


ASKED: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
AWS = {"region_name": "eu-west-1", "aws_access_key_id": "id", "aws_secret_access_key": "secret"}


@cache
def aws_session() -> boto3.Session:  # one, because it reads megabytes of service descriptions
    return boto3.Session(**AWS)


def aws(service: str, *, how: str = "client", **retries: Any) -> Callable[[str], Any]:
    config = Config(retries=retries) if retries else None
    return lambda url: getattr(aws_session(), how)(service, endpoint_url=url, config=config)


def mended_aws(service: str, *, how: str = "client") -> Callable[[str], Any]:
    return aws(service, how=how, total_max_attempts=1)


def chat(client: Any, _: str) -> Any:
    return client.chat.completions.create(**ASKED)


def message(client: Any, _: str) -> Any:
    return client.messages.create(**ASKED, max_tokens=1)


def charge(client: stripe.StripeClient, _: str) -> Any:
    return client.v1.charges.create({"amount": 100, "currency": "usd"})


def charge_async(client: stripe.StripeClient, _: str) -> Any:
    return client.v1.charges.create_async({"amount": 100, "currency": "usd"})


def put_item(client: Any, _: str) -> Any:
    return client.put_item(TableName="t", Item={"id": {"S": "1"}})


def send_message(client: Any, url: str) -> Any:
    return client.send_message(QueueUrl=f"{url}/q", MessageBody="hello")


def session_with(retries: Retry | int) -> Callable[[str], requests.Session]:
    def make(_: str) -> requests.Session:
        session = requests.Session()
        session.mount("http://", HTTPAdapter(max_retries=retries))
        return session

    return make


def fetch(session: requests.Session, url: str) -> Any:
    return session.get(url).raise_for_status()


def request(manager: Any, url: str) -> Any:
    answer = manager.request("GET", url)
    assert answer.status == 200


def stripe_client(**options: Any) -> Callable[[str], stripe.StripeClient]:
    return lambda url: stripe.StripeClient("sk_test_1", base_addresses={"api": url}, **options)


def gemini(attempts: int | None) -> Callable[[str], genai.Client]:
    retrying = HttpRetryOptions(attempts=attempts, initial_delay=0.001, max_delay=0.001, jitter=0)
    told = {"retry_options": retrying} if attempts else {}
    return lambda url: genai.Client(
        api_key="k", vertexai=False, http_options=HttpOptions(base_url=url, **told)
    )


CASES = {
    "openai": Case(
        make=lambda url: openai.OpenAI(api_key="k", base_url=url),
        mended=lambda url: openai.OpenAI(api_key="k", base_url=url, max_retries=0),
        send=chat,
        retries=2,
    ),
    "openai, async and told": Case(
        make=lambda url: openai.AsyncOpenAI(api_key="k", base_url=url, max_retries=4),
        mended=lambda url: openai.AsyncOpenAI(api_key="k", base_url=url, max_retries=0),
        send=chat,
        retries=4,
    ),
    "anthropic": Case(
        make=lambda url: anthropic.Anthropic(api_key="k", base_url=url),
        mended=lambda url: anthropic.Anthropic(api_key="k", base_url=url, max_retries=0),
        send=message,
        retries=2,
    ),
    "anthropic, async": Case(
        make=lambda url: anthropic.AsyncAnthropic(api_key="k", base_url=url),
        mended=lambda url: anthropic.AsyncAnthropic(api_key="k", base_url=url, max_retries=0),
        send=message,
        retries=2,
    ),
    "stripe": Case(make=stripe_client(), mended=stripe_client(), send=charge, retries=0),
    "stripe, async": Case(
        make=stripe_client(max_network_retries=1),
        mended=stripe_client(max_network_retries=0),
        send=charge_async,
        retries=1,
    ),
    "stripe, told": Case(
        make=stripe_client(max_network_retries=2),
        mended=stripe_client(max_network_retries=0),
        send=charge,
        retries=2,
    ),
    "google-genai": Case(
        make=gemini(3),
        mended=gemini(1),
        send=lambda client, _: client.models.generate_content(model="m", contents="hello"),
        retries=2,
    ),
    "google-genai, async": Case(
        make=gemini(None),
        mended=gemini(1),
        send=lambda client, _: client.aio.models.generate_content(model="m", contents="hello"),
        retries=1,
        hangs_up=True,
    ),
    "boto3": Case(make=aws("sqs"), mended=mended_aws("sqs"), send=send_message, retries=2),
    "boto3, legacy": Case(
        make=aws("sqs", mode="legacy"), mended=mended_aws("sqs"), send=send_message, retries=4
    ),
    "boto3, adaptive": Case(
        make=aws("sqs", mode="adaptive"), mended=mended_aws("sqs"), send=send_message, retries=2
    ),
    "boto3, told": Case(
        make=aws("sqs", max_attempts=1), mended=mended_aws("sqs"), send=send_message, retries=1
    ),
    "boto3, dynamodb": Case(make=aws("dynamodb"), mended=mended_aws("dynamodb"), send=put_item, retries=3),
    "boto3, dynamodb, legacy": Case(
        make=aws("dynamodb", mode="legacy"), mended=mended_aws("dynamodb"), send=put_item, retries=9
    ),
    "boto3, resource": Case(
        make=aws("dynamodb", how="resource"),
        mended=mended_aws("dynamodb", how="resource"),
        send=lambda resource, _: resource.Table("t").put_item(Item={"id": "1"}),
        retries=3,
    ),
    "urllib3": Case(
        make=lambda _: urllib3.PoolManager(),
        mended=lambda _: urllib3.PoolManager(retries=False),
        send=request,
        retries=3,
    ),
    "urllib3, told": Case(
        make=lambda _: urllib3.PoolManager(retries=Retry(9, connect=0, read=0, status=2, other=0)),
        mended=lambda _: urllib3.PoolManager(retries=False),
        send=request,
        retries=2,
    ),
    "urllib3, lost connections": Case(
        make=lambda _: urllib3.PoolManager(retries=2),
        mended=lambda _: urllib3.PoolManager(retries=False),
        send=request,
        retries=2,
        hangs_up=True,
    ),
    "urllib3, one host": Case(
        make=urllib3.connection_from_url,
        mended=lambda url: urllib3.connection_from_url(url, retries=False),
        send=lambda pool, _: request(pool, "/"),
        retries=3,
    ),
    "requests": Case(
        make=lambda _: requests.Session(), mended=lambda _: requests.Session(), send=fetch, retries=0
    ),
    "requests, told": Case(
        make=session_with(Retry(3, status_forcelist=[503])), mended=session_with(0), send=fetch, retries=3
    ),
    "aiohttp": Case(
        make=lambda _: aiohttp.ClientSession(),
        mended=lambda _: one_layer(aiohttp.ClientSession()),
        send=lambda session, url: session.get(url),
        retries=1,
        hangs_up=True,
    ),
    "httpx": Case(
        make=lambda _: httpx.Client(),
        mended=lambda _: httpx.Client(),
        send=lambda client, url: client.get(url).raise_for_status(),
        retries=0,
    ),
}
