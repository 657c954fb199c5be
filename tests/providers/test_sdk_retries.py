"""A client that retries by itself is known by what arrives on the wire, and one layer means one request."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import openai
import pytest
import stripe
import urllib3

from holdfast.adapters import client_retries, one_layer
from providers.busy import Server, serving, settle_in
from providers.clients import CASES, Case, close, settled

# How stripe uses httpx, and google-genai aiohttp, is between them.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning"),
]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    settle_in(monkeypatch)
    # It sleeps a second and up to nine more.
    monkeypatch.setattr("google.genai._api_client.random", SimpleNamespace(randint=lambda *_: -1))
    with serving(Server()) as running:
        yield running


async def failure(case: Case, client: Any, server: Server) -> type[BaseException]:
    """Send one request, and close the client; return how the request failed."""
    server.hangs_up = case.hangs_up
    try:
        answer = await settled(case.send(client, server.url))
    except Exception as error:  # noqa: BLE001 - which one is the question
        return type(error)
    finally:
        await close(client)
    pytest.fail(f"{answer} is no failure")


EVERY = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


@EVERY
async def test_what_a_client_is_said_to_retry_is_what_arrives(case: Case, server: Server) -> None:
    """RET-19."""
    client = case.make(server.url)
    told = client_retries(client)

    await failure(case, client, server)

    assert told is not None
    assert (told.retries, len(server.arrived)) == (case.retries, 1 + case.retries)


@EVERY
async def test_one_layer_sends_one_request_which_fails_as_the_last_one_did(
    case: Case, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    """RET-19: no retry is left, no failure becomes a success, and what cannot be set is warned about."""
    before = await failure(case, case.make(server.url), server)
    server.arrived.clear()
    client = one_layer(case.make(server.url))
    told = client_retries(client)

    after = await failure(case, client, server)

    assert told is not None
    assert (len(server.arrived), after) == (1 + told.retries, before)
    warnings = [record for record in caplog.records if record.name == "holdfast"]
    if told.can_be_set or not case.retries:
        assert (told.retries, warnings) == (0, [])
    else:
        [warning] = warnings
        assert (warning.levelname, told.retries) == ("WARNING", case.retries)
        assert told.client in warning.message
        assert told.fix in warning.message


@EVERY
async def test_a_client_that_is_written_as_the_fix_says_sends_one_request(case: Case, server: Server) -> None:
    """RET-19."""
    client = case.mended(server.url)
    told = client_retries(client)

    await failure(case, client, server)

    assert told is not None
    assert (told.retries, len(server.arrived)) == (0, 1)


def retries(client: object) -> int:
    told = client_retries(client)
    assert told is not None
    return told.retries


@pytest.fixture
def stripe_module(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """The module stripe, set up as people do who use no client, and as it was before afterwards."""
    monkeypatch.setattr(stripe, "api_key", "sk_test_1")
    monkeypatch.setattr(stripe, "api_base", server.url)
    monkeypatch.setattr(stripe, "max_network_retries", stripe.max_network_retries)
    monkeypatch.setattr(stripe, "default_http_client", stripe.new_default_http_client())
    yield server
    stripe.default_http_client.close()


def test_what_uses_the_module_stripe_retries_as_the_module_says(stripe_module: Server):
    """RET-19."""

    def sent() -> int:
        stripe_module.arrived.clear()
        with pytest.raises(stripe.APIError):
            stripe.Charge.create(amount=100, currency="usd")
        return len(stripe_module.arrived)

    assert (retries(stripe), retries(stripe.Charge), sent()) == (2, 2, 3)
    assert one_layer(stripe) is stripe
    assert (retries(stripe), retries(stripe.Charge), sent()) == (0, 0, 1)


def test_what_uses_the_module_openai_retries_as_the_module_says(
    server: Server, monkeypatch: pytest.MonkeyPatch
):
    """RET-19."""
    monkeypatch.setattr(openai, "api_key", "k")
    monkeypatch.setattr(openai, "base_url", server.url)
    monkeypatch.setattr(openai, "max_retries", openai.max_retries)
    monkeypatch.setattr(openai, "_client", None)

    def sent() -> int:
        server.arrived.clear()
        with pytest.raises(openai.InternalServerError):
            openai.models.list()
        return len(server.arrived)

    assert (retries(openai), retries(openai.chat)) == (2, 2)
    assert openai._client is None  # asking did not make the module's client
    assert sent() == 3
    assert one_layer(openai.models) is openai.models
    assert (retries(openai), retries(openai.chat), sent()) == (0, 0, 1)
    openai._client.close()


def test_what_uses_the_module_urllib3_retries_as_the_module_does(
    server: Server, monkeypatch: pytest.MonkeyPatch
):
    """RET-19."""
    monkeypatch.setattr(urllib3, "_DEFAULT_POOL", urllib3.PoolManager())

    def sent() -> int:
        server.arrived.clear()
        assert urllib3.request("GET", server.url).status == 503
        return len(server.arrived)

    assert (retries(urllib3), sent()) == (3, 4)
    assert one_layer(urllib3) is urllib3
    assert (retries(urllib3), sent()) == (0, 1)


class Trap:
    """Everything that can be asked of it is an explosion."""

    def __getattribute__(self, name: str) -> Any:
        pytest.fail(f"asked for {name}")

    def __hash__(self) -> int:  # noqa: PLE0309 - it returns nothing at all
        pytest.fail("asked for a hash")

    def __eq__(self, other: object) -> bool:
        pytest.fail("asked to compare")

    def __repr__(self) -> str:
        pytest.fail("asked for text")


class TrappedType(type):
    def __getattribute__(cls, name: str) -> Any:
        pytest.fail(f"asked a class for {name}")


class Disguised(openai.OpenAI):
    """A client whose author made properties of everything."""

    def __init__(self) -> None:
        """Store nothing."""

    @property
    def __class__(self) -> Any:
        pytest.fail("asked for the class")

    @property
    def max_retries(self) -> Any:
        pytest.fail("asked for a property")


class Slotted(openai.OpenAI):
    __slots__ = ("max_retries",)

    def __init__(self) -> None:
        """Store nothing."""


def posing_as(place: str, **attributes: Any) -> type:
    """A type that says it is one of a library's, and holds something else."""
    module, _, name = place.rpartition(".")
    return type(name, (), {"__module__": module, **attributes})


ODD = {
    "a trap": Trap,
    "of a trapped type": TrappedType("Odd", (), {}),
    "a trapped type": lambda: TrappedType("Odd", (), {}),
    "disguised": Disguised,
    "empty slots": Slotted,
    "a module": lambda: ModuleType("nameless"),
    "no session of aiohttp": posing_as("aiohttp.client.ClientSession"),
    "no session of requests": posing_as("requests.sessions.Session", adapters=7),
    "no manager of urllib3": posing_as("urllib3.poolmanager.PoolManager", connection_pool_kw=[]),
    "no client of botocore": posing_as("botocore.client.BaseClient", meta=None),
    "no client of stripe": posing_as("stripe._stripe_client.StripeClient"),
    "no client of genai": posing_as("google.genai.client.Client"),
    "of no module": type("Anonymous", (), {"__module__": None}),
    "nothing": lambda: None,
}


@pytest.mark.parametrize("name", ODD)
def test_reading_runs_nothing_and_raises_nothing(name: str):
    """RET-19: to look for retries must not be what breaks, or calls, somebody's code."""
    make: Any = ODD[name]

    assert client_retries(make()) is None
