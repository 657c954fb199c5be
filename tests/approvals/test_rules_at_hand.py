"""The rules that count are those of the moment at which something would run, not those of an earlier one."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from approvals.office import Office, call_of
from approvals.rules import Rules
from holdfast import NotDone, RetryPolicy, ToolCall
from holdfast.errors import PolicyDenied
from holdfast.ports import Allow, Ask, Deny
from promises.ledgers import Calls, Place

FROZEN = Deny("frozen", policy="v2")
READ: dict[str, Any] = {"safety": "read", "requires_approval": False}


@pytest.mark.parametrize("options", [{}, {"max_age": 3600}], ids=["looked up anew", "young enough"])
def test_a_read_that_rules_deny_by_now_is_neither_made_nor_answered(
    office: Office, options: dict[str, Any]
) -> None:
    """SEC-13: that it was looked up before is no reason to look it up again, nor to hand out what was seen."""
    office.call(office.ledger(), **READ, **options)

    with pytest.raises(PolicyDenied):
        office.call(office.ledger(policy=Rules(FROZEN)), **READ, **options)

    assert len(office.bank.charged) == 1


def test_a_read_that_failed_and_is_denied_by_now_is_not_made(office: Office) -> None:
    """SEC-13: nor is one whose earlier attempt brought nothing."""

    def fails(amount: int, to: str) -> None:
        raise LookupError

    with pytest.raises(LookupError):
        office.call(office.ledger(), handler=fails, retry=False, **READ)

    with pytest.raises(PolicyDenied):
        office.call(office.ledger(policy=Rules(FROZEN)), **READ)

    assert office.bank.charged == []


def test_what_rules_deny_by_now_is_not_claimed_when_its_record_goes_at_that_moment(office: Office) -> None:
    """SEC-13, I7: the answer is on record or there is none: nothing runs in its place."""
    ledger = office.ledger()
    office.call(ledger, requires_approval=False)
    [done] = office.run(ledger.effects())
    office.call(ledger, call_of(1), requires_approval=False)  # the newest of all is never reaped

    other = office.ledger(policy=Rules(FROZEN), wrap=lambda store: _Forgetful(store, done.key))

    answer = office.call(other, requires_approval=False)

    assert answer == {"charged": 100}
    assert len(office.bank.charged) == 2


class _Forgetful:
    """A store whose effect is reaped right after it was looked at."""

    def __init__(self, store: Any, key: str) -> None:
        self._store, self._key = store, key

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def find(self, tenant: str, key: Any) -> Any:
        found = await self._store.find(tenant, key)
        if key == self._key and found.record is not None:
            before = datetime(2200, 1, 1, tzinfo=UTC)
            assert await self._store.reap(tenant, before, 10) >= 1
        return found


def test_rules_about_the_time_see_the_time_of_each_attempt(office: Office) -> None:
    """SEC-13: what was allowed at five to ten in the evening is not tried again at night."""
    start = office.clock()
    rules = Rules(lambda facts: Allow() if facts.now < start + timedelta(minutes=5) else FROZEN)
    tries: list[int] = []

    def fails(amount: int, to: str) -> None:
        tries.append(amount)
        office.clock.advance(600)
        raise NotDone("busy")

    with pytest.raises(PolicyDenied):
        office.call(
            office.ledger(policy=rules),
            handler=fails,
            requires_approval=False,
            retry=RetryPolicy(maximum_attempts=3),
        )

    assert tries == [100]


async def test_rules_that_change_while_people_think_count_when_they_have_decided(place: Place) -> None:
    """Attack 10, SEC-13: a call that waited for its answer is not made by the rules of the day before."""
    said: list[Any] = [Ask("much", policy="v1")]
    rules, calls = Rules(lambda facts: said[0]), Calls()
    book = place.open(policy=rules)
    call = ToolCall(workflow_id="order-1", tool="charge", args={"amount": 100})
    waiting = asyncio.create_task(book.run(call, book.handler(calls), version="1", wait=60.0))
    while not (asked := await book.approvals()):
        await asyncio.sleep(0.01)

    said[0] = FROZEN
    await book.approve(asked[0].id, by="ana", digest=asked[0].digest)

    with pytest.raises(PolicyDenied):
        await waiting
    assert calls.count == 0
