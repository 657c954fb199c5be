"""What a model answers to people is read out of any provider's call, and is no argument of it; HIT-09."""

from __future__ import annotations

import json
from typing import Any

import pytest

from core.test_toolcall import ARGS, anthropic, chat, context, langchain, part, responses
from holdfast import InfoAnswer
from holdfast._core.reply import asks_for_more, intent
from holdfast._core.toolcall import read_tool_call
from holdfast.errors import InvalidCall

ANSWER = {"to": "5f12c6-1", "text": "The seventh."}
GIVEN: dict[str, Any] = {**ARGS, "holdfast_answer": ANSWER}
TEXT = json.dumps(GIVEN)
SHAPES: dict[str, dict[str, Any]] = {
    "openai chat": chat(TEXT, id="c1"),
    "openai responses": responses(arguments=TEXT),
    "anthropic": anthropic(input=GIVEN),
    "langchain": langchain(args=GIVEN),
    "pydantic-ai": part(args=GIVEN),
    "openai-agents": context(tool_arguments=TEXT),
}


@pytest.mark.parametrize("source", SHAPES.values(), ids=SHAPES)
def test_an_answer_is_taken_out_of_every_providers_call(source: dict[str, Any]) -> None:
    """HIT-09: the same call as before, with the answer in its context."""
    call = read_tool_call(source)

    assert call.args == ARGS
    assert call.context is not None
    assert call.context.answer == InfoAnswer(to="5f12c6-1", text="The seventh.")
    assert read_tool_call(anthropic()).context is None


NONE: list[Any] = [None, "", "The seventh.", 7, [], {}, {"to": "x"}, {"text": "x"}, {"to": 1, "text": "x"}]
NONE += [{"to": "x", "text": " "}, {"to": "", "text": "x"}, {"to": "x", "text": "y" * 4001}]


@pytest.mark.parametrize("answer", NONE)
def test_what_is_no_answer_is_refused(answer: Any) -> None:
    """HIT-09: it must not become an argument, nor be lost."""
    with pytest.raises(InvalidCall):
        read_tool_call(anthropic(input={**ARGS, "holdfast_answer": answer}))


def test_an_answer_is_a_part_of_what_a_model_does_in_a_turn() -> None:
    """Else an agent that answers would seem to repeat itself."""
    assert intent(anthropic()) != intent(anthropic(input=GIVEN))


@pytest.mark.parametrize("told", ["", "null", "[]", '"asked"', "{", '{"result": {"asked": 1}}'])
def test_what_a_tool_returns_is_no_question_of_peoples(told: str) -> None:
    """HIT-09: only the ledger's own word offers the model to answer."""
    assert not asks_for_more(told)
