"""The clients that a tool's function can reach are found without running any of the user's code."""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import openai
import pytest
import requests
import stripe
import tenacity

from holdfast import SyncLedger
from holdfast.adapters import client_retries, clients_in, clients_of

CLIENT = openai.OpenAI(api_key="k")
POOLS = {"eu": requests.Session(), 7: [openai.OpenAI(api_key="k")]}


def paths(handler: Callable[..., Any]) -> list[str]:
    return [path for path, _ in clients_of(handler)]


class Gateway:
    """What people put between their tools and a client."""

    shared = openai.OpenAI(api_key="k")

    def __init__(self, client: Any) -> None:
        self._client = client

    @property
    def client(self) -> Any:
        pytest.fail("a property was asked")

    def charge(self, amount: int) -> Any:
        return self._send(amount)

    def _send(self, amount: int) -> Any:
        return _deeper(amount)

    def other(self) -> Any:
        return POOLS

    def __call__(self, amount: int) -> Any:
        return self._client.create(amount)

    @classmethod
    def of_class(cls, amount: int) -> Any:
        return cls.shared.create(amount)

    @staticmethod
    def of_nothing(amount: int) -> Any:
        return CLIENT.charge(amount)


class Slotted:
    __slots__ = ("empty", "gateway")

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway

    def charge(self, amount: int) -> Any:
        return self.gateway.charge(amount)


def _deeper(amount: int) -> Any:
    return [CLIENT.chat for _ in range(amount)]


def by_global(amount: int) -> Any:
    return CLIENT.chat.completions.create(amount)


def by_call(amount: int) -> Any:
    return _deeper(amount)


def by_container(amount: int) -> Any:
    return POOLS["eu"].post(amount)


def by_default(amount: int, client: Any = CLIENT, *, also: Any = POOLS) -> Any:
    return client.charge(amount, also)


def by_closure() -> Callable[[int], Any]:
    client = openai.OpenAI(api_key="k")

    def charge(amount: int) -> Any:
        return client.charge(amount)

    return charge


def by_resource(amount: int, completions: Any = CLIENT.chat.completions) -> Any:
    return completions.create(amount)


def by_nothing(amount: int) -> Any:
    return {"charged": amount}


async def by_coroutine(amount: int) -> Any:
    return CLIENT.charge(amount)


HANDLERS: dict[str, tuple[Any, list[str]]] = {
    "a global": (by_global, ["CLIENT"]),
    "a global of a function that it calls": (by_call, ["CLIENT"]),
    "in containers": (by_container, ["POOLS[...]", "POOLS[...][0]"]),
    "defaults": (by_default, ["client", "also[...]", "also[...][0]"]),
    "a closure": (by_closure(), ["client"]),
    "a part of a client": (by_resource, ["completions._client"]),
    "nothing": (by_nothing, []),
    "a coroutine function": (by_coroutine, ["CLIENT"]),
    "a lambda": (lambda amount: CLIENT.charge(amount + 1), ["CLIENT"]),
    "a method": (Gateway(requests.Session()).charge, ["self.shared", "self._client", "CLIENT"]),
    "slots": (Slotted(Gateway(CLIENT)).charge, ["self.gateway.shared", "self.gateway._client"]),
    "an object that is called": (Gateway(CLIENT), ["self.shared", "self._client"]),
    "a class method": (Gateway.of_class, ["self.shared"]),
    "a static method": (Gateway.of_nothing, ["CLIENT"]),
    "a partial": (functools.partial(by_nothing, client=CLIENT), ["client"]),
    "a partial's arguments": (
        functools.partial(by_nothing, Gateway(CLIENT)),
        ["args[0].shared", "args[0]._client"],
    ),
    "a decorated function": (tenacity.retry(by_global), ["CLIENT"]),
}


@pytest.mark.parametrize("name", HANDLERS)
def test_what_a_function_can_reach_is_named_in_its_own_words(name: str):
    """RET-19."""
    handler, expected = HANDLERS[name]

    assert paths(handler) == expected


def test_a_declared_tool_is_looked_into():
    """RET-19."""
    with SyncLedger("memory://") as ledger:
        tool = ledger.tool()(by_global)

        assert "CLIENT" in paths(tool)


