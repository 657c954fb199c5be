"""The SDKs' own types go straight in: what their next release changes is noticed here."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from typing import Any

import anthropic.types as anthropic_types
import anthropic.types.beta as anthropic_beta
import langchain_core.messages as langchain_messages
import mcp.types as mcp_types
import pytest
from agents import Agent, ToolCallItem, ToolCallOutputItem
from agents.items import ToolApprovalItem
from agents.run_context import RunContextWrapper
from agents.tool_context import ToolContext
from google.genai import types as genai_types
from langchain_core.tools import tool as langchain_tool
from langgraph.prebuilt.tool_node import ToolCallRequest, ToolNode, ToolRuntime
from openai.types import chat as openai_chat
from openai.types import responses as openai_responses
from pydantic_ai import messages as pydantic_ai_messages

from holdfast._core.model import ToolCall
from holdfast._core.toolcall import read_tool_call
from holdfast.errors import InvalidCall

ARGS = {"amount": 7, "customer": "cus_1", "lines": [{"sku": "a", "price": 10.5}]}
TEXT = json.dumps(ARGS)
CALL = ToolCall(workflow_id="order-1", tool="charge", args=ARGS, call_id="call_1")


def completion(**call: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    choice = {"index": 0, "finish_reason": "tool_calls", "logprobs": None, "message": message}
    return {"id": "x", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]}


COMPLETION = completion(id="call_1", type="function", function={"name": "charge", "arguments": TEXT})
FUNCTION_CALL = {
    "type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "charge", "arguments": TEXT,
    "status": "completed", "caller": {"type": "direct"},
}  # fmt: skip
CUSTOM_CALL = {
    "type": "custom_tool_call",
    "id": "ctc_1",
    "call_id": "call_1",
    "name": "sql",
    "input": "SELECT 1",
}
TOOL_USE = {"type": "tool_use", "id": "call_1", "name": "charge", "input": ARGS, "caller": {"type": "direct"}}
MESSAGE = {
    "id": "msg_1", "type": "message", "role": "assistant", "model": "m", "stop_reason": "tool_use",
    "stop_sequence": None, "usage": {"input_tokens": 1, "output_tokens": 1},
    "content": [{"type": "text", "text": "I will charge it."}, TOOL_USE],
}  # fmt: skip
CANDIDATES = {
    "candidates": [
        {"content": {"role": "model", "parts": [{"functionCall": {"name": "charge", "args": ARGS}}]}}
    ]
}


def both_ways(call: Any) -> list[Any]:
    """The SDK's object, and the dict that it dumps itself into."""
    return [call, call.model_dump(), call.model_dump(mode="json", exclude_unset=True)]


def reads_as(expected: ToolCall, *sources: object) -> None:
    for source in sources:
        assert read_tool_call(source, workflow_id="order-1") == expected


def is_refused(source: object, *words: str) -> None:
    with pytest.raises(InvalidCall) as caught:
        read_tool_call(source, workflow_id="order-1")
    for word in words:
        assert word in str(caught.value)


def test_openai_chat_calls_go_straight_in():
    """INT-01."""
    answer = openai_chat.ChatCompletion.model_validate(COMPLETION)
    [call] = answer.choices[0].message.tool_calls or []
    parsed = openai_chat.ParsedFunctionToolCall.model_validate(call.model_dump())

    assert type(call) is openai_chat.ChatCompletionMessageFunctionToolCall
    reads_as(CALL, *both_ways(call), *both_ways(parsed))
    is_refused(answer, "ChatCompletion", ".choices[0]")
    is_refused(answer.choices[0].message, ".tool_calls", "ledger.turn")
    is_refused(answer.choices[0].message.tool_calls, "list", "ledger.turn")


def test_openai_chat_custom_calls_go_straight_in():
    """INT-01."""
    raw = completion(id="call_1", type="custom", custom={"name": "sql", "input": "SELECT 1"})
    [call] = openai_chat.ChatCompletion.model_validate(raw).choices[0].message.tool_calls or []

    assert type(call) is openai_chat.ChatCompletionMessageCustomToolCall
    reads_as(replace(CALL, tool="sql", args={"input": "SELECT 1"}), *both_ways(call))


def test_the_first_piece_of_an_openai_stream_is_not_a_call_without_arguments():
    delta = openai_chat.chat_completion_chunk.ChoiceDeltaToolCall.model_validate(
        {"index": 0, "id": "call_1", "type": "function", "function": {"name": "charge", "arguments": ""}}
    )

    for piece in both_ways(delta):
        is_refused(piece, "still being streamed")


