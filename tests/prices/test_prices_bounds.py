"""The most that a request can use, from its body alone; real tokenizers never count more."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import litellm_tokenizers as real
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from holdfast._core.image_size import image_size
from holdfast._core.token_bound import IMAGE_CEILING, PER_OBJECT, PER_REQUEST, image_bound, structured_bound
from holdfast.prices import RequestBound, Unbounded, local_tokenizer, request_bound, text_bound

ODD = (
    "plain words",
    "ﷺ" * 20,  # 3 bytes each, 33 as NFKC
    "\u0344" * 20,  # 2 bytes each, 4 as NFC
    "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 ﬁ ™ ½ Å",  # noqa: RUF001 - other alphabets are the point
    "한국어 日本語 ไทย עברית 😀👩‍👩‍👧‍👦",
    "\x00\x01\x7f\x80\xff",
    "<|endoftext|><|im_start|>",
    "a" * 500,
    " " * 300 + "\n" * 300 + "\t\r" * 50,
    "0123456789" * 40,
    json.dumps({"a": [1, None, "é"]}),
)


@pytest.fixture(params=["gpt-4o", "gpt-4", "claude"], scope="module")
def count(request: pytest.FixtureRequest) -> Callable[[str], int]:
    """The real tokenizers that can be had without the network: o200k, cl100k, and Anthropic's last public one."""
    return real.TOKENIZERS[request.param]()


texts = st.text(max_size=300) | st.lists(st.sampled_from(ODD), max_size=4).map("".join)


@given(text=texts)
@example(text="".join(ODD))
def test_no_tokenizer_counts_more_than_the_bound(count: Callable[[str], int], text: str):
    assert count(text) <= text_bound(text)


@given(
    value=st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=20),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
        max_leaves=8,
    )
)
@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("ascii_only", [True, False])
def test_data_is_bounded_in_whichever_way_it_is_written(
    count: Callable[[str], int], value: Any, indent: int | None, ascii_only: bool
):
    assert count(json.dumps(value, indent=indent, ensure_ascii=ascii_only)) <= structured_bound(value) + 1


def test_the_bound_follows_the_normal_form_that_makes_text_longest():
    """U+FDFA is three bytes in UTF-8 and eighteen characters, 33 bytes, as NFKC."""
    assert (text_bound("ﷺ"), text_bound("é"), text_bound("e" * 9), text_bound("")) == (33, 2, 9, 0)


# Requests

TOOL = {"name": "pay", "description": "Pay somebody.", "input_schema": {"type": "object", "properties": {}}}


def bound(wire: Any, body: dict[str, Any], **options: Any) -> RequestBound:
    found = request_bound(wire, body, **options)
    assert isinstance(found, RequestBound), found
    return found


def messages(content: Any, **more: Any) -> dict[str, Any]:
    return {"model": "m", "max_tokens": 10, "messages": [{"role": "user", "content": content}], **more}


@given(words=st.lists(st.text(max_size=60), min_size=1, max_size=4), turns=st.integers(1, 4))
def test_a_chat_is_bounded_as_the_documented_count_of_chat_tokens_says(
    count: Callable[[str], int], words: list[str], turns: int
):
    """The documented count for chat models: 3 a message, its role and content, and 3 for the answer."""
    sent = [{"role": "user", "content": word} for word in words] * turns
    documented = 3 + sum(3 + count("user") + count(message["content"]) for message in sent)

    for wire in ("chat", "messages"):
        assert documented <= bound(wire, {"messages": sent}).input_tokens
    assert documented <= bound("responses", {"input": sent}).input_tokens


