"""An approval is used once: attacks 16 to 25 of the red team's plan."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from approvals.office import Office, call_of
from approvals.rules import Rules
from holdfast import Chain, NotDone, Stage, ToolCall
from holdfast.errors import (
    ApprovalDenied,
    ApprovalExpired,
    ApprovalRequired,
    DecisionRefused,
    EffectCancelled,
    OutcomeUnknown,
    PolicyDenied,
)
from holdfast.ports import Allow, Ask, Deny, Window
from promises.ledgers import Book, Calls, Place

MANY = 100
CALL = ToolCall(workflow_id="order-1", tool="charge", args={"amount": 100})


async def asked_at(book: Book, calls: Calls, call: ToolCall = CALL) -> Any:
    """Ask about a call; return the question."""
    with pytest.raises(ApprovalRequired) as asked:
        await book.run(call, book.handler(calls), requires_approval=True, version="1")
    return await book.approval(asked.value.approval)


async def test_a_hundred_at_once_use_an_approval_once(place: Place) -> None:
    """Attack 16, I4: of a hundred claims with one approval one executes, and all get its result."""
    books = [place.open() for _ in range(4)]
    calls = Calls()
    asked = await asked_at(books[0], calls)
    await books[0].approve(asked.id, by="ana", digest=asked.digest)

    results = await asyncio.gather(
        *(
            books[n % 4].run(CALL, books[n % 4].handler(calls), requires_approval=True, version="1")
            for n in range(MANY)
        )
    )

    assert calls.count == 1
    assert results == [{"id": "ch_1"}] * MANY
    events = [str(event.event) for event in await books[0].audit(asked.key)]
    assert events == ["ask", "note", "claim", "succeed"]
    assert (await books[0].approval(asked.id)).state == "consumed"


def test_an_attempt_that_did_nothing_is_repeated_with_the_same_approval(office: Office) -> None:
    """Attack 17: consumed for this effect, it serves its further attempts, and no second effect."""
    ledger, tries = office.ledger(), [NotDone("declined"), None]

    def charge(amount: int, to: str) -> Any:
        if (error := tries.pop(0)) is not None:
            raise error
        return office.bank.charge(amount, to)

    options = {"retry": False, "version": "1"}
    asked = office.approve(ledger, office.ask(ledger, call_of(), charge, **options))
    with pytest.raises(NotDone):
        office.call(ledger, call_of(), charge, **options)

    assert office.call(ledger, call_of(), charge, **options) == {"charged": 100}
    assert len(office.run(ledger.approvals(state=None))) == 1
    assert office.question(ledger, asked.id).state == "consumed"
    assert len(office.run(ledger.effects())) == 1


def test_a_used_approval_runs_out_for_further_attempts_too(office: Office) -> None:
    """Attack 17: the time it is good for is not stretched by failing."""
    ledger, options = office.ledger(), {"retry": False, "version": "1"}

    def charge(amount: int, to: str) -> Any:
        raise NotDone

    office.approve(ledger, office.ask(ledger, call_of(), charge, **options))
    with pytest.raises(NotDone):
        office.call(ledger, call_of(), charge, **options)
    office.clock.advance(86_401)

    with pytest.raises(ApprovalRequired):
        office.call(ledger, **options)

    assert office.bank.charged == []


def test_what_may_have_been_done_is_not_done_again_by_the_same_word(office: Office) -> None:
    """Attack 18, I2: an approval settles no doubt."""
    ledger = office.ledger()

    def charge(amount: int, to: str) -> Any:
        office.bank.charge(amount, to)
        raise RuntimeError

    office.approve(ledger, office.ask(ledger, call_of(), charge, version="1"))
    with pytest.raises(RuntimeError):
        office.call(ledger, call_of(), charge, version="1")

    with pytest.raises(OutcomeUnknown):
        office.call(ledger, version="1")
    assert office.bank.charged == [(100, "bob")]


SHORT = Chain(stages=(Stage(timeout_s=3600),), valid_s=600)


@pytest.mark.parametrize("late_s", [600, 601, 86_400])
def test_an_approval_that_ran_out_is_none(office: Office, late_s: float) -> None:
    """Attack 19: to the second, by the store's clock."""
    ledger = office.ledger()
    asked = office.approve(ledger, office.ask(ledger, requires_approval=SHORT))
    office.clock.advance(late_s)

    with pytest.raises(ApprovalRequired) as second:
        office.call(ledger, requires_approval=SHORT)

    assert second.value.approval != asked.id
    assert office.question(ledger, asked.id).state == "expired"
    assert office.bank.charged == []


