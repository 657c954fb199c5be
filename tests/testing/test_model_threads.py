"""Anthropic's threads: the server keeps what was said, and a client sends what is new. Until it is forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import anthropic
import pytest

from holdfast.testing import ModelServer
from holdfast.testing.model import call, fails

TASK: Any = [{"role": "user", "content": "Charge."}]


@contextmanager
def serving(*lines: Any) -> Iterator[tuple[ModelServer, anthropic.Anthropic]]:
    with (
        ModelServer(*lines) as server,
        anthropic.Anthropic(base_url=server.anthropic_url, api_key="k", max_retries=0) as client,
    ):
        yield server, client


def send(client: anthropic.Anthropic, messages: Any, **options: Any) -> Any:
    return client.beta.messages.create(model="m", max_tokens=99, messages=messages, **options)


def result(message: Any) -> Any:
    [use] = [block for block in message.content if block.type == "tool_use"]
    content = [{"type": "tool_result", "tool_use_id": use.id, "content": "ch_1"}]
    return [{"role": "user", "content": content}]


def test_a_thread_goes_on_with_what_is_new() -> None:
    """TST-03: the script sees the whole conversation, and the tools of its beginning."""
    tools: Any = [{"name": "charge", "input_schema": {"type": "object"}}]
    with serving(call("charge"), "Charged.", "Bye.") as (server, client):
        first = send(client, TASK, thread={"type": "create"}, tools=tools, system="Be brief.")
        going: Any = {"type": "continue", "previous_message_id": first.id}
        second = send(client, result(first), thread=going)
        going = {"type": "continue", "previous_message_id": second.id}
        third = send(client, [{"role": "user", "content": "Thanks."}], thread=going)
        asked = server.asked

    assert third.content[0].text == "Bye."
    assert [one.turns for one in asked] == [0, 1, 2]
    assert [one.tools for one in asked] == [("charge",)] * 3
    assert asked[1].results == ("ch_1",)
    assert asked[2].conversation[0].text == "Be brief."
    assert "Be brief." not in asked[2].text  # what was sent is kept as it was sent
    assert [one.input_tokens for one in asked] == sorted({one.input_tokens for one in asked})


def test_each_answer_is_gone_on_from_once() -> None:
    with serving("One.", "Two.", "Three.") as (_, client):
        first = send(client, TASK, thread={"type": "create"})
        going: Any = {"type": "continue", "previous_message_id": first.id}
        send(client, TASK, thread=going)
        with pytest.raises(anthropic.BadRequestError) as error:
            send(client, TASK, thread=going)

    assert error.value.error_code == "thread_already_continued"


def test_what_is_not_kept_is_not_found() -> None:
    with serving("One.", "Two.") as (server, client):
        first = send(client, TASK)
        going: Any = {"type": "continue", "previous_message_id": first.id}
        with pytest.raises(anthropic.NotFoundError) as error:
            send(client, TASK, thread=going)

    assert error.value.error_code == "thread_not_found"
    assert server.model.left == 1


def test_a_thread_that_was_forgotten_is_told_again_by_the_sdk() -> None:
    """TST-03: the tool runs once all the same."""
    charged: list[int] = []

    @anthropic.beta_tool
    def charge() -> str:
        """Charge a card."""
        charged.append(1)
        return "ch_1"

    with serving(call("charge"), fails(404, code="thread_not_found"), "Charged.") as (server, client):
        runner = client.beta.messages.tool_runner(model="m", max_tokens=99, messages=TASK, tools=[charge])
        last = runner.until_done()
        asked = server.asked

    assert last.content[0].text == "Charged."  # type: ignore[union-attr] # a block of text
    assert charged == [1]
    assert [len(one.body["messages"]) for one in asked] == [1, 1, 3]
