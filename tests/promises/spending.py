"""What attempts leave on record that cost something, put into a store as a ledger's claims and records put it."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Final

from holdfast._core.budget import Basis, Demand, PlaceHold, SettleHold
from holdfast._core.change import Change, Committed, Head, NewEffect, PlainOutcome, Stamp
from holdfast._core.model import EffectKey, Fingerprint
from holdfast._core.plan import along_with, plan_insert, plan_move
from holdfast._core.states import Event, Safety
from holdfast._runtime.drive import run_sync
from promises.ledgers import Book

_SALTS: Final = itertools.count(1)
_CLAIM: Final[dict[str, Any]] = {"owner": "somebody", "lease_s": 60.0}
ENDS: Final = (Event.SUCCEED, Event.FAIL, Event.RELEASE, Event.DOUBT)


@dataclass
class Spender:
    """Somebody who spends.

    Attributes:
        at: When the next attempt begins.
    """

    book: Book
    tenant: str = "default"
    at: datetime = field(default_factory=lambda: datetime(2026, 3, 1, 12, tzinfo=UTC))
    heads: dict[int, Head] = field(default_factory=dict[int, Head])

    async def begin(self, n: int, *, tool: str = "search", workflow_id: str = "w", **told: Any) -> None:
        """Claim the n-th effect: for the first time, or once more after it was released."""
        event, head = Event.CLAIM, self.heads.get(n)
        args = told.pop("args", f'{{"n":{n}}}')
        if head is None:
            key = EffectKey(f"v1:{sha256(f'{self.tenant}/{n}'.encode()).hexdigest()}")
            new = NewEffect(
                tenant=self.tenant,
                key=key,
                fingerprint=Fingerprint(sha256(args.encode()).hexdigest()),
                workflow_id=workflow_id,
                tool=tool,
                intent=tool,
                safety=Safety.IDEMPOTENT,
                args=args,
                call_id=None,
            )
            change, after = plan_insert(new, event, self._stamp(), **_CLAIM)
        else:
            change, after = plan_move(head, event, self._stamp(), **_CLAIM)
        seat = Demand(owner=self.tenant, account="tenant", unit="tool_calls", cap=10**6, amount=1)
        hold = PlaceHold(
            tenant=self.tenant,
            key=after.key,
            attempt=after.attempt,
            workflow_id=workflow_id,
            actor=told.pop("actor", "agent"),
            tool=tool,
            demands=(seat,),
            at=self.at,
            **told,
        )
        await self._commit(along_with(change, [hold]))
        self.heads[n] = after

    async def end(
        self, n: int, event: Event, *, usage: str | None = None, result: str = "null", **spent: int
    ) -> None:
        """End the attempt; what was spent counts by its bound where nothing is said, and in doubt."""
        head = self.heads[n]
        basis: Basis = "bound" if event is Event.DOUBT else "actual"
        settle = SettleHold(
            tenant=self.tenant,
            key=head.key,
            attempt=head.attempt,
            basis=basis,
            amounts=tuple(sorted(spent.items())),
            usage=usage,
        )
        outcome = PlainOutcome(result=result) if event is Event.SUCCEED else None
        change, after = plan_move(head, event, self._stamp(), outcome=outcome)
        await self._commit(along_with(change, [settle]))
        self.heads[n] = after

    def _stamp(self) -> Stamp:
        salt = next(_SALTS).to_bytes(16)
        return Stamp(actor="agent", at=self.at, salt=salt, secret=None, seal=lambda text, _: text)

    async def _commit(self, change: Change) -> None:
        store = self.book.ledger._engine.parts.store

        async def committed() -> object:
            await store.open()
            return await store.commit(change)

        answer = await self.book.do(run_sync, committed()) if self.book.is_sync else await committed()
        assert isinstance(answer, Committed)
