"""Handlers and declarations that cannot be honoured, and reconcilers, rules and classifiers that misbehave."""

from __future__ import annotations

import asyncio
import functools
from typing import Any

import pytest

from holdfast import Done, Effect, Ledger, NotDone, State, SyncLedger, ToolCall
from holdfast.errors import (
    ApprovalRequired,
    InProgress,
    InvalidCall,
    InvalidTool,
    LedgerClosed,
    NotSerializable,
    OutcomeUnknown,
    SchemaMismatch,
)
from hostile.harm import GOOD, Case, assert_refused, assert_unharmed, cases
from promises.ledgers import HASTY, Book, Calls, Place

SECRET = "hunter2"


def run(handler: Any, /, args: dict[str, Any] | None = None, **options: Any) -> Any:
    """Run a call with this handler."""
    call = ToolCall(workflow_id="w", tool="t", args=args or {})
    return lambda book, calls: book.run(
        call, handler=handler(calls) if options.pop("made", False) else handler, **options
    )


class Tool:
    def __init__(self, **_: Any) -> None:
        raise AssertionError


def positional(n: int, /) -> None:
    raise AssertionError


def two_effects(a: Effect, b: Effect) -> None:
    raise AssertionError


def effect_of_another_kind(effect: str) -> None:
    raise AssertionError


def takes(n: int) -> None:
    raise AssertionError


def wants(effect: Effect) -> None:
    raise AssertionError


def wants_by_another_name(fx: Effect, effect: str) -> None:
    raise AssertionError


async def a_coroutine_function() -> None:
    raise AssertionError


async def a_coroutine(book: Book, calls: Calls) -> Any:
    return await book.run(GOOD, handler=a_coroutine_function())


HANDLERS = cases(
    Case(id="none", do=run(None), says="pass handler=.*or declare the tool"),
    Case(id="number", do=run(7), error=InvalidTool, says="not a function; pass a plain or async function"),
    Case(id="text", do=run("charge"), error=InvalidTool, says="not a function"),
    Case(id="class", do=run(Tool), error=InvalidTool, says="not a function"),
    Case(id="coroutine", do=a_coroutine, error=InvalidTool, says="pass the function, without calling it"),
    Case(id="positional-only", do=run(positional, {"n": 1}), error=InvalidTool, says="drop the '/'"),
    Case(id="two-effects", do=run(two_effects), error=InvalidTool, says="only one parameter receives it"),
    Case(
        id="effect-is-text", do=run(effect_of_another_kind), error=InvalidTool, says="rename it, or annotate"
    ),
    Case(
        id="missing-argument",
        do=run(takes),
        error=SchemaMismatch,
        says="lacks 'n' of handler takes; complete the arguments",
    ),
    Case(
        id="unexpected-argument",
        do=run(takes, {"n": 1, SECRET: 2}),
        error=SchemaMismatch,
        says="drop the arguments or extend",
    ),
    Case(id="injected-name", do=run(wants, {"effect": "mine"}), says="which holdfast injects; rename"),
    Case(id="injected-by-annotation", do=run(wants_by_another_name, {"fx": 1, "effect": "x"}), says="'fx'"),
    Case(
        id="many-unexpected",
        do=run(takes, {f"a{n}" * 99: n for n in range(999)}),
        error=SchemaMismatch,
        says="…|lacks",
    ),
    Case(id="partial-of-a-class", do=run(functools.partial(Tool)), error=InvalidTool, says="not a function"),
)


@pytest.mark.kinds("memory", "sync-sqlite", "postgres")
@HANDLERS
async def test_a_handler_that_cannot_be_called_is_refused_before_anything_is_claimed(
    book: Book, case: Case
) -> None:
    """INT-13: signatures are bound before the claim."""
    await assert_refused(book, case)


