"""How a turn is read: equal means the same call, the same answer, the same way to fail."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from holdfast import Poll, Spawn
from holdfast._core.declare import make_contract
from holdfast._core.loop import ObservedTurn
from holdfast._core.loop_reading import dated, noted, observed, turn_as_json, turn_of_json
from holdfast._core.reply import tokens_read, told
from holdfast.errors import InvalidTool

KEY = "v1:" + "0af3" * 16


def failed(error: str, status: str = "failed") -> str:
    """How a call failed, as it is compared."""
    return observed("query", {}, told(status, error=error), None).answer


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("no column 'a'", "no column 'b'"),
        ('no column "a"', 'no column "long name"'),
        (f"the effect {KEY} failed", f"the effect {KEY.replace('0af3', '1be4')} failed"),
        ("line 3, column 17", "line 12, column 1"),
    ],
)
def test_errors_of_one_kind_are_equal_whatever_they_are_about(one: str, other: str) -> None:
    """COS-06: names, keys and numbers do not tell kinds apart."""
    assert failed(one) == failed(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("answered 404", "answered 503"), ("no such table", "no such column"), ("it's away", "it's there")],
)
def test_errors_of_two_kinds_are_not_equal(one: str, other: str) -> None:
    """COS-06: statuses of HTTP do."""
    assert failed(one) != failed(other)


def test_what_became_of_a_call_tells_its_errors_apart() -> None:
    """COS-06: in doubt is something else than failed."""
    assert failed("no answer", "unknown") != failed("no answer", "failed")


def test_arguments_and_results_are_compared_by_meaning() -> None:
    """COS-06: not by the order in which a model writes them."""
    one = observed("look", {"a": 1, "b": 2}, told("succeeded", result={"x": 1, "y": 2}), None)
    other = observed(
        "look", {"b": 2, "a": 1}, told("succeeded", result={"y": 2, "x": 1}, replayed=True), None
    )

    assert one == other


def test_a_poll_is_compared_by_its_progress_alone() -> None:
    """COS-06."""
    contract = make_contract("build", safety="read", pattern=Poll(progress="status"))

    one, other = (
        observed("build", {}, told("succeeded", result={"status": "running", "at": at}), contract)
        for at in (1, 2)
    )

    assert one == other
    assert one.answer != observed("build", {}, told("succeeded", result={"status": "done"}), contract).answer


def test_a_text_that_is_no_receipts_is_a_result() -> None:
    """COS-06: whatever a record has, it can be read."""
    assert not observed("look", {}, "42", None).is_error
    assert not observed("look", {}, "no JSON", None).is_error


def test_notes_are_added_to_what_is_told_and_nothing_is_lost() -> None:
    """COS-06: half a surrogate pair does not break it."""
    text = told("succeeded", result="\ud800", findings=["one"])

    said = json.loads(noted(dated(text, datetime(2026, 11, 28, tzinfo=UTC)), ["two"]))

    assert said == {
        "status": "succeeded",
        "result": "\ud800",
        "findings": ["one", "two"],
        "observed_at": "2026-11-28T00:00:00+00:00",
    }
    assert noted(text, ["two"]).isascii()


def test_a_turn_goes_on_record_and_comes_back() -> None:
    """COS-06: what is declared of its tools is not on record: it is the code's."""
    contract = make_contract("build", safety="read", pattern=Poll(every="30s"))
    at = datetime(2026, 11, 28, tzinfo=UTC)
    calls = (
        observed("build", {"id": 1}, told("succeeded", result=1), contract, at=at),
        observed("query", {}, told("failed", error="no"), None),
        observed("charge", {}, told("retryable", error="not sent", dependency="stripe"), None),
    )
    turn = ObservedTurn(calls=calls, tokens=7, has_other_news=True)

    said = json.loads(json.dumps(turn_as_json(turn)))

    assert turn_of_json(said, {"build": contract}) == turn
    assert calls[0].at_s == at.timestamp()
    assert [each.down for each in calls] == ["", "", "stripe"]
    assert [len(call) for call in said["calls"]] == [6, 6, 7], "what is on record of others is as it was"


@pytest.mark.parametrize(
    ("usage", "count"),
    [
        ({"prompt_tokens": 70, "completion_tokens": 9, "total_tokens": 79}, 70),
        ({"input_tokens": 70, "output_tokens": 9, "total_tokens": 79}, 70),
        ({"input_tokens": 7, "cache_read_input_tokens": 60, "cache_creation_input_tokens": 3}, 70),
        ({"input_tokens": 70, "cache_read_input_tokens": None}, 70),
        ({"input_tokens": "70"}, None),
        ({"input_tokens": True}, None),
        ({}, None),
        (None, None),
    ],
)
def test_how_much_the_model_had_to_read_is_in_its_answer(usage: Any, count: int | None) -> None:
    """COS-06: OpenAI chat, OpenAI responses, Anthropic with its cache; nothing where it does not say."""
    assert tokens_read({"role": "assistant", "usage": usage}) == count


def test_an_answer_that_is_mere_text_does_not_say() -> None:
    """COS-06."""
    assert tokens_read("42") is None


def test_a_pattern_that_is_none_is_refused_where_the_tool_is_declared() -> None:
    """COS-06."""
    pattern: Any = "poll"
    with pytest.raises(InvalidTool, match="pattern is str"):
        make_contract("build", pattern=pattern)
    assert make_contract("delegate", pattern=Spawn()).pattern == Spawn()
