"""STA-11: a history that has grown too long fits again, and a call keeps its result."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast import fit
from holdfast._core.window import calls_in, results_in
from holdfast._runtime.drive import run_sync
from holdfast.errors import InvalidCall, InvalidTool, WindowExceeded

SYSTEM = {"role": "system", "content": "be brief"}


def letters(messages: list[dict[str, Any]]) -> int:
    return sum(len(json.dumps(message)) for message in messages)


def fitted(messages: Any, limit: int, told: Any = "in short", count: Any = letters) -> list[dict[str, Any]]:
    return run_sync(fit(messages, limit=limit, count=count, summarise=lambda older: told))


def says(n: int, role: str = "user") -> dict[str, Any]:
    return {"role": role, "content": f"message {n} " + "x" * 40}


def openai(n: int) -> list[dict[str, Any]]:
    calls = [{"id": f"c{n}-{k}", "type": "function", "function": {"name": "f"}} for k in (0, 1)]
    results = [{"role": "tool", "tool_call_id": call["id"], "content": "ok"} for call in calls]
    return [says(n), {"role": "assistant", "content": None, "tool_calls": calls}, *results]


def anthropic(n: int) -> list[dict[str, Any]]:
    uses = [{"type": "tool_use", "id": f"t{n}-{k}", "name": "f", "input": {}} for k in (0, 1)]
    results = [{"type": "tool_result", "tool_use_id": use["id"], "content": "ok"} for use in uses]
    text = {"type": "text", "text": "let me see"}
    return [says(n), {"role": "assistant", "content": [text, *uses]}, {"role": "user", "content": results}]


def responses(n: int) -> list[dict[str, Any]]:
    return [
        says(n),
        {"type": "reasoning", "summary": []},
        {"type": "function_call", "call_id": f"r{n}", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": f"r{n}", "output": "ok"},
    ]


SHAPES = [openai, anthropic, responses]


def parted(messages: list[dict[str, Any]]) -> set[str]:
    """The ids of calls without their result, or of results without their call."""
    calls = {name for message in messages for name in calls_in(message)}
    return calls ^ {name for message in messages for name in results_in(message)}


def test_what_fits_is_returned_as_it_is_and_nobody_is_asked() -> None:
    history = [SYSTEM, says(1)]

    def never(older: Any) -> str:
        raise AssertionError

    assert run_sync(fit(history, limit=letters(history), count=letters, summarise=never)) == history
    assert fitted([], 1) == []


@pytest.mark.parametrize("shape", SHAPES)
def test_the_system_message_and_the_newest_stay_and_the_rest_is_one_summary(shape: Any) -> None:
    """STA-11."""
    history = [SYSTEM, *(message for n in range(20) for message in shape(n))]
    frozen = json.dumps(history)
    asked: list[Any] = []

    def summarise(older: list[dict[str, Any]]) -> str:
        asked.append(older)
        return f"{len(older)} messages"

    result = run_sync(fit(history, limit=2000, count=letters, summarise=summarise))

    [older] = asked
    head, summary, *newest = result
    assert head is SYSTEM
    assert summary["role"] == "user"
    assert summary["content"].endswith(f"{len(older)} messages")
    assert [SYSTEM, *older, *newest] == history
    assert newest
    assert newest[-1] is history[-1]
    assert letters(result) <= 2000
    assert parted(result) == parted(older) == set()
    assert json.dumps(history) == frozen


@given(
    turns=st.lists(st.sampled_from([openai, anthropic, responses, lambda n: [says(n)]]), max_size=12),
    limit=st.integers(1, 3000),
    told=st.text(max_size=3000),
    has_system=st.booleans(),
)
def test_it_never_exceeds_the_limit_and_never_parts_a_call(
    turns: list[Any], limit: int, told: str, *, has_system: bool
) -> None:
    """STA-11: whatever the summary is like; or it says that it cannot."""
    head = [SYSTEM] if has_system else []
    history = [*head, *(message for n, turn in enumerate(turns) for message in turn(n))]

    try:
        result = fitted(history, limit, told)
    except WindowExceeded:
        newest = history[-1:] if history[-1:] != head else []
        assert letters([*head, *newest]) > limit or parted(newest)
        return

    assert letters(result) <= limit
    assert parted(result) == set()
    assert result[: len(head)] == head
    assert result[-1:] == history[-1:]
    if result != history:
        kept = [message for message in result if message in history]
        assert len(result) - len(kept) <= 1
        assert history[len(head) :][-len(kept) + len(head) :] == kept[len(head) :]


def test_a_call_that_waits_for_its_results_stays_with_those_that_came() -> None:
    history = [says(0), *openai(1)[:-1]]

    result = fitted(history, letters(history) - 1)

    assert result[-2:] == history[-2:]
    assert "in short" in result[0]["content"]


def test_an_id_that_is_used_again_does_not_tie_the_whole_history_together() -> None:
    turns = [message for _ in range(20) for message in openai(0)]

    assert len(fitted(turns, 1500)) < 20


def test_a_summary_that_is_too_long_is_cut() -> None:
    history = [SYSTEM, *(says(n) for n in range(40))]

    result = fitted(history, 1000, "long " * 10_000)

    assert 900 < letters(result) <= 1000
    assert result[1]["content"].endswith("[…]")


async def test_an_async_summary_is_awaited() -> None:
    async def summarise(older: list[dict[str, Any]]) -> str:
        return f"of {len(older)}"

    result = await fit([says(n) for n in range(40)], limit=1000, count=letters, summarise=summarise)

    assert "of 3" in result[0]["content"]


def test_a_newest_message_that_is_too_large_is_an_error() -> None:
    """STA-11: typed, with the sizes and nothing of the messages."""
    with pytest.raises(WindowExceeded) as error:
        fitted([SYSTEM, says(1), {"role": "user", "content": "secret" * 100}], 300)

    assert (error.value.size > 600, error.value.limit) == (True, 300)
    assert "secret" not in str(error.value)
    with pytest.raises(WindowExceeded):
        fitted([SYSTEM], 3)


@pytest.mark.parametrize(
    ("wrong", "kind"),
    [
        ({"messages": "text"}, InvalidCall),
        ({"messages": [1]}, InvalidCall),
        ({"limit": 0}, InvalidCall),
        ({"limit": True}, InvalidCall),
        ({"told": None}, InvalidTool),
        ({"count": lambda messages: "many"}, InvalidTool),
        ({"count": lambda messages: -1}, InvalidTool),
    ],
    ids=range(7),
)
def test_what_cannot_be_understood_is_refused(wrong: dict[str, Any], kind: type[Exception]) -> None:
    given_ = {"messages": [says(n) for n in range(40)], "limit": 1000, **wrong}

    with pytest.raises(kind):
        fitted(**given_)