OPTIONS = cases(
    *(
        Case(id=id_, do=run(takes, {"n": 1}, **options), error=InvalidTool, says=says)
        for id_, options, says in [
            ("safety", {"safety": "safe"}, "'safe' is unknown; use one of unsafe"),
            ("safety-none-such", {"safety": 1}, "use one of unsafe"),
            (
                "timeout-zero",
                {"timeout": 0},
                "timeout=0 is not a positive length of time.*; give a timedelta",
            ),
            ("timeout-negative", {"timeout": -1}, "timeout=-1"),
            ("timeout-nan", {"timeout": float("nan")}, "timeout=nan"),
            ("timeout-true", {"timeout": True}, "timeout=True"),
            ("timeout-text", {"timeout": "60 seconds please"}, "'1h30m'"),
            ("key-text", {"key": "order_id"}, r"give key=\[...\]"),
            ("key-empty", {"key": []}, r"give key=\[...\]"),
            ("key-numbers", {"key": [1]}, r"give key=\[...\]"),
            ("ignore-text", {"ignore": "body"}, r"give ignore=\[...\]"),
            ("intent-number", {"intent": 7}, "intent is int; give it a string"),
            ("reconcile-text", {"reconcile": "find"}, "reconcile is str; give it a function"),
            ("classify-dict", {"classify": {}}, "classify is dict; give it a function"),
            ("approval-text", {"requires_approval": "yes"}, "give True, False, a Chain or a function"),
            ("contradiction", {"supports_key": True, "safety": "unsafe"}, 'use safety="idempotent"'),
            ("external-silent", {"external": True}, "declare supports_key=True"),
            ("no-such-option", {"retries": 3}, "retries"),
        ]
    ),
    Case(
        id="key-unknown-argument",
        do=run(takes, {"n": 1}, key=["order_id"]),
        says="'order_id'.*part of its key",
    ),
    Case(
        id="key-function-raises",
        do=run(takes, {"n": 1}, key=lambda c: c.args["x"]),
        says="key function.*KeyError",
    ),
    Case(
        id="key-function-number", do=run(takes, {"n": 1}, key=lambda c: 7), says="key function of 't'.*text"
    ),
    Case(
        id="key-function-none", do=run(takes, {"n": 1}, key=lambda c: None), says="key function of 't'.*text"
    ),
    Case(id="key-function-empty", do=run(takes, {"n": 1}, key=lambda c: ""), says="key has 0 characters"),
    Case(id="key-function-async", do=run(takes, {"n": 1}, key=a_coroutine_function), says="key"),
)


@pytest.mark.kinds("memory", "sync-sqlite")
@OPTIONS
async def test_a_declaration_that_cannot_be_honoured_is_refused_with_the_fix(book: Book, case: Case) -> None:
    """IDE-23, IDE-09."""
    await assert_refused(book, case)


def declare(function: Any, **options: Any) -> Any:
    async def do(book: Book, calls: Calls) -> None:
        book.ledger.tool(**options)(function)

    return do


async def twice(book: Book, calls: Calls) -> None:
    for _ in range(2):
        book.ledger.tool(name="t")(takes)


async def with_options(book: Book, calls: Calls) -> None:
    book.ledger.tool(name="t")(takes)
    await book.run(ToolCall(workflow_id="w", tool="t", args={"n": 1}), safety="read")


async def outside(book: Book, calls: Calls) -> None:
    tool = book.ledger.tool(name="t")(takes)
    await book.do(tool, n=1)


async def misfit(book: Book, calls: Calls) -> None:
    await book.tool(takes, name="t")("w", m=1)


DECLARED = cases(
    Case(id="no-function", do=declare(None, name="t"), error=InvalidTool, says="not a function"),
    Case(id="no-name", do=declare(functools.partial(takes)), error=InvalidTool, says="name"),
    Case(id="name-number", do=declare(takes, name=7), error=InvalidTool, says="name"),
    Case(id="name-control", do=declare(takes, name="t\n"), error=InvalidTool, says="name|control"),
    Case(id="twice", do=twice, error=InvalidTool, says="declared twice.*give one of them another name"),
    Case(id="options-at-the-call", do=with_options, says="change the declaration: its contract wins"),
    Case(id="outside-a-workflow", do=outside, says=r"t\.run\('workflow-id'"),
    Case(id="misfit", do=misfit, says="fit the arguments to the function"),
)


@pytest.mark.kinds("memory", "sync-sqlite")
@DECLARED
async def test_tools_that_are_declared_or_called_wrongly_are_refused(book: Book, case: Case) -> None:
    """IDE-23, INT-07."""
    await assert_refused(book, case)


async def an_async_generator() -> Any:
    yield 1


@pytest.mark.kinds("sync-memory", "sync-sqlite", "sync-postgres")
@cases(
    Case(id="async-handler", do=run(a_coroutine_function), error=InvalidTool, says="use Ledger"),
    Case(id="async-generator", do=run(an_async_generator), error=InvalidTool, says="use Ledger"),
)
async def test_the_sync_ledger_refuses_async_handlers_with_advice(book: Book, case: Case) -> None:
    """INT-06."""
    await assert_refused(book, case)