def test_a_clock_that_is_set_back_revives_nothing(office: Office) -> None:
    """Attack 19: once it was seen to have run out, that is on record."""
    ledger = office.ledger()
    asked = office.approve(ledger, office.ask(ledger, requires_approval=SHORT))
    office.clock.advance(601)
    assert office.question(ledger, asked.id).state == "expired"
    office.clock.advance(-601)

    with pytest.raises(ApprovalRequired):
        office.call(ledger, requires_approval=SHORT)

    assert office.question(ledger, asked.id).state == "expired"
    assert office.bank.charged == []


def test_a_process_whose_clock_is_behind_does_not_use_what_ran_out(office: Office) -> None:
    """Attack 19: it is the store's clock that counts, not the worker's."""
    ledger = office.ledger()
    office.approve(ledger, office.ask(ledger, requires_approval=SHORT))
    behind = office.ledger(skew_s=-7200)
    office.clock.advance(601)

    with pytest.raises(ApprovalRequired):
        office.call(behind, requires_approval=SHORT)

    assert office.bank.charged == []


def test_a_yes_after_the_time_is_refused_and_the_answer_is_no(office: Office) -> None:
    """Attack 19, HIT-15."""
    ledger = office.ledger()
    asked = office.ask(ledger, requires_approval=SHORT)
    office.clock.advance(3600)

    with pytest.raises(DecisionRefused) as refused:
        office.approve(ledger, asked)
    with pytest.raises(ApprovalExpired):
        office.call(ledger, requires_approval=SHORT)

    assert refused.value.kind == "ended"
    assert office.bank.charged == []


def test_a_yes_to_what_was_called_off_moves_nothing(office: Office) -> None:
    """Attack 20: neither before the yes nor after it does a call that was taken back run."""
    ledger = office.ledger()
    first, second = office.ask(ledger), office.ask(ledger, call_of(7))
    office.run(ledger.withdraw(first.id, by="ops", reason="stop"))
    with pytest.raises(DecisionRefused) as refused:
        office.approve(ledger, first)
    office.approve(ledger, second)
    office.run(ledger.withdraw(second.id, by="ops", reason="stop"))

    for call in (call_of(), call_of(7)):
        with pytest.raises(EffectCancelled):
            office.call(ledger, call)

    assert refused.value.kind == "ended"
    assert office.notes(first.key, "refused")[-1]["by"] == "ana"
    assert office.bank.charged == []


async def test_c13_of_a_yes_and_a_no_at_once_one_counts(place: Place) -> None:
    """Attack 21, C13: whoever is first; the other is refused, and that is on record."""
    one, other, calls = place.open(), place.open(), Calls()
    asked = await asked_at(one, calls)

    said = await asyncio.gather(
        one.approve(asked.id, by="ana", digest=asked.digest),
        other.deny(asked.id, by="bea", reason="no"),
        return_exceptions=True,
    )

    lost = [end for end in said if isinstance(end, DecisionRefused)]
    assert len(lost) == 1
    assert lost[0].kind == "ended"
    run = one.run(CALL, one.handler(calls), requires_approval=True, version="1")
    if isinstance(said[0], DecisionRefused):
        with pytest.raises(ApprovalDenied):
            await run
    else:
        await run
    assert calls.count == (0 if isinstance(said[0], DecisionRefused) else 1)
    told = [event.details["refused"] for event in await one.audit(asked.key) if "refused" in event.details]
    assert [one["kind"] for one in told] == ["ended"]


