"""Calls that nobody should make: wrong types, hostile keys, huge and cyclic arguments, lies about names."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

from holdfast import Settings, ToolCall
from holdfast.errors import EffectNotFound, InvalidTool, NotSerializable
from hostile.harm import GOOD, Case, assert_refused, assert_unharmed, cases
from promises.ledgers import Book, Calls, Place

CYCLE: dict[str, Any] = {}
CYCLE["self"] = CYCLE
SECRET = "hunter2"
NAIVE = datetime(2026, 1, 1)  # noqa: DTZ001 - that is the point


def call(**args: Any) -> ToolCall:
    return ToolCall(workflow_id="w", tool="t", args=args)


def named(**parts: Any) -> ToolCall:
    return ToolCall(**{"workflow_id": "w", "tool": "t", **parts})


def do(thing: object, **options: Any) -> Any:
    """Run *thing* as a call."""
    return lambda book, calls: book.run(thing, handler=calls, **options)


def nested(depth: int) -> Any:
    value: Any = "deep"
    for _ in range(depth):
        value = {"d": value}
    return value


class Liar(Mapping[str, Any]):
    """Says that it has members, and raises when it is asked for them."""

    def __getitem__(self, key: str) -> Any:
        raise RuntimeError(SECRET)

    def __iter__(self) -> Any:
        raise RuntimeError(SECRET)

    def __len__(self) -> int:
        return 1


class Trap:
    """Raises whatever is asked of it."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(SECRET)


def openai(arguments: Any, name: Any = "t") -> dict[str, Any]:
    return {"id": "c", "type": "function", "function": {"name": name, "arguments": arguments}}


WRONG_TYPES = cases(
    Case(id="call-none", do=do(None), says="not a tool call.*ToolCall"),
    Case(id="call-number", do=do(42), says="not a tool call.*ToolCall"),
    Case(id="call-text", do=do("charge"), says="not a tool call.*ToolCall"),
    Case(id="call-class", do=do(ToolCall), says="tool"),
    Case(id="call-list", do=do([GOOD]), says="pass its items one by one, or all to ledger.turn"),
    Case(id="call-empty-dict", do=do({}), says="not a tool call"),
    Case(id="call-trap", do=do(Trap()), says="raised RuntimeError", hides=SECRET),
    Case(id="call-response", do=do({"choices": [], "model": "m"}), says="choices.*tool_calls"),
    Case(id="args-list", do=do(named(args=[1])), says="args is of type list; pass a dict"),
    Case(id="args-text", do=do(named(args="{}")), says="args is of type str; pass a dict"),
    Case(id="args-none", do=do(named(args=None)), says="args is of type NoneType; pass a dict"),
    Case(
        id="args-liar", do=do(named(args=Liar())), error=NotSerializable, says="cannot be read", hides=SECRET
    ),
    Case(id="args-number-key", do=do(named(args={1: "x"})), error=NotSerializable, says="key of type int"),
    Case(id="workflow-number", do=do(named(workflow_id=7)), says="workflow_id is of type int; pass a text"),
    Case(id="tool-bytes", do=do(named(tool=b"t")), says="tool.*(bytes|text)"),
    Case(id="key-number", do=do(named(key=7)), says="key is of type int; pass a text"),
    Case(id="call-id-number", do=do({**openai("{}"), "id": 7}), says="call id.*pass it as text"),
    Case(id="call-id-bytes", do=do(named(call_id=b"c")), says="call_id|call id"),
    Case(id="other-workflow", do=do(named(), workflow_id="other"), says="give the workflow_id once"),
)


@pytest.mark.kinds("memory", "sync-sqlite", "postgres")
@WRONG_TYPES
async def test_what_is_no_call_is_refused_with_the_fix(book: Book, case: Case) -> None:
    await assert_refused(book, case)


HOSTILE_NAMES = cases(
    Case(id="no-workflow", do=do(named(workflow_id="")), says=r"no workflow_id.*ToolCall\(workflow_id"),
    Case(id="empty-tool", do=do(named(tool="")), says="names no tool; pass ToolCall"),
    Case(id="empty-name-from-model", do=do(openai("{}", name=" "), workflow_id="w"), says="names no tool"),
    Case(id="empty-key", do=do(named(key="")), says="key has 0 characters; pass a text of 1 to 1024"),
    Case(id="long-key", do=do(named(key="k" * 1025)), says="1025 characters"),
    Case(id="long-tool", do=do(named(tool="t" * 513)), says="513 characters"),
    Case(id="nul-in-tool", do=do(named(tool="t\0; DROP TABLE")), says="control character"),
    Case(
        id="newline-in-workflow",
        do=do(named(workflow_id="w\r\nIdempotency-Key: x")),
        says="control character",
    ),
    Case(id="escape-in-tool", do=do(named(tool="\x1b[2Jt")), says="control character"),
    Case(id="surrogate-in-key", do=do(named(key="\ud800")), says="lone surrogate"),
    Case(id="nul-in-intent", do=do(named(), intent="i\0"), error=InvalidTool, says="intent"),
)


