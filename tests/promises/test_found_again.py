"""IDE-15, IDE-16: with the ready-made reconcilers, a ledger finds what a lost answer hid, and repeats nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from holdfast import Effect, Ledger, Settings, State, SyncLedger, ToolCall
from holdfast.errors import OutcomeUnknown
from holdfast.reconcilers import by_key, by_reading, by_search, first_of
from promises.ledgers import PATIENCE_S, Book

CALL = ToolCall(workflow_id="order-123", tool="ticket.open", args={"title": "Refund", "amount": 100})
AT_ONCE = Settings(reconcile_skew=1e-6)
"""For promises about "not done": it counts as soon as the handler has ended."""


@dataclass
class Provider:
    """The other side: it keeps what arrives, its answers get lost, and it may be away or late.

    Attributes:
        arrived: What is there.
        is_taking: Whether requests arrive at all.
        is_away: Whether it can be asked.
        is_behind: Whether its answers to questions miss what has arrived.
    """

    arrived: list[dict[str, Any]] = field(default_factory=list)
    is_taking: bool = True
    is_away: bool = False
    is_behind: bool = False

    def open_ticket(self, title: str, amount: int, effect: Effect) -> Any:
        """A handler: the answer is lost, whether the request arrived or not."""
        if self.is_taking:
            self.arrived.append(
                {"id": 1 + len(self.arrived), "title": title, "key": effect.idem_key, "amount": amount}
            )
        raise ConnectionResetError("the answer was lost")

    def tickets(self) -> list[dict[str, Any]]:
        if self.is_away:
            raise ConnectionError("away")
        return [] if self.is_behind else [*self.arrived]

    def by_key(self, idem_key: str) -> list[dict[str, Any]]:
        return [ticket for ticket in self.tickets() if ticket["key"] == idem_key]

    def newest(self, _: Effect) -> dict[str, Any] | None:
        return next(iter(self.tickets()[::-1]), None)


def as_it_is(function: Callable[..., Any]) -> Callable[..., Any]:
    return function


def in_async(function: Callable[..., Any]) -> Callable[..., Any]:
    async def coroutine(given: Any) -> Any:
        await asyncio.sleep(0)
        return function(given)

    return coroutine


@pytest.fixture(params=["async", "async, plain functions", "sync"])
async def book(request: pytest.FixtureRequest) -> AsyncIterator[Book]:
    """A ledger in memory, of either face; under asyncio the reconcilers' functions are async or plain."""
    face = SyncLedger if request.param == "sync" else Ledger
    book = Book(face("sqlite:///:memory:", settings=AT_ONCE))
    book.asked = in_async if request.param == "async" else as_it_is
    yield book
    await book.close(drain=PATIENCE_S)
    book.threads.shutdown()


def shapes(provider: Provider, asked: Any, lag: str | int = 0) -> dict[str, Any]:
    """The same question in each shape."""
    key = by_key(asked(provider.by_key), lag=lag)
    return {
        "by_key": key,
        "by_search": by_search(
            asked(lambda _: provider.tickets()), match={"title": "title", "amount": "amount"}, lag=lag
        ),
        "by_reading": by_reading(
            asked(provider.newest), expect={"title": "title", "amount": "amount"}, lag=lag
        ),
        "first_of": first_of(by_search(asked(lambda _: []), match={"title": "title"}), key),
    }


SHAPES = pytest.mark.parametrize("shape", ["by_key", "by_search", "by_reading", "first_of"])


async def attempt(book: Book, provider: Provider, reconciler: Any) -> Any:
    return await book.run(CALL, handler=provider.open_ticket, reconcile=reconciler, retry=False)


@SHAPES
async def test_what_was_done_is_found_and_returned_and_the_lost_answer_is_never_heard_of(
    book: Book, shape: str
) -> None:
    """IDE-15: unknown, found, succeeded with what the other side has; the handler ran once."""
    provider = Provider()
    reconciler = shapes(provider, book.asked)[shape]

    found = await attempt(book, provider, reconciler)
    again = await attempt(book, provider, reconciler)

    assert found == again == provider.arrived[0]
    assert len(provider.arrived) == 1
    assert [effect.state for effect in await book.effects()] == [State.SUCCEEDED]