@pytest.mark.parametrize(
    ("wire", "body"),
    [
        ("messages", messages([{"type": "text", "text": "WORDS"}])),
        ("messages", messages("x", system="WORDS")),
        ("messages", messages("x", system=[{"type": "text", "text": "WORDS"}])),
        ("messages", messages([{"type": "tool_result", "tool_use_id": "t", "content": "WORDS"}])),
        ("messages", messages([{"type": "tool_result", "content": [{"type": "text", "text": "WORDS"}]}])),
        ("messages", messages([{"type": "tool_use", "id": "t", "name": "n", "input": {"a": "WORDS"}}])),
        ("messages", messages([{"type": "thinking", "thinking": "WORDS", "signature": "s"}])),
        ("messages", messages([{"type": "thinking", "thinking": "", "signature": "WORDS"}])),
        ("messages", messages([{"type": "redacted_thinking", "data": "WORDS"}])),
        ("messages", messages([{"type": "document", "source": {"type": "text", "data": "WORDS"}}])),
        ("messages", messages([{"type": "search_result", "content": [{"type": "text", "text": "WORDS"}]}])),
        ("messages", messages([{"type": "brand_new", "inside": {"deep": ["WORDS"]}}])),
        ("messages", messages("x", tools=[TOOL | {"description": "WORDS"}])),
        ("messages", messages("x", brand_new={"instructions": "WORDS"})),
        ("chat", messages([{"type": "text", "text": "WORDS"}])),
        ("chat", {"messages": [{"role": "assistant", "tool_calls": [{"function": {"arguments": "WORDS"}}]}]}),
        ("chat", {"messages": [{"role": "tool", "tool_call_id": "t", "content": "WORDS"}]}),
        ("chat", messages("x", tools=[{"type": "function", "function": {"description": "WORDS"}}])),
        ("chat", messages("x", functions=[{"name": "f", "description": "WORDS"}])),
        ("chat", messages("x", response_format={"json_schema": {"schema": {"description": "WORDS"}}})),
        ("responses", {"input": "WORDS"}),
        ("responses", {"input": "x", "instructions": "WORDS"}),
        ("responses", {"input": [{"role": "user", "content": [{"type": "input_text", "text": "WORDS"}]}]}),
        ("responses", {"input": [{"type": "function_call", "arguments": "WORDS", "name": "n"}]}),
        ("responses", {"input": [{"type": "function_call_output", "output": "WORDS"}]}),
        ("responses", {"input": [{"type": "reasoning", "encrypted_content": "WORDS"}]}),
        ("responses", {"input": "x", "tools": [{"type": "function", "name": "f", "description": "WORDS"}]}),
        ("responses", {"input": "x", "text": {"format": {"schema": {"description": "WORDS"}}}}),
    ],
)
def test_words_count_wherever_a_model_reads_them(wire: Any, body: dict[str, Any]):
    """Each byte more in the words is a token more at least, whatever they are in."""
    text = json.dumps(body)
    short = bound(wire, json.loads(text.replace("WORDS", "w"))).input_tokens
    long = bound(wire, json.loads(text.replace("WORDS", "w" * 1_000))).input_tokens

    assert long >= short + 999


def test_what_no_model_reads_does_not_count():
    plain = bound("chat", messages("x"))
    more = bound("chat", messages("x", metadata={"note": "w" * 1_000}, user="u" * 1_000, stream=True))

    assert plain.input_tokens == more.input_tokens < PER_REQUEST + 20 * PER_OBJECT


def test_having_tools_costs_their_text_and_the_hidden_instructions():
    """Documented are up to some 800 tokens for having tools, and up to some 750 for a built-in one."""
    none = bound("messages", messages("x")).input_tokens
    one = bound("messages", messages("x", tools=[TOOL])).input_tokens
    built_in = bound(
        "messages", messages("x", tools=[TOOL, {"type": "bash_20250124", "name": "bash"}])
    ).input_tokens

    assert one >= none + 1_000 + len(json.dumps(TOOL))
    assert built_in >= one + 1_000


