"""The verdicts on connections that were not made, or broke before there was a whole answer."""

from __future__ import annotations

import datetime as dt
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

import botocore.exceptions
import httpx
import httpx2
import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from misbehaving import (
    Act,
    Server,
    answer,
    crowded,
    garbage,
    half,
    half_chunk,
    hang,
    nobody,
    reset,
    unread,
)
from senders import (
    HASTE_S,
    HTTPX,
    NOW,
    PATIENCE_S,
    SENDERS,
    TELLING,
    by_boto3,
    error_of,
    short,
    verdict,
)

from holdfast._core.fault import fault_of

each = pytest.mark.parametrize("name", SENDERS)


@each
def test_a_refused_connection_is_transient_and_evidence_if_the_error_tells_of_a_write(name: str) -> None:
    """RET-03, RET-10."""
    write, read = (verdict(partial(SENDERS[name], method, nobody())) for method in ("POST", "GET"))

    assert short(write) == ("transient", "network", name not in TELLING)
    assert short(read) == ("transient", "network", True)
    assert write.status is None
    assert write.blames_dependency


@pytest.mark.parametrize("name", [name for name in SENDERS if name != "boto3"])
def test_a_connection_that_is_never_made_is_like_a_refused_one(name: str) -> None:
    """RET-03, RET-04: a timeout, but one of connecting."""
    with crowded() as url:
        fault = verdict(partial(SENDERS[name], "POST", url, HASTE_S))

    assert short(fault) == ("transient", "network", name not in TELLING)


def test_a_connect_timeout_of_boto3_is_transient() -> None:
    """RET-03: the longest of them; its class is the same for all services."""
    with crowded() as url:
        error = error_of(partial(by_boto3, "POST", url, HASTE_S))

    assert isinstance(error, botocore.exceptions.ConnectTimeoutError)
    assert short(fault_of(error, now=NOW)) == ("transient", "network", True)


LOST: Final = [
    pytest.param(name, act, id=f"{name}-{act.__name__}")
    for name in SENDERS
    for act in (reset, unread, half, half_chunk, garbage, hang)
    if (name, act) != ("boto3", half)  # it does not compare the length, and takes the half for the whole
]


@pytest.mark.parametrize(("name", "act"), LOST)
def test_a_request_without_a_whole_answer_is_in_doubt(name: str, act: Act) -> None:
    """RET-03, RET-10, IDE-16: whether it was read or not, nobody can tell from here."""
    patience_s = HASTE_S if act is hang else PATIENCE_S
    with Server(act) as server:
        faults = [
            verdict(partial(SENDERS[name], method, server.url, patience_s)) for method in ("POST", "GET")
        ]

    for fault in faults:
        assert short(fault) in {("ambiguous", "network", True), ("ambiguous", "server", True)}
        assert fault.status is None
        assert fault.blames_dependency


@pytest.mark.parametrize("name", HTTPX)
def test_a_connection_that_the_pool_never_gave_was_never_made(name: str) -> None:
    """RET-03."""
    package = httpx2 if name == "httpx2" else httpx

    def send() -> None:
        limits = package.Limits(max_connections=1)
        with (
            package.Client(limits=limits, timeout=package.Timeout(10, pool=0.05)) as client,
            client.stream("GET", server.url),
        ):
            client.post(server.url)

    with Server(answer(200, b"x" * 1000)) as server:
        error = error_of(send)

    assert type(error).__name__ == "PoolTimeout"
    assert short(fault_of(error, now=NOW)) == ("transient", "network", False)


def through(name: str, proxy: str, url: str) -> Callable[[], object]:
    """Something that sends a POST to *url* by way of *proxy*."""
    return {
        "httpx": lambda: httpx.post(url, proxy=proxy),
        "httpx2": lambda: httpx2.post(url, proxy=proxy),
        "requests": lambda: requests.post(url, proxies={"http": proxy, "https": proxy}, timeout=5),
    }[name]


by_proxy = pytest.mark.parametrize("name", ["httpx", "httpx2", "requests"])


@by_proxy
def test_a_proxy_that_cannot_be_reached_means_that_nothing_was_sent(name: str) -> None:
    """RET-03."""
    assert short(verdict(through(name, nobody(), "http://127.0.0.1:1"))) == ("transient", "network", False)


@by_proxy
@pytest.mark.parametrize("act", [reset, unread, half])
def test_a_proxy_that_takes_a_request_and_loses_the_answer_leaves_doubt(name: str, act: Act) -> None:
    """RET-03, I1: whatever the client calls it; the request may have gone through."""
    with Server(act) as proxy:
        fault = verdict(through(name, proxy.url, "http://127.0.0.1:1"))

    assert short(fault) == ("ambiguous", "network", True)


@by_proxy
def test_a_proxy_that_makes_no_tunnel_means_that_nothing_was_sent(name: str) -> None:
    """RET-03."""
    with Server(answer(502)) as proxy:
        fault = verdict(through(name, proxy.url, "https://127.0.0.1:1"))

    assert short(fault) == ("transient", "network", False)


@pytest.fixture(scope="module")
def untrusted(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    """TLS with a certificate that nobody has signed but itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    today = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(today - dt.timedelta(days=1))
        .not_valid_after(today + dt.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    path: Path = tmp_path_factory.mktemp("tls") / "both.pem"
    pem = serialization.Encoding.PEM
    private = serialization.PrivateFormat.PKCS8
    path.write_bytes(
        key.private_bytes(pem, private, serialization.NoEncryption()) + certificate.public_bytes(pem)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


@each
def test_a_certificate_that_is_not_trusted_will_not_be_trusted_later(
    name: str, untrusted: ssl.SSLContext
) -> None:
    """RET-03, RET-08: and nothing was sent."""
    with Server(answer(200), tls=untrusted) as server:
        write, read = (verdict(partial(SENDERS[name], method, server.url)) for method in ("POST", "GET"))

    assert short(write) == ("permanent", "network", name not in TELLING)
    assert short(read) == ("permanent", "network", True)
    assert server.requests == []
