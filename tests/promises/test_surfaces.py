"""INT-03, INT-06, INT-07, INT-08 and INT-11: the ways in, each of which leaves the same record."""

from __future__ import annotations

import asyncio
import dataclasses
import difflib
import functools
import inspect
import threading
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from holdfast import Done, Ledger, Permanent, State, SyncLedger, ToolCall
from holdfast.errors import EffectNotFound
from promises.ledgers import CALL, Book, Calls, Place

pytestmark = pytest.mark.kinds("memory", "sqlite", "sync-sqlite", "postgres")

UNGUARDED = """
def charge(amount):
    with open("charges", "a") as book:
        book.write(f"{amount}\\n")
    return {"charged": amount}

print(charge(amount=100))
"""

GUARDED = """
from holdfast import SyncLedger, ToolCall
ledger = SyncLedger("sqlite:///agent.db")
def charge(amount):
    with open("charges", "a") as book:
        book.write(f"{amount}\\n")
    return {"charged": amount}

print(ledger.run(ToolCall(workflow_id="order-123", tool="charge", args={"amount": 100}), handler=charge))
"""


def test_guarding_a_call_takes_three_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """INT-03: the handler itself is unchanged, and the program prints the same."""
    diff = list(difflib.ndiff(UNGUARDED.splitlines(), GUARDED.splitlines()))
    monkeypatch.chdir(tmp_path)
    shown: list[str] = []
    for program, times in ((UNGUARDED, 1), (GUARDED, 2)):
        for _ in range(times):
            names: dict[str, Any] = {}
            exec(program, names)
            if "ledger" in names:
                names["ledger"].close()
            shown.append(capsys.readouterr().out)

    assert sum(line.startswith("+ ") for line in diff) <= 3
    assert shown == ["{'charged': 100}\n"] * 3
    assert (tmp_path / "charges").read_text() == "100\n" * 2


def plain(n: int) -> list[int]:
    return [n, n + 1]


def stream(n: int) -> Iterator[int]:
    yield from (n, n + 1)


async def coroutine(n: int) -> list[int]:
    await asyncio.sleep(0)
    return [n, n + 1]


async def stream_async(n: int) -> AsyncIterator[int]:
    yield n
    await asyncio.sleep(0)
    yield n + 1


class Callable:
    def __call__(self, n: int) -> list[int]:
        return [n, n + 1]

    def method(self, n: int) -> list[int]:
        return [n, n + 1]

    @staticmethod
    def static(n: int) -> list[int]:
        return [n, n + 1]


BLOCKING = {
    "plain": plain,
    "generator": stream,
    "lambda": lambda n: [n, n + 1],
    "partial": functools.partial(lambda n, step: [n, n + step], step=1),
    "callable": Callable(),
    "method": Callable().method,
    "static": Callable.static,
    "any-arguments": lambda **args: [args["n"], args["n"] + 1],
}
ASYNC = {
    "coroutine": coroutine,
    "async-generator": stream_async,
    "async-partial": functools.partial(coroutine),
}
FORMS = [
    *(
        pytest.param(kind, form, id=f"{kind}-{name}")
        for kind in ("memory", "sync-memory")
        for name, form in BLOCKING.items()
    ),
    *(pytest.param("memory", form, id=f"memory-{name}") for name, form in ASYNC.items()),
]


@pytest.mark.parametrize(("kind", "form"), FORMS)
async def test_every_form_of_handler_is_guarded_alike(kind: str, form: Any) -> None:
    """INT-06: plain and async, threads and streams; the items of a stream are its result."""
    place = Place(kind, "")
    book = place.open()
    call = ToolCall(workflow_id="w", tool="t", args={"n": 1})

    first = await book.call(call, handler=form)
    again = await book.call(call, handler=form)
    [effect] = await book.effects()
    await place.close()

    assert first.result == again.result == effect.result == [1, 2]
    assert (first.replayed, again.replayed) == (False, True)


@pytest.mark.kinds("memory", "sqlite", "postgres")
async def test_a_plain_handler_under_asyncio_does_not_block_the_event_loop(place: Place) -> None:
    """INT-06: it runs in a thread, with the caller's context variables."""
    book, released = place.open(), threading.Event()
    asyncio.get_running_loop().call_soon(released.set)

    def waits_for_the_loop() -> str:
        assert released.wait(30)
        return threading.current_thread().name

    name = await book.run(ToolCall(workflow_id="w", tool="t"), handler=waits_for_the_loop)

    assert name != threading.main_thread().name


@pytest.mark.kinds("sync-memory", "sync-sqlite", "sync-postgres")
async def test_the_sync_ledger_works_inside_a_running_event_loop(place: Place) -> None:
    """INT-06: as in a notebook, or in a plain tool of an async agent."""
    ledger = place.open().ledger
    assert asyncio.get_running_loop().is_running()

    assert ledger.run(CALL, handler=Calls("ok").charge) == "ok"


async def test_the_decorator_begin_and_run_leave_equal_records(place: Place) -> None:
    """INT-07."""
    records = []
    for form in ("run", "tool", "begin"):
        book, calls = place.open(), Calls({"id": 1})
        call = ToolCall(workflow_id=form, tool="charge", args={"amount": 1})
        if form == "run":
            await book.run(call, handler=book.handler(calls.charge), intent="pay")
        elif form == "tool":
            await book.tool(calls.charge, name="charge", intent="pay")(form, amount=1)
        else:
            await book.begin(call, lambda claim: claim.succeed({"id": 1}), intent="pay")
        [effect] = await book.effects(workflow_id=form)
        events = [(entry.event, entry.state) for entry in await book.audit(effect.key)]
        same = dataclasses.asdict(effect)
        for name in ("key", "workflow_id", "lease_until", "created_at", "updated_at", "observed_at"):
            del same[name]
        records.append((same, events))

    assert records[0] == records[1] == records[2]