def test_openai_responses_calls_go_straight_in():
    """INT-01."""
    call = openai_responses.ResponseFunctionToolCall.model_validate(FUNCTION_CALL)
    item = openai_responses.ResponseFunctionToolCallItem.model_validate(FUNCTION_CALL)
    early = openai_responses.ResponseFunctionToolCall(
        type="function_call", call_id="call_1", name="charge", arguments=TEXT
    )

    reads_as(CALL, *both_ways(call), *both_ways(item), *both_ways(early))
    reads_as(replace(CALL, tool="stripe.charge"), *both_ways(call.model_copy(update={"namespace": "stripe"})))
    reads_as(CALL, *both_ways(call.model_copy(update={"namespace": "charge"})))
    is_refused(call.model_copy(update={"status": "in_progress", "arguments": ""}), "still being streamed")


def test_openai_responses_custom_calls_go_straight_in():
    """INT-01."""
    call = openai_responses.ResponseCustomToolCall.model_validate(CUSTOM_CALL)

    reads_as(replace(CALL, tool="sql", args={"input": "SELECT 1"}), *both_ways(call))
    reads_as(
        replace(CALL, tool="db.sql", args={"input": "SELECT 1"}),
        *both_ways(call.model_copy(update={"namespace": "db"})),
    )


def test_what_openai_runs_itself_and_whole_responses_are_refused():
    output = [
        FUNCTION_CALL,
        {"type": "mcp_call", "id": "m", "name": "a", "arguments": "{}", "server_label": "s"},
    ]
    response = openai_responses.Response.model_validate(
        {
            "id": "r", "object": "response", "created_at": 0, "model": "m", "output": output,
            "parallel_tool_calls": True, "tool_choice": "auto", "tools": [],
        }
    )  # fmt: skip

    reads_as(CALL, response.output[0])
    is_refused(response.output[1], "McpCall", "executed by the provider")
    is_refused(response, "Response", ".output")


def test_anthropic_blocks_go_straight_in():
    """INT-01."""
    message = anthropic_types.Message.model_validate(MESSAGE)
    beta = anthropic_beta.BetaMessage.model_validate(MESSAGE)

    assert type(message.content[1]) is anthropic_types.ToolUseBlock
    assert type(beta.content[1]) is anthropic_beta.BetaToolUseBlock
    reads_as(CALL, *both_ways(message.content[1]), *both_ways(beta.content[1]))
    is_refused(message, "of type 'message'", "'tool_use' blocks")
    is_refused(message.content[0], "'text'")
    is_refused(beta, "'tool_use' blocks")


def test_anthropic_toolsets_are_part_of_the_name_and_their_models_are_arguments():
    """INT-01."""
    raw = {**TOOL_USE, "name": "find", "toolset_name": "browser", "input": {"query": "cart"}}
    find = replace(CALL, tool="browser.find", args={"query": "cart"})

    reads_as(find, *both_ways(anthropic_types.ToolUseBlock.model_validate(raw)))
    typed = anthropic_beta.BetaBrowserFindToolUseBlock.model_validate(raw)
    reads_as(find, typed, typed.model_dump(exclude_unset=True))


def test_what_anthropic_runs_itself_is_refused():
    server = anthropic_types.ServerToolUseBlock(type="server_tool_use", id="s", name="web_search", input={})
    remote = anthropic_beta.BetaMCPToolUseBlock(
        type="mcp_tool_use", id="s", name="a", server_name="b", input={}
    )

    is_refused(server, "ServerToolUseBlock", "executed by the provider")
    is_refused(remote, "BetaMCPToolUseBlock", "executed by the provider")


def test_gemini_calls_go_straight_in():
    """INT-01."""
    answer = genai_types.GenerateContentResponse.model_validate(CANDIDATES)
    [call] = answer.function_calls or []
    named = genai_types.FunctionCall(id="call_1", name="charge", args=ARGS)

    reads_as(replace(CALL, call_id=None), *both_ways(call), answer.candidates[0].content.parts[0])  # type: ignore[index,union-attr]
    reads_as(CALL, *both_ways(named))
    reads_as(ToolCall(workflow_id="order-1", tool="now"), genai_types.FunctionCall(name="now"))
    is_refused(answer, ".function_calls")
    is_refused(answer.candidates[0].content, ".parts")  # type: ignore[index]
    is_refused(genai_types.FunctionCall(name="charge", will_continue=True), "still being streamed")
    is_refused(genai_types.FunctionCall(args=ARGS), "names no tool")


