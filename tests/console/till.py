"""Money spent at a ledger, as its own changes write it: claims that hold, ends that settle."""

from __future__ import annotations

import itertools
from collections.abc import Coroutine
from dataclasses import replace
from datetime import UTC, datetime
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