SAID = {
    "done": (lambda claim: claim.succeed(1), State.SUCCEEDED),
    "not-done": (lambda claim: claim.fail(Permanent("no")), State.FAILED),
    "in-words": (lambda claim: claim.fail("no such account"), State.FAILED),
    "doubt": (lambda claim: claim.doubt("the line went dead"), State.UNKNOWN),
    "nothing": (lambda claim: None, State.UNKNOWN),
}


@pytest.mark.parametrize(("say", "state"), SAID.values(), ids=SAID.keys())
async def test_what_a_claim_is_told_is_what_is_recorded_and_silence_is_doubt(
    book: Book, say: Any, state: State
) -> None:
    """INT-07."""
    claim = await book.begin(CALL, say)

    assert (await book.effect(claim.key)).state is state


@pytest.mark.kinds("memory", "sqlite", "postgres")
async def test_a_claim_may_be_left_in_another_context_than_it_was_entered_in(place: Place) -> None:
    """INT-07: as frameworks do that run the two halves of a ``yield`` in two tasks."""
    book = place.open()
    beginning = book.ledger.begin(CALL)

    claim = await asyncio.create_task(beginning.__aenter__())
    claim.succeed("ok")
    await asyncio.create_task(beginning.__aexit__(None, None, None))

    assert (await book.effect(claim.key)).state is State.SUCCEEDED


async def test_effects_are_found_by_key_workflow_tool_intent_state_and_time(book: Book) -> None:
    """INT-08."""
    keys = {}
    for n, (workflow_id, tool) in enumerate([("w1", "a"), ("w1", "b"), ("w2", "a")]):
        call = ToolCall(workflow_id=workflow_id, tool=tool, args={"n": n})
        options = {"intent": "pay"} if n == 2 else {}
        keys[n] = (await book.call(call, handler=book.handler(Calls(n)), **options)).key
    with pytest.raises(ConnectionError):
        await book.run(ToolCall(workflow_id="w3", tool="c"), handler=book.handler(lose))
    [doubt] = await book.effects(state="unknown")

    async def found(**wanted: Any) -> list[str]:
        return [effect.key for effect in await book.effects(**wanted)]

    assert (await book.effect(keys[0])).key == keys[0]
    assert await found(workflow_id="w1") == [keys[1], keys[0]]  # newest first
    assert await found(tool="a") == [keys[2], keys[0]]
    assert await found(intent="pay") == [keys[2]]
    assert await found(state="succeeded") == [keys[2], keys[1], keys[0]]
    assert await found(tool="a", workflow_id="w2", state="succeeded") == [keys[2]]
    assert await found(tool="a", workflow_id="w3") == []
    assert await found(limit=2) == [doubt.key, keys[2]]
    assert await found(key_prefix=keys[1][:20]) == [keys[1]]
    assert (
        await found(since="1h") == await found(since=datetime.now(UTC) - timedelta(hours=1)) == await found()
    )
    assert await found(since=datetime.now(UTC) + timedelta(hours=1)) == []
    with pytest.raises(EffectNotFound, match="holdfast effects"):
        await book.effect("v1:" + "0" * 64)


def lose() -> None:
    raise ConnectionResetError("peer went away")


async def bare_call(book: Book) -> None:
    assert await book.run(CALL, handler=book.handler(Calls("ok").charge)) == "ok"


async def declared_tool(book: Book) -> None:
    assert await book.tool(Calls("ok").charge, name="charge")("w", amount=1) == "ok"


async def one_turn(book: Book) -> None:
    [receipt] = await book.turn([CALL], handlers={"stripe.charge": book.handler(Calls("ok").charge)})
    assert receipt.result == "ok"


async def fine_control(book: Book) -> None:
    await book.begin(CALL, lambda claim: claim.succeed("ok"))
    assert await book.run(CALL, handler=book.handler(Calls("no").charge)) == "ok"


async def evidence(book: Book) -> None:
    await book.begin(CALL, lambda claim: claim.doubt("?"))
    [doubt] = await book.effects(state="unknown")
    assert (await book.reconcile(doubt.key, lambda effect: Done("ok"))).result == "ok"


async def a_persons_word(book: Book) -> None:
    await book.begin(CALL, lambda claim: claim.doubt("?"))
    [doubt] = await book.effects(state="unknown")
    assert (await book.resolve(doubt.key, Done("ok"), by="ann", reason="seen")).result == "ok"


async def audit_trail(book: Book) -> None:
    receipt = await book.call(CALL, handler=book.handler(Calls("ok").charge))
    assert (await book.audit(receipt.key))[-1].hash == receipt.audit_hash
    assert (await book.verify()).ok


async def retention(book: Book) -> None:
    assert (await book.reap(older_than="72h")).removed == 0


@pytest.mark.parametrize(
    "capability",
    [bare_call, declared_tool, one_turn, fine_control, evidence, a_persons_word, audit_trail, retention],
)
async def test_each_capability_works_with_the_others_left_off(book: Book, capability: Any) -> None:
    """INT-11: none needs another one first."""
    await capability(book)


def test_both_faces_have_the_same_methods_with_the_same_parameters() -> None:
    """INT-06: whoever knows one knows the other."""
    faces = [
        {
            name: [(p.name, p.kind, p.default) for p in inspect.signature(member).parameters.values()]
            for name, member in vars(face).items()
            if callable(member) and not name.startswith("__")
        }
        for face in (Ledger, SyncLedger)
    ]

    assert faces[0] == faces[1]
