"""What the official SDKs make of the scripted model's answers: all of it, in their own types."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import httpx
import httpx2
import openai
import pytest
from pydantic import BaseModel

from holdfast.testing import FakeClock, ModelServer, ScriptedModel
from holdfast.testing.model import Api, Call, call, filtered, refuses, says
from testing.model_clients import PLAIN, TASK, WAYS, Way

FINISHES = {
    "stop": {Api.CHAT: "stop", Api.RESPONSES: "completed", Api.MESSAGES: "end_turn"},
    "calls": {Api.CHAT: "tool_calls", Api.RESPONSES: "completed", Api.MESSAGES: "tool_use"},
    "length": {Api.CHAT: "length", Api.RESPONSES: "max_output_tokens", Api.MESSAGES: "max_tokens"},
    "refused": {Api.CHAT: "stop", Api.RESPONSES: "completed", Api.MESSAGES: "refusal"},
    "filtered": {Api.CHAT: "content_filter", Api.RESPONSES: "content_filter", Api.MESSAGES: "refusal"},
}
PREFIXES = {Api.CHAT: "chatcmpl-", Api.RESPONSES: "resp_", Api.MESSAGES: "msg_"}
LIMITS = {Api.CHAT: "max_completion_tokens", Api.RESPONSES: "max_output_tokens", Api.MESSAGES: "max_tokens"}
BIG = 2**60 + 1
CHAT, CLAUDE = PLAIN[0], PLAIN[-2]
EVERYTHING = says(
    "Es kostet 100 €. ",
    "Moment.",
    call("charge", amount=BIG, note='"quoted" \\ → 日本'),
    call("look_up"),
    reasoning="The order is open.",
    usage={"input_tokens": 1000, "cached_tokens": 900},
)

each_way = pytest.mark.parametrize("way", WAYS, ids=str)
plain_ways = pytest.mark.parametrize("way", PLAIN, ids=str)


def serve(*lines: Any, **options: Any) -> ModelServer:
    return ModelServer(*lines, clock=FakeClock(), **options)


@each_way
def test_an_sdk_hears_text_thoughts_calls_and_what_it_cost(way: Way) -> None:
    """TST-03: to the letter, numbers above 2**53 included."""
    with serve(EVERYTHING) as server:
        heard = way.ask(server)

    assert heard.text == "Es kostet 100 €. Moment."
    assert [(tool, args) for _, tool, args in heard.calls] == [
        ("charge", {"amount": BIG, "note": '"quoted" \\ → 日本'}),
        ("look_up", {}),
    ]
    assert heard.reasoning == ("" if way.api is Api.CHAT else "The order is open.")
    assert heard.finish == FINISHES["calls"][way.api]
    assert heard.id.startswith(PREFIXES[way.api])
    # 5 of reasoning, 6 of text; names and arguments: 2 and 16, 2 and 1.
    assert heard.usage == (1000, 32, 900, 5)


@each_way
def test_the_same_line_again_has_another_id_for_the_answer_and_for_each_call(way: Way) -> None:
    """TST-03: as with any real model; who takes the id for the identity charges twice."""
    with serve(then=call("charge", amount=100)) as server:
        first, second = way.ask(server), way.ask(server)

    ids = {first.id, second.id, first.calls[0][0], second.calls[0][0]}
    prefix = "toolu_" if way.is_anthropic else "call_"
    assert len(ids) == 4
    assert all(one.calls[0][0].startswith(prefix) for one in (first, second))


@each_way
def test_a_plain_text_ends_naturally(way: Way) -> None:
    with serve("Done.") as server:
        heard = way.ask(server)

    assert (heard.text, heard.calls, heard.finish) == ("Done.", [], FINISHES["stop"][way.api])


@each_way
@pytest.mark.parametrize(("most", "text"), [(1, "Once"), (3, "Once upon a"), (100, "Once upon a time.")])
def test_an_answer_is_no_longer_than_max_tokens(way: Way, most: int, text: str) -> None:
    """TST-03: it is cut off, and says so."""
    with serve("Once upon a time.") as server:
        heard = way.ask(server, **{LIMITS[way.api]: most})

    assert heard.text.rstrip() == text
    assert heard.finish == FINISHES["stop" if most == 100 else "length"][way.api]
    assert heard.usage is not None
    assert heard.usage[1] == min(most, 5)


@each_way
def test_arguments_are_cut_off_at_max_tokens_like_any_other_text(way: Way) -> None:
    """TST-03: what is no JSON yet reaches OpenAI's client as it is, and Anthropic's as far as it can be read."""
    with serve(says(call("charge", amount=100, note="x" * 100))) as server:
        heard = way.ask(server, **{LIMITS[way.api]: 6})

    [(_, tool, arguments)] = heard.calls
    cut = '{"amount": 100, '
    expected: Any = cut
    if way.is_anthropic:
        expected = {"amount": 100} if way.streams else {}
    assert (tool, arguments) == ("charge", expected)
    assert heard.finish == FINISHES["length"][way.api]


@each_way
def test_thinking_uses_up_max_tokens_as_well(way: Way) -> None:
    with serve(says("Yes.", usage={"reasoning_tokens": 500})) as server:
        heard = way.ask(server, **{LIMITS[way.api]: 100})

    assert (heard.text, heard.finish) == ("", FINISHES["length"][way.api])
    assert heard.usage is not None
    assert heard.usage[1] == 100


@each_way
def test_a_refusal_is_said_as_the_provider_says_it(way: Way) -> None:
    with serve(refuses("I will not.")) as server:
        heard = way.ask(server)

    assert (heard.refusal or heard.text) == "I will not."
    assert bool(heard.refusal) is not way.is_anthropic
    assert heard.finish == FINISHES["refused"][way.api]


@each_way
def test_what_a_filter_withheld_is_told(way: Way) -> None:
    with serve(filtered("I beg")) as server:
        heard = way.ask(server)

    assert (heard.text, heard.finish) == ("I beg", FINISHES["filtered"][way.api])


@pytest.mark.parametrize("way", [way for way in WAYS if way.api is not Api.RESPONSES], ids=str)
def test_an_answer_ends_before_a_stop_sequence(way: Way) -> None:
    with serve(says("One\nTwo\nThree", call("charge"))) as server:
        heard = way.ask(server, **{"stop_sequences" if way.is_anthropic else "stop": ["\nThree", "\nTwo"]})

    assert (heard.text, heard.calls) == ("One", [])
    assert heard.finish == ("stop_sequence" if way.is_anthropic else "stop")


@pytest.mark.parametrize("way", [way for way in WAYS if not way.is_anthropic], ids=str)
def test_a_provider_may_report_no_usage(way: Way) -> None:
    """Whoever counts money takes that for unknown, not for nothing."""
    with serve(says("Yes.", usage=None)) as server:
        heard = way.ask(server)

    assert heard.usage is None


@pytest.mark.parametrize("way", [way for way in WAYS if way.api is Api.CHAT and way.streams], ids=str)
def test_the_usage_of_a_chat_stream_comes_only_if_it_is_asked_for(way: Way) -> None:
    with serve(then="Yes.") as server, closing(CHAT.client(server)) as sdk:
        asked: Any = {"model": "m", "messages": TASK, "stream": True}
        without = list(sdk.chat.completions.create(**asked))
        chunks = list(sdk.chat.completions.create(**asked, stream_options={"include_usage": True}))

    assert [chunk.usage for chunk in without] == [None] * len(without)
    assert [chunk.choices == [] for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    assert chunks[-1].usage is not None


@each_way
def test_results_come_back_to_the_script(way: Way) -> None:
    """TST-03: it sees what the tool returned, and can go by it."""
    with serve(call("charge", amount=100), lambda request: f"So it is: {request.results[0]}") as server:
        first = way.ask(server)
        heard = way.ask(server, answered(way, first.calls[0][0], '{"id": "ch_1"}'))
        one, two = server.asked

    assert heard.text == 'So it is: {"id": "ch_1"}'
    assert (one.question, one.results, one.turns) == ("Charge order 7.", (), 0)
    assert (two.question, two.results, two.turns) == ("Charge order 7.", ('{"id": "ch_1"}',), 1)
    assert one.tools == two.tools == ("charge",)


def answered(way: Way, call_id: str, result: str) -> list[Any]:
    """The conversation after one call and its result, in the provider's form."""
    arguments = '{"amount": 100}'
    match way.api:
        case Api.CHAT:
            function = {"name": "charge", "arguments": arguments}
            made: Any = {
                "role": "assistant",
                "tool_calls": [{"id": call_id, "type": "function", "function": function}],
            }
            return [*TASK, made, {"role": "tool", "tool_call_id": call_id, "content": result}]
        case Api.RESPONSES:
            made = {"type": "function_call", "call_id": call_id, "name": "charge", "arguments": arguments}
            return [*TASK, made, {"type": "function_call_output", "call_id": call_id, "output": result}]
        case _:
            use = {"type": "tool_use", "id": call_id, "name": "charge", "input": {"amount": 100}}
            told = {"type": "tool_result", "tool_use_id": call_id, "content": result}
            return [*TASK, {"role": "assistant", "content": [use]}, {"role": "user", "content": [told]}]


