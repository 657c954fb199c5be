"""What is odd in a request bounds nothing: it is sent with a limit of ours, or not at all."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast import Budget
from holdfast.errors import BudgetExceeded, UnboundedRequest
from models.asking import Desk, serve
from testing.model_clients import PLAIN

CHAT = PLAIN[0]
CAP = 50_000


@pytest.mark.parametrize("odd", ["100000", 100_000.0, True, -1, 0], ids=repr)
def test_a_limit_that_is_none_is_taken_out_of_a_request_under_a_cap(odd: Any) -> None:
    """COS-01: whatever a provider makes of it, it is not sent beside the one that holds."""
    desk = Desk(CHAT, budgets={"tenant": Budget(tokens=CAP)})
    with serve("Yes.") as server:
        desk.ask(server, extra_body={"max_tokens": odd})
        [asked] = server.asked

    limits = {name: value for name, value in asked.body.items() if name.startswith("max_")}
    assert limits == {"max_tokens": 8_192}


def test_of_two_limits_the_larger_one_is_held_and_both_are_lowered() -> None:
    """COS-01: nobody knows which of them a provider reads."""
    desk = Desk(CHAT, budgets={"tenant": Budget(tokens=CAP)})
    with serve("Yes.") as server:
        desk.ask(server, extra_body={"max_completion_tokens": 10, "max_tokens": 1_000_000})
        [asked] = server.asked

    assert asked.body["max_completion_tokens"] == asked.body["max_tokens"] < CAP


@pytest.mark.parametrize(
    "odd",
    [
        {"n": "5"},
        {"n": 5.0},
        {"n": 10**13},
        {"best_of": "5"},
        {"prediction": {"type": "content", "content": "x" * 1_000}},
        {"models": ["m", "dearer"]},
        {"plugins": [{"id": "web"}]},
        {"context_management": [{"type": "compaction", "compact_threshold": 1_000}]},
    ],
    ids=str,
)
def test_a_request_that_may_be_answered_more_than_once_is_refused_where_tokens_are_capped(odd: Any) -> None:
    """COS-01, COS-11."""
    desk = Desk(CHAT, budgets={"tenant": Budget(tokens=CAP)})
    with serve("Yes.") as server:
        with pytest.raises(UnboundedRequest):
            desk.ask(server, extra_body=odd)
        requests = server.requests

    assert requests == 0


@pytest.mark.parametrize("name", ["n", "best_of"])
def test_each_answer_that_is_made_is_held(name: str) -> None:
    """COS-01: also those that are not shown."""
    desk = Desk(CHAT, budgets={"tenant": Budget(tokens=CAP)})
    with serve("Yes.") as server:
        with pytest.raises(BudgetExceeded):
            desk.ask(server, extra_body={name: 10**9})
        requests = server.requests

    assert requests == 0


@pytest.mark.parametrize("odd", [{"modalities": 5}, {"prompt_cache_options": {"ttl": []}}], ids=str)
def test_a_request_whose_fields_are_of_no_known_kind_is_still_bounded(odd: Any) -> None:
    desk = Desk(CHAT, budgets={"tenant": Budget(tokens=CAP)})
    with serve("Yes.") as server:
        assert desk.ask(server, extra_body=odd).text == "Yes."