def test_a_client_that_many_ways_lead_to_is_told_once():
    """RET-19."""
    gateway = Gateway(CLIENT)

    def charge(amount: int) -> Any:
        return [gateway.charge(amount), CLIENT.charge(amount), gateway]

    told = [path for path, retries in clients_of(charge) if retries == client_retries(CLIENT)]
    assert told == ["CLIENT", "gateway.shared"]


@pytest.fixture
def clients(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A module of the user's that makes the clients for the others."""
    module = ModuleType("shop_clients")
    module.payments = ModuleType("shop_clients.payments")
    module.payments.client = openai.OpenAI(api_key="k")
    module.unused = openai.OpenAI(api_key="k")
    monkeypatch.setitem(globals(), "shop_clients", module)
    return module


def by_module(amount: int) -> Any:
    return shop_clients.payments.client.charge(amount)  # noqa: F821 - the fixture's


def test_of_a_module_only_what_is_named_is_looked_at(clients: ModuleType):
    """RET-19."""
    assert paths(by_module) == ["shop_clients.payments.client"]


def with_module(amount: int) -> Any:
    return stripe.Charge.create(amount=amount)


def with_types(amount: int) -> Any:
    try:
        return stripe.StripeClient("k"), openai.OpenAI(api_key="k")
    except (stripe.CardError, openai.RateLimitError):
        return amount


def with_proxy(amount: int) -> Any:
    return openai.chat.completions.create(model=amount)


def test_a_module_is_a_client_where_its_own_client_is_used(monkeypatch: pytest.MonkeyPatch):
    """RET-19: and not where it is named for its errors, its types and other clients."""
    monkeypatch.setattr(openai, "_client", None)

    assert paths(with_module) == ["stripe.Charge"]
    assert paths(with_proxy) == ["openai.chat"]
    assert paths(with_types) == []
    assert openai._client is None


LIBRARY = """
import functools
import openai
CLIENT = openai.OpenAI(api_key="k")
HELD = {"client": CLIENT}

def charge(amount):
    return CLIENT.charge(amount)

def charging(charge):
    @functools.wraps(charge)
    def charged(amount):
        return HELD, charge(amount)
    return charged
"""


def test_libraries_are_not_searched_but_what_they_wrap_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """RET-19: what a library's function names is not the tool's."""
    installed = tmp_path / "site-packages"
    installed.mkdir()
    (installed / "shop_library.py").write_text(LIBRARY)
    monkeypatch.syspath_prepend(installed)
    library = importlib.import_module("shop_library")

    def charge(amount: int) -> Any:
        return library.charge(amount)

    assert paths(charge) == []
    assert paths(library.charging(by_global)) == ["CLIENT"]
    assert clients_of(library.charge) == [("CLIENT", client_retries(library.CLIENT))]


def test_looking_ends():
    """RET-19."""
    ring: list[Any] = [{"more": [range(7)] * 1000}]
    ring.append(ring)
    gateway = Gateway(ring)
    ring.append(gateway)

    assert paths(lambda: (ring, gateway)) == ["gateway.shared"]


class Trap:
    def __getattribute__(self, name: str) -> Any:
        pytest.fail(f"asked for {name}")

    def __iter__(self) -> Any:
        pytest.fail("asked for items")

    __eq__ = __len__ = __bool__ = __hash__ = __repr__ = __iter__  # type: ignore[assignment]


def test_looking_runs_nothing_and_raises_nothing():
    """RET-19."""
    trap: Any = Trap()
    later: Any

    def charge(amount: Any = trap, *, held: Any = ({"a": trap}, [trap])) -> Any:
        return trap, held, later, not_there  # noqa: F821

    assert paths(charge) == []
    assert paths(functools.partial(charge, trap, amount=trap)) == []
    assert paths(trap) == []
    assert paths(print) == []
    assert paths(len) == []
    later = None


def test_a_namespace_is_told_by_name_and_a_list_by_type():
    """RET-19."""
    held = {"client": CLIENT, "session": POOLS["eu"], "n": 7, "sys": sys, "stripe": stripe}
    shown = [(name, retries.client, retries.retries) for name, retries in clients_in(held)]

    assert shown == [("client", "OpenAI", 2), ("session", "Session", 0), ("stripe", "stripe", 2)]
    assert [name for name, _ in clients_in(held.values())] == ["OpenAI", "Session", "stripe"]
