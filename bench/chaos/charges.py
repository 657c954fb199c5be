"""The charges that are intended, and the three kinds of tool that make them, for both faces of the ledger."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from holdfast import Dependency, Done, Effect, Ledger, NotDone, RetryPolicy, Settings, SyncLedger, ToolCall

KEYED = "keyed"  # idempotent: the provider deduplicates by the key that is sent along
SEARCHED = "searched"  # unsafe: every request charges, and a reconciler can look for the charge
BARE = "bare"  # unsafe: every request charges, and nobody can look: doubt is for webhooks and people
KINDS = (KEYED, SEARCHED, BARE)

CLIENT_PATIENCE_S = 1.0
TIMEOUT_S = 3.0
MOST_ATTEMPTS = 5
SETTINGS = Settings(lease=2.0, renew_every=0.4, reconcile_skew=1.5, store_patience=2.0, drain=1.0)
_RETRY = RetryPolicy(initial_interval=0.05, maximum_interval=1.0, maximum_attempts=MOST_ATTEMPTS)
_LOOKS = 5

Urls = Mapping[str, str]
"""Where each kind of charge is made."""


@dataclass(frozen=True, slots=True)
class Charge:
    """One intended charge."""

    order: int

    @property
    def kind(self) -> str:
        return KINDS[self.order % len(KINDS)]

    @property
    def amount(self) -> int:
        return 100 + self.order % 900

    @property
    def call(self) -> ToolCall:
        args = {"order": self.order, "amount": self.amount}
        return ToolCall(workflow_id=f"order-{self.order}", tool=self.kind, args=args)

    @property
    def digest(self) -> str:
        """What the provider logs of its request."""
        return hashlib.sha256(body(self.order, self.amount)).hexdigest()


def body(order: int, amount: int) -> bytes:
    return json.dumps({"amount": amount, "metadata": {"order": order}}).encode()


def declare(ledger: SyncLedger, urls: Urls) -> Callable[[], None]:
    """Declare the three tools on a blocking ledger; return what closes their client."""
    http = httpx.Client(timeout=CLIENT_PATIENCE_S)

    def post(kind: str, order: int, amount: int, effect: Effect) -> Any:
        answer = http.post(urls[kind], content=body(order, amount), headers=_headers(effect))
        return answer.raise_for_status().json()

    def keyed(order: int, amount: int, effect: Effect) -> Any:
        return post(KEYED, order, amount, effect)

    def searched(order: int, amount: int, effect: Effect) -> Any:
        return post(SEARCHED, order, amount, effect)

    def bare(order: int, amount: int, effect: Effect) -> Any:
        return post(BARE, order, amount, effect)

    def look_up(effect: Effect) -> Done | NotDone:
        for look in range(_LOOKS):
            try:
                answer = http.get(urls[effect.tool], params={"idempotency_key": effect.idem_key})
                return _found(answer.raise_for_status())
            except httpx.HTTPError:
                if look == _LOOKS - 1:
                    raise
        raise AssertionError

    for handler, options in _tools(keyed, searched, bare, look_up):
        ledger.tool(**options)(handler)
    return http.close


def declare_async(ledger: Ledger, urls: Urls) -> Callable[[], Awaitable[None]]:
    """Declare the three tools on an asyncio ledger; return what closes their client."""
    http = httpx.AsyncClient(timeout=CLIENT_PATIENCE_S)

    async def post(kind: str, order: int, amount: int, effect: Effect) -> Any:
        answer = await http.post(urls[kind], content=body(order, amount), headers=_headers(effect))
        return answer.raise_for_status().json()

    async def keyed(order: int, amount: int, effect: Effect) -> Any:
        return await post(KEYED, order, amount, effect)

    async def searched(order: int, amount: int, effect: Effect) -> Any:
        return await post(SEARCHED, order, amount, effect)

    async def bare(order: int, amount: int, effect: Effect) -> Any:
        return await post(BARE, order, amount, effect)

    async def look_up(effect: Effect) -> Done | NotDone:
        for look in range(_LOOKS):
            try:
                answer = await http.get(urls[effect.tool], params={"idempotency_key": effect.idem_key})
                return _found(answer.raise_for_status())
            except httpx.HTTPError:
                if look == _LOOKS - 1:
                    raise
        raise AssertionError

    for handler, options in _tools(keyed, searched, bare, look_up):
        ledger.tool(**options)(handler)
    return http.aclose


def _tools(keyed: Any, searched: Any, bare: Any, look_up: Any) -> list[tuple[Any, dict[str, Any]]]:
    alike = {"timeout": TIMEOUT_S, "retry": _RETRY, "external_id": "id"}
    cards, bank = (
        Dependency(name, open_for=1.0, longest_open=4.0, probe_for=5.0) for name in ("cards", "bank")
    )
    return [
        (keyed, {**alike, "supports_key": True, "dependency": cards}),
        (searched, {**alike, "safety": "unsafe", "reconcile": look_up, "dependency": bank}),
        (bare, {**alike, "safety": "unsafe", "dependency": bank}),
    ]


def by_hand(urls: Urls) -> Callable[[Effect], Done | NotDone]:
    """What a person does about doubt that no tool can settle: look into the provider's dashboard."""

    def look(effect: Effect) -> Done | NotDone:
        for _ in range(_LOOKS * 10):
            try:
                params = {"idempotency_key": effect.idem_key}
                return _found(
                    httpx.get(urls[effect.tool], params=params, timeout=CLIENT_PATIENCE_S).raise_for_status()
                )
            except httpx.HTTPError:
                continue
        msg = "the dashboard cannot be reached"
        raise OSError(msg)

    return look


def _headers(effect: Effect) -> dict[str, str]:
    return {"Content-Type": "application/json", "Idempotency-Key": effect.idem_key}


def _found(answer: httpx.Response) -> Done | NotDone:
    listed = answer.json()["data"]
    return Done(listed[0]) if listed else NotDone()