def test_decisions_go_by_name_and_never_by_place(office: Office) -> None:
    """Attack 22: of calls that are made side by side in another order each keeps its own answer."""
    ledger = office.ledger()
    calls = [call_of(amount) for amount in (1, 2, 3)]
    questions = [office.ask(ledger, call) for call in calls]
    office.approve(ledger, questions[0])
    office.deny(ledger, questions[1])

    for call in reversed(calls):
        try:
            office.call(ledger, call)
        except (ApprovalRequired, ApprovalDenied):
            continue

    assert office.bank.charged == [(1, "bob")]


def test_a_fingerprint_is_of_no_use_for_another_question(office: Office) -> None:
    """Attack 22: two questions about equal amounts are not exchanged."""
    ledger = office.ledger()
    one, other = office.ask(ledger), office.ask(ledger, call_of(workflow_id="order-2"))

    with pytest.raises(DecisionRefused) as refused:
        office.approve(ledger, one, digest=other.digest)

    assert refused.value.kind == "stale"


def test_a_workflow_that_is_gone_through_again_under_another_name_asks_anew(office: Office) -> None:
    """Attack 23: the key has the workflow in it, and the approval has both."""
    ledger = office.ledger()
    asked = office.approve(ledger, office.ask(ledger))

    for name in ("order-1-fork", "order-1 ", "ORDER-1"):
        second = office.ask(ledger, call_of(workflow_id=name))
        assert second.key != asked.key

    assert office.bank.charged == []


class Budget(Rules):
    """At most 200 a day by themselves; what is more is asked about."""

    def __init__(self, over: Any = None) -> None:
        super().__init__(None)
        self._over = over or Ask("the day's budget is used up", policy="v1")

    def needs(self, facts: Any) -> Any:
        return (Window(name="day", tool="charge", over_s=86_400, sum_of="amount"),)

    def decide(self, facts: Any) -> Any:
        total = facts.windows["day"] + facts.args["amount"]
        return Allow(policy="v1") if total <= 200 else self._over


def test_what_is_split_is_added_up(office: Office) -> None:
    """Attack 25: three times a little below the limit is above it."""
    ledger = office.ledger(policy=Budget())

    assert office.call(ledger, call_of(99), requires_approval=False)
    assert office.call(ledger, call_of(100), requires_approval=False)
    office.ask(ledger, call_of(98), requires_approval=False)

    assert [amount for amount, _ in office.bank.charged] == [99, 100]
    office.clock.advance(86_401)
    assert office.call(ledger, call_of(97), requires_approval=False)


@pytest.mark.parametrize("over", [Ask("over", policy="v1"), Deny("over", policy="v1")], ids=["ask", "deny"])
async def test_calls_at_once_do_not_pass_a_limit_together(place: Place, over: Any) -> None:
    """Attack 24: each alone is below it, and all of them are not."""
    book = place.open(policy=Budget(over))
    calls = Calls()

    async def spend(n: int) -> Any:
        call = ToolCall(workflow_id=f"w-{n}", tool="charge", args={"amount": 100})
        return await book.run(call, book.handler(calls))

    ends = await asyncio.gather(*(spend(n) for n in range(10)), return_exceptions=True)

    assert calls.count <= 2
    assert all(end == {"id": "ch_1"} or isinstance(end, ApprovalRequired | PolicyDenied) for end in ends)


@pytest.mark.parametrize("amount", [-1000, 50.5, "150", None], ids=repr)
def test_nothing_makes_room_below_a_limit(office: Office, amount: Any) -> None:
    """Attacks 25 and 49: neither what goes the other way, nor what cannot be added up."""
    ledger = office.ledger(policy=Rules(Allow()))
    office.call(ledger, call_of(amount), requires_approval=False)
    office.call(ledger, call_of(150), requires_approval=False)
    office.bank.charged.clear()

    office.ask(office.ledger(policy=Budget()), call_of(100), requires_approval=False)