@SHAPES
async def test_doubt_outlives_an_outage_and_is_settled_after_it(book: Book, shape: str) -> None:
    """IDE-15, IDE-16: an exception is no evidence, neither way."""
    provider = Provider(is_away=True)
    reconciler = shapes(provider, book.asked)[shape]
    with pytest.raises(ConnectionResetError):
        await attempt(book, provider, reconciler)
    with pytest.raises(OutcomeUnknown):
        await attempt(book, provider, reconciler)
    [doubt] = await book.effects(state="unknown")
    told = (await book.audit(doubt.key))[-1].details

    provider.is_away = False
    found = await attempt(book, provider, reconciler)

    assert told["why"] == "the reconciler raised ConnectionError"
    assert found == provider.arrived[0]
    assert len(provider.arrived) == 1


@SHAPES
async def test_what_never_arrived_is_sent_again(book: Book, shape: str) -> None:
    """IDE-15: not executed, so the next call executes it."""
    provider = Provider(is_taking=False)
    reconciler = shapes(provider, book.asked)[shape]
    with pytest.raises(ConnectionResetError):
        await attempt(book, provider, reconciler)

    provider.is_taking = True
    found = await attempt(book, provider, reconciler)

    assert found == provider.arrived[0]
    assert len(provider.arrived) == 1
    assert (await book.effects())[0].attempt == 2


@SHAPES
async def test_what_is_merely_late_is_not_sent_again(book: Book, shape: str) -> None:
    """IDE-16."""
    provider = Provider(is_behind=True)
    reconciler = shapes(provider, book.asked, lag="1h")[shape]
    with pytest.raises(ConnectionResetError):
        await attempt(book, provider, reconciler)
    with pytest.raises(OutcomeUnknown):
        await attempt(book, provider, reconciler)

    provider.is_behind = False
    found = await attempt(book, provider, reconciler)

    assert found == provider.arrived[0]
    assert len(provider.arrived) == 1


@pytest.mark.parametrize("shape", ["by_key", "by_search"])
async def test_several_hits_are_left_to_a_person(book: Book, shape: str) -> None:
    """IDE-16: zero further attempts, and the workflow is up for review."""
    provider = Provider()
    reconciler = shapes(provider, book.asked)[shape]

    def open_twice(title: str, amount: int, effect: Effect) -> Any:
        with pytest.raises(ConnectionResetError):
            provider.open_ticket(title, amount, effect)
        return provider.open_ticket(title, amount, effect)

    with pytest.raises(ConnectionResetError):
        await book.run(CALL, handler=open_twice, reconcile=reconciler, retry=False)
    with pytest.raises(OutcomeUnknown):
        await attempt(book, provider, reconciler)

    [doubt] = await book.effects(state="unknown")
    told = (await book.audit(doubt.key))[-1].details
    assert told["why"] in {"2 objects carry this key", "2 objects match"}
    assert len(provider.arrived) == 2
    assert (await book.workflow_state("order-123")).status == "needs_review"


async def test_a_value_that_others_may_have_set_is_left_to_a_person(book: Book) -> None:
    """IDE-16: not done, or done and changed since; the note names the place, not the value."""
    provider = Provider()
    reconciler = shapes(provider, book.asked)["by_reading"]
    provider.is_away = True
    with pytest.raises(ConnectionResetError):
        await attempt(book, provider, reconciler)
    provider.is_away = False
    provider.arrived[0]["amount"] = 977

    with pytest.raises(OutcomeUnknown):
        await attempt(book, provider, reconciler)

    [doubt] = await book.effects(state="unknown")
    told = (await book.audit(doubt.key))[-1].details["why"]
    assert told == "amount differs: not done, or done and changed since"
    assert len(provider.arrived) == 1


async def test_nothing_found_counts_once_its_delay_is_over_since_the_attempt(book: Book) -> None:
    """IDE-15, IDE-16: counted from when the attempt may have acted at the latest, by the reconciler's clock."""
    provider = Provider(is_taking=False)
    ahead: list[Any] = []

    def find(lag: str) -> Any:
        return by_key(book.asked(provider.by_key), lag=lag, clock=lambda: ahead[-1])

    with pytest.raises(ConnectionResetError):
        await attempt(book, provider, None)
    [doubt] = await book.effects()
    acted = (await book.reconcile(doubt.key, lambda effect: ahead.append(effect.attempted_at))).updated_at
    assert doubt.created_at <= ahead[-1] <= acted

    early = await book.reconcile(doubt.key, find("1ms"))
    ahead.append(ahead[-1].replace(year=ahead[-1].year + 1))
    late = await book.reconcile(doubt.key, find("1h"))

    assert early.state is State.UNKNOWN
    assert late.state is State.RETRYABLE
