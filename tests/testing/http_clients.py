"""The HTTP clients that people really use, each through its own public interface, without retries."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
import httpx
import httpx2
import requests
import urllib3

PATIENCE_S: Final = 30.0
"""After this long an answer is lost, not slow."""


@dataclass(frozen=True, slots=True)
class Seen:
    """An answer as a client saw it; the names of its headers in small letters."""

    status: int
    body: Any
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Client:
    """A library: how to send a request with it, what it raises when it got no answer, and when refused."""

    name: str
    send: Callable[..., Seen]
    no_answer: tuple[type[Exception], ...]
    refused: tuple[type[Exception], ...]


def _with_httpx(method: str, url: str, json: Any, headers: Mapping[str, str]) -> Seen:
    answer = httpx.request(method, url, json=json, headers=headers, timeout=PATIENCE_S, trust_env=False)
    return Seen(answer.status_code, answer.json(), answer.headers)


def _with_httpx2(method: str, url: str, json: Any, headers: Mapping[str, str]) -> Seen:
    answer = httpx2.request(method, url, json=json, headers=headers, timeout=PATIENCE_S, trust_env=False)
    return Seen(answer.status_code, answer.json(), answer.headers)


def _with_requests(method: str, url: str, json: Any, headers: Mapping[str, str]) -> Seen:
    with requests.Session() as session:
        session.trust_env = False
        answer = session.request(method, url, json=json, headers=dict(headers), timeout=PATIENCE_S)
    return Seen(answer.status_code, answer.json(), answer.headers)


def _with_urllib3(method: str, url: str, json: Any, headers: Mapping[str, str]) -> Seen:
    with urllib3.PoolManager(retries=False, timeout=PATIENCE_S) as pool:
        answer = pool.request(method, url, json=json, headers={**headers})
        return Seen(answer.status, answer.json(), answer.headers)


def _with_aiohttp(method: str, url: str, json: Any, headers: Mapping[str, str]) -> Seen:
    async def send() -> Seen:
        timeout = aiohttp.ClientTimeout(total=PATIENCE_S)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.request(method, url, json=json, headers=headers) as answer,
        ):
            return Seen(answer.status, await answer.json(), answer.headers)

    return asyncio.run(send())


CLIENTS: Final = (
    Client("httpx", _with_httpx, (httpx.NetworkError, httpx.RemoteProtocolError), (httpx.ConnectError,)),
    Client("httpx2", _with_httpx2, (httpx2.NetworkError, httpx2.RemoteProtocolError), (httpx2.ConnectError,)),
    Client(
        "requests",
        _with_requests,
        (requests.ConnectionError, requests.exceptions.ChunkedEncodingError),
        (requests.ConnectionError,),
    ),
    Client(
        "urllib3",
        _with_urllib3,
        (urllib3.exceptions.ProtocolError,),
        (urllib3.exceptions.NewConnectionError,),
    ),
    Client(
        "aiohttp",
        _with_aiohttp,
        (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError),
        (aiohttp.ClientConnectorError,),
    ),
)