@pytest.mark.kinds("memory", "sync-sqlite", "postgres")
@HOSTILE_NAMES
async def test_hostile_names_are_refused_with_the_rule(book: Book, case: Case) -> None:
    """IDE-28."""
    await assert_refused(book, case)


@pytest.mark.kinds("memory", "sync-sqlite", "postgres")
@pytest.mark.parametrize("call_id", ["c\0", "\ud800", "\x1b[2J", "x" * 100_000])
async def test_a_hostile_call_id_is_given_back_as_it_came_and_recorded_as_plain_text(
    book: Book, call_id: str
) -> None:
    """IDE-22, IDE-28: it is the model's own name for its call, and never the identity."""
    handler = book.handler(lambda: "ok")

    receipt = await book.call(named(call_id=call_id), handler=handler)
    other = await book.call(named(call_id="another"), handler=handler)

    recorded = (await book.effect(receipt.key)).call_id
    assert (receipt.call_id, other.key) == (call_id, receipt.key)
    assert recorded.isprintable()
    assert len(recorded) <= 512
    assert (await book.verify()).ok


def unfit(why: str, hides: str = "") -> dict[str, Any]:
    return {"error": NotSerializable, "says": f"{why}.*nothing ran: pass JSON values", "hides": hides}


HOSTILE_ARGS = cases(
    Case(id="nan", do=do(call(n=float("nan"))), **unfit(r"\$\.n ")),
    Case(id="infinity", do=do(call(n=-float("inf"))), **unfit(r"\$\.n ")),
    Case(id="decimal-nan", do=do(call(n=Decimal("sNaN"))), **unfit(r"\$\.n ")),
    Case(id="set", do=do(call(tags={"a"})), **unfit(r"\$\.tags is of type set")),
    Case(id="function", do=do(call(f=print)), **unfit(r"\$\.f is of type")),
    Case(id="exception", do=do(call(e=ValueError(SECRET))), **unfit(r"\$\.e is of type ValueError", SECRET)),
    Case(id="trap", do=do(call(t=Trap())), **unfit(r"\$\.t ", SECRET)),
    Case(id="cycle", do=do(call(c=CYCLE)), **unfit("nested")),
    Case(id="deep", do=do(call(d=nested(5000))), **unfit("nested")),
    Case(id="lone-surrogate", do=do(call(s="\ud800")), **unfit(r"\$\.s .*surrogate")),
    Case(id="surrogate-key", do=do(call(d={"\udfff": 1})), **unfit("surrogate")),
    Case(id="huge-number", do=do(call(n=10**5000)), **unfit(r"\$\.n ")),
    Case(id="ten-megabytes", do=do(call(s="x" * 10_000_000)), **unfit("more than 1048576 bytes")),
    Case(id="ten-million-items", do=do(call(s=[0] * 10_000_000)), **unfit("more than 1048576 bytes")),
    Case(
        id="one-name-twice", do=do(call(d={"é": 1, "e\u0301": 2})), **unfit("two keys that are the same text")
    ),
)


@pytest.mark.kinds("memory", "sync-sqlite", "postgres")
@HOSTILE_ARGS
async def test_arguments_without_a_json_form_are_refused_with_their_place(book: Book, case: Case) -> None:
    """IDE-07."""
    await assert_refused(book, case)


FROM_A_MODEL = cases(
    Case(id="cut-off", do=do(openai('{"n": 1'), workflow_id="w"), says="not JSON.*complete JSON object"),
    Case(id="no-object", do=do(openai("[1]"), workflow_id="w"), says="not an object"),
    Case(id="nan-text", do=do(openai('{"n": NaN}'), workflow_id="w"), says="infinite, or none"),
    Case(id="huge-float", do=do(openai('{"n": 1e999}'), workflow_id="w"), says="infinite, or none"),
    Case(id="same-key-twice", do=do(openai('{"n": 1, "n": 2}'), workflow_id="w"), says="same key twice"),
    Case(
        id="huge-text",
        do=do(openai('{"s": "' + "x" * 10_000_001), workflow_id="w"),
        says="more than 10,000,000",
    ),
    Case(
        id="deep-text", do=do(openai('{"a":' * 100_000), workflow_id="w"), says="nested too deeply|not JSON"
    ),
    Case(
        id="number-of-digits",
        do=do(openai(f'{{"n": {"9" * 5000}}}'), workflow_id="w"),
        says="arguments of tool",
    ),
    Case(id="secret-in-broken-text", do=do(openai(SECRET), workflow_id="w"), says="not JSON", hides=SECRET),
    Case(
        id="still-streaming",
        do=do({**openai(""), "index": 0}, workflow_id="w"),
        says="pass the call once it is",
    ),
)


@pytest.mark.kinds("memory", "sync-sqlite")
@FROM_A_MODEL
async def test_what_a_model_wrote_is_refused_unless_it_is_one_whole_object(book: Book, case: Case) -> None:
    await assert_refused(book, case)


