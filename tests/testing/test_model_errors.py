"""What goes wrong at a provider, as the official SDKs tell it: each error in its class, each wait in its header."""

from __future__ import annotations

import math
from contextlib import closing
from typing import Any

import anthropic
import httpx
import openai
import pytest

from holdfast.errors import InvalidCall
from holdfast.testing import FakeClock, ModelServer, ScriptedModel
from holdfast.testing.model import Api, call, fails, overloaded, rate_limited, says, times_out
from testing.model_clients import PLAIN, TASK, WAYS, Way

KINDS = {
    400: "BadRequestError",
    401: "AuthenticationError",
    403: "PermissionDeniedError",
    404: "NotFoundError",
    409: "ConflictError",
    422: "UnprocessableEntityError",
    429: "RateLimitError",
    500: "InternalServerError",
    529: "OverloadedError",
}
ANTHROPIC_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    409: "invalid_request_error",
    422: "invalid_request_error",
    429: "rate_limit_error",
    500: "api_error",
    529: "overloaded_error",
}
SYNC = [way for way in PLAIN if not way.is_async]
CHAT, RESPONSES, CLAUDE = SYNC

each_way = pytest.mark.parametrize("way", WAYS, ids=str)
plain_ways = pytest.mark.parametrize("way", PLAIN, ids=str)
sync_ways = pytest.mark.parametrize("way", SYNC, ids=str)


def serve(*lines: Any, **options: Any) -> ModelServer:
    return ModelServer(*lines, clock=FakeClock(), **options)


def refused(way: Way, server: ModelServer, *args: Any, **options: Any) -> Any:
    """The SDK's error."""
    base = anthropic.APIStatusError if way.is_anthropic else openai.APIStatusError
    with pytest.raises(base) as error:
        way.ask(server, *args, **options)
    return error.value


@sync_ways
@pytest.mark.parametrize("status", KINDS)
def test_an_error_is_of_its_class_and_says_what_it_is(way: Way, status: int) -> None:
    """TST-03."""
    with serve(fails(status, "Not today.")) as server:
        error = refused(way, server)

    module: Any = anthropic if way.is_anthropic else openai
    expected = getattr(module, KINDS[status], module.InternalServerError)
    assert isinstance(error, expected)
    assert error.status_code == status
    assert "Not today." in str(error)
    assert str(error.request_id).startswith("req_")
    if way.is_anthropic:
        assert error.body["error"]["type"] == ANTHROPIC_TYPES[status]
        assert error.body["request_id"] == error.request_id


@each_way
def test_an_error_comes_before_a_stream_begins(way: Way) -> None:
    """TST-03: then it has a status, like any other."""
    with serve(overloaded(), "Yes.") as server:
        error = refused(way, server)
        heard = way.ask(server)

    assert error.status_code == 529
    assert heard.text == "Yes."


@plain_ways
def test_a_limit_says_when_to_come_again(way: Way) -> None:
    """TST-03, RET-05: in seconds, and with nothing left in the headers of limits."""
    with serve(rate_limited(2.5)) as server:
        error = refused(way, server)

    headers = error.response.headers
    assert headers["retry-after"] == "2.5"
    if way.is_anthropic:
        assert headers["anthropic-ratelimit-requests-remaining"] == "0"
        assert headers["anthropic-ratelimit-requests-reset"] == "2026-01-01T00:00:03Z"
    else:
        assert headers["x-ratelimit-remaining-requests"] == "0"
        assert headers["x-ratelimit-reset-requests"] == "2500ms"
        assert error.code == "rate_limit_exceeded"


def test_every_answer_says_what_is_left_of_the_limits() -> None:
    with serve(then="Yes.") as server:
        with closing(CHAT.client(server)) as sdk:
            asked: Any = {"model": "m", "messages": TASK}
            ours = [sdk.chat.completions.with_raw_response.create(**asked).headers for _ in range(2)]
        with closing(CLAUDE.client(server)) as claude:
            theirs = claude.messages.with_raw_response.create(**asked, max_tokens=9).headers

    assert [headers["x-ratelimit-remaining-requests"] for headers in ours] == ["9999", "9998"]
    assert all(headers["x-request-id"].startswith("req_") for headers in ours)
    assert theirs["anthropic-ratelimit-requests-remaining"] == "9997"
    assert theirs["request-id"].startswith("req_")


def test_a_quota_is_not_a_limit() -> None:
    """The one never passes by waiting."""
    with serve(fails(429, "Pay first.", code="insufficient_quota")) as server:
        error = refused(CHAT, server)

    assert (error.code, error.type) == ("insufficient_quota", "insufficient_quota")
    assert "retry-after" not in error.response.headers


