"""What a nested effect's handler says of itself says nothing of the effect around it."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from holdfast import Claimed, Ledger, NotDone, Permanent, SyncLedger, ToolCall, Undone
from holdfast.errors import InvalidCall, OutcomeUnknown
from holdfast.stores.memory import MemoryStore
from holdfast.testing import FakeClock, FakeRuntime, ledger_on
from promises.ledgers import CALL, Place

INNER = ToolCall(workflow_id="order-1", tool="inner")
OUTER = ToolCall(workflow_id="order-1", tool="outer")


@pytest.mark.parametrize("url", ["memory://", "sqlite:///:memory:"])
@pytest.mark.parametrize("word", [NotDone, Permanent])
@pytest.mark.parametrize("safety", ["read", "local", "idempotent", "unsafe"])
async def test_i2_the_word_of_a_nested_effect_proves_nothing_of_the_one_around_it(safety, word, url) -> None:
    """I1, I2: the outer handler has acted already; neither a repetition nor "failed" may follow from the inner's."""
    acted: list[str] = []

    def inner() -> None:
        raise word("nothing to be found")

    async with Ledger(url) as ledger:

        async def outer() -> None:
            acted.append("charged")
            await ledger.run(INNER, inner, safety=safety)

        with pytest.raises(word):
            await ledger.run(OUTER, outer)
        with pytest.raises(OutcomeUnknown):
            await ledger.run(OUTER, outer)

    assert acted == ["charged"]


async def test_i2_a_handlers_own_word_counts_although_a_nested_effect_failed_before() -> None:
    acted: list[str] = []

    def inner() -> None:
        raise NotDone("not found")

    async with Ledger("memory://") as ledger:

        async def outer() -> str:
            acted.append("tried")
            try:
                await ledger.run(INNER, inner, safety="read")
            except NotDone:
                if len(acted) == 1:
                    raise NotDone("so nothing was done at all") from None
            return "done"

        with pytest.raises(NotDone):
            await ledger.run(OUTER, outer)
        assert await ledger.run(OUTER, outer) == "done"


@pytest.mark.parametrize("word", [NotDone, Permanent])
@pytest.mark.parametrize("safety", ["read", "local", "idempotent", "unsafe"])
def test_i2_the_word_of_an_effect_in_a_plain_thread_proves_nothing_of_the_one_that_waits_for_it(
    safety, word
) -> None:
    """I1, I2: a pool of threads knows nothing of its caller's surroundings; the error itself remembers."""
    acted: list[str] = []

    def inner() -> None:
        raise word("the mail server is full")

    with SyncLedger("sqlite:///:memory:") as ledger:

        def outer() -> None:
            acted.append("charged")
            with ThreadPoolExecutor() as pool:
                pool.submit(ledger.run, INNER, inner, safety=safety).result()

        with pytest.raises(word):
            ledger.run(OUTER, outer)
        with pytest.raises(OutcomeUnknown):
            ledger.run(OUTER, outer)

    assert acted == ["charged"]


def test_i2_an_error_object_that_is_raised_again_and_again_is_each_effects_own_word() -> None:
    """I2: a constant of an SDK, say: what it told of one effect before does not make it another's."""
    full, acted = NotDone("full"), []

    def does() -> str:
        acted.append("tried")
        if len(acted) < 3:
            raise full
        return "done"

    with SyncLedger("memory://") as ledger:
        with pytest.raises(NotDone):
            ledger.run(INNER, does, retry=False)
        with pytest.raises(NotDone):
            ledger.run(OUTER, does, retry=False)

        assert ledger.run(OUTER, does, retry=False) == "done"


async def test_a_task_that_outlives_its_handler_is_not_held_to_the_handlers_time() -> None:
    """RET-06: the time was the handler's, which ended well within it."""
    clock, go, tasks = FakeClock(), asyncio.Event(), []
    ledger = ledger_on(MemoryStore(clock=clock), FakeRuntime(clock))

    @ledger.tool(name="later")
    async def later() -> str:
        return "done"

    async def afterwards() -> str:
        await go.wait()
        return await later.run("order-2")

    async def start() -> None:
        tasks.append(asyncio.create_task(afterwards()))

    await ledger.run(OUTER, start, timeout=1)
    clock.advance(2)
    go.set()

    assert await tasks[0] == "done"


async def test_a_task_that_outlives_a_compensation_undoes_nothing_any_more() -> None:
    """CMP-03: what it does then is an effect like any other, which may be undone itself."""
    go, tasks = asyncio.Event(), []
    async with Ledger("memory://") as ledger:

        @ledger.tool(name="later")
        async def later() -> str:
            return "done"

        async def afterwards() -> str:
            await go.wait()
            return await later.run("order-1")

        async def unbook(undone: Undone) -> None:
            tasks.append(asyncio.create_task(afterwards()))

        @ledger.tool(name="book", compensate=unbook)
        async def book() -> None: ...

        await book.run("order-1")
        await ledger.compensate("order-1", reason="sold out")
        go.set()
        await tasks[0]

        [effect] = [effect for effect in await ledger.effects() if effect.tool == "later"]
        assert effect.undoes is None


@pytest.mark.parametrize("settles", [False, True], ids=["left", "settled"])
async def test_what_leaves_a_block_inside_a_handler_is_no_word_on_the_handlers_own_effect(
    place: Place, settles: bool
) -> None:
    """I1: the block's effect was not done; the handler had charged before."""
    book, charges = place.open(), list[int]()
    mail = ToolCall(workflow_id="order-123", tool="mail", args={})

    def plain(**_: Any) -> None:
        charges.append(1)
        with book.ledger.begin(mail) as claim:
            left(claim, settles)

    async def coroutine(**_: Any) -> None:
        charges.append(1)
        async with book.ledger.begin(mail) as claim:
            left(claim, settles)

    for _ in range(3):
        with pytest.raises((NotDone, OutcomeUnknown)):
            await book.run(CALL, plain if book.is_sync else coroutine, retry=False)

    assert len(charges) == 1


def left(claim: Any, settles: bool) -> None:
    if isinstance(claim, Claimed) and settles:
        claim.fail(NotDone("the mailer is down"))
    raise NotDone("the mailer is down")


@pytest.mark.parametrize(
    ("said", "state"), [(NotDone, "retryable"), (ValueError, "failed"), ("no", "failed")]
)
async def test_a_class_says_as_much_as_one_of_its_errors(place: Place, said: Any, state: str) -> None:
    """INT-07: of what a block failed with; anything else is refused."""
    book = place.open()

    await book.begin(CALL, lambda claim: claim.fail(said))

    [effect] = await book.effects()
    assert effect.state == state
    with pytest.raises(InvalidCall, match="failed with int"):
        await book.begin(replace(CALL, args={"amount": 1}), lambda claim: claim.fail(5))