INJECTIONS = [
    "'; DROP TABLE holdfast_effect; --",
    '" OR ""="',
    "%s %(key)s :key ? $1",
    "k\\'); DELETE FROM holdfast_audit; --",
    "../../etc/passwd",
    "{0.__class__}",
    "<script>alert(1)</script>",
    "https://user:pw@host/?a=b#c",
]


@pytest.mark.parametrize("text", INJECTIONS)
async def test_statements_in_names_and_values_are_text_like_any_other(book: Book, text: str) -> None:
    """IDE-28: on its way in, in every query, and back; the key sent to the provider shows nothing of it."""
    sent = []

    def handler(value: str, effect: Any) -> str:
        sent.append(effect.idem_key)
        return value

    hostile = ToolCall(workflow_id=text, tool=text, args={"value": text}, key=text, call_id=text)
    receipt = await book.call(hostile, handler=book.handler(handler), intent=text)

    for wanted in ({"workflow_id": text}, {"tool": text}, {"intent": text}, {"key_prefix": receipt.key}):
        [found] = await book.effects(**wanted)
        assert (found.workflow_id, found.tool, found.call_id, found.result) == (text,) * 4
    assert await book.effects(key_prefix=text) == []
    assert sent[0].isalnum()
    assert len(sent[0]) == 64
    assert (await book.reap(older_than="1h")).removed == 0
    assert (await book.verify()).ok


@pytest.mark.kinds("memory", "sync-sqlite", "postgres")
async def test_an_argument_as_large_as_allowed_is_kept_whole(place: Place) -> None:
    """IDE-07: ten megabytes, where the limit was raised; all of it comes back."""
    book = place.open(settings=Settings(max_args_bytes=11_000_000, max_result_bytes=11_000_000))
    big = call(s="ü" * 5_000_000)

    for _ in range(2):
        assert await book.run(big, handler=book.handler(lambda s: s)) == big.args["s"]

    assert (await book.verify()).ok


QUERIES = cases(
    Case(id="state", do=lambda book, _: book.effects(state="done"), says="use one of waiting, pending"),
    Case(id="naive-time", do=lambda book, _: book.effects(since=NAIVE), says="aware datetime"),
    Case(
        id="since-text", do=lambda book, _: book.effects(since="yesterday"), error=InvalidTool, says="'1h30m'"
    ),
    Case(id="limit-negative", do=lambda book, _: book.effects(limit=-1), says="limit"),
    Case(id="limit-text", do=lambda book, _: book.effects(limit="5; DROP TABLE"), says="limit"),
    Case(id="key-number", do=lambda book, _: book.effect(7), error=EffectNotFound, says="no effect '7'"),
    Case(id="tool-number", do=lambda book, _: book.effects(tool=7), says="tool"),
    Case(id="tool-surrogate", do=lambda book, _: book.effects(tool="\ud800"), says="tool"),
    Case(id="prefix-nul", do=lambda book, _: book.effects(key_prefix="v1:\0"), says="key_prefix"),
    Case(
        id="older-than-zero",
        do=lambda book, _: book.reap(older_than=0),
        error=InvalidTool,
        says="positive length",
    ),
    Case(
        id="older-than-negative",
        do=lambda book, _: book.reap(older_than="-1h"),
        error=InvalidTool,
        says="older_than",
    ),
    Case(id="wait-negative", do=do(GOOD, wait=-1), error=InvalidTool, says="wait=-1"),
    Case(id="wait-nan", do=do(GOOD, wait=float("nan")), error=InvalidTool, says="wait=nan"),
    Case(id="wait-text", do=do(GOOD, wait="soon"), error=InvalidTool, says="wait='soon'"),
    Case(id="turn-text", do=lambda book, _: book.turn("charge", workflow_id="w"), says="tool call"),
    Case(id="turn-none", do=lambda book, _: book.turn(None, workflow_id="w"), says="tool_calls|list"),
)


@pytest.mark.kinds("memory", "sync-sqlite", "postgres")
@QUERIES
async def test_questions_that_make_no_sense_are_refused(book: Book, case: Case) -> None:
    """INT-08."""
    await assert_refused(book, case)


@pytest.mark.kinds("memory", "sync-sqlite", "postgres")
async def test_one_bad_call_in_a_turn_stops_the_turn_before_any_of_it_runs(book: Book) -> None:
    """IDE-22."""
    calls = Calls()
    turn = [openai('{"n": 1}'), openai('{"n": '), openai(json.dumps({"n": 3}))]

    case = Case(
        id="turn",
        do=lambda book, calls: book.turn(turn, handlers={"t": lambda n: calls(n=n)}, workflow_id="w"),
        says="not JSON",
    )

    await assert_refused(book, case)
    assert calls.count == 0


@pytest.mark.kinds("memory", "sync-sqlite", "postgres")
async def test_hostile_keys_of_effects_are_not_found_rather_than_understood(book: Book) -> None:
    """IDE-28, INT-08."""
    for key in ("", "v1:", "%", "*", "v1:" + "0" * 64, "' OR 1=1 --", "v1:\0", "\ud800"):
        with pytest.raises(EffectNotFound):
            await book.effect(key)
    await assert_unharmed(book)
