"""Usage, from responses as the providers document them: each token once, and nothing zero by silence."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.prices import UnknownUsage, Usage, usage_of, usage_of_stream

CHAT: dict[str, Any] = {
    "object": "chat.completion",
    "model": "gpt-5.4",
    "service_tier": "default",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hi"}}],
    "usage": {
        "prompt_tokens": 2_006,
        "completion_tokens": 300,
        "total_tokens": 2_306,
        "prompt_tokens_details": {"cached_tokens": 1_920, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 192,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    },
}
RESPONSES: dict[str, Any] = {
    "object": "response",
    "status": "completed",
    "service_tier": "flex",
    "output": [
        {"type": "reasoning", "summary": []},
        {"type": "web_search_call", "status": "completed"},
        {"type": "web_search_call", "status": "completed"},
        {"type": "file_search_call", "status": "completed"},
        {"type": "function_call", "name": "pay", "arguments": "{}"},
        {"type": "image_generation_call", "result": "…"},
        {"type": "message", "content": [{"type": "output_text", "text": "Hi"}]},
    ],
    "usage": {
        "input_tokens": 5_000,
        "input_tokens_details": {
            "cached_tokens": 1_000,
            "cache_write_tokens": 3_000,
            "cache_write_tokens_details": {"ttl_12h_tokens": 500, "ttl_30m_tokens": 2_500},
        },
        "output_tokens": 700,
        "output_tokens_details": {"reasoning_tokens": 640},
        "total_tokens": 5_700,
    },
}
MESSAGES: dict[str, Any] = {
    "type": "message",
    "content": [{"type": "text", "text": "Hi"}],
    "stop_reason": "end_turn",
    "usage": {
        "input_tokens": 50,
        "cache_creation_input_tokens": 556,
        "cache_read_input_tokens": 10_000,
        "cache_creation": {"ephemeral_5m_input_tokens": 456, "ephemeral_1h_input_tokens": 100},
        "output_tokens": 148,
        "output_tokens_details": {"thinking_tokens": 90},
        "server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 1},
        "service_tier": "standard",
        "inference_geo": "us",
    },
}
SAMPLES = {"chat": CHAT, "responses": RESPONSES, "messages": MESSAGES}


def test_openais_prompt_tokens_include_the_cached_ones():
    """COS-12: 2,006 prompt tokens, of which 1,920 cached, are 86 fresh ones and not 2,006."""
    usage = usage_of("chat", CHAT)

    assert usage == Usage(uncached_input=86, cache_read=1_920, output=300, reasoning=192)
    assert isinstance(usage, Usage)
    assert usage.input == 2_006


def test_responses_count_reads_writes_by_life_searches_and_what_nobody_prices():
    assert usage_of("responses", RESPONSES) == Usage(
        uncached_input=1_000,
        cache_read=1_000,
        cache_write_short=2_500,
        cache_write_long=500,
        output=700,
        reasoning=640,
        web_searches=2,
        file_searches=1,
        other_tools=(("image_generation_call", 1),),
        service_tier="flex",
    )


def test_anthropics_input_tokens_exclude_the_cache():
    """COS-12: the whole input is 50 + 556 + 10,000, and none of it counts twice."""
    usage = usage_of("messages", MESSAGES)

    assert usage == Usage(
        uncached_input=50,
        cache_read=10_000,
        cache_write_short=456,
        cache_write_long=100,
        output=148,
        reasoning=90,
        web_searches=2,
        region="us",
    )
    assert isinstance(usage, Usage)
    assert usage.input == 10_606


def test_anthropics_writes_without_a_split_are_the_five_minute_ones():
    usage = {"input_tokens": 5, "cache_creation_input_tokens": 7, "output_tokens": 1, "cache_creation": None}

    assert usage_of("messages", {"usage": usage}) == Usage(uncached_input=5, cache_write_short=7, output=1)


@pytest.mark.parametrize(
    ("field", "value", "batch", "tier"),
    [
        ("service_tier", "batch", True, "standard"),
        ("service_tier", "priority", False, "standard"),
        ("speed", "fast", False, "fast"),
        ("speed", "standard", False, "standard"),
    ],
)
def test_anthropic_says_how_it_was_served(field: str, value: str, batch: bool, tier: str):
    response = copy.deepcopy(MESSAGES)
    response["usage"][field] = value

    usage = usage_of("messages", response)

    assert isinstance(usage, Usage)
    assert (usage.batch, usage.service_tier) == (batch, tier)


def test_a_batch_is_one_because_whoever_asked_says_so():
    usage = usage_of("chat", CHAT, batch=True)

    assert isinstance(usage, Usage)
    assert usage.batch


def test_compaction_is_billed_besides_the_totals_and_other_models_make_it_unknown():
    part = {"type": "compaction", "input_tokens": 1_000, "output_tokens": 200}
    own = {"type": "message", "input_tokens": 50, "output_tokens": 148}
    response = copy.deepcopy(MESSAGES)
    response["usage"]["iterations"] = [own, part]

    compacted = usage_of("messages", response)
    response["usage"]["iterations"] = [own, part | {"type": "advisor_message", "model": "claude-opus-5"}]

    assert isinstance(compacted, Usage)
    assert (compacted.uncached_input, compacted.output) == (1_050, 348)
    assert isinstance(usage_of("messages", response), UnknownUsage)


def test_reasoning_that_a_server_leaves_out_of_its_output_is_in_the_total():
    """Servers that only speak the format report 10 + 20 and a total of 130: the rest was written, too."""
    usage = {"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 130}
    usage["completion_tokens_details"] = {"reasoning_tokens": 100}  # type: ignore[assignment]

    assert usage_of("chat", {"usage": usage}) == Usage(uncached_input=10, output=120, reasoning=100)


def test_audio_is_told_apart():
    response = copy.deepcopy(CHAT)
    response["usage"]["prompt_tokens_details"]["audio_tokens"] = 40
    response["usage"]["completion_tokens_details"]["audio_tokens"] = 30

    usage = usage_of("chat", response)

    assert isinstance(usage, Usage)
    assert (usage.input_audio, usage.output_audio) == (40, 30)


def test_a_chat_model_that_searched_says_so_by_citing():
    response = copy.deepcopy(CHAT)
    response["choices"][0]["message"]["annotations"] = [{"type": "url_citation", "url_citation": {}}]

    usage = usage_of("chat", response)

    assert isinstance(usage, Usage)
    assert usage.web_searches == 1


# Streams


def chunks(*, usage: bool = True) -> list[Any]:
    words = [{"choices": [{"index": 0, "delta": {"content": word}}], "usage": None} for word in ("Hi", "!")]
    last = {"choices": [], "usage": CHAT["usage"], "service_tier": "default"}
    return [*words, *([last] if usage else [])]


def test_a_chat_stream_tells_its_usage_in_its_last_chunk():
    assert usage_of_stream("chat", iter(chunks())) == usage_of("chat", CHAT)


def test_a_responses_stream_ends_with_the_response():
    events = [
        {"type": "response.created", "response": {"usage": None}},
        {"type": "response.output_text.delta"},
    ]
    end = {"type": "response.completed", "response": RESPONSES}

    assert usage_of_stream("responses", [*events, end]) == usage_of("responses", RESPONSES)
    assert isinstance(usage_of_stream("responses", events), UnknownUsage)


def messages_events() -> list[dict[str, Any]]:
    """As documented: the start counts one output token, the delta has the running total."""
    start = {
        "input_tokens": 25,
        "cache_read_input_tokens": 4,
        "cache_creation_input_tokens": 6,
        "output_tokens": 1,
    }
    return [
        {"type": "message_start", "message": {"content": [], "usage": start}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "ping"},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 15}},
        {"type": "message_stop"},
    ]


def test_a_messages_stream_has_running_totals_that_are_not_added():
    usage = usage_of_stream("messages", messages_events())

    assert usage == Usage(uncached_input=25, cache_read=4, cache_write_short=6, output=15)


def test_later_totals_of_a_messages_stream_win_for_the_input_as_well():
    events = messages_events()
    events[5]["usage"] = {"input_tokens": 900, "cache_read_input_tokens": 5, "output_tokens": 15}

    usage = usage_of_stream("messages", events)

    assert usage == Usage(uncached_input=900, cache_read=5, cache_write_short=6, output=15)


def test_writes_that_grow_without_a_new_split_count_as_the_dearest():
    events = messages_events()
    events[5]["usage"] |= {"cache_creation_input_tokens": 60}

    usage = usage_of_stream("messages", events)

    assert isinstance(usage, Usage)
    assert (usage.cache_write_short, usage.cache_write_long) == (0, 60)


@pytest.mark.parametrize("kept", range(7))
def test_a_messages_stream_that_broke_off_is_unknown(kept: int):
    usage = usage_of_stream("messages", messages_events()[:kept])

    assert isinstance(usage, UnknownUsage) == (kept < 6)


def test_a_chat_stream_that_was_not_asked_for_usage_is_unknown():
    assert isinstance(usage_of_stream("chat", chunks(usage=False)), UnknownUsage)


# What cannot be is unknown, never zero.

COUNTS = [
    ("chat", "prompt_tokens"),
    ("chat", "completion_tokens"),
    ("chat", "total_tokens"),
    ("chat", "prompt_tokens_details.cached_tokens"),
    ("chat", "prompt_tokens_details.audio_tokens"),
    ("chat", "completion_tokens_details.reasoning_tokens"),
    ("responses", "input_tokens"),
    ("responses", "output_tokens"),
    ("responses", "input_tokens_details.cached_tokens"),
    ("responses", "input_tokens_details.cache_write_tokens"),
    ("responses", "input_tokens_details.cache_write_tokens_details.ttl_12h_tokens"),
    ("responses", "output_tokens_details.reasoning_tokens"),
    ("messages", "input_tokens"),
    ("messages", "output_tokens"),
    ("messages", "cache_read_input_tokens"),
    ("messages", "cache_creation_input_tokens"),
    ("messages", "cache_creation.ephemeral_1h_input_tokens"),
    ("messages", "server_tool_use.web_search_requests"),
]


@pytest.mark.parametrize("value", [-1, 1.5, 3.0, True, "12", 10**12 + 1, [], {}, float("nan"), float("inf")])
@pytest.mark.parametrize(("wire", "path"), COUNTS)
def test_a_count_that_is_none_makes_the_usage_unknown(wire: Any, path: str, value: Any):
    response = copy.deepcopy(SAMPLES[wire])
    *parents, name = path.split(".")
    place = response["usage"]
    for parent in parents:
        place = place[parent]
    place[name] = value

    usage = usage_of(wire, response)

    assert isinstance(usage, UnknownUsage)
    assert str(value) not in usage.why or name in usage.why


@pytest.mark.parametrize("name", ["usage", "prompt_tokens", "completion_tokens"])
def test_what_is_missing_is_not_zero(name: str):
    response = copy.deepcopy(CHAT)
    (response if name == "usage" else response["usage"]).pop(name)

    assert isinstance(usage_of("chat", response), UnknownUsage)


@pytest.mark.parametrize(
    ("wire", "change"),
    [
        ("chat", {"prompt_tokens": 0, "total_tokens": 300, "prompt_tokens_details": None}),
        ("chat", {"completion_tokens": 0, "total_tokens": 2_006, "completion_tokens_details": None}),
        ("chat", {"total_tokens": 2_305}),
        ("chat", {"prompt_tokens": 1_919, "total_tokens": 2_219}),
        ("chat", {"completion_tokens_details": {"reasoning_tokens": 301}}),
        ("chat", {"prompt_tokens_details": "1920"}),
        ("messages", {"output_tokens": 0, "output_tokens_details": None}),
        ("messages", {"cache_creation_input_tokens": 557}),
        ("responses", {"input_tokens": 3_999, "total_tokens": 4_699}),
    ],
)
def test_counts_that_do_not_fit_each_other_or_the_answer_are_unknown(wire: Any, change: dict[str, Any]):
    response = copy.deepcopy(SAMPLES[wire])
    response["usage"] |= change

    assert isinstance(usage_of(wire, response), UnknownUsage)


@pytest.mark.parametrize("wire", ["chat", "responses", "messages"])
@given(
    found=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["usage", "input_tokens", "output_tokens", "prompt_tokens", "type", "output"])
                | st.text(max_size=4),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
def test_whatever_comes_the_reading_is_usage_or_a_reason(wire: Any, found: Any):
    events = found if isinstance(found, list) else [found]

    assert isinstance(usage_of(wire, found), Usage | UnknownUsage)
    assert isinstance(usage_of_stream(wire, events), Usage | UnknownUsage)


def test_a_usage_that_cannot_be_is_not_made():
    for odd in ({"output": -1}, {"output": True}, {"reasoning": 1}, {"input_audio": 1}, {"requests": 1.0}):
        with pytest.raises(ValueError):
            Usage(**odd)  # type: ignore[arg-type]
