"""Attempts that end by the worker's death count like all others, whoever finds the dead."""

from __future__ import annotations

from typing import Any

import pytest

from desk import Desk, in_new_process
from holdfast import Done, NotDone, RetryPolicy, State
from holdfast.errors import EffectFailed, HoldfastError, OutcomeUnknown
from holdfast.testing import Crash
from retry.world import CALL

THREE = RetryPolicy(maximum_attempts=3)
OPTIONS = {
    "idempotent": {"safety": "idempotent"},
    "unsafe": {"safety": "unsafe", "reconcile": lambda effect: NotDone()},
}


class Deadly:
    """A handler that no process survives."""

    def __init__(self) -> None:
        self.deaths = 0

    def __call__(self, **args: Any) -> None:
        self.deaths += 1
        raise Crash("killed in its handler")


def lives(desk: Desk, deadly: Deadly, count: int, *, sweeps: bool, **options: Any) -> HoldfastError | None:
    """Start so many processes, one after another, that make the call; return what the last one was told."""
    told = None
    for _ in range(count):
        try:
            desk.run(CALL, handler=deadly, **{"retry": THREE, **options})
        except Crash:
            told = None
        except HoldfastError as error:
            told = error
        for _ in range(2 * sweeps):  # one ends the claim, one looks for evidence
            desk.clock.advance(100)
            sweeper = desk.ledger()
            sweeper.tool(CALL.tool, **{"retry": THREE, **options})(lambda **args: None)
            in_new_process(sweeper.sweep())
        desk.clock.advance(100)
    return told


@pytest.mark.parametrize("sweeps", [False, True], ids=["callers", "sweeper"])
@pytest.mark.parametrize(("safety", "end"), [("idempotent", OutcomeUnknown), ("unsafe", EffectFailed)])
def test_an_effect_that_kills_its_workers_is_tried_as_often_as_its_policy_says(
    desk: Desk, safety: str, end: type[HoldfastError], sweeps: bool
) -> None:
    """RET-11: the budget holds across SIGKILL, also when the sweeper ends the claim before anybody calls."""
    deadly = Deadly()

    told = lives(desk, deadly, 6, sweeps=sweeps, **OPTIONS[safety])

    assert deadly.deaths == 3
    assert type(told) is end
    assert desk.effect.spent


def test_a_death_at_the_last_attempt_is_settled_by_evidence_all_the_same(desk: Desk) -> None:
    """RET-11, IDE-15: a used budget forbids attempts, not looking."""
    found = {"safety": "unsafe", "reconcile": lambda effect: Done({"id": "ch_1"})}
    deadly = Deadly()
    lives(desk, deadly, 1, sweeps=False, **OPTIONS["unsafe"])
    lives(desk, deadly, 1, sweeps=False, **OPTIONS["unsafe"])
    lives(desk, deadly, 1, sweeps=False, **OPTIONS["unsafe"])

    assert desk.run(CALL, handler=deadly, retry=THREE, **found) == {"id": "ch_1"}
    assert deadly.deaths == 3
    assert desk.effect.state is State.SUCCEEDED


def test_a_local_effect_that_kills_its_workers_is_no_more_done_than_before(desk: Desk) -> None:
    """RET-11: what the dead did was rolled back with them, so there is no doubt; but they are not endless."""
    deadly = Deadly()

    told = lives(desk, deadly, 6, sweeps=False, safety="local")

    assert deadly.deaths == 3
    assert isinstance(told, EffectFailed)
    assert (desk.effect.state, desk.effect.spent) == (State.RETRYABLE, True)


@pytest.mark.parametrize("sweeps", [False, True], ids=["callers", "sweeper"])
@pytest.mark.parametrize(
    ("safety", "end"), [("idempotent", OutcomeUnknown), ("unsafe", EffectFailed), ("local", EffectFailed)]
)
def test_an_effect_that_kills_its_workers_is_not_executed_for_ever_when_retries_are_off(
    desk: Desk, safety: str, end: type[HoldfastError], sweeps: bool
) -> None:
    """RET-11: no policy says how often, so the default's number of attempts does."""
    deadly = Deadly()
    options = {**OPTIONS.get(safety, {"safety": safety}), "retry": False}

    told = lives(desk, deadly, 8, sweeps=sweeps, **options)
    word = {"by": "ops@acme", "reason": "the machine was replaced"}
    if desk.effect.state is State.UNKNOWN:
        in_new_process(desk.ledger().resolve(desk.effect.key, NotDone(), **word))
    else:
        in_new_process(desk.ledger().retry(desk.effect.key, **word))

    assert deadly.deaths == 5
    assert type(told) is end
    assert desk.run(CALL, handler=lambda **args: "charged", **options) == "charged"


def test_a_persons_word_begins_a_new_budget_after_deaths(desk: Desk) -> None:
    """RET-11, RET-14."""
    deadly = Deadly()
    lives(desk, deadly, 5, sweeps=False, **OPTIONS["unsafe"])

    in_new_process(desk.ledger().retry(desk.effect.key, by="ops@acme", reason="the machine was replaced"))

    assert desk.run(CALL, handler=lambda **args: "charged", retry=THREE, **OPTIONS["unsafe"]) == "charged"
    assert deadly.deaths == 3


@pytest.mark.parametrize("safety", ["idempotent", "local"])
def test_no_attempt_follows_a_death_once_the_time_for_attempts_is_over(desk: Desk, safety: str) -> None:
    """RET-13: a takeover is an attempt like any other, and none begins after the deadline."""
    policy = RetryPolicy(deadline="10s")
    deadly = Deadly()
    if safety == "idempotent":
        desk.die_holding(CALL, handler=deadly, safety=safety, retry=policy)
    else:
        lives(desk, deadly, 1, sweeps=False, safety=safety, retry=policy)
    deaths = deadly.deaths
    desk.clock.advance(100)

    told = lives(desk, deadly, 1, sweeps=False, safety=safety, retry=policy)

    assert isinstance(told, OutcomeUnknown if safety == "idempotent" else EffectFailed)
    assert deadly.deaths == deaths
