"""A provider's tool call goes straight in, or is refused with what was found and what to do."""

from __future__ import annotations

import json
import traceback
from collections import UserDict
from dataclasses import replace
from functools import partial
from types import MappingProxyType, SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from holdfast._core.model import ToolCall
from holdfast._core.toolcall import MAX_TEXT_BYTES, read_tool_call
from holdfast.errors import InvalidCall

ARGS = {"amount": 7, "customer": "cus_1"}
TEXT = json.dumps(ARGS)

responses = partial(dict, type="function_call", call_id="c1", name="charge", arguments=TEXT)
anthropic = partial(dict, type="tool_use", id="c1", name="charge", input=ARGS)
langchain = partial(dict, id="c1", name="charge", args=ARGS)
part = partial(dict, tool_call_id="c1", tool_name="charge", args=ARGS)
context = partial(dict, tool_call_id="c1", tool_name="charge", tool_arguments=TEXT)


def chat(arguments: object = TEXT, **more: object) -> dict[str, Any]:
    return {"type": "function", "function": {"name": "charge", "arguments": arguments}, **more}


SHAPES: dict[str, dict[str, Any]] = {
    "openai chat": chat(id="c1"),
    "openai chat, finished and numbered": chat(id="c1", index=0),
    "openai chat, untyped and with an object": {"id": "c1", "function": chat(ARGS)["function"]},
    "openai responses": responses(id="fc_1"),
    "openai responses, item without an id": responses(id=None, status="completed", namespace=None),
    "openai responses, deferred function": responses(namespace="charge"),
    "anthropic": anthropic(),
    "gemini": {"id": "c1", "name": "charge", "args": ARGS},
    "langchain": langchain(type="tool_call"),
    "langchain, untyped": langchain(),
    "pydantic-ai": part(part_kind="tool-call"),
    "pydantic-ai, untyped and with text": part(args=TEXT),
    "openai-agents": context(tool_namespace=None),
    "mcp, with an id of its client's": {"id": "c1", "name": "charge", "arguments": ARGS, "_meta": {}},
    "langgraph request": {"tool_call": langchain(type="tool_call"), "tool": None, "state": {}},
    "openai-agents item": {"type": "tool_call_item", "raw_item": responses()},
    "openai-agents approval": {"type": "tool_approval_item", "tool_name": "charge", "raw_item": responses()},
    "gemini part": {"function_call": langchain()},
    "gemini part of the rest api": {"functionCall": langchain()},
}
WITHOUT_ID: dict[str, dict[str, Any]] = {
    "ollama": {"function": {"name": "charge", "arguments": ARGS}},
    "openai responses with the item's id only": responses(id="fc_1", call_id=None),
    "gemini": {"id": None, "name": "charge", "args": ARGS},
    "langchain": langchain(type="tool_call", id=None),
    "empty": anthropic(id=""),
    "mcp": {"name": "charge", "arguments": ARGS},
    "mcp request": {"method": "tools/call", "params": chat(ARGS)["function"]},
    "json-rpc": {"jsonrpc": "2.0", "id": 9, "method": "tools/call", "params": chat(ARGS)["function"]},
}
NAMESPACED: dict[str, dict[str, Any]] = {
    "openai responses": responses(namespace="stripe"),
    "openai-agents": context(tool_namespace="stripe"),
    "anthropic": anthropic(toolset_name="stripe"),
}
CUSTOM: dict[str, dict[str, Any]] = {
    "openai chat": {"id": "c1", "type": "custom", "custom": {"name": "sql", "input": "NaN"}},
    "openai responses": {"type": "custom_tool_call", "call_id": "c1", "name": "sql", "input": "NaN"},
}
BODIES = {"function", "custom", "raw_item", "params", "tool_call", "function_call", "functionCall"}


