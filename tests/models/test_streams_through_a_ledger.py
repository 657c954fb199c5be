"""Streams through a ledger come as they are said, and are on record when they end: whole, left, or broken."""

from __future__ import annotations

import asyncio
import threading
from contextlib import nullcontext
from typing import Any

import anthropic
import httpx2
import openai
import pytest

from holdfast import Budget, Ledger, SyncLedger
from holdfast._runtime.drive import run_sync
from holdfast.ports import HoldQuery
from holdfast.prices import PriceBook
from holdfast.testing.model import Api
from models.asking import PATIENCE_S, QUICK, Desk
from models.gated import BREAK, GONE, events, gated
from testing.model_clients import STREAMS, TASK, Way

PRICES = PriceBook(
    {name: {"input": "1", "output": "10"} for name in ("openai/m", "anthropic/m")}, bundled=False
)
BROKEN = (openai.APIConnectionError, anthropic.APIConnectionError, httpx2.RemoteProtocolError)

each_stream = pytest.mark.parametrize("way", STREAMS, ids=str)


def opened(way: Way, sdk: Any) -> Any:
    """A stream, not read yet; of an async client to be awaited."""
    match way.api:
        case Api.CHAT:
            return sdk.chat.completions.create(model="m", messages=TASK, stream=True)
        case Api.RESPONSES:
            return sdk.responses.create(model="m", input="Hi.", stream=True)
        case _:
            return sdk.messages.create(model="m", messages=TASK, max_tokens=99, stream=True)


def reading(way: Way, *, most: int | None = None, after: Any = None) -> Any:
    """What opens a stream and reads it, or *most* of its events, and leaves it then."""

    def act(sdk: Any, ledger: Any) -> list[Any]:
        seen: list[Any] = []
        with opened(way, sdk) as stream:
            for event in stream:
                seen.append(event)
                if after is not None:
                    after(len(seen))
                if len(seen) == most:
                    break
        return seen

    async def act_async(sdk: Any, ledger: Any) -> list[Any]:
        seen: list[Any] = []
        async with await opened(way, sdk) as stream:
            async for event in stream:
                seen.append(event)
                if after is not None:
                    after(len(seen))
                if len(seen) == most:
                    break
        return seen

    return act_async if way.is_async else act


def holds(desk: Desk) -> list[Any]:
    async def read(store: Any) -> list[Any]:
        return list(await store.budgets.holds(HoldQuery(tenant="default")))

    with SyncLedger(desk.store) as ledger:
        return run_sync(read(ledger._engine.parts.store))


def desk_of(way: Way) -> Desk:
    return Desk(way, prices=PRICES, budgets={"tenant": Budget(usd="1")})


@each_stream
def test_events_come_while_the_provider_still_speaks(way: Way) -> None:
    """INT-06: the provider says the second one only after the first was heard."""
    first, *rest = events(way.api)
    heard = threading.Event()

    def after(count: int) -> None:
        heard.set()

    with gated([first, heard, *rest]) as server:
        seen = Desk(way).use(server, reading(way, after=after))

    assert len(seen) > 3


@each_stream
def test_whoever_has_seen_the_end_of_a_stream_finds_it_on_record(way: Way) -> None:
    states: list[str] = []

    def act(sdk: Any, ledger: Any) -> None:
        list(opened(way, sdk))
        states.extend(effect.state for effect in ledger.effects())

    async def act_async(sdk: Any, ledger: Any) -> None:
        async for _ in await opened(way, sdk):
            pass
        states.extend(effect.state for effect in await ledger.effects())

    with gated(events(way.api)) as server:
        Desk(way).use(server, act_async if way.is_async else act)

    assert states == ["succeeded"]


@pytest.mark.parametrize("way", [way for way in STREAMS if way.api is not Api.CHAT], ids=str)
def test_the_last_event_comes_when_the_answer_is_on_record(way: Way) -> None:
    ends = {"response.completed", "message_stop"}
    states: list[str] = []

    def act(sdk: Any, ledger: Any) -> None:
        for event in opened(way, sdk):
            if event.type in ends:
                states.extend(effect.state for effect in ledger.effects())

    async def act_async(sdk: Any, ledger: Any) -> None:
        async for event in await opened(way, sdk):
            if event.type in ends:
                states.extend(effect.state for effect in await ledger.effects())

    with gated(events(way.api)) as server:
        Desk(way).use(server, act_async if way.is_async else act)

    assert states == ["succeeded"]


@each_stream
def test_a_stream_that_is_left_is_on_record_as_far_as_it_came_and_counts_by_its_bound(way: Way) -> None:
    """COS-14: nobody knows what the provider counts for it, so it is not less than it may be."""
    first, second, *_ = events(way.api)
    desk = desk_of(way)
    with gated([first, second, GONE]) as server:
        desk.use(server, reading(way, most=1))
        assert server.gone.wait(PATIENCE_S), "the provider need not speak on"

    [effect] = desk.effects()
    [hold] = holds(desk)
    assert effect.state == "succeeded"
    assert effect.result["is_partial"] is True
    assert effect.result["text"].encode() in {first, first + second}
    assert (hold.state, hold.spent_money) == ("assumed", hold.money)


@each_stream
def test_a_stream_that_is_read_counts_by_its_usage(way: Way) -> None:
    """COS-11."""
    desk = desk_of(way)
    with gated(events(way.api, usage={"input_tokens": 40, "reasoning_tokens": 0})) as server:
        desk.use(server, reading(way))

    [hold] = holds(desk)
    assert (hold.state, hold.spent_money) == ("settled", 40 + 10 * 5)


