"""IDE-15 to IDE-17, IDE-20, IDE-21 and IDE-24: doubt, evidence and repetition, against a real provider."""

from __future__ import annotations

import http.client
import re
import urllib.error
from collections.abc import Iterator
from typing import Any

import pytest

from holdfast import Done, Effect, NotDone, Permanent, RetryPolicy, State, StillUnknown, ToolCall
from holdfast.errors import EffectFailed, OutcomeUnknown
from promises.ledgers import CALL, HASTY, Book, Calls, Gate, Place
from promises.provider import Provider, provider

pytestmark = pytest.mark.kinds("memory", "sqlite", "sync-sqlite", "postgres")


@pytest.fixture
def payments() -> Iterator[Provider]:
    with provider() as world:
        yield world


def charge(workflow_id: str = "w", amount: int = 100) -> ToolCall:
    return ToolCall(workflow_id=workflow_id, tool="charge", args={"amount": amount})


async def status(book: Book) -> tuple[str, int]:
    workflow = await book.workflow_state("w")
    return str(workflow.status), workflow.open_reviews


class Client:
    """An agent's own code: a handler that sends the key along, and a reconciler that looks it up."""

    def __init__(self, payments: Provider) -> None:
        self._payments = payments

    def charge(self, amount: int, effect: Effect) -> dict[str, Any]:
        try:
            return self._payments.charge(effect.idem_key, amount)
        except urllib.error.HTTPError as error:
            error.close()
            raise NotDone("busy") from error  # it says so itself: nothing was charged

    def look_up(self, effect: Effect) -> Done | NotDone:
        known = self._payments.found(effect.idem_key)
        return Done(known) if known else NotDone()


async def test_a_lost_answer_is_looked_up_and_the_effect_is_answered_with_the_remote_object(
    book: Book, payments: Provider
) -> None:
    """IDE-15: the provider commits, then drops the connection."""
    client = Client(payments)
    payments.trouble = ["drop"]

    receipt = await book.call(charge(), handler=client.charge, reconcile=client.look_up)

    [(key, _)] = payments.charges
    assert receipt.result == {"id": f"ch_{key[:8]}"}
    assert (await book.effect(receipt.key)).state is State.SUCCEEDED
    assert [entry.event for entry in await book.audit(receipt.key)] == ["claim", "doubt", "resolve_done"]


async def test_without_a_reconciler_a_lost_answer_is_never_tried_again_and_the_workflow_needs_review(
    book: Book, payments: Provider
) -> None:
    """IDE-16."""
    client = Client(payments)
    payments.trouble = ["drop"]

    with pytest.raises(http.client.RemoteDisconnected):
        await book.run(charge(), handler=client.charge)
    for _ in range(3):
        with pytest.raises(OutcomeUnknown):
            await book.run(charge(), handler=client.charge)

    assert len(payments.requests) == 1
    [listed] = await book.effects(state="unknown")
    assert listed.workflow_id == "w"
    assert await status(book) == ("needs_review", 1)
    await book.resolve(listed.key, Done({"id": "ch_seen"}), by="ops@acme", reason="seen in the dashboard")
    assert await status(book) == ("running", 0)


async def test_a_reconciler_that_cannot_tell_leaves_the_effect_to_a_person(
    book: Book, payments: Provider
) -> None:
    """IDE-16, IDE-15."""
    client = Client(payments)
    payments.trouble = ["drop"]
    asked = Calls()

    def cannot_tell(effect: Effect) -> StillUnknown:
        asked(key=effect.key)
        return StillUnknown("their search is down")

    with pytest.raises(http.client.RemoteDisconnected):
        await book.run(charge(), handler=client.charge, reconcile=cannot_tell)
    with pytest.raises(OutcomeUnknown) as told:
        await book.run(charge(), handler=client.charge, reconcile=cannot_tell)

    assert len(payments.requests) == 1
    assert asked.count == 2
    noted = [entry.details.get("why") for entry in await book.audit(told.value.key)]
    assert noted.count("their search is down") == 2