@pytest.mark.kinds("sync-memory", "sync-sqlite")
async def test_a_plain_handler_of_the_sync_ledger_that_returns_a_coroutine_leaves_doubt(book: Book) -> None:
    """INT-06: the function itself ran, and nobody knows what it did before it made the coroutine."""
    with pytest.raises(InvalidTool, match="use Ledger, or a plain function"):
        await book.run(GOOD, handler=lambda n: a_coroutine_function())

    [effect] = await book.effects()
    assert effect.state is State.UNKNOWN


NONSENSE = {
    "nothing": lambda effect: None,
    "a-number": lambda effect: 7,
    "true": lambda effect: True,
    "a-dict": lambda effect: {"done": True},
    "the-class": lambda effect: Done,
    "raises": lambda effect: 1 / 0,
    "wrong-arguments": lambda: Done("x"),
    "not-serializable": lambda effect: Done({1, 2}),
}


@pytest.mark.kinds("memory", "sync-sqlite", "postgres")
@pytest.mark.parametrize("reconciler", NONSENSE.values(), ids=NONSENSE.keys())
async def test_a_reconciler_that_talks_nonsense_moves_nothing(place: Place, reconciler: Any) -> None:
    """IDE-16: only evidence moves doubt; what it said is noted by type, not by value."""
    book, calls = place.open(settings=HASTY), Calls()
    await book.begin(GOOD, lambda claim: claim.doubt("?"))

    with pytest.raises((OutcomeUnknown, NotSerializable)):
        await book.run(GOOD, handler=book.handler(calls), reconcile=reconciler)

    [effect] = await book.effects()
    assert effect.state in {State.UNKNOWN, State.SUCCEEDED}
    assert (effect.state is State.SUCCEEDED) == (reconciler is NONSENSE["not-serializable"])
    assert calls.count == 0
    assert (await book.verify()).ok


@pytest.mark.kinds("memory", "sync-sqlite", "postgres")
@cases(
    Case(
        id="no-evidence",
        do=lambda book, key: book.resolve(key, "done", by="ann", reason="seen"),
        says="give Done",
    ),
    Case(
        id="no-name",
        do=lambda book, key: book.resolve(key, NotDone(), by=" ", reason="seen"),
        says="by= whom",
    ),
    Case(
        id="no-reason", do=lambda book, key: book.resolve(key, NotDone(), by="ann", reason=""), says="reason="
    ),
    Case(
        id="name-number", do=lambda book, key: book.resolve(key, NotDone(), by=7, reason="seen"), says="by="
    ),
    Case(
        id="result-set",
        do=lambda book, key: book.resolve(key, Done({1}), by="ann", reason="seen"),
        error=NotSerializable,
        says="set",
    ),
    Case(
        id="no-reconciler",
        do=lambda book, key: book.reconcile(key),
        error=InvalidTool,
        says="declare reconcile=",
    ),
    Case(
        id="reconciler-text",
        do=lambda book, key: book.reconcile(key, "find"),
        error=InvalidTool,
        says="reconcile",
    ),
)
async def test_a_person_who_gives_no_evidence_settles_nothing(place: Place, case: Case) -> None:
    """IDE-15."""
    book = place.open()
    await book.begin(GOOD, lambda claim: claim.doubt("?"))
    [doubt] = await book.effects()
    before = await book.audit(doubt.key)

    with pytest.raises(case.error, match=case.says):
        await case.do(book, doubt.key)

    assert (await book.effect(doubt.key)).state is State.UNKNOWN
    assert await book.audit(doubt.key) == before


@pytest.mark.kinds("memory", "sync-sqlite", "postgres")
@pytest.mark.parametrize(
    "rule", [lambda call: 1 / 0, lambda call: "yes", lambda call: [0]], ids=["raises", "text", "list"]
)
async def test_an_approval_rule_that_cannot_be_understood_asks_a_person(place: Place, rule: Any) -> None:
    """IDE-01: a default that allows would be no guard."""
    book, calls = place.open(), Calls()

    with pytest.raises(ApprovalRequired):
        await book.run(GOOD, handler=book.handler(calls), requires_approval=rule)

    [effect] = await book.effects()
    assert (effect.state, calls.count) == (State.WAITING, 0)


