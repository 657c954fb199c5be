"""How long the other side asked to wait holds for whoever calls next, however the attempt ended."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from desk import Desk, in_new_process
from holdfast import NotDone, RetryPolicy, State
from holdfast.errors import EffectFailed
from retry.world import CALL, Service, answer, end_of


def nothing_found(_: Any) -> NotDone:
    return NotDone()


def test_what_was_asked_for_outlasts_the_doubt_of_an_attempt(desk: Desk) -> None:
    """RET-05: an hour was asked for; that nothing was done is found out after twenty seconds."""
    service = Service(desk, answer(503, retry_after="3600"))
    options: Any = {"timeout": 5, "reconcile": nothing_found}
    end_of(desk, service, **options)
    desk.clock.advance(20)

    early = end_of(desk, service, **options)
    planned = desk.effect.retry_at
    desk.clock.advance(3600)
    late = end_of(desk, service, **options)

    assert isinstance(early, EffectFailed)
    assert planned is not None
    assert late == {"id": "ch_1"}
    assert service.delays[0] >= 3600


def test_evidence_is_looked_for_although_the_other_side_asked_for_patience(desk: Desk) -> None:
    """RET-05, RET-12: patience is for what is sent to it, not for the sweeper; the plan stands after the look."""
    service = Service(desk, answer(503, retry_after="3600"))
    options: Any = {"timeout": 5, "reconcile": nothing_found}
    end_of(desk, service, **options)
    desk.clock.advance(100)
    sweeper = desk.ledger()
    sweeper.tool(CALL.tool, **options)(lambda **_: None)

    in_new_process(sweeper.sweep())

    assert desk.effect.state is State.RETRYABLE
    assert isinstance(end_of(desk, service, **options), EffectFailed)
    assert len(service.at) == 1


def test_a_persons_not_done_does_not_wait_for_what_was_asked(desk: Desk) -> None:
    """RET-05, RET-10: whoever looked into it may know that the other side is back."""
    service = Service(desk, answer(503, retry_after="3600"))
    end_of(desk, service)
    in_new_process(desk.ledger().resolve(desk.effect.key, NotDone(), by="ops", reason="they are back"))

    assert end_of(desk, service) == {"id": "ch_1"}


@pytest.mark.parametrize("asked_s", [30, 3600])
def test_a_block_that_was_asked_to_wait_keeps_that_for_the_next_caller(desk: Desk, asked_s: int) -> None:
    """RET-05, INT-07: nobody plans another attempt of a block, but nobody comes sooner than was asked."""

    async def block() -> None:
        async with desk.ledger().begin(CALL):
            raise answer(429, retry_after=str(asked_s))

    with pytest.raises(httpx.HTTPStatusError):
        in_new_process(block())
    ended_at = desk.clock.monotonic()
    service = Service(desk)

    first = end_of(desk, service, retry=RetryPolicy(longest_wait=60))
    desk.clock.advance(2 * asked_s)
    end_of(desk, service)

    assert isinstance(first, EffectFailed) is (asked_s > 60)
    assert len(service.at) == 1
    assert service.at[0] - ended_at >= asked_s


def test_a_block_that_was_not_asked_to_wait_leaves_the_next_caller_free(desk: Desk) -> None:
    """INT-07."""

    async def block() -> None:
        async with desk.ledger().begin(CALL):
            raise answer(429)

    with pytest.raises(httpx.HTTPStatusError):
        in_new_process(block())
    ended_at = desk.clock.monotonic()
    service = Service(desk)

    assert end_of(desk, service) == {"id": "ch_1"}
    assert service.at == [ended_at]


@pytest.mark.parametrize(("wait", "waited_s"), [("30s", 0), ("85s", 40), ("170s", 80)])
def test_a_caller_waits_so_long_in_all_whoever_makes_the_attempts(
    desk: Desk, wait: str, waited_s: int
) -> None:
    """RET-05: the pauses that others planned and those of its own attempts come out of one patience."""
    policy = RetryPolicy(longest_wait="100s")
    service = Service(desk, *[answer(429, retry_after="40") for _ in range(5)])
    end_of(desk, service, retry=policy, wait=0)
    begun = desk.clock.monotonic()

    end_of(desk, service, retry=policy, wait=wait)

    assert waited_s <= desk.clock.monotonic() - begun <= float(wait.rstrip("s"))