@pytest.mark.parametrize("kind", ["chat", "responses", "messages"])
def test_every_object_and_event_is_whole_by_the_sdks_own_types(kind: str) -> None:
    """TST-03: SDKs let pass what lacks a field; their types say which there are."""
    with serve(then=EVERYTHING) as server:
        for seen in raw(server, kind):
            again = type(seen).model_validate(json.loads(seen.to_json()))
            assert again.to_dict() == seen.to_dict()


def raw(server: ModelServer, kind: str) -> Iterator[BaseModel | Any]:
    """An answer, and every event of a stream, as the SDK parsed them."""
    asked: Any = {"model": "m"}
    if kind == "messages":
        with closing(CLAUDE.client(server)) as claude:
            asked |= {"messages": TASK, "max_tokens": 1000}
            yield claude.messages.create(**asked)
            yield from claude.messages.create(**asked, stream=True)
            yield from claude.models.list().data
            yield claude.messages.count_tokens(model="m", messages=asked["messages"])
        return
    with closing(CHAT.client(server)) as sdk:
        if kind == "chat":
            asked |= {"messages": TASK}
            yield sdk.chat.completions.create(**asked)
            options = {"include_usage": True}
            yield from sdk.chat.completions.create(**asked, stream=True, stream_options=options)
            yield from sdk.models.list().data
        else:
            asked |= {"input": "Charge.", "include": ["reasoning.encrypted_content"]}
            yield sdk.responses.create(**asked)
            yield from sdk.responses.create(**asked, stream=True)