def test_langchain_calls_go_straight_in_and_unparsed_ones_do_not():
    """INT-01."""
    raw = {"name": "charge", "args": ARGS, "id": "call_1"}
    bad = {"name": "charge", "args": '{"amount": ', "id": "call_2", "error": "cut off"}
    message = langchain_messages.AIMessage("", tool_calls=[raw], invalid_tool_calls=[bad])
    piece = langchain_messages.AIMessageChunk(
        "", tool_call_chunks=[{"name": "charge", "args": "", "id": "call_1", "index": 0}]
    )

    reads_as(CALL, message.tool_calls[0], langchain_messages.ToolCall(**raw), message.content_blocks[0])
    is_refused(message.invalid_tool_calls[0], "invalid_tool_call", "could not parse")
    is_refused(piece.tool_call_chunks[0], "still being streamed")
    is_refused(message, "AIMessage", ".tool_calls")
    is_refused(langchain_messages.ToolMessage("done", tool_call_id="call_1"), "ToolMessage")


@langchain_tool
def charge(amount: int) -> str:
    """Charge a card."""
    return f"charged {amount}"


def test_a_langchain_tool_is_not_a_call_of_itself():
    is_refused(charge, "StructuredTool", "is not a tool call")


def test_langgraphs_request_goes_straight_in_where_it_is_intercepted():
    """INT-01."""
    seen: list[ToolCall] = []

    def intercept(request: ToolCallRequest, execute: Any) -> Any:
        seen.append(read_tool_call(request, workflow_id="order-1"))
        return execute(request)

    node = ToolNode([charge], wrap_tool_call=intercept)
    asked = langchain_messages.AIMessage(
        "", tool_calls=[{"name": "charge", "args": {"amount": 7}, "id": "call_1"}]
    )
    state = {"messages": [asked]}
    runtime = ToolRuntime(
        state=state, context=None, config={}, stream_writer=print, tool_call_id=None, store=None
    )

    node.invoke(state, runtime=runtime)

    assert seen == [replace(CALL, args={"amount": 7})]


def test_openai_agents_contexts_and_items_go_straight_in():
    """INT-01."""
    agent = Agent(name="cashier")
    raw = openai_responses.ResponseFunctionToolCall.model_validate(FUNCTION_CALL)
    spaced = raw.model_copy(update={"namespace": "stripe"})
    custom = openai_responses.ResponseCustomToolCall.model_validate(CUSTOM_CALL)
    plain = ToolContext(context=None, tool_name="charge", tool_call_id="call_1", tool_arguments=TEXT)

    def context(call: openai_responses.ResponseFunctionToolCall) -> ToolContext[None]:
        return ToolContext.from_agent_context(RunContextWrapper(context=None), "call_1", call)

    reads_as(CALL, plain, context(raw), ToolCallItem(agent=agent, raw_item=raw))
    reads_as(
        CALL,
        ToolApprovalItem(agent=agent, raw_item=raw),
        ToolApprovalItem(agent=agent, raw_item=FUNCTION_CALL),
    )
    reads_as(
        replace(CALL, tool="stripe.charge"),
        context(spaced),
        ToolCallItem(agent=agent, raw_item=spaced),
        ToolApprovalItem(agent=agent, raw_item=spaced),
    )
    reads_as(
        replace(CALL, tool="sql", args={"input": "SELECT 1"}),
        ToolApprovalItem(agent=agent, raw_item=custom),
    )


def test_openai_agents_items_that_are_no_calls_of_ours_are_refused():
    agent = Agent(name="cashier")
    output = {"type": "function_call_output", "call_id": "call_1", "output": "done"}
    hosted = openai_responses.response_output_item.McpApprovalRequest(
        type="mcp_approval_request", id="m", name="a", arguments="{}", server_label="s"
    )

    is_refused(ToolCallOutputItem(agent=agent, raw_item=output, output="done"), "the answer to a call")
    is_refused(ToolApprovalItem(agent=agent, raw_item=hosted), "executed by the provider")


