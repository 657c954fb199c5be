"""A retry policy of one's own: the surface that users of Temporal know."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from tried import Answer, PaymentDeclined, attempts, caps_s

from holdfast import RetryPolicy
from holdfast._core.fault import Cause
from holdfast._core.retry import DEFAULT_POLICY, MOST_ATTEMPTS
from holdfast.errors import InvalidTool


def test_no_effect_is_executed_more_often_than_the_policy_says() -> None:
    """RET-03: what stores count against is what is tried."""
    assert MOST_ATTEMPTS == DEFAULT_POLICY.most_attempts == attempts(Answer(429))[0]
    assert RetryPolicy(maximum_attempts=7).most_attempts == 7
    assert RetryPolicy(initial_interval=2).most_attempts == 4


def test_a_policy_of_ones_own_backs_off_as_it_says() -> None:
    """RET-20, RET-02: min(cap, base * coefficient ** n), for as many attempts."""
    policy = RetryPolicy(
        initial_interval="500ms",
        backoff_coefficient=3,
        maximum_interval=timedelta(seconds=10),
        maximum_attempts=6,
    )

    assert caps_s(ConnectionRefusedError(), policy) == [0.5, 1.5, 4.5, 10.0, 10.0]
    assert attempts(ConnectionRefusedError(), policy) == (6, "spent")


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (RetryPolicy(initial_interval=2), [2.0, 4.0, 8.0]),
        (RetryPolicy(backoff_coefficient=1), [1.0, 1.0, 1.0]),
        (RetryPolicy(backoff_coefficient=1.5), [1.0, 1.5, 2.25]),
        (RetryPolicy(maximum_interval=3), [1.0, 2.0, 3.0]),
        (RetryPolicy(maximum_attempts=2), [1.0]),
        (RetryPolicy(maximum_attempts=1), []),
        (RetryPolicy(initial_interval=0.1, maximum_attempts=9), [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0]),
    ],
)
def test_what_a_policy_leaves_open_is_as_temporal_has_it(policy: RetryPolicy, expected: list[float]) -> None:
    """RET-20: 1 second, doubled, up to a hundred times the first; four attempts in all."""
    assert caps_s(Answer(503), policy) == pytest.approx(expected)


def test_a_policy_of_ones_own_also_tries_again_what_nothing_is_known_of() -> None:
    """RET-20, RET-03: but not what was refused for good."""
    policy = RetryPolicy(initial_interval=1, maximum_attempts=5)

    assert attempts(ValueError("odd"), policy, is_declared=True) == (5, "spent")
    assert attempts(OSError(5, "Input/output error"), policy, is_declared=True) == (5, "spent")
    assert attempts(Answer(404), policy, is_declared=True) == (1, "refused")
    assert attempts(Answer(401), policy, is_declared=True) == (1, "refused")
    assert attempts(ValueError("odd"), policy, is_declared=False) == (1, "unrecognised")


@pytest.mark.parametrize(
    "named",
    [PaymentDeclined, "PaymentDeclined", "tried.PaymentDeclined", ValueError, "builtins.ValueError"],
    ids=["class", "name", "name with module", "class above", "name above"],
)
def test_an_error_that_the_policy_names_is_not_tried_again(named: str | type[BaseException]) -> None:
    """RET-20: by class or by name, with its subclasses; others are."""
    policy = RetryPolicy(maximum_attempts=5, non_retryable_error_types=[named])

    assert attempts(PaymentDeclined(), policy, is_declared=True) == (1, "refused")
    assert attempts(OSError(), policy, is_declared=True) == (5, "spent")


def test_a_name_that_only_ends_the_same_forbids_nothing() -> None:
    """RET-20."""
    policy = RetryPolicy(maximum_attempts=3, non_retryable_error_types=["Declined", "other.PaymentDeclined"])

    assert attempts(PaymentDeclined(), policy, is_declared=True) == (3, "spent")


def test_delays_neither_overflow_nor_grow_beyond_the_longest() -> None:
    """RET-20: however many attempts."""
    policy = RetryPolicy(
        initial_interval=1, backoff_coefficient=100, maximum_interval=60, maximum_attempts=10**6
    )

    assert [policy.cap_s(Cause.SERVER, n) for n in (1, 2, 155, 1000, 999_999)] == [
        1.0,
        60.0,
        60.0,
        60.0,
        60.0,
    ]
    assert policy.cap_s(Cause.SERVER, 10**6) is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"initial_interval": 0},
        {"initial_interval": "soon"},
        {"maximum_interval": -1},
        {"deadline": float("inf")},
        {"longest_wait": 0},
        {"maximum_attempts": 0},
        {"maximum_attempts": True},
        {"maximum_attempts": 2.5},
        {"backoff_coefficient": 0.5},
        {"backoff_coefficient": 101},
        {"backoff_coefficient": "2"},
        {"backoff_coefficient": float("nan")},
        {"jitter": "some"},
        {"non_retryable_error_types": "ValueError"},
        {"non_retryable_error_types": ValueError},
        {"non_retryable_error_types": [7]},
        {"non_retryable_error_types": [int]},
    ],
    ids=str,
)
def test_a_policy_that_cannot_be_is_refused_by_the_name_of_what_is_wrong(wrong: dict[str, Any]) -> None:
    """RET-20."""
    [name] = wrong

    with pytest.raises(InvalidTool, match=f"RetryPolicy.{name}"):
        RetryPolicy(**wrong)