@each_stream
def test_a_stream_that_breaks_after_its_beginning_was_heard_is_not_begun_again(way: Way) -> None:
    """RET-04: a second answer would come on top of the first; it counts by its bound."""
    first, second, third, *_ = events(way.api)
    desk = desk_of(way)
    seen: list[int] = []
    with gated([first, second, third, BREAK]) as server:
        with pytest.raises(BROKEN) as raised:
            desk.use(server, reading(way, after=seen.append), retry=QUICK)
        requests = server.requests

    assert requests == 1
    assert seen
    if way.api is not Api.MESSAGES:
        assert isinstance(raised.value, openai.APIConnectionError)
    [hold] = holds(desk)
    assert (hold.state, hold.spent_money) == ("assumed", hold.money)
    assert [effect.state for effect in desk.effects()] != ["succeeded"]


@each_stream
def test_a_stream_that_breaks_before_anything_was_heard_is_begun_again(way: Way) -> None:
    """RET-04."""
    desk = Desk(way)
    with gated([BREAK], events(way.api)) as server:
        seen = desk.use(server, reading(way), retry=QUICK)
        requests = server.requests

    assert requests == 2
    assert len(seen) > 3
    assert [effect.state for effect in desk.effects()] == ["succeeded"]


ERRORS = {
    Api.CHAT: b'data: {"error": {"message": "Too much to do.", "type": "server_error", "code": 503}}\n\n',
    Api.RESPONSES: b'event: error\ndata: {"type": "error", "code": "server_error", "message": "Too much to do."}\n\n',
    Api.MESSAGES: b'event: error\ndata: {"type": "error", "error": {"type": "overloaded_error", '
    b'"message": "Too much to do."}}\n\n',
}


@each_stream
def test_an_error_that_a_stream_begins_with_is_a_refusal_like_any_other(way: Way) -> None:
    """RET-06: although the status was 200."""
    desk = Desk(way)
    with gated([ERRORS[way.api]], [ERRORS[way.api]], events(way.api)) as server:
        desk.use(server, reading(way), retry=QUICK)
        assert server.requests == 3
    with gated([ERRORS[way.api]]) as server:
        with pytest.raises((openai.InternalServerError, anthropic.APIStatusError), match="Too much to do"):
            Desk(way).use(server, reading(way), retry=QUICK)
        assert server.requests == 3


@each_stream
def test_an_error_inside_of_a_stream_is_shown_as_it_came_and_nothing_is_asked_again(way: Way) -> None:
    first, *_ = events(way.api)
    desk = desk_of(way)
    seen: list[int] = []
    with gated([first, ERRORS[way.api]]) as server:
        # OpenAI's client makes an event of a response's error.
        raises = way.api is not Api.RESPONSES
        with pytest.raises((openai.APIError, anthropic.APIError)) if raises else nullcontext():
            desk.use(server, reading(way, after=seen.append), retry=QUICK)
        requests = server.requests

    assert requests == 1
    assert seen == ([1] if raises else [1, 2])
    assert [effect.state for effect in desk.effects()] != ["succeeded"]
    [hold] = holds(desk)
    assert hold.state == "assumed"


@each_stream
def test_a_stream_comes_again_from_the_record_as_events(way: Way) -> None:
    """DUR-16: here outside of any workflow, in a conversation that has a name."""
    desk = Desk(way)
    with gated(events(way.api)) as server:
        first = desk.use(server, reading(way), workflow_id="conversation-1")
        again = desk.use(server, reading(way), workflow_id="conversation-1")
        requests = server.requests

    assert requests == 1
    assert again == first


@each_stream
def test_chunks_that_cut_events_anywhere_change_nothing(way: Way) -> None:
    whole = b"".join(events(way.api, text="Es kostet 100 € und 日本 dazu."))
    with gated([whole]) as server:
        expected = Desk(way).use(server, reading(way))
    with gated([whole[at : at + 7] for at in range(0, len(whole), 7)]) as server:
        assert Desk(way).use(server, reading(way)) == expected
    windows = whole.replace(b"\n", b"\r\n")
    with gated([windows[at : at + 5] for at in range(0, len(windows), 5)]) as server:
        assert Desk(way).use(server, reading(way)) == expected


@each_stream
def test_a_provider_that_does_not_stream_although_it_is_asked_to_is_heard(way: Way) -> None:
    desk = Desk(way)
    with gated([b'{"id": "1"}'], content_type="application/json") as server:
        desk.use(server, reading(way))

    [effect] = desk.effects()
    assert effect.result["json"] == {"id": "1"}


async def test_a_caller_that_is_cancelled_before_anything_came_leaves_no_stream_behind() -> None:
    way = next(way for way in STREAMS if way.is_async)
    first, *_ = events(way.api)
    more = threading.Event()
    with gated([more, first, GONE]) as server:
        async with Ledger(Desk(way).store) as ledger, ledger.model(way.client(server)) as sdk:
            asking = asyncio.create_task(opened(way, sdk))
            assert await asyncio.to_thread(server.asked.wait, PATIENCE_S)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            more.set()
            assert await asyncio.to_thread(server.gone.wait, PATIENCE_S)


def test_a_stream_that_nobody_closes_is_read_to_its_end() -> None:
    """So it is known what it cost, and no thread stays."""
    way = STREAMS[0]
    desk = desk_of(way)
    left = threading.Event()
    first, *rest = events(way.api, usage={"input_tokens": 40})

    def act(sdk: Any, ledger: Any) -> Any:
        stream = opened(way, sdk)
        next(iter(stream))
        left.set()
        ledger.close(drain=PATIENCE_S)
        return stream

    with gated([first, left, *rest]) as server:
        desk.use(server, act)

    [hold] = holds(desk)
    assert hold.state == "settled"