async def test_all_attempts_of_an_effect_send_one_key_and_different_effects_never_share_one(
    place: Place, payments: Provider
) -> None:
    """IDE-17, IDE-03, IDE-21: printable, at most 64 characters, through new ledgers too."""
    client = Client(payments)
    payments.trouble = ["busy", "busy"]
    for _ in range(2):
        book = place.open()
        with pytest.raises(NotDone):
            await book.run(charge(), handler=client.charge)
        await book.close()

    book = place.open()
    receipt = await book.call(charge(), handler=client.charge)
    for other in (charge(amount=101), charge(workflow_id="v")):
        await book.run(other, handler=client.charge)

    first, *again = payments.requests[:3]
    assert again == [first, first]
    assert len(set(payments.requests)) == len(payments.charges) == 3
    assert all(re.fullmatch(r"[0-9a-f]{64}", key) for key in payments.requests)
    assert (await book.effect(receipt.key)).attempt == 3


async def test_old_records_are_removed_and_unfinished_or_doubtful_ones_are_listed_instead(
    place: Place,
) -> None:
    """IDE-20: a removed key is forgotten, as documented: the same call runs again."""
    book, calls = place.open(), Calls()
    done = await book.call(CALL, handler=book.handler(calls.charge))
    await book.begin(charge("doubt"), lambda claim: claim.doubt("?"))
    await book.begin(charge("again"), lambda claim: claim.fail(NotDone("busy")))
    holder = place.open()
    pending = await holder.die_holding(charge("pending"))
    [doubt] = await book.effects(state="unknown")
    [again] = await book.effects(state="retryable")

    early = await book.reap(older_than="1h")
    report = await book.reap(older_than=1e-6)

    assert (early.removed, early.kept) == (0, ())
    assert report.removed == 1
    assert set(report.kept) == {pending, doubt.key, again.key}
    assert {effect.key for effect in await book.effects()} == set(report.kept)
    assert (await book.verify()).ok
    repeated = await book.call(CALL, handler=book.handler(calls.charge))
    assert (repeated.key, repeated.replayed, calls.count) == (done.key, False, 2)


async def test_a_final_failure_is_replayed_without_running(book: Book) -> None:
    """IDE-21."""
    tried = Calls()

    def refuse(amount: int) -> None:
        tried(amount=amount)
        raise Permanent("card is stolen")

    with pytest.raises(Permanent):
        await book.run(charge(), handler=book.handler(refuse))
    for _ in range(3):
        with pytest.raises(EffectFailed, match="it is final"):
            await book.run(charge(), handler=book.handler(refuse))

    assert tried.count == 1


async def test_a_failure_that_did_nothing_is_tried_again_under_the_same_key(book: Book) -> None:
    """IDE-21."""
    keys: list[str] = []

    def sometimes(amount: int, effect: Effect) -> str:
        keys.append(effect.idem_key)
        if len(keys) < 3:
            raise NotDone("rate limited")
        return "ok"

    for _ in range(2):
        with pytest.raises(NotDone):
            await book.run(charge(), handler=book.handler(sometimes))

    assert await book.run(charge(), handler=book.handler(sometimes)) == "ok"
    assert len(keys) == 3
    assert len(set(keys)) == 1


async def test_a_tool_declared_idempotent_is_tried_again_after_a_timeout_without_a_probe(
    place: Place,
) -> None:
    """IDE-24: so its counter may be two."""
    book, gate, calls = place.open(settings=HASTY), Gate(), Calls("ok")

    def upsert(amount: int) -> Any:
        answer = calls(amount=amount)
        if calls.count == 1:
            gate.wait()
        return answer

    options: Any = {"safety": "idempotent", "timeout": 0.2, "retry": RetryPolicy(initial_interval=0.01)}

    assert await book.run(charge(), handler=upsert, **options) == "ok"
    assert calls.count == 2
    assert await book.effects(state="unknown") == []
    gate.open()