@pytest.mark.kinds("memory")
async def test_an_async_approval_rule_asks_a_person_too(place: Place) -> None:
    """IDE-01: its coroutine is true whatever it would have said; nothing is left un-awaited."""
    book, calls = place.open(), Calls()

    async def rule(call: ToolCall) -> bool:
        return False

    with pytest.raises((ApprovalRequired, InvalidTool)):
        await book.run(GOOD, handler=book.handler(calls), requires_approval=rule)

    assert calls.count == 0


@pytest.mark.kinds("memory", "sync-sqlite", "postgres")
@pytest.mark.parametrize(
    "classify",
    [lambda error: 1 / 0, lambda error: "done", lambda error: True],
    ids=["raises", "text", "true"],
)
async def test_a_classifier_that_talks_nonsense_leaves_doubt(place: Place, classify: Any) -> None:
    """IDE-13: the handler's own error reaches its caller all the same."""
    book = place.open()

    def fail(n: int) -> None:
        raise ConnectionResetError("peer went away")

    with pytest.raises(ConnectionResetError):
        await book.run(GOOD, handler=book.handler(fail), classify=classify)

    [effect] = await book.effects()
    assert effect.state is State.UNKNOWN


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError(SECRET)


class Endless(Exception):
    def __str__(self) -> str:
        return "x\0\ud800" * 1_000_000


class Noteless(Exception):
    def add_note(self, note: str) -> None:
        raise RuntimeError(SECRET)


@pytest.mark.kinds("memory", "sync-sqlite", "postgres")
@pytest.mark.parametrize("error", [Unprintable, Endless, Noteless])
async def test_an_error_that_cannot_be_shown_is_recorded_all_the_same(
    place: Place, error: type[Exception]
) -> None:
    """IDE-13, C8."""
    book = place.open()

    def fail(n: int) -> None:
        raise error

    with pytest.raises(error):
        await book.run(GOOD, handler=book.handler(fail))

    [effect] = await book.effects()
    assert effect.state is State.UNKNOWN
    assert effect.error is not None
    assert effect.error.type == error.__name__
    assert len(effect.error.message) <= 2000
    assert (await book.verify()).ok


@pytest.mark.kinds("memory", "sync-sqlite", "postgres")
async def test_a_claim_that_is_told_two_outcomes_keeps_the_first(place: Place) -> None:
    """INT-07."""
    book = place.open()

    def say(claim: Any) -> None:
        claim.succeed("first")
        with pytest.raises(InvalidCall, match="say succeed, fail or doubt once"):
            claim.fail("second")

    await book.begin(GOOD, say)

    assert (await book.effects())[0].result == "first"


@pytest.mark.kinds("memory", "sqlite", "postgres")
async def test_a_handler_that_calls_itself_is_told_that_it_would_wait_for_itself(place: Place) -> None:
    """C11."""
    book = place.open()

    async def recursive(n: int) -> str:
        with pytest.raises(InProgress):
            await book.run(GOOD, handler=recursive)
        return "done"

    assert await asyncio.wait_for(book.run(GOOD, handler=recursive), 30) == "done"


@pytest.mark.parametrize("face", [Ledger, SyncLedger])
async def test_a_closed_ledger_says_so_to_every_question(face: Any) -> None:
    place = Place("memory" if face is Ledger else "sync-memory", "")
    book, calls = place.open(), Calls()
    key = (await book.call(GOOD, handler=book.handler(Calls(1)))).key
    await book.close()
    await book.close()  # again: nothing happens

    for use in (
        book.run(GOOD, handler=book.handler(calls)),
        book.call(GOOD, handler=book.handler(calls)),
        book.turn([GOOD], handlers={"good": book.handler(calls)}),
        book.begin(GOOD, lambda claim: calls()),
        book.effect(key),
        book.effects(),
        book.audit(key),
        book.verify(),
        book.reap(older_than="1h"),
        book.reconcile(key, lambda effect: Done(1)),
        book.resolve(key, Done(1), by="ann", reason="seen"),
        book.scoped(tenant="other").run(GOOD, handler=book.handler(calls)),
    ):
        with pytest.raises(LedgerClosed, match="open a new Ledger"):
            await use

    assert calls.count == 0
    later = place.open()
    assert (await later.effect(key)).state is State.SUCCEEDED
    await place.close()
    await assert_unharmed(Place("memory", "").open())