def test_tokens_are_counted_before_as_they_are_afterwards() -> None:
    with (
        serve("Yes.") as server,
        closing(CLAUDE.client(server)) as sdk,
    ):
        asked: Any = {"model": "m", "system": "Be brief.", "messages": TASK}
        counted = sdk.messages.count_tokens(**asked)
        answer = sdk.messages.create(**asked, max_tokens=10)

    assert counted.input_tokens == answer.usage.input_tokens > 0
    assert len(server.asked) == 1  # to count is not to ask


def test_cached_and_written_tokens_are_beside_anthropics_input_and_within_openais() -> None:
    usage: Any = {"input_tokens": 1000, "cached_tokens": 600, "cache_write_tokens": 300}
    with serve(then=says("Yes.", usage=usage)) as server:
        with closing(CLAUDE.client(server)) as claude:
            messages: Any = TASK
            theirs = claude.messages.create(model="m", messages=messages, max_tokens=10).usage
        with closing(CHAT.client(server)) as sdk:
            ours = sdk.responses.create(model="m", input="Hi.").usage

    counts = (theirs.input_tokens, theirs.cache_read_input_tokens, theirs.cache_creation_input_tokens)
    assert counts == (100, 600, 300)
    assert ours is not None
    assert (ours.input_tokens, ours.input_tokens_details.cached_tokens) == (1000, 600)