@plain_ways
@pytest.mark.parametrize("line", [rate_limited(0), fails(500, retry_after_s=0), fails(529, retry_after_s=0)])
def test_an_sdk_that_tries_again_gets_the_next_line(way: Way, line: Any) -> None:
    """TST-03: the script says when it works again."""
    with serve(line, line, "At last.") as server:
        heard = way.ask(server, client={"max_retries": 2})

    assert heard.text == "At last."
    assert len(server.asked) == 3
    counts = [one.headers["x-stainless-retry-count"] for one in server.asked]
    assert counts == ["0", "1", "2"]


@plain_ways
def test_only_the_right_key_is_let_in(way: Way) -> None:
    with serve("Yes.", api_key="right") as server:
        error = refused(way, server, client={"api_key": "wrong"})
        heard = way.ask(server, client={"api_key": "right"})

    assert (error.status_code, heard.text) == (401, "Yes.")


@plain_ways
def test_a_model_that_there_is_not_is_not_found(way: Way) -> None:
    with serve("Yes.", models=["m"]) as server:
        error = refused(way, server, model="n")
        heard = way.ask(server)

    assert (error.status_code, heard.text) == (404, "Yes.")


@plain_ways
def test_a_script_that_has_ended_refuses_for_good(way: Way) -> None:
    """TST-03: no SDK tries a 400 again, and the server knows."""
    with serve("Yes.") as server:
        way.ask(server)
        error = refused(way, server, client={"max_retries": 2})

    assert error.status_code == 400
    assert "script" in str(error)
    [problem] = server.model.problems
    assert isinstance(problem, InvalidCall)
    assert len(server.asked) == 2


def test_a_function_of_the_script_that_raises_is_not_silent() -> None:
    def broken(request: object) -> str:
        raise KeyError("secret")

    with serve(broken) as server:
        error = refused(CHAT, server)

    assert error.status_code == 400
    assert "KeyError" in str(error)
    assert "secret" not in str(error)
    assert [type(problem) for problem in server.model.problems] == [KeyError]


CALL = {"id": "call_1", "type": "function", "function": {"name": "charge", "arguments": "{}"}}
USE = {"type": "tool_use", "id": "call_1", "name": "charge", "input": {}}
ITEM = {"type": "function_call", "call_id": "call_1", "name": "charge", "arguments": "{}"}
MADE: dict[Api, Any] = {
    Api.CHAT: {"role": "assistant", "tool_calls": [CALL]},
    Api.RESPONSES: ITEM,
    Api.MESSAGES: {"role": "assistant", "content": [USE]},
}
RESULT: dict[Api, Any] = {
    Api.CHAT: {"role": "tool", "tool_call_id": "call_1", "content": "ok"},
    Api.RESPONSES: {"type": "function_call_output", "call_id": "call_1", "output": "ok"},
    Api.MESSAGES: {
        "role": "user",
        "content": [{"type": "tool_result", "tool_use_id": "call_1", "content": "ok"}],
    },
}


@sync_ways
def test_a_call_without_its_result_is_refused(way: Way) -> None:
    """TST-03: the most frequent mistake of an agent that was killed and goes on."""
    with serve("Yes.") as server:
        error = refused(way, server, [*TASK, MADE[way.api]])
        heard = way.ask(server, [*TASK, MADE[way.api], RESULT[way.api]])

    assert error.status_code == 400
    assert "call_1" in str(error)
    assert heard.text == "Yes."


@sync_ways
def test_a_result_without_its_call_is_refused(way: Way) -> None:
    """TST-03: as after a history was cut in the wrong place."""
    with serve("Yes.") as server:
        error = refused(way, server, [*TASK, RESULT[way.api]])

    assert error.status_code == 400
    assert "call_1" in str(error)
    assert server.model.count == 0  # refused before anybody is asked


@pytest.mark.parametrize("way", [CHAT, CLAUDE], ids=str)
def test_results_come_right_after_their_calls(way: Way) -> None:
    with serve("Yes.") as server:
        late = [*TASK, MADE[way.api], {"role": "user", "content": "Well?"}, RESULT[way.api]]
        error = refused(way, server, late)

    assert error.status_code == 400


