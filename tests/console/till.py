"""Money spent at a ledger, as its own changes write it: claims that hold, ends that settle."""

from __future__ import annotations

import itertools
from collections.abc import Coroutine
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

from holdfast import SyncLedger
from holdfast._core.budget import Demand, PlaceHold, SettleHold
from holdfast._core.change import Committed, Head, NewEffect, PlainOutcome, Stamp
from holdfast._core.model import EffectKey, Fingerprint
from holdfast._core.plan import along_with, plan_insert, plan_move
from holdfast._core.states import Event, Safety
from holdfast._runtime.drive import run_sync
from holdfast.ports import Store

T = TypeVar("T")
TENANT: Final = "default"
CLAIM: Final[dict[str, Any]] = {"owner": "worker", "lease_s": 3600.0}
_SALTS: Final = itertools.count(1)


class Till:
    """Spends at a ledger's store."""

    def __init__(self, ledger: SyncLedger, now: datetime | None = None) -> None:
        self.store: Store = ledger._engine.parts.store
        self.now = now or datetime.now(UTC)
        ledger.counts()  # it is open

    def run(self, coro: Coroutine[Any, Any, T]) -> T:
        return run_sync(coro)

    def claim(self, number: int, *demands: Demand, workflow: str = "order-1", **told: Any) -> Head:
        """Claim an effect that may cost what is told."""
        tool = told.pop("tool", "search.web")
        effect = NewEffect(
            tenant=TENANT,
            key=key(number),
            fingerprint=Fingerprint(f"{number:064x}"),
            workflow_id=workflow,
            tool=tool,
            intent=tool,
            safety=Safety.IDEMPOTENT,
            args='{"q":"parcels"}',
            call_id=None,
        )
        change, head = plan_insert(effect, Event.CLAIM, self._stamp(), **CLAIM)
        self._commit(change, self._hold(head, demands, tool, told))
        return head

    def again(self, head: Head, *demands: Demand, tool: str = "search.web", **told: Any) -> Head:
        """Claim the next attempt of an effect that failed for now."""
        change, after = plan_move(head, Event.CLAIM, self._stamp(), **CLAIM)
        self._commit(change, self._hold(after, demands, tool, told))
        return after

    def end(self, head: Head, event: Event = Event.SUCCEED, **amounts: int) -> Head:
        """End an attempt, at what it cost; in doubt, at its bound."""
        options: dict[str, Any] = {}
        if event is Event.SUCCEED:
            options["outcome"] = PlainOutcome(result="null")
        change, after = plan_move(head, event, self._stamp(), **options)
        basis: Any = "bound" if event is Event.DOUBT else "actual"
        self._commit(
            change,
            SettleHold(
                tenant=TENANT,
                key=head.key,
                attempt=head.attempt,
                basis=basis,
                amounts=tuple(sorted(amounts.items())),
                usage='{"input":12,"output":34}',
            ),
        )
        return after

    def spend(self, number: int, micros: int, *demands: Demand, **told: Any) -> Head:
        """Let an effect succeed that cost so much."""
        currency = told.setdefault("currency", "usd")
        told.setdefault("money", micros)
        head = self.claim(number, *demands, **told)
        return self.end(head, **{currency: micros, "tokens": told.get("tokens", 0)})

    def _hold(self, head: Head, demands: tuple[Demand, ...], tool: str, told: dict[str, Any]) -> PlaceHold:
        plain = PlaceHold(
            tenant=TENANT,
            key=head.key,
            attempt=head.attempt,
            workflow_id=head.workflow_id,
            actor="refund-desk",
            tool=tool,
            demands=demands,
            at=self.now,
        )
        return replace(plain, **told)

    def _commit(self, change: Any, op: PlaceHold | SettleHold) -> None:
        assert isinstance(self.run(self.store.commit(along_with(change, [op]))), Committed)

    def _stamp(self) -> Stamp:
        return Stamp(
            actor="refund-desk",
            at=self.now,
            salt=next(_SALTS).to_bytes(16),
            secret=None,
            seal=lambda text, _: text,
        )


def key(number: int) -> EffectKey:
    """Return the key of the effect of that number."""
    return EffectKey(f"v1:{number:064x}")


def cap(account: str, cap: int, amount: int, unit: str = "usd", **told: Any) -> Demand:
    """Return what a claim needs of a budget."""
    plain = Demand(owner=TENANT, account=account, unit=unit, cap=cap, amount=amount)
    return replace(plain, **told)


def busy(ledger: SyncLedger, now: datetime) -> Till:
    """Let a shop's agents spend for a week: most of it well, some for nothing, one budget nearly used up."""
    till = Till(ledger, now)
    models = ("anthropic/claude-opus", "openai/gpt-mini", "", "anthropic/claude-haiku")
    for number in range(84):
        till.now = now - timedelta(hours=2 * number)
        model = models[number % 4]
        money = (310_000, 42_000, 5_000, 88_500)[number % 4] * (1 + number % 5)
        told: dict[str, Any] = {
            "model": model,
            "actor": ("refund-desk", "support")[number % 2],
            "tool": "model.chat" if model else "search.web",
            "workflow": f"ticket-{number % 9}",
            "tokens": 1200 + number * 31,
            "currency": "usd",
        }
        if number % 12 == 5:
            till.end(till.claim(number, money=money, **told), Event.FAIL, usd=money)
        elif number % 21 == 7:
            till.end(till.claim(number, money=money, **told), Event.DOUBT)
        else:
            till.spend(number, money, **told)
    till.now = now
    for number in range(84, 90):
        desk = cap("agent:refund-desk", 2_000_000, 270_000, per="day")
        shop = cap("tenant", 25_000_000, 270_000, per="month")
        shared = cap("global", 90_000, 4_000, unit="tokens", owner="", per="day")
        told = {"model": models[0], "tool": "model.chat", "tokens": 4_000, "workflow": "ticket-3"}
        till.spend(number, 270_000, desk, shop, shared, **told)
    till.claim(90, cap("agent:refund-desk", 2_000_000, 180_000, per="day"), currency="usd", money=180_000)
    till.claim(
        91, cap("workflow:ticket-3", 50, 31, unit="steps"), cap("agent:support", 8, 5, unit="tool_calls")
    )
    return till