def test_a_response_goes_on_from_the_one_before() -> None:
    """TST-03: with the items that it had, a call among them."""
    with serve(call("charge", amount=100), "Charged.") as server:
        with closing(CHAT.client(server)) as sdk:
            first = sdk.responses.create(model="m", input="Charge order 7.")
            [made] = first.output
            assert made.type == "function_call"
            result: Any = {"type": "function_call_output", "call_id": made.call_id, "output": "ok"}
            second = sdk.responses.create(model="m", input=[result], previous_response_id=first.id)
            read = sdk.responses.retrieve(first.id)
            with pytest.raises(openai.BadRequestError, match="resp_0"):
                sdk.responses.create(model="m", input="And?", previous_response_id="resp_0")
        [_, two] = server.asked

    assert (second.output_text, second.previous_response_id) == ("Charged.", first.id)
    assert (two.question, two.results, two.turns) == ("Charge order 7.", ("ok",), 1)
    assert read.output == first.output


def test_both_sdks_find_their_models() -> None:
    with serve(models=["gpt-x", "claude-y"]) as server:
        with closing(CHAT.client(server)) as sdk:
            ours = [model.id for model in sdk.models.list()], sdk.models.retrieve("gpt-x").id
        with closing(CLAUDE.client(server)) as claude:
            theirs = [model.id for model in claude.models.list()], claude.models.retrieve("claude-y").id

    assert ours == (["gpt-x", "claude-y"], "gpt-x")
    assert theirs == (["gpt-x", "claude-y"], "claude-y")


@each_way
def test_nobody_but_the_loopback_is_asked(way: Way) -> None:
    """TST-03: the SDKs' own HTTP client keeps every address that it is sent to."""
    hosts: list[str] = []

    def keep(request: Any) -> None:
        hosts.append(request.url.host)

    async def keep_async(request: Any) -> None:
        keep(request)

    with serve("Yes.") as server:
        if way.is_async:
            http: Any = httpx2.AsyncClient(event_hooks={"request": [keep_async]}, trust_env=False)
        else:
            http = httpx2.Client(event_hooks={"request": [keep]}, trust_env=False)
        way.ask(server, client={"http_client": http})

    assert hosts == ["127.0.0.1"]


def test_any_http_client_may_ask() -> None:
    with serve(call("charge", amount=100)) as server:
        body = {"model": "m", "messages": TASK}
        key = {"Idempotency-Key": "k1", "Authorization": "Bearer secret"}
        answer = httpx.post(f"{server.openai_url}/chat/completions", json=body, headers=key, trust_env=False)
        [asked] = server.asked

    made = answer.json()["choices"][0]["message"]["tool_calls"][0]["function"]
    assert made == {"name": "charge", "arguments": '{"amount": 100}'}
    assert (asked.key, json.loads(asked.text), asked.body) == ("k1", body, body)
    assert "secret" not in str(asked)  # I8
    assert server.log[0].key == "k1"


@plain_ways
def test_a_request_is_kept_to_the_letter(way: Way) -> None:
    with serve("Yes.") as server:
        way.ask(server, messages=[{"role": "user", "content": "日本 →"}])
        [asked] = server.asked

    assert json.loads(asked.text) == asked.body
    assert asked.question == "日本 →"
    assert (asked.api, asked.model, asked.streams) == (way.api, "m", False)


@each_way
def test_the_same_script_and_seed_answer_the_same(way: Way) -> None:
    """TST-03: ids included; another seed has others."""

    def ids(seed: int) -> list[str]:
        with serve(call("charge"), "Done.", seed=seed) as server:
            heard = [way.ask(server), way.ask(server)]
        return [heard[0].id, heard[0].calls[0][0], heard[1].id]

    assert ids(7) == ids(7)
    assert not set(ids(7)) & set(ids(8))


@plain_ways
def test_arguments_that_are_broken_reach_whoever_reads_them(way: Way) -> None:
    with serve(Call("charge", '{"amount": 1')) as server:
        heard = way.ask(server)

    assert heard.calls[0][2] == ({} if way.is_anthropic else '{"amount": 1')


def test_one_model_may_speak_on_two_servers() -> None:
    model = ScriptedModel("One.", "Two.")
    with serve(model) as first, serve(model) as second:
        texts = [PLAIN[0].ask(first).text, PLAIN[0].ask(second).text]

    assert texts == ["One.", "Two."]
    assert (model.count, model.left) == (2, 0)