@sync_ways
@pytest.mark.parametrize("options", [{"model": ""}, {"tools": [], "max": 0}])
def test_what_a_provider_would_not_take_is_refused(way: Way, options: dict[str, Any]) -> None:
    names = {Api.CHAT: "max_tokens", Api.RESPONSES: "max_output_tokens", Api.MESSAGES: "max_tokens"}
    given = {names[way.api] if name == "max" else name: value for name, value in options.items()}
    with serve("Yes.") as server:
        error = refused(way, server, **given)

    assert error.status_code == 400
    assert server.model.left == 1


@sync_ways
def test_a_request_longer_than_the_window_is_refused(way: Way) -> None:
    """TST-03: it takes no line of the script."""
    model = ScriptedModel("Yes.", window=1000)
    with serve(model) as server:
        error = refused(way, server, [{"role": "user", "content": "x" * 5000}])
        heard = way.ask(server)

    assert (error.status_code, heard.text) == (400, "Yes.")
    assert "1000" in str(error)
    if not way.is_anthropic:
        assert error.code == "context_length_exceeded"


@plain_ways
def test_silence_lasts_until_the_client_gives_up(way: Way) -> None:
    """TST-03: and it is on record that it was asked."""
    with serve(times_out(), "Yes.") as server:
        with pytest.raises((anthropic.APITimeoutError, openai.APITimeoutError)):
            way.ask(server, client={"timeout": 0.2})
        heard = way.ask(server)

    assert heard.text == "Yes."
    assert len(server.asked) == 2


@plain_ways
@pytest.mark.parametrize(("fault", "asked"), [("drop_before", 1), ("drop_after", 2), ("reset_after", 2)])
def test_a_lost_answer_has_taken_its_line_and_a_lost_request_has_not(
    way: Way, fault: str, asked: int
) -> None:
    """TST-03: the SDK cannot tell, and asks again; the tokens of what it never saw are used all the same."""
    with serve(*(call("charge", amount=n) for n in range(asked))) as server:
        server.plan(fault)
        heard = way.ask(server, client={"max_retries": 1, "timeout": 30})

    assert heard.calls[0][2] == {"amount": asked - 1}
    assert (len(server.asked), server.planned, server.model.left) == (asked, 0, 0)
    assert [entry.committed for entry in server.log] == [asked == 2, True]


@sync_ways
@pytest.mark.parametrize("fault", ["429:2", "503", "500_before", "500_after"])
def test_a_fault_with_a_status_speaks_the_providers_language(way: Way, fault: str) -> None:
    with serve("Yes.") as server:
        server.plan(fault)
        error = refused(way, server)

    assert error.status_code == int(fault[:3])
    assert str(error.request_id).startswith("req_")
    assert server.model.count == (1 if fault == "500_after" else 0)


@sync_ways
@pytest.mark.parametrize("path", ["/v1/nothing", "/v1/responses/resp_0", "/v1/models/n"])
def test_there_is_nothing_else(way: Way, path: str) -> None:
    with serve(models=["m"]) as server:
        headers = {"anthropic-version": "2023-06-01"} if way.is_anthropic else {}
        answer = httpx.get(f"{server.url}{path}", headers=headers, trust_env=False)

    assert answer.status_code == 404
    assert ("request_id" in answer.json()) is way.is_anthropic


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"\xff", b'{"model": NaN}', b"[" * 100_000, b'{"model": 1}']
)
def test_a_body_that_is_no_request_is_refused(body: bytes) -> None:
    with serve() as server:
        for path in ("chat/completions", "responses", "messages"):
            answer = httpx.post(f"{server.openai_url}/{path}", content=body, trust_env=False)
            assert answer.status_code == 400


@pytest.mark.parametrize("status", [200, 399, 600])
def test_an_error_has_the_status_of_one(status: int) -> None:
    with pytest.raises(InvalidCall, match=str(status)):
        fails(status)


def test_arguments_that_are_no_json_are_refused_when_they_are_written_down() -> None:
    with pytest.raises(InvalidCall, match="charge"):
        call("charge", amount=math.nan)


def test_a_model_and_a_script_beside_it_are_refused() -> None:
    with pytest.raises(InvalidCall):
        ModelServer(ScriptedModel("One."), "Two.")


def test_the_delays_of_a_script_cost_nobody_time() -> None:
    """TST-03: the script's seconds pass on the clock that it was given."""
    clock = FakeClock()
    model = ScriptedModel(says("Slow.", delay_s=3600), delay=clock.advance)
    with ModelServer(model, clock=clock) as server:
        heard = CHAT.ask(server)

    assert heard.text == "Slow."
    assert clock.monotonic() == model.delayed_s == 3600
