"""IDE-01 to IDE-14, IDE-22, IDE-23 and IDE-25: what a call is, on every kind of ledger."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
import uuid
from typing import Any

import pytest

from holdfast import Done, Effect, Ledger, NotDone, State, SyncLedger, ToolCall
from holdfast.errors import EffectNotFound, InvalidCall, InvalidTool, PayloadConflict
from promises.ledgers import CALL, Book, Calls, Gate, Place

pytestmark = pytest.mark.kinds("memory", "sqlite", "sync-sqlite", "postgres")


def call(key: str | None = None, /, **args: Any) -> ToolCall:
    return ToolCall(workflow_id="w", tool="t", args=args, key=key)


async def test_a_tool_is_a_side_effect_unless_it_is_declared_read_only(book: Book) -> None:
    """IDE-01."""
    undeclared, reading = Calls(), Calls()
    charge = book.tool(undeclared.charge, name="charge")
    look = book.tool(reading.charge, name="look", safety="read")

    for _ in range(2):
        await charge("w", amount=1)
        await look("w", amount=1)

    assert (undeclared.count, reading.count) == (1, 2)


async def test_a_hundred_calls_in_a_row_and_a_hundred_at_once_execute_once(book: Book) -> None:
    """IDE-04: and all their results are equal to the byte."""
    for workflow_id, at_once in (("in-a-row", False), ("at-once", True)):
        calls = Calls({"b": [1.5, "ü"], "a": None})
        this = ToolCall(workflow_id=workflow_id, tool="t", args={"n": 1})
        handler = book.handler(calls)
        if at_once:
            results = await asyncio.gather(*(book.run(this, handler=handler) for _ in range(100)))
        else:
            results = [await book.run(this, handler=handler) for _ in range(100)]

        assert {json.dumps(result) for result in results} == {json.dumps(calls.result)}
        assert calls.count == 1


async def test_the_caller_may_choose_the_key(book: Book) -> None:
    """IDE-08: another step is another effect, and the provider sees one stable key per step."""
    sent: list[str] = []

    def charge(amount: int, effect: Effect) -> str:
        sent.append(effect.idem_key)
        return "ok"

    for key in ("task:1:step:charge", "task:1:step:charge", "task:1:step:charge-again"):
        await book.run(call(key, amount=1), handler=book.handler(charge))

    assert len(sent) == len(set(sent)) == 2


COUNTER = itertools.count()
UNSTABLE = {
    "time": lambda call: f"{call.args['who']}:{time.perf_counter_ns()}",
    "counter": lambda call: f"{call.args['who']}:{next(COUNTER)}",
    "random": lambda call: str(uuid.uuid4()),
}


@pytest.mark.parametrize("rule", UNSTABLE.values(), ids=UNSTABLE.keys())
async def test_a_key_function_that_answers_differently_when_asked_twice_is_refused(
    book: Book, rule: Any
) -> None:
    """IDE-09."""
    calls = Calls()
    run = book.tool(lambda who: calls(who=who), name="remind", key=rule)

    with pytest.raises(InvalidCall, match=r"key function of 'remind'.*stable identifiers"):
        await run("w", who="ann")

    assert (calls.count, await book.effects()) == (0, [])


async def test_a_stable_key_function_makes_the_key(book: Book) -> None:
    """IDE-09, IDE-08."""
    calls = Calls()
    run = book.tool(lambda who, at: calls(who=who), name="remind", key=lambda c: c.args["who"], ignore=["at"])

    for at in range(3):
        await run("w", who="ann", at=at)

    assert calls.count == 1


async def test_the_same_key_with_another_payload_is_a_conflict_that_shows_both_fingerprints(
    book: Book,
) -> None:
    """IDE-10: neither a replay nor an execution, and the message shows no value."""
    calls = Calls()
    done = await book.call(call("K", amount=100, to="ann"), handler=book.handler(calls))
    recorded = (await book.effect(done.key)).fingerprint

    with pytest.raises(PayloadConflict) as refused:
        await book.run(call("K", amount=10_000, to="bob"), handler=book.handler(calls))

    error = refused.value
    assert (error.key, error.paths) == (done.key, ("$.amount", "$.to"))
    assert error.fingerprints[0] == recorded != error.fingerprints[1]
    assert all(fingerprint[:12] in str(error) for fingerprint in error.fingerprints)
    assert "10000" not in str(error)
    assert "bob" not in str(error)
    assert calls.count == 1


async def test_tenants_share_neither_keys_nor_records(book: Book) -> None:
    """IDE-11: through no part of the API."""
    acme, other, calls = book.scoped(tenant="acme"), book.scoped(tenant="other"), Calls()
    await acme.begin(call("doubt", n=1), lambda claim: claim.doubt("?"))
    theirs = await other.call(call("K", n=1), handler=other.handler(calls))
    mine = await acme.call(call("K", n=1), handler=acme.handler(calls))
    [doubtful] = await acme.effects(state="unknown")

    assert calls.count == 2
    assert mine.key != theirs.key
    assert [effect.key for effect in await other.effects()] == [theirs.key]
    assert await other.effects(key_prefix=mine.key) == []
    for blocked in (
        other.effect(mine.key),
        other.audit(mine.key),
        other.reconcile(doubtful.key, lambda effect: Done(None)),
        other.resolve(doubtful.key, NotDone(), by="mallory", reason="because"),
    ):
        with pytest.raises(EffectNotFound):
            await blocked
    assert (await other.reap(older_than=1e-6)).removed == 1
    assert {effect.key for effect in await acme.effects()} == {mine.key, doubtful.key}


async def test_ignored_arguments_are_not_compared_and_a_replay_names_those_that_differed(book: Book) -> None:
    """IDE-12."""
    calls = Calls()
    options: Any = {"key": ["owner", "repo", "title"], "ignore": ["body"]}
    issue = {"owner": "o", "repo": "r", "title": "Bug"}
    handler = book.handler(lambda owner, repo, title, body: calls(title=title))

    first = await book.call(call(**issue, body="long"), handler=handler, **options)
    same = await book.call(call(**issue, body="long"), handler=handler, **options)
    other = await book.call(call(**issue, body="longer"), handler=handler, **options)

    assert calls.count == 1
    assert (first.findings, same.findings, other.replayed) == ((), (), True)
    [finding] = other.findings
    assert (finding.code, finding.paths) == ("payload_differs", ("$.body",))


async def test_every_phase_is_on_record_and_doubt_is_never_lost(place: Place) -> None:
    """IDE-13: pending while it runs, then succeeded, failed or unknown, and unknown until there is evidence."""
    book, gate = place.open(), Gate()
    running = asyncio.ensure_future(book.run(CALL, handler=lambda **_: gate.wait()))
    await gate.reached()
    [effect] = await book.effects()
    gate.open()
    await running
    after = await book.effect(effect.key)
    await book.begin(call("doubt"), lambda claim: claim.doubt("?"))
    [doubtful] = await book.effects(state="unknown")

    assert (effect.state, after.state) == (State.PENDING, State.SUCCEEDED)
    for _ in range(3):
        await book.reconcile(doubtful.key, lambda effect: None)
        assert (await book.effect(doubtful.key)).state is State.UNKNOWN
    [last] = (await book.audit(doubtful.key))[-1:]
    assert (last.event, last.state) == ("note", State.UNKNOWN)


async def test_the_intent_is_recorded_and_can_be_asked_for(book: Book) -> None:
    """IDE-14."""
    calls = Calls()
    mail = book.tool(lambda to: calls(to=to), name="smtp.send", intent="send_email")
    post = book.tool(lambda to: calls(to=to), name="resend.send", intent="send_email")
    other = book.tool(lambda to: calls(to=to), name="chat.send")
    for run in (mail, post, other):
        await run("w", to="ann")

    found = await book.effects(intent="send_email")

    assert {effect.tool for effect in found} == {"smtp.send", "resend.send"}
    assert all(
        (effect.args, effect.state) == ({"to": "ann"}, State.SUCCEEDED) and effect.created_at
        for effect in found
    )
    assert [effect.tool for effect in await book.effects(intent="chat.send")] == ["chat.send"]


def wanted(*call_ids: str) -> list[dict[str, Any]]:
    """The same intent under several call ids, as one turn of a model brings it."""
    function = {"name": "charge_card", "arguments": '{"amount": 100}'}
    return [{"id": call_id, "type": "function", "function": function} for call_id in call_ids]


async def test_the_same_intent_three_times_in_one_turn_runs_once_and_says_so(book: Book) -> None:
    """IDE-22."""
    calls = Calls()
    handlers = {"charge_card": book.handler(lambda amount: calls(amount=amount))}

    receipts = await book.turn(wanted("a", "b", "c"), handlers=handlers, workflow_id="w")

    assert calls.count == 1
    assert [receipt.call_id for receipt in receipts] == ["a", "b", "c"]
    assert [[finding.code for finding in receipt.findings] for receipt in receipts] == [
        [],
        ["duplicate_intent"],
        ["duplicate_intent"],
    ]
    assert len({receipt.key for receipt in receipts}) == 1

    await book.turn(wanted("d", "e", "f"), handlers=handlers, workflow_id="w2", distinct=True)
    assert calls.count == 1 + 3


@pytest.mark.kinds("memory", "sync-memory")
async def test_an_external_tool_that_says_nothing_about_doubt_is_refused_when_it_is_declared(
    book: Book,
) -> None:
    """IDE-23: with its name and the fix; each of the three ways to say it is accepted."""
    with pytest.raises(InvalidTool, match=r"'http\.post'.*supports_key=True.*reconcile=.*safety='unsafe'"):
        book.tool(lambda: None, name="http.post", external=True)

    book.tool(lambda: None, name="with-key", external=True, supports_key=True)
    book.tool(lambda: None, name="with-probe", external=True, reconcile=lambda effect: NotDone())
    book.tool(lambda: None, name="by-hand", external=True, safety="unsafe")


async def test_after_a_crash_the_model_is_given_the_recorded_result_and_needs_no_second_call(
    place: Place,
) -> None:
    """IDE-25, IDE-03: a crash between the effect and the answer to the model."""
    calls = Calls({"id": "ch_1"})
    turn: dict[str, Any] = {"workflow_id": "w"}
    first = place.open()
    handlers = {"charge_card": first.handler(lambda amount: calls(amount=amount))}
    await first.turn(wanted("call_1"), handlers=handlers, **turn)
    await first.close()  # what came back is lost with the process

    resumed = place.open()
    [receipt] = await resumed.turn(
        wanted("call_1"),
        handlers={"charge_card": resumed.handler(lambda amount: calls(amount=amount))},
        **turn,
    )

    told = json.loads(receipt.for_model())
    assert told == {"status": "succeeded", "replayed": True, "result": {"id": "ch_1"}}
    assert receipt.call_id == "call_1"
    assert calls.count == 1


async def test_the_model_is_told_of_doubt_too(book: Book) -> None:
    """IDE-25: the ledger's word, in place of its guess."""

    def lose_the_answer(amount: int) -> None:
        raise ConnectionResetError("peer went away")

    handlers = {"charge_card": book.handler(lose_the_answer)}

    told = [
        json.loads(receipt.for_model())
        for _ in range(2)
        for receipt in await book.turn(wanted("c"), handlers=handlers, workflow_id="w")
    ]

    assert [answer["status"] for answer in told] == ["unknown", "unknown"]
    assert "in doubt" in told[1]["error"]
    assert all("result" not in answer for answer in told)


@pytest.mark.parametrize("face", [Ledger, SyncLedger])
def test_the_ledgers_own_tenant_must_be_named(face: Any) -> None:
    """IDE-11."""
    with pytest.raises(InvalidTool, match="tenant is no printable text"):
        face("memory://", tenant="")
