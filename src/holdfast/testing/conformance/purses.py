"""Budgets to try a store with, driven by changes that hold and settle."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from holdfast._core.budget import Demand, HoldRecord, Level, PlaceHold, SettleHold
from holdfast._core.change import Change, Committed, Conflict, Head
from holdfast._core.plan import along_with, plan_insert, plan_move
from holdfast._core.states import Event
from holdfast.ports import AccountQuery, CapChange, CostQuery, CostRow, HoldQuery
from holdfast.testing.conformance.subject import LEASE_S, TENANT, Subject, new_effect, stamp
from holdfast.testing.runtime import FakeClock

CLAIM: Final[dict[str, Any]] = {"owner": "owner", "lease_s": LEASE_S}


def demand(cap: int = 100, amount: int = 30, **columns: Any) -> Demand:
    """Return what a claim needs of the tenant's tokens."""
    plain = Demand(owner=TENANT, account="tenant", unit="tokens", cap=cap, amount=amount)
    return replace(plain, **columns)


def hold(clock: FakeClock, n: int, *demands: Demand, attempt: int = 1, **columns: Any) -> PlaceHold:
    """Return what an attempt of the n-th effect holds."""
    effect = new_effect(n)
    plain = PlaceHold(
        tenant=effect.tenant,
        key=effect.key,
        attempt=attempt,
        workflow_id=effect.workflow_id,
        actor="agent",
        tool=effect.tool,
        demands=demands,
        at=clock(),
    )
    return replace(plain, **columns)


def settled(n: int, attempt: int | None = 1, **columns: Any) -> SettleHold:
    """Return what settles it: by what was spent, when that is told, and by nothing else."""
    basis = "actual" if "amounts" in columns else "bound"
    effect = new_effect(n)
    columns = {"tenant": effect.tenant, "basis": basis, **columns}
    return SettleHold(key=effect.key, attempt=attempt, **columns)


class Purse:
    """The store under test, driven by changes that hold and settle."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.clock = subject.clock

    def inserting(self, n: int, *demands: Demand, **columns: Any) -> tuple[Change, Head]:
        """Plan the n-th effect's first claim, with what it holds."""
        change, head = plan_insert(new_effect(n), Event.CLAIM, stamp(self.clock), **CLAIM)
        return along_with(change, [hold(self.clock, n, *demands, **columns)]), head

    def claimed(self, n: int, *demands: Demand, **columns: Any) -> Head:
        """Claim the n-th effect, with what it holds; return where it stands."""
        change, head = self.inserting(n, *demands, **columns)
        assert isinstance(self.subject.commit(change), Committed)
        return head

    def refused(self, n: int, *demands: Demand, **columns: Any) -> Conflict:
        """Claim the n-th effect in vain; return the answer."""
        change, _ = self.inserting(n, *demands, **columns)
        answer = self.subject.commit(change)
        assert isinstance(answer, Conflict)
        return answer

    def moved(self, head: Head, event: Event, *ops: PlaceHold | SettleHold, **options: Any) -> Head:
        """Move an effect along with what it holds and settles; return where it stands then."""
        change, after = plan_move(head, event, stamp(self.clock), **options)
        assert isinstance(self.subject.commit(along_with(change, ops)), Committed)
        return after

    def levels(self, owner: str = TENANT, **query: Any) -> list[Level]:
        """Return the budgets of an owner."""
        wanted = AccountQuery(owner=owner, **query)
        return list(self.subject.run(self.subject.store.budgets.levels(wanted)))

    def level(self, account: str = "tenant", unit: str = "tokens", owner: str = TENANT) -> tuple[int, int]:
        """Return what of one budget is spent, and what is held."""
        [found] = [level for level in self.levels(owner) if (level.account, level.unit) == (account, unit)]
        return found.spent, found.held

    def holds(self, **query: Any) -> list[HoldRecord]:
        """Return holds, newest first."""
        wanted = HoldQuery(tenant=TENANT, **query)
        return list(self.subject.run(self.subject.store.budgets.holds(wanted)))

    def costs(self, **query: Any) -> list[CostRow]:
        """Return what was spent."""
        wanted = CostQuery(tenant=TENANT, **query)
        return list(self.subject.run(self.subject.store.budgets.costs(wanted)))

    def cap(self, was: int, raised: int, **columns: Any) -> Level | None:
        """Let people add to the tenant's tokens."""
        plain = CapChange(
            owner=TENANT,
            account="tenant",
            unit="tokens",
            per="",
            cap=100,
            was=was,
            raised=raised,
            at=self.clock(),
        )
        return self.subject.run(self.subject.store.budgets.put_cap(replace(plain, **columns)))
