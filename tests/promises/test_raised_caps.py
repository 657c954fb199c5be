"""COS-05: people with the right change caps, once and on record; nothing that a model says does."""

from __future__ import annotations

import asyncio
import pickle
from contextlib import suppress
from typing import Any

import pytest

from holdfast import Budget, Directory, Person, Principal, ToolCall
from holdfast._core.states import State
from holdfast.errors import (
    BudgetExceeded,
    CapConflict,
    CapRefused,
    HoldfastError,
    InvalidCall,
    InvalidTool,
    StoreUnavailable,
)
from holdfast.ledger import Level
from promises.ledgers import DEAD_SOON, Book, Place

TWO = {"workflow": Budget(tool_calls=2)}
PEOPLE = Directory(
    [
        Person(id="ana", roles=frozenset({"budgets"}), agents=frozenset({"anas-bot"})),
        Person(id="ben", roles=frozenset({"approver"})),
        Person(id="robot", roles=frozenset({"budgets"}), is_human=False),
    ]
)
WHERE = ("workflow:w", "tool_calls")


async def use(book: Book, n: int, workflow_id: str = "w") -> Any:
    """Make a call that counts."""
    call = ToolCall(workflow_id=workflow_id, tool="pay", args={"n": n})
    return await book.run(call, book.handler(lambda n: n), safety="idempotent")


async def level(book: Book, account: str = "workflow:w") -> Level:
    [found] = await book.budgets(account=account)
    return found


async def deeds(book: Book) -> list[tuple[str, State, Any]]:
    """What is on record of changes of caps, newest first."""
    found = await book.effects(limit=100)
    return [(each.tool, each.state, each.args) for each in found if "raise_budget" in each.tool]


async def test_a_person_gives_more_and_takes_it_back_and_it_is_in_the_chain(place: Place) -> None:
    """COS-05."""
    book = place.open(budgets=TWO, people=PEOPLE)
    for n in range(2):
        await use(book, n)
    with pytest.raises(BudgetExceeded):
        await use(book, 2)

    raised = await book.raise_budget(*WHERE, by="ana", reason="the batch is larger", add=1)

    assert (raised.cap, raised.raised, raised.left) == (3, 1, 1)
    await use(book, 2)
    with pytest.raises(BudgetExceeded):
        await use(book, 3)
    lowered = await book.raise_budget(*WHERE, by="ana", reason="enough", to=1)
    assert (lowered.cap, lowered.raised, lowered.left) == (1, -1, -2)
    told = await deeds(book)
    assert [(state, args["by"], args["reason"], args["was"], args["raised"]) for _, state, args in told] == [
        (State.SUCCEEDED, "ana", "enough", 1, -1),
        (State.SUCCEEDED, "ana", "the batch is larger", 0, 1),
    ]
    assert (await book.verify()).ok


async def test_money_is_raised_in_units_and_everybodys_budget_too(place: Place) -> None:
    budgets = {"global": Budget(tool_calls=5, per="day"), "tenant": Budget(tool_calls=9)}
    book = place.open(budgets=budgets)
    await use(book, 1)

    raised = await book.raise_budget("global", "tool_calls", per="day", by="ana", reason="a long day", to=8)

    assert (raised.owner, raised.cap) == ("", 8)
    assert (await level(book, "tenant")).cap == 9
    with pytest.raises(InvalidCall, match="there is no budget tenant/usd"):
        await book.raise_budget("tenant", "usd", by="ana", reason="more", add="5.00")


@pytest.mark.parametrize(
    ("by", "why"),
    [
        ("ben", "ben is nobody who may change caps"),
        ("stranger", "stranger is nobody who may change caps"),
        ("robot", "robot is nobody who may change caps"),
        (Principal(id="ana", is_human=False), "a program's word is no person's"),
        (Principal(id="eve", roles=frozenset({"budgets"})), "eve is nobody who may change caps"),
    ],
)
async def test_who_has_not_the_right_changes_nothing_and_that_they_tried_is_on_record(
    place: Place, by: Any, why: str
) -> None:
    """COS-05."""
    book = place.open(budgets=TWO, people=PEOPLE)
    await use(book, 1)

    with pytest.raises(CapRefused, match=why) as refused:
        await book.raise_budget(*WHERE, by=by, reason="please", add=100)

    assert vars(pickle.loads(pickle.dumps(refused.value))) == vars(refused.value)
    assert (await level(book)).cap == 2
    [(_, state, args)] = await deeds(book)
    assert (state, args["add"]) == (State.DENIED, 100)
    assert (await book.verify()).ok


async def test_nobody_raises_what_their_own_agent_may_spend(place: Place) -> None:
    """COS-05."""
    book = place.open(budgets={"agent": Budget(tool_calls=2)}, people=PEOPLE)
    mine = book.scoped(actor="anas-bot")
    await use(mine, 1)

    with pytest.raises(CapRefused, match="nobody changes their own"):
        await book.raise_budget("agent:anas-bot", "tool_calls", by="ana", reason="more", add=1)
    bare = place.open(budgets={"agent": Budget(tool_calls=2)})
    with pytest.raises(CapRefused, match="nobody changes their own"):
        await bare.raise_budget("agent:anas-bot", "tool_calls", by="anas-bot", reason="more", add=1)

    assert (await level(book, "agent:anas-bot")).cap == 2


