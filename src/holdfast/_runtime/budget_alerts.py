"""Tells people when budgets run out: each mark once, whatever the number of workers, and beside the calls.

What a process has seen is in its memory, so that a call whose budget has reached no new mark costs nothing
more. Whether a mark was told of is on record, so that it does not matter who sees it: the next process, or a
sweeper, tells what one could not that died.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Final

from holdfast._core.budget import EVERYBODY, Level
from holdfast._core.budget_marks import BURNS, USUAL, Crossing, message_of, reached, subject_of
from holdfast._core.budgeting import CONCURRENCY, Budget
from holdfast._core.burn import Sample, runs_out_in_s, with_sample
from holdfast._core.change import Committed, Conflict
from holdfast._core.model import EffectKey
from holdfast._core.purse import declared_for
from holdfast._runtime import context
from holdfast._runtime.accounting import account_for
from holdfast._runtime.alerting import alert_once
from holdfast._runtime.closing import passing
from holdfast._runtime.forks import forget_in_child
from holdfast._runtime.parts import Parts
from holdfast.errors import LedgerClosed
from holdfast.ports import AccountQuery

log = logging.getLogger("holdfast")
_MOST: Final = 4096
"""So many budgets are remembered; of one that was forgotten it is looked up again what was told."""
_PAGE: Final = 500
_USUAL_WITHIN_S: Final = 3600.0
_NOBODY: Final = EffectKey("v1:" + "0" * 64)


@dataclass(slots=True)
class _Seen:
    """What this process knows of one budget in one window, under one cap.

    Attributes:
        done: Marks that were told of, or are being told of.
        rests_until: Not before this (monotonic) is telling tried again that failed.
    """

    window_start: datetime
    cap: int
    marks: tuple[int, ...]
    within_s: float | None
    done: set[int] = field(default_factory=set[int])
    samples: tuple[Sample, ...] = ()
    rests_until: float = 0.0


class BudgetWatch:
    """See :class:`holdfast._runtime.parts.Watch`.

    Args:
        given: The budgets that a ledger was given, by account.
    """

    def __init__(self, given: Mapping[str, Budget]) -> None:
        self._given = given
        self._lock = threading.Lock()  # protects what was seen: blocking callers come from many threads
        self._seen: OrderedDict[tuple[str, str, str, str], _Seen] = OrderedDict()
        forget_in_child(self)

    def forget_parent(self) -> None:
        """Forget what the parent tells: it goes on there."""
        self._lock, self._seen = threading.Lock(), OrderedDict()

    def see(self, parts: Parts, answer: Committed | Conflict) -> None:
        """Look at the budgets that a change touched, or that refused it, and have people told beside it."""
        try:
            due = list(self._due_in(parts, answer))
            if due:
                parts.runtime.aside(partial(self._told, parts, due))
            if parts.outages.is_open:  # the store is back
                parts.runtime.aside(partial(account_for, parts))
        except Exception as error:  # noqa: BLE001 - whoever calls must not suffer; the next one that sees it tells
            log.warning("people are told of budgets later (%s)", type(error).__qualname__)

    async def look(self, parts: Parts, tenant: str) -> None:
        """Look at all budgets of *tenant*, and at those that all share, and tell of what nobody told."""
        if parts.outages.is_open:
            await account_for(parts)
        for owner in (tenant, EVERYBODY):
            query = AccountQuery(owner=owner, limit=_PAGE)
            while True:
                levels = await parts.store.budgets.levels(query)
                now = (await parts.store.find(tenant, _NOBODY)).now if levels else None
                for level in levels:
                    parts.traffic.ensure_open()
                    if now is not None:
                        await self._told(parts, list(self._due(parts, level, now, is_refusal=False)))
                if len(levels) < _PAGE:
                    break
                last = levels[-1]
                query = replace(query, after=(last.account, last.unit, last.per))

    def _due_in(self, parts: Parts, answer: Committed | Conflict) -> Iterator[Crossing]:
        if isinstance(answer, Committed):
            for level in answer.levels:
                yield from self._due(parts, level, answer.now, is_refusal=False)
        elif answer.refused is not None:
            yield from self._due(parts, answer.refused.level, answer.now, is_refusal=True)

    def _due(self, parts: Parts, level: Level, now: datetime, *, is_refusal: bool) -> list[Crossing]:
        """Return what people have to be told of this budget, and take it upon this process."""
        if level.unit == CONCURRENCY:  # seats that are all taken are no news
            return []
        with self._lock:
            seen = self._of(level)
            if level.window_start < seen.window_start or parts.runtime.monotonic() < seen.rests_until:
                return []
            due = [
                Crossing(level=level, mark=mark, is_refusal=is_refusal and mark == max(seen.marks))
                for mark in reached(level, seen.marks, is_refusal=is_refusal)
                if mark not in seen.done
            ]
            if seen.within_s is not None and BURNS not in seen.done:
                seen.samples = with_sample(seen.samples, level, now)
                left_s = runs_out_in_s(seen.samples, level, now, seen.within_s)
                if left_s is not None:
                    due.append(Crossing(level=level, mark=BURNS, left_s=left_s))
            seen.done.update(crossing.mark for crossing in due)
        return due

    def _of(self, level: Level) -> _Seen:
        place = level.owner, level.account, level.unit, level.per
        seen = self._seen.get(place)
        if seen is not None and level.window_start < seen.window_start:  # an answer that comes late
            return seen
        if seen is None or (seen.window_start, seen.cap) != (level.window_start, level.cap):
            budget = self._declared(level)
            seen = _Seen(
                window_start=level.window_start,
                cap=level.cap,
                marks=USUAL if budget is None else budget.marks,
                within_s=_USUAL_WITHIN_S if budget is None else budget.alert_within_s,
            )
            self._seen[place] = seen
            if len(self._seen) > _MOST:
                self._seen.popitem(last=False)
        else:
            self._seen.move_to_end(place)
        return seen

    def _declared(self, level: Level) -> Budget | None:
        """Return what code says of a budget: the ledger's, or a block's around whoever calls."""
        for purse in context.purses.get():
            if (purse.owner, purse.account) == (
                level.owner,
                level.account,
            ) and level.unit in purse.budget.caps:
                return purse.budget
        return declared_for(self._given, level.account)

    async def _told(self, parts: Parts, due: list[Crossing]) -> None:
        """Tell of each; what could not be told is told by whoever sees it after a rest."""
        for crossing in due:
            try:
                async with passing(parts):
                    parts.traffic.ensure_open()
                    is_told = await _tell(parts, crossing)
            except LedgerClosed:
                is_told = False
            except Exception as error:  # noqa: BLE001 - beside a call, where nobody is to be told of errors
                # The type only: what an error says may be a payload's.
                log.warning("people were not told of a budget (%s)", type(error).__qualname__)
                is_told = False
            if not is_told:
                self._forget(parts, crossing)

    def _forget(self, parts: Parts, crossing: Crossing) -> None:
        with self._lock:
            seen = self._of(crossing.level)
            seen.done.discard(crossing.mark)
            seen.rests_until = parts.runtime.monotonic() + parts.settings.lease_s


async def _tell(parts: Parts, crossing: Crossing) -> bool:
    level = crossing.level
    return await alert_once(
        parts,
        level.owner,
        crossing.name,
        code="budget_burn" if crossing.mark == BURNS else "budget_threshold",
        subject=subject_of(level) + ("" if crossing.mark == BURNS else f"@{crossing.mark / 10:g}%"),
        message=message_of(crossing),
    )