@pytest.mark.parametrize(
    ("wire", "body", "expected"),
    [
        (
            "messages",
            messages("x"),
            {"max_output": 10, "tier": "standard", "region": None, "keeping": "none"},
        ),
        ("messages", messages("x", speed="fast", inference_geo="us"), {"tier": "fast", "region": "us"}),
        ("messages", messages("x", inference_geo="global"), {"region": ""}),
        ("messages", messages("x", cache_control={"type": "ephemeral"}), {"keeping": "short"}),
        (
            "messages",
            messages([{"type": "text", "text": "x", "cache_control": {"type": "ephemeral", "ttl": "1h"}}]),
            {"keeping": "long"},
        ),
        (
            "messages",
            messages("x", tools=[TOOL | {"cache_control": {"type": "ephemeral"}}]),
            {"keeping": "short"},
        ),
        ("chat", messages("x", n=3), {"max_output": 30, "answers": 3, "tier": None, "region": ""}),
        ("chat", messages("x", max_completion_tokens=7), {"max_output": 10, "keeping": "short"}),
        ("chat", messages("x", service_tier="default"), {"tier": "standard"}),
        ("chat", messages("x", service_tier="fast"), {"tier": "priority"}),
        ("chat", messages("x", service_tier="auto"), {"tier": None}),
        ("chat", messages("x", modalities=["text", "audio"]), {"audio_out": True, "audio_in": False}),
        ("responses", {"input": "x"}, {"max_output": None}),
        ("responses", {"input": "x", "max_output_tokens": 5}, {"max_output": 5}),
        ("responses", {"input": "x", "prompt_cache_options": {"ttl": "12h"}}, {"keeping": "long"}),
    ],
)
def test_limits_and_choices_of_the_request_are_read(
    wire: Any, body: dict[str, Any], expected: dict[str, Any]
):
    found = bound(wire, body)

    assert {name: getattr(found, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("wire", "body", "why"),
    [
        (
            "messages",
            messages([{"type": "document", "source": {"type": "base64", "data": "JVBE"}}]),
            "a document",
        ),
        (
            "messages",
            messages([{"type": "document", "source": {"type": "url", "url": "https://x"}}]),
            "a document",
        ),
        ("messages", messages([{"type": "container_upload", "file_id": "f"}]), "container_upload"),
        ("messages", messages([{"type": "brand_new", "file_id": "f"}]), "file_id"),
        ("messages", messages("x", container="c"), "container"),
        ("chat", messages([{"type": "file", "file": {"file_data": "JVBE"}}]), "file"),
        ("chat", {"messages": [{"role": "assistant", "audio": {"id": "a"}}]}, "audio"),
        (
            "responses",
            {"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "f"}]}]},
            "input_file",
        ),
        ("responses", {"input": "x", "previous_response_id": "r"}, "previous_response_id"),
        ("responses", {"input": "x", "conversation": "c"}, "conversation"),
        ("responses", {"input": "x", "prompt": {"id": "p"}}, "prompt"),
        ("responses", {"input": [{"type": "item_reference", "id": "i"}]}, "item_reference"),
        ("responses", {"input": [{"type": "reasoning", "id": "i", "summary": []}]}, "reasoning"),
    ],
)
def test_what_the_body_only_refers_to_is_bounded_by_the_context_window_or_not_at_all(
    wire: Any, body: dict[str, Any], why: str
):
    without = request_bound(wire, body)

    assert isinstance(without, Unbounded)
    assert why in without.why[0]
    assert bound(wire, body, context_window=200_000).input_tokens == 200_000


def test_tools_that_the_provider_executes_need_a_number_of_rounds():
    body = messages("x", tools=[{"type": "web_search_20250305", "name": "web_search", "max_uses": 3}])

    assert isinstance(request_bound("messages", body, context_window=200_000), Unbounded)
    assert isinstance(request_bound("messages", body, rounds=3), Unbounded)
    found = bound("messages", body, context_window=200_000, rounds=3)
    assert (found.input_tokens, found.max_output, found.web_searches) == (800_000, 40, 3)


@pytest.mark.parametrize(
    ("wire", "body"),
    [
        ("messages", messages("x", tools=[{"type": "web_search_20250305", "name": "web_search"}])),
        ("messages", messages("x", tools=[{"type": "advisor_20260301", "model": "claude-opus-5"}])),
        ("messages", messages("x", fallbacks=[{"model": "claude-opus-5"}])),
        ("responses", {"input": "x", "tools": [{"type": "web_search"}]}),
        ("responses", {"input": "x", "tools": [{"type": "image_generation"}], "max_tool_calls": 3}),
    ],
)
def test_tools_without_a_limit_and_other_models_have_no_bound(wire: Any, body: dict[str, Any]):
    assert isinstance(request_bound(wire, body, context_window=1_000, rounds=3), Unbounded)


def test_the_requests_own_limit_holds_for_tools_without_one():
    body = {"input": "x", "tools": [{"type": "web_search"}, {"type": "file_search"}], "max_tool_calls": 4}

    found = bound("responses", body, context_window=1_000, rounds=4)

    assert (found.web_searches, found.file_searches, found.code_executions) == (4, 4, 0)


# Images


def png(width: int, height: int) -> str:
    head = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + struct.pack(">II", width, height)
    return base64.b64encode(head + b"\x08\x02\x00\x00\x00" + b"\x00" * 40).decode()


def jpeg(width: int, height: int, notes: int = 60_000) -> str:
    app = b"\xff\xe1" + struct.pack(">H", notes + 2) + b"\x00" * notes
    frame = b"\xff\xc2" + struct.pack(">HBHHB", 17, 8, height, width, 3) + b"\x00" * 9
    return base64.b64encode(b"\xff\xd8" + app + b"\xff" + frame).decode()


def gif(width: int, height: int) -> str:
    return base64.b64encode(b"GIF89a" + struct.pack("<HH", width, height) + b"\x00" * 20).decode()


def webp(kind: bytes, width: int, height: int) -> str:
    rest = {
        b"VP8X": b"\x00" * 4 + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little"),
        b"VP8 ": b"\x00" * 3 + b"\x9d\x01\x2a" + struct.pack("<HH", width, height),
        b"VP8L": b"\x2f" + ((width - 1) | (height - 1) << 14).to_bytes(4, "little"),
    }[kind]
    return base64.b64encode(b"RIFF\x00\x00\x00\x00WEBP" + kind + b"\x00" * 4 + rest + b"\x00" * 20).decode()


@pytest.mark.parametrize("size", [(1, 1), (640, 480), (4_032, 3_024)])
def test_the_size_of_an_image_is_read_from_its_first_bytes(size: tuple[int, int]):
    made = [png(*size), jpeg(*size), gif(*size), *(webp(kind, *size) for kind in (b"VP8X", b"VP8 ", b"VP8L"))]

    assert [image_size(image) for image in made] == [size] * 6


@given(
    st.binary(max_size=60),
    st.sampled_from([b"", b"\xff\xd8\xff", b"RIFF\x00\x00\x00\x00WEBPVP8 ", b"GIF89a"]),
)
def test_an_image_that_is_none_has_no_size_and_breaks_nothing(noise: bytes, start: bytes):
    for text in (base64.b64encode(start + noise).decode(), noise.decode("latin-1")):
        size = image_size(text)
        assert size is None or min(size) > 0


@pytest.mark.parametrize(
    ("size", "measured"),
    [
        ((256, 256), 100),
        ((512, 512), 361),
        ((1_024, 1_024), 1_369),
        ((1_920, 1_080), 2_691),
        ((4_032, 3_024), 3_928),
    ],
)
def test_anthropics_images_stay_within_the_formula(size: tuple[int, int], measured: int):
    """A token for 28 x 28 pixels, and larger images are scaled down before; as counted by the provider."""
    assert measured <= image_bound("anthropic", png(*size)) <= max(2 * measured, 5_000)


@pytest.mark.parametrize(
    ("size", "most"),
    [((256, 256), 160), ((1_024, 1_024), 2_520), ((1_920, 1_080), 5_019), ((4_032, 3_024), 29_447)],
)
def test_openais_images_stay_within_all_of_its_formulas(size: tuple[int, int], most: int):
    """Patches of 32 x 32 pixels, times 2.46 at most and without the scaling down that some models do."""
    for model in ("gpt-5.4", "gpt-4o", "o4-mini"):
        assert most <= image_bound("openai", png(*size), model=model) or most <= 1_445
        assert image_bound("openai", png(*size), model=model) >= 85 + 8 * 170
    assert image_bound("openai", png(*size), model="gpt-4o-mini") >= 2_833 + 8 * 5_667


def test_an_image_counts_by_its_size_and_not_by_its_bytes():
    source = {"type": "base64", "media_type": "image/jpeg", "data": jpeg(64, 64)}
    found = bound("messages", messages([{"type": "image", "source": source}]))
    url = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{png(64, 64)}"}}
    input_image = {"type": "input_image", "image_url": f"data:image/png;base64,{png(64, 64)}"}

    assert found.input_tokens < 1_000
    assert bound("chat", messages([url]) | {"model": "gpt-5.4"}).input_tokens < 3_000
    sent = {"model": "gpt-5.4", "input": [{"role": "user", "content": [input_image]}]}
    assert bound("responses", sent).input_tokens < 3_000


@pytest.mark.parametrize(
    "url", ["https://example.com/x.png", "data:image/png;base64,AAAA", "data:image/svg+xml,x"]
)
def test_an_image_whose_size_nobody_told_counts_at_the_ceiling(url: str):
    body = messages([{"type": "image_url", "image_url": {"url": url}}])

    assert bound("chat", body).input_tokens >= IMAGE_CEILING
    assert bound("chat", body, image_ceiling=100).input_tokens < 1_000


def test_audio_counts_by_its_bytes_and_has_a_price_of_its_own():
    body = messages([{"type": "input_audio", "input_audio": {"data": "A" * 4_000, "format": "mp3"}}])

    found = bound("chat", body)

    assert found.audio_in
    assert found.input_tokens >= 4_000


# A tokenizer that is at hand


@pytest.fixture
def at_hand(monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(real.DIRECTORY))
    return real.DIRECTORY


def test_a_tokenizer_that_is_here_makes_the_bound_tighter(at_hand: Path):
    tokenizer = local_tokenizer("gpt-4o")
    body = messages("Once upon a time there was a tokenizer. " * 50)

    assert tokenizer is not None
    tight, loose = bound("chat", body, count=tokenizer), bound("chat", body)
    assert tokenizer(body["messages"][0]["content"]) <= tight.input_tokens < loose.input_tokens // 2


@pytest.mark.parametrize("model", ["gpt-4o", "gpt-4", "gpt-5", "no-such-model"])
def test_nothing_is_downloaded_when_it_is_not_here(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """tiktoken would fetch it, and delete a file with another sum before; neither happens."""
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    for name in real.FILES:
        (tmp_path / name).write_bytes(b"not what was expected")

    assert local_tokenizer(model) is None
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(real.FILES)


def test_a_cache_that_is_switched_off_has_nothing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", "")

    assert local_tokenizer("gpt-4o") is None
