"""Requests that nobody sends on purpose: the model server answers each, or says what is wrong with it."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from holdfast.testing import FakeClock, ScriptedModel
from holdfast.testing.faultserver.wire import Request
from holdfast.testing.model import call, says
from holdfast.testing.model.service import ModelService

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
KINDS = st.sampled_from(
    ["text", "message", "function_call", "function_call_output", "tool_use", "tool_result", "reasoning", "create",
     "continue", "function", "input_text"]
)  # fmt: skip
ROLES = st.sampled_from(["user", "assistant", "tool", "system", "developer"])
ITEMS = st.fixed_dictionaries(
    {},
    optional={
        "role": ROLES | JSON,
        "type": KINDS | JSON,
        "content": JSON
        | st.lists(st.fixed_dictionaries({}, optional={"type": KINDS, "text": JSON, "id": JSON})),
        "tool_calls": JSON,
        "tool_call_id": JSON,
        "call_id": JSON,
        "output": JSON,
    },
)
BODIES = st.fixed_dictionaries(
    {"model": st.just("m") | JSON},
    optional={
        "messages": st.lists(ITEMS, max_size=3) | JSON,
        "input": st.text() | st.lists(ITEMS, max_size=3) | JSON,
        "max_tokens": st.integers(1, 20) | JSON,
        "stream": st.booleans() | JSON,
        **dict.fromkeys(
            ["system", "tools", "tool_choice", "stop", "stop_sequences", "stream_options", "include", "text",
             "instructions", "metadata", "temperature", "reasoning", "n", "thread", "previous_response_id", "store",
             "max_output_tokens", "max_completion_tokens", "truncation"],
            JSON,
        ),
    },
)  # fmt: skip
PATHS = st.sampled_from(
    ["/v1/chat/completions", "/v1/responses", "/v1/messages", "/v1/messages/count_tokens"]
)


@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow])
@given(PATHS, BODIES)
def test_every_body_is_answered_or_refused(path: str, body: dict[str, Any]) -> None:
    """TST-03: nothing that a client sends ends the server's thread."""
    model = ScriptedModel(then=says("Yes.", call("charge"), reasoning="Hm."))
    clock = FakeClock()
    service = ModelService(model, clock=clock, api_key=None, models=None, seed=0)
    payload = json.dumps(body).encode()
    request = Request(method="POST", path=path, query="", headers={}, body=payload, keeps_alive=False)

    done = service.process(request)
    head, _ = done.answer.encode(request, clock())

    status = int(head.split(b" ")[1])
    assert status in {200, 400, 404}
    assert (status == 200) is bool(model.count) or path.endswith("count_tokens")


def test_half_of_a_surrogate_pair_comes_back_as_it_was_sent() -> None:
    model = ScriptedModel(then=lambda request: request.question)
    service = ModelService(model, clock=FakeClock(), api_key=None, models=None, seed=0)
    sent = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "\ud83d"}]}
    request = Request(
        method="POST", path="/v1/chat/completions", query="", headers={}, keeps_alive=False,
        body=json.dumps(sent).encode(),
    )  # fmt: skip

    _, body = service.process(request).answer.encode(request, FakeClock()())

    [event] = [line for line in body.split(b"\n") if b'"content": "\\ud83d"' in line]
    assert json.loads(event.removeprefix(b"data: "))["choices"][0]["delta"] == {"content": "\ud83d"}
