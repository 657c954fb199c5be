"""Streams that go wrong, and streams that are only odd: what the official SDKs make of them."""

from __future__ import annotations

import asyncio
from contextlib import closing
from typing import Any

import anthropic
import httpx2
import openai
import pytest

from holdfast.testing import FakeClock, ModelServer
from holdfast.testing.model import Api, Failure, Streaming, call, fails, overloaded, says
from testing.model_clients import STREAMS, TASK, Way

TEXT = "Es kostet 100 € und 日本 dazu."
BROKEN = (openai.APIConnectionError, anthropic.APIConnectionError, httpx2.RemoteProtocolError)
SYNC = [way for way in STREAMS if not way.is_async]
CHAT, RESPONSES, CLAUDE = SYNC

each_stream = pytest.mark.parametrize("way", STREAMS, ids=str)
sync_streams = pytest.mark.parametrize("way", SYNC, ids=str)


def serve(*lines: Any, **options: Any) -> ModelServer:
    return ModelServer(*lines, clock=FakeClock(), **options)


def cut(**how: Any) -> Any:
    return says(TEXT, call("charge", amount=100), stream=Streaming(**how))


@each_stream
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_deltas_of_any_size_are_the_same_answer(way: Way, size: int) -> None:
    with serve(cut(size=size)) as server:
        heard = way.ask(server)

    assert (heard.text, heard.calls[0][2]) == (TEXT, {"amount": 100})


@each_stream
@pytest.mark.parametrize("chunk_bytes", [1, 3, 64])
def test_chunks_may_cut_through_lines_and_through_characters(way: Way, chunk_bytes: int) -> None:
    """TST-03: proxies cut where they like."""
    with serve(cut(chunk_bytes=chunk_bytes)) as server:
        heard = way.ask(server)

    assert (heard.text, heard.calls[0][2]) == (TEXT, {"amount": 100})


@each_stream
def test_what_no_client_knows_changes_nothing(way: Way) -> None:
    """TST-03: comments, empty deltas, chunks without a choice, pings, and events of tomorrow."""
    with serve(cut(odd=True), cut()) as server:
        odd, even = way.ask(server), way.ask(server)

    assert (odd.text, odd.calls[0][1:], odd.finish) == (even.text, even.calls[0][1:], even.finish)
    if way.api is not Api.CHAT:  # what says nothing in a chat stream is not told at all
        assert len(odd.events) > len(even.events)


@each_stream
def test_deltas_that_come_twice_are_heard_twice(way: Way) -> None:
    """No SDK removes them: who puts a text together from deltas has to know."""
    with serve(says("Yes.", stream=Streaming(repeats=True))) as server:
        heard = way.ask(server)
        deltas = [event.delta for event in heard.events if "text.delta" in getattr(event, "type", "")]

    assert "".join(deltas) == "Yes.Yes." if way.api is Api.RESPONSES else heard.text == "Yes.Yes."


@each_stream
@pytest.mark.parametrize("after", [0, 1, 4])
def test_a_stream_that_breaks_is_an_error_and_not_the_end_of_the_answer(way: Way, after: int) -> None:
    """TST-03: whatever had come of it; and the connection is of no use any more."""
    with serve(cut(ends_after=after), "Yes.") as server:
        with pytest.raises(BROKEN):
            way.ask(server)
        heard = way.ask(server)

    assert heard.text == "Yes."
    assert len(server.asked) == 2


@sync_streams
def test_what_had_come_before_a_stream_broke_was_heard(way: Way) -> None:
    """TST-03: half a text, that no SDK takes back."""
    heard: list[str] = []
    with serve(cut(size=4, ends_after=6)) as server, closing(way.client(server)) as sdk:
        stream = texts(way, sdk)
        with pytest.raises(BROKEN):
            heard.extend(stream)

    assert heard
    assert TEXT.startswith("".join(heard))
    assert len("".join(heard)) < len(TEXT)


def texts(way: Way, sdk: Any) -> Any:
    """The deltas of text, as the SDK brings them."""
    match way.api:
        case Api.CHAT:
            chunks = sdk.chat.completions.create(model="m", messages=TASK, stream=True)
            return (chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        case Api.RESPONSES:
            events = sdk.responses.create(model="m", input="Hi.", stream=True)
            return (event.delta for event in events if event.type == "response.output_text.delta")
        case _:
            events = sdk.messages.create(model="m", messages=TASK, max_tokens=99, stream=True)
            return (event.delta.text for event in events if event.type == "content_block_delta")


FAILURES = [overloaded(), fails(500, "Lost it.")]


@pytest.mark.parametrize("way", [way for way in STREAMS if way.api is not Api.RESPONSES], ids=str)
@pytest.mark.parametrize("failure", FAILURES)
def test_an_error_inside_of_a_stream_is_raised(way: Way, failure: Failure) -> None:
    """TST-03: although the status was 200."""
    raised = pytest.raises((openai.APIError, anthropic.APIError))
    with serve(cut(ends_after=4, failure=failure)) as server, raised as error:
        way.ask(server)

    if way.is_anthropic:
        kind = "overloaded_error" if failure.status == 529 else "api_error"
        assert error.value.body["error"]["type"] == kind
    assert failure.message in str(error.value)


@pytest.mark.parametrize("failure", FAILURES)
def test_an_error_inside_of_a_stream_of_responses_is_an_event(failure: Failure) -> None:
    """TST-03: OpenAI's client does not raise it; an agent that looks for texts only takes half for the whole."""
    with serve(cut(ends_after=7, failure=failure)) as server, closing(RESPONSES.client(server)) as sdk:
        events = list(sdk.responses.create(model="m", input="Hi.", stream=True))

    assert [event.type for event in events[-2:]] == ["response.output_text.delta", "error"]
    assert failure.message in events[-1].message


@each_stream
def test_the_fault_half_breaks_a_stream_in_the_middle(way: Way) -> None:
    with serve(cut(), "Yes.") as server:
        server.plan("half")
        with pytest.raises(BROKEN):
            way.ask(server)
        heard = way.ask(server)

    assert heard.text == "Yes."
    assert [entry.committed for entry in server.log] == [True, True]


@each_stream
def test_a_slow_stream_arrives(way: Way) -> None:
    with serve(cut()) as server:
        server.plan("drip:0.05")
        heard = way.ask(server)

    assert heard.text == TEXT


def test_a_client_that_leaves_in_the_middle_of_a_stream_harms_nobody() -> None:
    """TST-03: the next one is answered."""
    long = says("x" * 1_000_000, stream=Streaming(size=1000))
    with serve(long, "Yes.") as server:
        with closing(CHAT.client(server)) as sdk:
            stream = sdk.chat.completions.create(model="m", messages=TASK, stream=True)
            next(iter(stream))
            stream.close()
        heard = CHAT.ask(server)

    assert heard.text == "Yes."


async def test_many_streams_at_once_do_not_mix() -> None:
    """TST-03: each conversation hears what belongs to it."""

    def echo(request: Any) -> str:
        return f"{request.question} " * 50

    way = STREAMS[1]
    with serve(then=echo) as server:
        async with way.client(server) as sdk:

            async def ask(word: str) -> str:
                asked = [{"role": "user", "content": word}]
                async with sdk.chat.completions.stream(model="m", messages=asked) as stream:
                    await stream.until_done()
                    return str(stream.current_completion_snapshot.choices[0].message.content)

            words = [f"word{n}" for n in range(20)]
            answers = await asyncio.gather(*map(ask, words))

    assert answers == [f"{word} " * 50 for word in words]
    assert sorted(one.number for one in server.asked) == list(range(1, 21))