def table(rows: dict[str, Any]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("source", rows.values(), ids=rows)


def with_fields(source: dict[str, Any], **fields: object) -> dict[str, Any]:
    """The same call with other values in the fields that it has, however deep they are."""
    inner = {k: with_fields(v, **fields) if k in BODIES else v for k, v in source.items()}
    return {k: fields.get(k, v) for k, v in inner.items()}


def as_object(source: dict[str, Any]) -> SimpleNamespace:
    """The same call with attributes; arguments stay what they are."""
    return SimpleNamespace(**{k: as_object(v) if k in BODIES else v for k, v in source.items()})


forms = pytest.mark.parametrize("form", [dict, as_object, MappingProxyType, UserDict])


def refusal(source: object, **given: Any) -> InvalidCall:
    with pytest.raises(InvalidCall) as caught:
        read_tool_call(source, **given)
    assert caught.value.what
    assert caught.value.fix
    return caught.value


@forms
@table(SHAPES)
def test_every_providers_call_goes_straight_in(source: dict[str, Any], form: Any):
    """INT-01."""
    call = read_tool_call(form(source), workflow_id="order-1")

    assert call == ToolCall(workflow_id="order-1", tool="charge", args=ARGS, call_id="c1")


@forms
@table(WITHOUT_ID)
def test_a_call_without_an_id_goes_in_as_well(source: dict[str, Any], form: Any):
    """INT-01."""
    assert read_tool_call(form(source)) == ToolCall(tool="charge", args=ARGS)


@forms
@table(NAMESPACED)
def test_a_namespace_goes_in_front_of_the_name(source: dict[str, Any], form: Any):
    assert read_tool_call(form(source)).tool == "stripe.charge"


@forms
@pytest.mark.parametrize("text", ["", "SELECT 1", '{"not": "parsed"}', "NaN"])
@table(CUSTOM)
def test_the_free_text_of_a_custom_tool_is_its_input(source: dict[str, Any], text: str, form: Any):
    """INT-01."""
    call = read_tool_call(form(with_fields(source, input=text)))

    assert call == ToolCall(tool="sql", args={"input": text}, call_id="c1")


@table(SHAPES | NAMESPACED | CUSTOM)
def test_the_models_call_id_never_is_the_identity(source: dict[str, Any]):
    """IDE-22: sampled twice, one intent differs in nothing that an identity is made of."""
    ids = dict.fromkeys(("id", "call_id", "tool_call_id"), "sampled-again")

    first, second = read_tool_call(source), read_tool_call(with_fields(source, **ids))

    assert (first.call_id, second.call_id) == ("c1", "sampled-again")
    assert replace(first, call_id=None) == replace(second, call_id=None)
    assert first.key is None


@pytest.mark.parametrize("nothing", [None, ""])
@table({name: source for name, source in SHAPES.items() if "numbered" not in name} | WITHOUT_ID)
def test_no_arguments_are_an_empty_object(source: dict[str, Any], nothing: object):
    emptied = with_fields(source, **dict.fromkeys(("arguments", "input", "args", "tool_arguments"), nothing))

    assert read_tool_call(emptied).args == {}


def test_an_mcp_request_may_leave_its_arguments_out():
    call = read_tool_call({"method": "tools/call", "params": {"name": "now"}})

    assert call == ToolCall(tool="now", args={})


def test_arguments_that_sdks_wrap_in_a_model_are_what_the_model_sent():
    class Find(BaseModel):
        query: str
        tab_id: str | None = None
        page: int | None = Field(default=None, alias="pageNumber")

    unset = Find.model_validate({"query": "cart"})
    full = Find.model_validate({"query": "cart", "tab_id": None, "pageNumber": 2})

    assert read_tool_call(anthropic(input=unset)).args == {"query": "cart"}
    assert read_tool_call(anthropic(input=full)).args == full.model_dump(by_alias=True)


def test_a_tool_call_of_ours_passes_through():
    call = ToolCall(workflow_id="order-1", tool="charge", args=ARGS, key="k", call_id="c")

    assert read_tool_call(call) is call
    assert read_tool_call(call, workflow_id="order-1") is call
    assert read_tool_call(call, workflow_id="") is call


class Mine(ToolCall):
    pass


@pytest.mark.parametrize("kind", [ToolCall, Mine])
def test_a_tool_call_without_a_workflow_gets_the_callers(kind: type[ToolCall]):
    call = kind(tool="charge", args=ARGS, key="k", call_id="c")

    assert read_tool_call(call, workflow_id="order-1") == replace(call, workflow_id="order-1")
    assert call.workflow_id == ""


def test_two_workflow_ids_for_one_call_are_refused():
    error = refusal(ToolCall(workflow_id="order-1", tool="charge"), workflow_id="order-2")

    assert "'order-1'" in error.what
    assert "'order-2'" in error.what


def test_a_tool_call_without_a_tool_is_refused():
    assert "names no tool" in refusal(ToolCall(workflow_id="order-1")).what


@pytest.mark.parametrize("number", [2**53 + 1, -(10**400), 0, 10**18])
def test_integers_in_json_text_stay_exact(number: int):
    value = read_tool_call(chat(f'{{"amount": {number}}}')).args["amount"]

    assert value == number
    assert type(value) is int


def test_other_numbers_in_json_text_are_the_nearest_float():
    args = read_tool_call(chat('{"price": 10.10, "small": 1e-9, "whole": 1.0}')).args

    assert args == {"price": 10.1, "small": 1e-9, "whole": 1.0}
    assert {type(value) for value in args.values()} == {float}


SECRET = "sk-live-4242"  # stands for an argument value that must not be shown

BAD_TEXT = {
    "cut off": f'{{"card": "{SECRET}',
    "trailing garbage": f'{{"card": "{SECRET}"}} and more',
    "control character": f'{{"card": "{SECRET}\n"}}',
    "bad escape": f'{{"card": "{SECRET}\\x"}}',
    "list": f'["{SECRET}"]',
    "null": "null",
    "NaN": f'{{"card": "{SECRET}", "amount": NaN}}',
    "Infinity": f'{{"card": "{SECRET}", "amount": Infinity}}',
    "-Infinity": f'{{"card": "{SECRET}", "amount": -Infinity}}',
    "overflow": f'{{"card": "{SECRET}", "amount": 1e999}}',
    "same key twice": f'{{"amount": 1, "card": "{SECRET}", "amount": 1000}}',
    "same key twice inside": f'{{"a": [{{"amount": 1, "card": "{SECRET}", "amount": 1}}]}}',
    "endless integer": f'{{"card": "{SECRET}", "amount": {"9" * 5000}}}',
    "too deep": '{"a":' + "[" * 200_000 + f'"{SECRET}"' + "]" * 200_000 + "}",
    "too deep objects": '{"a":' * 100_000 + f'"{SECRET}"' + "}" * 100_000,
    "spaces only": "   ",
    "byte order mark": f'\ufeff{{"card": "{SECRET}"}}',
    "too large": f'{{"card": "{SECRET}{"x" * MAX_TEXT_BYTES}"}}',
    "too large in utf-8": f'{{"card": "{SECRET}{"€" * (MAX_TEXT_BYTES // 3)}"}}',
}


@pytest.mark.parametrize("text", BAD_TEXT.values(), ids=BAD_TEXT)
def test_unusable_json_text_is_refused_without_showing_it(text: str):
    error = refusal(chat(text))

    assert "'charge'" in error.what
    assert (error.__cause__, error.__context__) == (None, None)  # a JSONDecodeError carries the whole text
    assert SECRET not in "".join(traceback.format_exception(error))
    assert len(str(error)) < 300


def test_json_text_of_just_the_allowed_size_is_read():
    text = '{"a": "%s"}' % ("x" * (MAX_TEXT_BYTES - 9))

    assert len(text) == MAX_TEXT_BYTES
    assert len(read_tool_call(chat(text)).args["a"]) == MAX_TEXT_BYTES - 9
    assert f"{MAX_TEXT_BYTES + 1:,} bytes" in refusal(chat(text + " ")).what


def test_a_place_in_the_text_is_named():
    assert "Expecting value at character 11" in refusal(chat('{"amount": }')).what
    assert "control character at character 7" in refusal(chat('{"a": "\n"}')).what


def test_too_large_free_text_is_refused():
    source = {"id": "c", "type": "custom", "custom": {"name": "sql", "input": "x" * (MAX_TEXT_BYTES + 1)}}

    assert "10,000,001 bytes" in refusal(source).what


@pytest.mark.parametrize("value", [["a"], 7, True, 1.5, b"{}", ("a", 1), {"a"}, object(), dict])
@pytest.mark.parametrize("field", ["arguments", "args", "input"])
def test_arguments_that_are_no_object_are_refused_by_their_type(field: str, value: object):
    kind = {"arguments": "function_call", "args": "tool_call", "input": "tool_use"}[field]

    error = refusal({"type": kind, "name": "charge", field: value})

    assert type(value).__name__ in error.what


@pytest.mark.parametrize("value", [None, {}, 7, ["SELECT"]])
def test_a_custom_tools_input_that_is_no_text_is_refused(value: object):
    error = refusal({"id": "c", "type": "custom", "custom": {"name": "sql", "input": value}})

    assert type(value).__name__ in error.what


@pytest.mark.parametrize("name", [None, "", "  ", 7, b"charge", ["charge"]])
@table(SHAPES | NAMESPACED | CUSTOM | WITHOUT_ID)
def test_a_call_without_a_usable_name_is_refused(source: dict[str, Any], name: object):
    error = refusal(with_fields(source, name=name, tool_name=name))

    assert "names no tool" in error.what
    assert "name" in error.fix


def test_a_call_id_that_is_no_text_is_refused():
    error = refusal(anthropic(id=42))

    assert "call id" in error.what
    assert "int" in error.what


def test_a_long_or_strange_name_is_shown_short_and_escaped():
    error = refusal(anthropic(id=1, name="charge\n\x1b[31m" + "x" * 10_000))

    assert "\n" not in error.what
    assert "\x1b" not in error.what
    assert len(error.what) < 200


NO_CALLS: dict[str, object] = {
    "nothing": None,
    "a name": "charge",
    "json text of a call": json.dumps(chat()),
    "number": 7,
    "empty dict": {},
    "a class": ToolCall,
    "a name without arguments": {"name": "charge"},
    "misspelt arguments": {"name": "charge", "argumets": {}},
    "a tool of anthropic's": {"name": "charge", "input_schema": {}},
    "a tool of langchain's": SimpleNamespace(name="charge", args={"amount": {"type": "integer"}}),
    "another mcp request": {"method": "tools/list", "params": {"name": "a", "arguments": {}}},
    "openai computer call": {"type": "computer_call", "call_id": "c", "action": {}},
    "message without calls": {"role": "assistant", "content": "hello", "tool_calls": None},
}
HOLDERS: list[tuple[str, object]] = [
    ("its items", [chat()]),
    ("its items", (chat(),)),
    (".tool_calls", {"role": "assistant", "content": None, "tool_calls": [chat()]}),
    (".tool_calls", {"tool_calls": [chat()], "function_call": {"name": "a", "arguments": "{}"}}),
    (".choices[0].message.tool_calls", {"object": "chat.completion", "choices": [{"message": {}}]}),
    (".output", {"object": "response", "output": [responses()]}),
    (".content", {"type": "message", "content": [anthropic()]}),
    (".function_calls", {"candidates": [{}]}),
    (".parts", {"kind": "response", "parts": [part()]}),
]
# type -> what the refusal says about it
PROVIDERS = "server_tool_use mcp_tool_use mcp_call mcp_approval_request server_tool_call builtin-tool-call"
OTHERS = {
    "invalid_tool_call": "could not parse",
    "tool_call_chunk": "streamed",
    **dict.fromkeys(PROVIDERS.split(), "executed by the provider"),
    **dict.fromkeys(("tool_result", "function_call_output", "tool-return"), "the answer to a call"),
}


@table(NO_CALLS)
def test_what_is_no_call_is_refused_by_its_type_and_with_a_way_out(source: object):
    error = refusal(source)

    assert error.what.startswith(f"a {type(source).__name__} ")
    assert error.what.endswith("is not a tool call")
    assert "ToolCall(" in error.fix


@pytest.mark.parametrize(("instead", "source"), HOLDERS)
def test_a_whole_message_or_a_list_is_refused_with_what_to_pass_instead(instead: str, source: object):
    error = refusal(source)

    assert "not one call" in error.what
    assert instead in error.fix
    assert "ledger.turn" in error.fix


@pytest.mark.parametrize(("kind", "why"), OTHERS.items())
def test_a_call_that_is_not_ours_to_run_is_refused_although_it_has_all_parts(kind: str, why: str):
    source = {**langchain(), **part(), **responses(), **anthropic(), "tool_call": langchain(), "type": kind}

    assert why in refusal(source).what
    assert why in refusal({"type": "tool_call_item", "raw_item": source}).what
    assert repr(kind) in refusal({"part_kind": kind}).what


def test_a_tools_definition_is_not_a_call_without_arguments():
    error = refusal({"type": "function", "function": {"name": "charge", "parameters": {}}})

    assert "no 'arguments'" in error.what
    assert "definition" in error.fix


PIECES = {
    "openai chat": chat("", id="c1", index=0),
    "openai chat, nothing yet": chat(None, id="c1", index=0),
    "openai responses": responses(arguments="", status="in_progress"),
    "openai responses, cut off": responses(arguments="{}", status="incomplete"),
    "openai custom tool": CUSTOM["openai responses"] | {"status": "in_progress"},
    "gemini": langchain(args=None, will_continue=True),
    "gemini, by parts": langchain(args=None, partial_args=[{"json_path": "$.amount"}]),
    "gemini, rest": langchain(args={}, willContinue=True),
}


@forms
@table(PIECES)
def test_a_piece_of_a_stream_is_never_run_as_a_call_without_arguments(source: dict[str, Any], form: Any):
    assert "still being streamed" in refusal(form(source)).what


def test_an_item_that_holds_itself_is_refused():
    item = SimpleNamespace(type="tool_call_item")
    item.raw_item = item

    assert "SimpleNamespace" in refusal(item).what


class Hostile(Exception):
    pass


class Trap:
    def __getattribute__(self, name: str) -> object:
        raise Hostile(name)


class Yes:
    def __getattr__(self, name: str) -> object:
        return Yes()


class BadMapping(UserDict[str, Any]):
    def get(self, key: str, default: object = None) -> object:
        raise Hostile(key)


class BadArguments:
    type, name, call_id = "function_call", "charge", "c1"

    def __init__(self, error: BaseException) -> None:
        self.error = error

    @property
    def arguments(self) -> str:
        raise self.error


def test_an_object_whose_attributes_raise_is_refused_and_named():
    for source in (Trap(), anthropic(input=Trap()), BadMapping(chat()), BadArguments(Hostile())):
        error = refusal(source)

        assert f"a {type(source).__name__} as a tool call raised Hostile" in error.what
        assert isinstance(error.__cause__, Hostile)


def test_an_object_that_has_every_attribute_is_refused():
    assert "names no tool" in refusal(Yes()).what
    assert "Yes" in refusal(anthropic(input=Yes())).what


def test_arguments_that_pretend_to_be_absent_are_not_empty_ones():
    assert "no 'arguments'" in refusal(BadArguments(AttributeError())).what


def test_an_interrupt_is_not_swallowed():
    with pytest.raises(KeyboardInterrupt):
        read_tool_call(BadArguments(KeyboardInterrupt()))


# fmt: off
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.binary(max_size=5)
FIELDS = st.sampled_from([
    "type", "part_kind", "function", "custom", "name", "arguments", "args", "input", "id", "call_id", "tool_name",
    "tool_arguments", "tool_call", "raw_item", "params", "method", "namespace", "status", "index", "tool_calls",
])
KINDS = st.sampled_from(["function", "custom", "function_call", "tool_use", "tool_call", "tools/call", "tool-call"])
# fmt: on
VALUES = st.recursive(
    SCALARS | KINDS | st.just("{}"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FIELDS, inner, max_size=6),
    max_leaves=20,
)


@given(VALUES | st.builds(SimpleNamespace, type=VALUES, name=VALUES, args=VALUES, id=VALUES))
def test_anything_is_either_one_usable_call_or_refused(source: object):
    try:
        call = read_tool_call(source, workflow_id="w")
    except InvalidCall:
        return

    assert isinstance(call.tool, str)
    assert call.tool.strip()
    assert isinstance(call.args, dict)
    assert call.call_id is None or isinstance(call.call_id, str)
    assert call.workflow_id == "w"


@given(st.dictionaries(st.text(max_size=5), VALUES.filter(lambda value: value == value), max_size=5))  # noqa: PLR0124
def test_json_text_and_object_say_the_same(args: dict[str, Any]):
    try:
        text = json.dumps(args, allow_nan=False)
    except (TypeError, ValueError):  # bytes and NaN have no JSON
        return

    assert read_tool_call(chat(text)).args == read_tool_call(chat(args)).args
