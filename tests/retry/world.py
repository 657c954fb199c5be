"""A service outside, whose answers a test plans, and the handler that calls it."""

from __future__ import annotations

import itertools
from typing import Any

import httpx

from desk import Desk
from holdfast import Alert, Effect, ToolCall
from holdfast._runtime.drive import run_sync

CALL = ToolCall(workflow_id="order-1", tool="stripe.charge", args={"amount": 100})


def answer(status: int, method: str = "POST", **headers: str) -> httpx.HTTPStatusError:
    """What ``raise_for_status`` raises for *status*; ``retry_after="2"`` becomes a header."""
    request = httpx.Request(method, "http://pay.test/charges")
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.HTTPStatusError(f"{status}", request=request, response=httpx.Response(status, headers=named))


def lost() -> httpx.ReadTimeout:
    """The request went out, and no answer came."""
    return httpx.ReadTimeout("", request=httpx.Request("POST", "http://pay.test/charges"))


def refused(method: str = "POST") -> httpx.ConnectError:
    """No connection: nothing went out."""
    return httpx.ConnectError("", request=httpx.Request(method, "http://pay.test/charges"))


class Service:
    """Ends each call as planned: an error is raised, anything else returned; then ``{"id": "ch_1"}`` for ever.

    Attributes:
        at: When each call came, in seconds of the desk's clock.
        keys: The idempotency keys that were sent along.
    """

    def __init__(self, desk: Desk, *ends: Any) -> None:
        self.at: list[float] = []
        self.keys: list[str] = []
        self._desk = desk
        self._ends = list(ends)

    def __call__(self, amount: int, effect: Effect) -> Any:
        self.at.append(self._desk.clock.monotonic())
        self.keys.append(effect.idem_key)
        end = self._ends.pop(0) if self._ends else {"id": "ch_1"}
        if isinstance(end, BaseException):
            raise end
        return end

    @property
    def delays(self) -> list[float]:
        """The pauses between calls, in seconds."""
        return [later - sooner for sooner, later in itertools.pairwise(self.at)]


def end_of(desk: Desk, service: Any, call: ToolCall = CALL, **options: Any) -> Any:
    """What one call in a new process returns or raises."""
    try:
        return desk.run(call, service, **options)
    except Exception as error:  # noqa: BLE001 - how it ends is what is looked at
        return error


def told(desk: Desk, ledger: Any) -> list[Alert]:
    """The alerts of *ledger* from now on."""
    alerts: list[Alert] = []
    ledger._engine.parts.alerts.listeners.append(alerts.append)
    return alerts


def ask(desk: Desk, question: Any) -> Any:
    """Ask a ledger something, in a new process."""
    return run_sync(question(desk.ledger()))


def meanwhile(ledger: Any, act: Any) -> None:
    """Let *act* happen before the next commit of *ledger*."""
    store = ledger._engine.parts.store
    commit = store.commit

    async def late(change: Any) -> Any:
        store.commit = commit
        await act()
        return await commit(change)

    store.commit = late
