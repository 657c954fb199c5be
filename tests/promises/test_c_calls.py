"""C1 to C8: one call after another, on every kind of ledger."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from holdfast import Permanent, Settings, State, ToolCall
from holdfast.errors import (
    EffectFailed,
    HoldfastError,
    InvalidCall,
    NotSerializable,
    OutcomeUnknown,
    PayloadConflict,
)
from promises.ledgers import CALL, Book, Calls, Place


def call(tool: str = "book", key: str | None = None, /, **args: Any) -> ToolCall:
    return ToolCall(workflow_id="w", tool=tool, args=args, key=key)


async def test_c1_the_first_call_executes_once_and_is_recorded(book: Book) -> None:
    calls = Calls({"id": "ch_1"})
    started = datetime.now(UTC)

    receipt = await book.call(CALL, handler=book.handler(calls.charge))
    [effect] = await book.effects()

    assert calls.made == [{"amount": 100, "currency": "usd"}]
    assert receipt.result == effect.result == {"id": "ch_1"}
    assert (effect.key, effect.workflow_id, effect.tool) == (receipt.key, "order-123", "stripe.charge")
    assert (effect.args, effect.state, effect.attempt) == (CALL.args, State.SUCCEEDED, 1)
    assert started <= effect.created_at <= effect.updated_at <= datetime.now(UTC)
    assert effect.observed_at == effect.updated_at


async def test_c2_the_same_call_in_a_new_ledger_is_answered_from_the_record(place: Place) -> None:
    first, second, calls = place.open(), place.open(), Calls()
    done = await first.call(CALL, handler=first.handler(calls.charge))
    await first.close()

    again = await second.call(CALL, handler=second.handler(calls.charge))

    assert calls.count == 1
    assert (again.result, again.replayed, done.replayed) == (done.result, True, False)
    assert (again.key, again.audit_hash, again.observed_at) == (done.key, done.audit_hash, done.observed_at)


RESULTS = {
    "none": None,
    "nested": {"a": [{"b": [[], {}, None]}]},
    "unicode": "żółć 💳 e\u0301 \u2028",
    "nul": "a\0b",
    "large": 2**53 - 1,
    "small": -(2**53) + 1,
    "larger": 2**200,
    "float": 0.1 + 0.2,
    "minus-zero": -0.0,
    "tiny": 5e-324,
    "false": False,
    "zero": 0,
    "empty": "",
    "order": {"b": 1, "a": 2},
    "decimal": Decimal("10.50"),
    "moment": datetime(2026, 11, 21, tzinfo=UTC),
    "tuple": (1, (2, 3)),
    "lone-surrogate": "\ud800",
}


@pytest.mark.parametrize("result", RESULTS.values(), ids=RESULTS.keys())
@pytest.mark.kinds("memory", "sync-sqlite", "postgres")
async def test_c3_a_result_comes_back_as_it_was_returned_the_first_time(place: Place, result: Any) -> None:
    book, later = place.open(), place.open()
    handler = book.handler(lambda: result)

    first = await book.run(call(), handler=handler)
    again = await later.run(call(), handler=handler)

    assert repr(again) == repr(first)


async def test_c3_a_result_with_keys_that_json_lacks_is_the_same_error_each_time(book: Book) -> None:
    told = []
    for _ in range(2):
        with pytest.raises(NotSerializable) as refused:
            await book.run(call(), handler=book.handler(lambda: {1: "a", "1": "b"}))
        told.append(str(refused.value))

    assert told[0] == told[1]


async def test_c4_the_order_of_arguments_does_not_matter_and_a_changed_one_is_another_effect(
    book: Book,
) -> None:
    calls = Calls()
    one = await book.call(call(a=1, b=[2]), handler=book.handler(calls))
    same = await book.call(call(b=[2], a=1), handler=book.handler(calls))
    other = await book.call(call(a=1, b=[3]), handler=book.handler(calls))

    assert (one.key, one.result) == (same.key, same.result)
    assert other.key != one.key
    assert calls.count == 2


@pytest.mark.parametrize("key", [["order_id"], lambda call: call.args["order_id"]], ids=["names", "function"])
async def test_c5_the_key_of_chosen_arguments_stays_when_others_change_and_another_payload_is_refused(
    book: Book, key: Any
) -> None:
    """C5, IDE-10: never a silent replay of the first result, never a second execution."""
    calls = Calls()
    run = book.tool(lambda order_id, amount: calls(amount=amount), name="charge", key=key)

    await run("w", order_id="o-1", amount=100)
    with pytest.raises(PayloadConflict) as refused:
        await run("w", order_id="o-1", amount=9999)
    await run("w", order_id="o-2", amount=9999)

    assert refused.value.paths == ("$.amount",)
    assert calls.made == [{"amount": 100}, {"amount": 9999}]


async def test_c6_the_key_of_a_resource_stays_when_others_change_and_another_payload_is_refused(
    book: Book,
) -> None:
    calls = Calls()
    run = book.tool(lambda resource, body: calls(body=body), name="edit", key=["resource"])
    page = {"namespace": "wiki", "type": "page", "id": {"path": "/a", "lang": "en"}}
    shuffled = {"id": {"lang": "en", "path": "/a"}, "type": "page", "namespace": "wiki"}

    await run("w", resource=page, body="x")
    await run("w", resource=shuffled, body="x")
    with pytest.raises(PayloadConflict):
        await run("w", resource=shuffled, body="y")
    await run("w", resource=page | {"type": "pag", "id": "e"}, body="y")

    assert calls.made == [{"body": "x"}, {"body": "y"}]


@pytest.mark.parametrize(
    ("workflow_id", "args"),
    [("w", {}), ("żółć/💳 | ' ; --", {"naïve": "x"}), ("w", {"text": "a" * 993})],
    ids=["no-arguments", "unicode", "at-the-limit"],
)
@pytest.mark.kinds("memory", "sqlite", "sync-sqlite", "postgres")
async def test_c7_odd_but_valid_calls_are_accepted(
    place: Place, workflow_id: str, args: dict[str, Any]
) -> None:
    book = place.open(settings=Settings(max_args_bytes=1004))
    odd = ToolCall(workflow_id=workflow_id, tool="book", args=args)

    receipt = await book.call(odd, handler=book.handler(Calls("done")))

    assert receipt.result == "done"
    assert (await book.effect(receipt.key)).args == args
    assert (await book.effects(workflow_id=workflow_id))[0].key == receipt.key


@pytest.mark.parametrize(
    ("args", "error"),
    [
        ({"text": "a" * 994}, NotSerializable),
        ([1, 2], InvalidCall),
        ("{}", InvalidCall),
        ({"when": object()}, NotSerializable),
        ({"amount": float("nan")}, NotSerializable),
    ],
    ids=["over-the-limit", "a-list", "text", "an-object", "nan"],
)
@pytest.mark.kinds("memory", "sqlite", "sync-sqlite", "postgres")
async def test_c7_impossible_calls_are_refused_before_anything_is_recorded(
    place: Place, args: Any, error: type[HoldfastError]
) -> None:
    book, calls = place.open(settings=Settings(max_args_bytes=1004)), Calls()

    with pytest.raises(error):
        await book.run(ToolCall(workflow_id="w", tool="book", args=args), handler=book.handler(calls))

    assert calls.count == 0
    assert await book.effects() == []


class CardDeclined(Permanent):
    """A handler's own error."""