def test_pydantic_ai_parts_go_straight_in():
    """INT-01."""
    by_text = pydantic_ai_messages.ToolCallPart("charge", TEXT, "call_1")
    by_dict = pydantic_ai_messages.ToolCallPart("charge", ARGS, "call_1")
    response = pydantic_ai_messages.ModelResponse(parts=[by_text, by_dict])
    [dumped] = pydantic_ai_messages.ModelMessagesTypeAdapter.dump_python([response], mode="json")

    reads_as(CALL, by_text, by_dict, *response.tool_calls, *dumped["parts"])
    reads_as(
        ToolCall(workflow_id="order-1", tool="now", call_id="call_1"),
        pydantic_ai_messages.ToolCallPart("now", None, "call_1"),
    )
    is_refused(response, "ModelResponse", ".tool_calls")
    is_refused(pydantic_ai_messages.NativeToolCallPart("search", {}, "call_1"), "executed by the provider")
    is_refused(pydantic_ai_messages.ToolReturnPart("charge", "done", "call_1"), "the answer to a call")


def test_bad_json_of_pydantic_ai_is_refused_rather_than_wrapped():
    part = pydantic_ai_messages.ToolCallPart("charge", '{"amount": ', "call_1")

    assert part.args_as_dict() == {"INVALID_JSON": '{"amount": '}
    is_refused(part, "'charge'", "are not JSON")


def test_mcp_requests_go_straight_in_and_their_ids_do_not():
    """INT-01: the id of a JSON-RPC request is fresh for every retry."""
    params = mcp_types.CallToolRequestParams(name="charge", arguments=ARGS)
    request = mcp_types.CallToolRequest(params=params)
    wire = mcp_types.JSONRPCRequest(
        jsonrpc="2.0", id=9, method="tools/call", params=params.model_dump(mode="json")
    )
    other = mcp_types.GetPromptRequest(params=mcp_types.GetPromptRequestParams(name="a", arguments={}))

    reads_as(replace(CALL, call_id=None), *both_ways(params), request, request.model_dump(), *both_ways(wire))
    reads_as(ToolCall(workflow_id="order-1", tool="now"), mcp_types.CallToolRequestParams(name="now"))
    is_refused(other, "GetPromptRequest", "is not a tool call")
    is_refused(mcp_types.Tool(name="charge", input_schema={}), "Tool", "is not a tool call")


@pytest.fixture(scope="module")
def litellm_types() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # else importing it asks the internet
        import litellm.types.utils

        yield litellm.types.utils


def test_litellm_calls_go_straight_in(litellm_types: Any):
    """INT-01."""
    function = {"name": "charge", "arguments": TEXT}
    call = litellm_types.ChatCompletionMessageToolCall(function=function, id="call_1")
    response = litellm_types.ModelResponse(**COMPLETION)
    piece = litellm_types.ChatCompletionDeltaToolCall(
        id="call_1", index=0, type="function", function={"name": "charge", "arguments": ""}
    )

    reads_as(CALL, *both_ways(call), response.choices[0].message.tool_calls[0])
    is_refused(response, "ModelResponse", ".choices[0]")
    is_refused(response.choices[0].message, ".tool_calls")
    is_refused(piece, "still being streamed")


def test_every_sampling_of_one_intent_is_the_same_call_but_for_its_id():
    """IDE-22: the call id, which each sampling makes anew, is recorded and never the identity."""
    call = openai_responses.ResponseFunctionToolCall.model_validate(FUNCTION_CALL)
    part = pydantic_ai_messages.ToolCallPart("charge", ARGS)
    samples = [
        call.model_copy(update={"call_id": "call_2", "id": "fc_2"}),
        anthropic_types.ToolUseBlock.model_validate({**TOOL_USE, "id": "toolu_3"}),
        part,  # the SDK makes up an id of its own
        genai_types.FunctionCall(name="charge", args=ARGS),
    ]

    calls = [read_tool_call(sample, workflow_id="order-1") for sample in samples]

    assert [c.call_id for c in calls] == ["call_2", "toolu_3", part.tool_call_id, None]
    assert {json.dumps([c.workflow_id, c.tool, c.args, c.key]) for c in calls} == {
        json.dumps(["order-1", "charge", ARGS, None])
    }


def test_reading_calls_imports_no_sdk():
    """INT-01: the shapes are known by their fields."""
    sdks = ["openai", "anthropic", "langchain_core", "langgraph", "agents", "pydantic_ai", "mcp", "mcp_types"]
    sdks += ["google.genai", "litellm", "pydantic", "httpx", "httpx2"]
    program = f"import holdfast._core.toolcall, sys; print([name for name in {sdks} if name in sys.modules])"

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
