"""What budgets say of calls while the store is away, and what was let through meanwhile, in memory.

Only what needs no claim can go on without the store: reads, and calls of models. Whatever changes something
outside waits for its record, whatever anybody has configured.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Final

from holdfast._core.budget import Demand, PlaceHold
from holdfast._core.budgeting import Budget
from holdfast._core.purse import declared_for
from holdfast._core.value import value
from holdfast._runtime import context
from holdfast._runtime.forks import forget_in_child

log = logging.getLogger("holdfast")
_MOST: Final = 10_000
"""So many groups are remembered; when there are more, calls are refused again: nothing goes uncounted."""


@value
class Passed:
    """Calls that went through without the store, of one tool, caller and workflow.

    Attributes:
        hold: What they may have spent, added up.
    """

    hold: PlaceHold
    count: int
    first: datetime
    last: datetime


class Outages:
    """What one ledger lets through while its store is away.

    Args:
        given: The ledger's budgets, by account.

    Attributes:
        is_open: Something was let through that is not on record yet.
    """

    def __init__(self, given: Mapping[str, Budget] | None = None) -> None:
        self._given = given or {}
        self._lock = threading.Lock()  # protects what was let through: calls come from many threads
        self._passed: dict[tuple[object, ...], Passed] = {}
        self.is_open = False
        forget_in_child(self)

    def forget_parent(self) -> None:
        """Forget what the parent let through: it puts that on record."""
        self._lock, self._passed, self.is_open = threading.Lock(), {}, False

    def let_through(self, hold: PlaceHold | None) -> bool:
        """Whether a call that needs *hold* may go on although the store is away; what may is remembered.

        Only where every budget that it falls under says so. A call under none asks nobody.
        """
        if hold is None or not self.allow(hold):
            return False
        name = _name(hold)
        with self._lock:
            known = self._passed.get(name)
            if known is None and len(self._passed) >= _MOST:
                return False
            self._passed[name] = _added(known, hold)
            self.is_open = True
        log.warning("tool %r is called without the store, which is away; it will be counted", hold.tool)
        return True

    def allow(self, hold: PlaceHold) -> bool:
        """Whether a call that needs *hold* may go on without the store; one under no budget may not."""
        return bool(hold.demands) and all(self._allows(demand) for demand in hold.demands)

    def take(self) -> list[Passed]:
        """Return what was let through, and forget it."""
        with self._lock:
            passed, self._passed, self.is_open = list(self._passed.values()), {}, False
        return passed

    def put_back(self, passed: Passed) -> None:
        """Remember what could not be put on record."""
        name = _name(passed.hold)
        with self._lock:
            known = self._passed.get(name)
            self._passed[name] = passed if known is None else _joined(passed, known)
            self.is_open = True

    def _allows(self, demand: Demand) -> bool:
        place = demand.owner, demand.account
        around = (purse.budget for purse in context.purses.get() if (purse.owner, purse.account) == place)
        found = [each for each in (*around, declared_for(self._given, demand.account)) if each is not None]
        return bool(found) and all(budget.on_outage == "allow" for budget in found)


def _name(hold: PlaceHold) -> tuple[object, ...]:
    places = tuple((each.owner, each.account, each.unit, each.per) for each in hold.demands)
    return hold.tenant, hold.workflow_id, hold.actor, hold.tool, hold.model, hold.currency, hold.price, places


def _added(known: Passed | None, hold: PlaceHold) -> Passed:
    counted = tuple(demand for demand in hold.demands if not demand.returns)  # what is over holds no seat
    new = Passed(hold=replace(hold, demands=counted), count=1, first=hold.at, last=hold.at)
    return new if known is None else _joined(known, new)


def _joined(one: Passed, other: Passed) -> Passed:
    demands = tuple(
        replace(a, amount=a.amount + b.amount)
        for a, b in zip(one.hold.demands, other.hold.demands, strict=True)
    )
    hold = replace(
        other.hold,
        demands=demands,
        money=one.hold.money + other.hold.money,
        tokens=one.hold.tokens + other.hold.tokens,
    )
    return Passed(
        hold=hold,
        count=one.count + other.count,
        first=min(one.first, other.first),
        last=max(one.last, other.last),
    )