def decline(**_: Any) -> None:
    raise CardDeclined("insufficient funds")


def lose_the_answer(**_: Any) -> None:
    raise ConnectionResetError("peer went away")


async def test_c8_a_final_failure_is_the_handlers_own_error_first_and_a_typed_one_later(book: Book) -> None:
    """C8, IDE-21."""
    with pytest.raises(CardDeclined, match="insufficient funds"):
        await book.run(CALL, handler=book.handler(decline))
    with pytest.raises(EffectFailed) as later:
        await book.run(CALL, handler=book.handler(decline))

    [effect] = await book.effects()
    assert effect.state is State.FAILED
    assert effect.error is not None
    assert (effect.error.type, effect.error.message) == ("CardDeclined", "insufficient funds")
    assert (later.value.error_type, later.value.error_message) == ("CardDeclined", "insufficient funds")
    [attempt] = later.value.attempts
    assert (attempt.number, attempt.outcome, attempt.error) == (1, "failed", "CardDeclined")


async def test_c8_a_failure_without_evidence_is_the_handlers_own_error_first_and_doubt_later(
    book: Book,
) -> None:
    """C8, IDE-16: the class of a failure decides; what nobody knows is not called failed."""
    with pytest.raises(ConnectionResetError, match="peer went away") as first:
        await book.run(CALL, handler=book.handler(lose_the_answer))
    with pytest.raises(OutcomeUnknown, match="ConnectionResetError") as later:
        await book.run(CALL, handler=book.handler(lose_the_answer))

    [effect] = await book.effects()
    assert effect.state is State.UNKNOWN
    assert later.value.key == effect.key
    assert f"holdfast resolve {effect.key}" in "".join(first.value.__notes__)
    assert json.loads(json.dumps(effect.args)) == CALL.args