async def test_a_tool_that_has_the_ledger_in_hand_raises_nothing(place: Place) -> None:
    """COS-05: whoever it says that it speaks for."""
    book = place.open(budgets=TWO, people=PEOPLE)
    await use(book, 1)

    async def grab() -> str:
        try:
            await book.ledger.raise_budget(*WHERE, by="ana", reason="the model said so", add=99)
        except CapRefused as refused:
            return refused.why
        return "raised"

    def grab_sync() -> str:
        try:
            book.ledger.raise_budget(*WHERE, by="ana", reason="the model said so", add=99)
        except CapRefused as refused:
            return refused.why
        return "raised"

    call = ToolCall(workflow_id="other", tool="grab", args={})
    told = await book.run(call, grab_sync if book.is_sync else grab, safety="idempotent")

    assert told == "it was asked for from within a tool, and what agents run speaks for nobody"
    assert (await level(book)).cap == 2
    assert [state for _, state, _ in await deeds(book)] == [State.DENIED]


async def test_refusals_without_end_keep_nobody_from_changing_it(place: Place) -> None:
    book = place.open(budgets=TWO, people=PEOPLE)
    await use(book, 1)
    await book.raise_budget(*WHERE, by="ana", reason="more", add=1)
    for _ in range(60):
        with pytest.raises(CapRefused):
            await book.raise_budget(*WHERE, by="ben", reason="please", add=1)

    assert (await book.raise_budget(*WHERE, by="ana", reason="and more", add=1)).cap == 4


async def test_of_people_who_change_it_at_once_each_is_made_once_or_is_told_what_is_so(place: Place) -> None:
    book = place.open(budgets=TWO)
    await use(book, 1)
    others = [place.open(budgets=TWO) for _ in range(4)]

    async def more(one: Book, who: str) -> bool:
        try:
            await one.raise_budget(*WHERE, by=who, reason="more", add=10)
        except CapConflict as conflict:
            conflicts.append(conflict)
            return False
        return True

    conflicts: list[CapConflict] = []

    made = await asyncio.gather(*(more(one, f"person-{n}") for n, one in enumerate(others * 2)))

    assert sum(made) >= 1
    assert all((told.cap - told.raised, told.raised % 10) == (2, 0) for told in conflicts)
    assert (await level(book)).raised == 10 * sum(made)
    succeeded = [args for _, state, args in await deeds(book) if state is State.SUCCEEDED]
    assert len(succeeded) == sum(made)
    assert (await book.verify()).ok


async def test_a_conflict_says_what_is_so_now(place: Place) -> None:
    error = CapConflict("tenant", "usd", "day", 7, 2)

    assert "tenant/usd per day" in str(error)
    assert "it is 7 now, of which people added 2" in str(error)
    assert vars(pickle.loads(pickle.dumps(error))) == vars(error)
    assert place.open() is not None


class Lost(Exception):
    """The process dies."""


def breaking(book: Book, error: BaseException, *, written: bool, times: int = 1) -> None:
    """Let the next writes of caps break off, before anything was written or after it."""
    store = book.ledger._engine.parts.store
    budgets = store.budgets
    left = [times]
    put_cap = budgets.put_cap

    async def breaks(change: Any) -> Any:
        if left[0] == 0:
            return await put_cap(change)
        left[0] -= 1
        if written:
            await put_cap(change)
        raise error

    budgets.put_cap = breaks


@pytest.mark.parametrize("written", [False, True])
async def test_an_answer_that_is_lost_changes_it_once(place: Place, written: bool) -> None:
    book = place.open(budgets=TWO)
    await use(book, 1)
    breaking(book, StoreUnavailable("write", "the connection broke"), written=written)

    raised = await book.raise_budget(*WHERE, by="ana", reason="more", add=5)

    assert (raised.cap, raised.raised) == (7, 5)


@pytest.mark.parametrize("written", [False, True])
@pytest.mark.parametrize("again", ["the same", "another"])
@pytest.mark.kinds("sqlite", "postgres")
async def test_what_somebody_died_over_is_gone_through_with_once(
    place: Place, written: bool, again: str
) -> None:
    """COS-05: asked for again it is not made twice."""
    settings = DEAD_SOON
    book = place.open(budgets=TWO, settings=settings)
    await use(book, 1)
    dead = place.open(budgets=TWO, settings=settings)
    reached, over = asyncio.Event(), asyncio.Event()
    budgets = dead.ledger._engine.parts.store.budgets
    put_cap = budgets.put_cap

    async def hangs(change: Any) -> Any:
        if written:
            await put_cap(change)
        dead.ledger._engine.parts.heartbeat.close()
        reached.set()
        await over.wait()
        raise Lost

    budgets.put_cap = hangs
    dying = asyncio.ensure_future(dead.raise_budget(*WHERE, by="ana", reason="more", add=5))
    await reached.wait()

    found = await book.raise_budget(*WHERE, by="ana" if again == "the same" else "ben", reason="more", add=5)

    over.set()
    with suppress(Lost, HoldfastError):
        await dying
    assert found.raised == (5 if again == "the same" else 10)
    assert (await book.verify()).ok


@pytest.mark.kinds("memory", "sync-memory")
@pytest.mark.parametrize(
    "odd",
    [
        {"account": "everyone"},
        {"account": 7},
        {"unit": "dollars"},
        {"unit": "USD"},
        {"per": "week"},
        {"add": None},
        {"to": 5},
        {"add": 1.5},
        {"add": True},
        {"add": -3},
        {"add": 2**60},
        {"reason": " "},
        {"by": ""},
    ],
)
async def test_what_cannot_be_meant_changes_nothing(place: Place, odd: dict[str, Any]) -> None:
    book = place.open(budgets=TWO)
    await use(book, 1)
    asked = {"account": "workflow:w", "unit": "tool_calls", "by": "ana", "reason": "more", "add": 1, **odd}

    with pytest.raises((InvalidCall, InvalidTool)) as refused:
        await book.raise_budget(**asked)

    assert isinstance(refused.value, HoldfastError)
    assert (await level(book)).cap == 2
    assert await deeds(book) == []
