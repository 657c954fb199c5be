"""How often a failed attempt is tried again, after how long, and who counts."""

from __future__ import annotations

from datetime import timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from desk import Desk
from holdfast import NotDone, Permanent, RetryPolicy, State
from holdfast.errors import CircuitOpen, EffectFailed, OutcomeUnknown
from retry.world import CALL, Service, answer, ask, end_of, lost, refused, told

CAPS_S = [1.0, 5.0, 30.0]


@pytest.mark.parametrize("fault", [lost, refused, lambda: answer(503)], ids=["timeout", "refused", "503"])
@pytest.mark.parametrize("safety", ["read", "idempotent"])
def test_what_may_be_repeated_is_tried_three_times_more_with_growing_caps(
    desk: Desk, safety: str, fault: Any
) -> None:
    """RET-01, RET-04, RET-06: four attempts in all, each delay drawn below 1, 5 and 30 seconds."""
    service = Service(desk, *[fault() for _ in range(4)])

    error = end_of(desk, service, safety=safety)

    assert isinstance(error, type(fault()))
    assert len(service.at) == 4
    assert all(0 <= delay <= cap + 0.01 for delay, cap in zip(service.delays, CAPS_S, strict=True))
    assert sum(service.delays) > 0


def test_retries_that_are_used_up_stay_used_up_for_every_later_call(desk: Desk) -> None:
    """RET-11: also where nobody declared a policy; four attempts for ever, not four for each call."""
    service = Service(desk, *[refused() for _ in range(4)])

    end_of(desk, service, safety="idempotent")
    again = end_of(desk, service, safety="idempotent")

    assert len(service.at) == 4
    assert isinstance(again, EffectFailed)
    assert again.spent


def test_what_may_have_acted_is_not_forgotten_when_the_last_attempt_was_refused(desk: Desk) -> None:
    """RET-10, RET-11: the first attempt may have gone through, so at the end there is doubt, not "not done"."""
    service = Service(desk, lost(), refused())

    end_of(desk, service, safety="idempotent", retry=RetryPolicy(maximum_attempts=2, initial_interval=1))

    assert len(service.at) == 2
    assert desk.effect.state is State.UNKNOWN


@pytest.mark.parametrize(
    "fault", [lost, lambda: answer(500), lambda: answer(503)], ids=["timeout", "500", "503"]
)
def test_an_ambiguous_write_is_not_tried_again(desk: Desk, fault: Any) -> None:
    """RET-10, IDE-16: where a read gets four attempts, a write gets one, and a person is asked."""
    service = Service(desk, fault())

    end_of(desk, service)
    again = end_of(desk, service)

    assert len(service.at) == 1
    assert desk.effect.state is State.UNKNOWN
    assert isinstance(again, OutcomeUnknown)
    [workflow] = ask(desk, lambda ledger: ledger.workflows(status="needs_review"))
    assert workflow.open_reviews == 1


@pytest.mark.parametrize("status", [400, 404, 405, 410, 422, 451])
def test_a_client_error_gets_one_attempt_and_is_final(desk: Desk, status: int) -> None:
    """RET-08, IDE-21: the second call gets the recorded failure without running."""
    service = Service(desk, answer(status))

    first, second = end_of(desk, service), end_of(desk, service)

    assert first.response.status_code == status
    assert isinstance(second, EffectFailed)
    assert second.state == State.FAILED
    assert len(service.at) == 1


@pytest.mark.parametrize("status", [409, 425])
def test_a_conflict_or_too_early_is_tried_again_because_nothing_was_done(desk: Desk, status: int) -> None:
    """RET-08: the documented exceptions, for a tool whose author chose a policy."""
    service = Service(desk, answer(status))

    result = end_of(desk, service, retry=RetryPolicy(initial_interval=1))

    assert result == {"id": "ch_1"}
    assert len(service.at) == 2


@pytest.mark.parametrize("safety", ["unsafe", "idempotent", "read"])
def test_a_conflict_is_an_answer_and_is_not_tried_again_by_itself(desk: Desk, safety: str) -> None:
    """RET-08: but a later call may find that the conflict is over."""
    service = Service(desk, answer(409))

    first, attempts = end_of(desk, service, safety=safety), len(service.at)
    second = end_of(desk, service, safety=safety)

    assert first.response.status_code == 409
    assert attempts == 1
    assert second == {"id": "ch_1"}


@pytest.mark.parametrize("status", [408, 425])
def test_what_the_server_gave_up_on_or_found_too_early_is_tried_as_a_5xx_is(desk: Desk, status: int) -> None:
    """RET-08: the documented exceptions."""
    service = Service(desk, *[answer(status) for _ in range(9)])

    end_of(desk, service, safety="idempotent")

    assert len(service.at) == 4
    assert all(delay <= cap + 0.01 for delay, cap in zip(service.delays, CAPS_S, strict=True))


def test_a_refused_request_of_a_read_proves_nothing_about_the_write(desk: Desk) -> None:
    """IDE-16: the handler may have written before it read; nobody knows, so nothing is final and nothing repeated."""
    service = Service(desk, answer(404, method="GET"))

    end_of(desk, service)

    assert desk.effect.state is State.UNKNOWN
    assert len(service.at) == 1


def _seconds(_: Desk) -> str:
    return "2"


def _date(desk: Desk) -> str:
    return format_datetime(desk.clock() + timedelta(seconds=2), usegmt=True)


@pytest.mark.parametrize("form", [_seconds, _date], ids=["seconds", "date"])
@pytest.mark.parametrize("safety", ["unsafe", "idempotent", "read"])
def test_retry_after_is_honoured(desk: Desk, form: Any, safety: str) -> None:
    """RET-05: not sooner than the other side asked for, and not all at once when many were told the same."""
    service = Service(desk, answer(429, retry_after=form(desk)))

    result = end_of(desk, service, safety=safety)

    assert result == {"id": "ch_1"}
    assert 2 <= service.delays[0] <= 4.01


def test_the_fifth_refusal_in_a_row_opens_the_circuit_and_no_more_is_sent(desk: Desk) -> None:
    """RET-05: for this effect, and for every other that depends on the same system."""
    service = Service(desk, *[answer(429, retry_after="2") for _ in range(9)])
    options: Any = {"dependency": "stripe"}

    end_of(desk, service, **options)
    other = end_of(
        desk,
        service,
        CALL.__class__(workflow_id="order-2", tool="stripe.refund", args={"amount": 1}),
        **options,
    )

    assert len(service.at) == 5
    assert isinstance(other, CircuitOpen)
    assert other.dependency == "stripe"


def test_a_repeated_503_is_one_alert(desk: Desk) -> None:
    """RET-06: of four answers, not four alerts."""
    service = Service(desk, *[answer(503) for _ in range(4)])
    ledger = desk.ledger()
    alerts = told(desk, ledger)

    end_of(desk, service, safety="idempotent", ledger=ledger)

    assert [alert.code for alert in alerts] == ["repeated_503"]
    assert len(service.at) == 4


def test_another_503_after_a_success_is_another_alert(desk: Desk) -> None:
    """RET-06: two outages are two alerts, one each, whichever worker meets them."""
    ledger = desk.ledger()
    alerts = told(desk, ledger)
    for n in range(2):
        service = Service(desk, answer(503), answer(503))
        end_of(
            desk,
            service,
            CALL.__class__(workflow_id=f"order-{n}", tool="get", args={"amount": 1}),
            safety="read",
            ledger=ledger,
        )

    assert [alert.code for alert in alerts] == ["repeated_503", "repeated_503"]


def test_non_retryable_errors_get_one_attempt_and_others_as_many_as_the_policy_says(desk: Desk) -> None:
    """RET-20, RET-03: the surface that users of Temporal know."""
    policy = RetryPolicy(
        initial_interval=1,
        backoff_coefficient=2,
        maximum_attempts=5,
        non_retryable_error_types=["ValidationError"],
    )

    class ValidationError(ValueError):
        """What a library calls input that does not fit."""

    refusing, broken = Service(desk, *[ValidationError()] * 9), Service(desk, *[OSError()] * 9)
    other = CALL.__class__(workflow_id="order-2", tool="stripe.charge", args={"amount": 2})

    end_of(desk, refusing, retry=policy, safety="idempotent")
    end_of(desk, broken, other, retry=policy, safety="idempotent")

    assert (len(refusing.at), len(broken.at)) == (1, 5)
    caps = [1, 2, 4, 8]
    assert all(0 <= delay <= cap + 0.01 for delay, cap in zip(broken.delays, caps, strict=True))


def test_subclasses_of_a_non_retryable_error_count(desk: Desk) -> None:
    """RET-20: an error class covers what is derived from it, a name as well."""
    policy = RetryPolicy(
        maximum_attempts=3, non_retryable_error_types=[LookupError, "builtins.ArithmeticError"]
    )
    calls = []
    for n, error in enumerate([KeyError("k"), ZeroDivisionError()]):
        service = Service(desk, error)
        call = CALL.__class__(workflow_id=f"order-{n}", tool="t", args={"amount": 1})
        end_of(desk, service, call, retry=policy, safety="idempotent")
        calls.append(len(service.at))

    assert calls == [1, 1]


def test_attempts_count_over_calls_and_processes(desk: Desk) -> None:
    """RET-11: two in one process, three in the next, none in a third."""
    policy = RetryPolicy(maximum_attempts=5, initial_interval=1, maximum_interval=1, longest_wait=0.001)
    service = Service(desk, *[answer(429, retry_after="1") for _ in range(9)])

    ends = []
    for _ in range(9):
        ends.append(end_of(desk, service, retry=policy))
        desk.clock.advance(60)

    assert len(service.at) == 5
    assert isinstance(ends[-1], EffectFailed)
    assert ends[-1].spent
    assert len(ends[-1].attempts) == 5
    assert desk.effect.spent


def test_a_person_may_grant_more_retries(desk: Desk) -> None:
    """RET-11, RET-14: the same key, a new budget, and the trail says by whom."""
    policy = RetryPolicy(maximum_attempts=2, initial_interval=1)
    service = Service(desk, answer(429), answer(429), answer(429))
    end_of(desk, service, retry=policy)
    desk.clock.advance(600)
    key = desk.effect.key

    ask(desk, lambda ledger: ledger.retry(key, by="ops@acme", reason="the limit was raised"))
    result = end_of(desk, service, retry=policy)

    assert result == {"id": "ch_1"}
    assert len(service.at) == 4
    assert len(set(service.keys)) == 1
    granted = [event for event in desk.story if event.details.get("renews")]
    assert [event.details["by"] for event in granted] == ["ops@acme"]


def test_a_planned_attempt_is_kept_by_whoever_comes_next(desk: Desk) -> None:
    """RET-05, RET-11: the process that was told to wait is gone; another one waits in its place."""
    policy = RetryPolicy(longest_wait="100s")
    service = Service(desk, answer(429, retry_after="50"))
    impatient = RetryPolicy(longest_wait="1s")

    early = end_of(desk, service, retry=impatient)
    too_early = end_of(desk, service, retry=impatient)
    result = end_of(desk, service, retry=policy)

    assert early.response.status_code == 429
    assert isinstance(too_early, EffectFailed)
    assert too_early.retry_at is not None
    assert result == {"id": "ch_1"}
    assert service.delays[0] >= 50


@pytest.mark.parametrize(("wait", "count"), [("39s", 1), ("50s", 2), ("90s", 3)])
def test_a_caller_rests_no_longer_than_it_said_it_would_wait(desk: Desk, wait: str, count: int) -> None:
    """RET-05, RET-11: it is given the attempt's own error at once; the next one stays planned for whoever calls."""
    service = Service(desk, *[answer(429, retry_after="40") for _ in range(3)])

    early = end_of(desk, service, wait=wait)
    stopped_at = desk.clock.monotonic()
    planned = desk.effect
    result = end_of(desk, service, wait="200s", retry=RetryPolicy(longest_wait="100s"))

    assert early.response.status_code == 429
    assert "the same call tries again" in early.__notes__[0]
    assert len(early.attempts) == count
    assert stopped_at == service.at[count - 1]
    assert (planned.state, planned.attempt) == (State.RETRYABLE, count)
    assert planned.retry_at is not None
    assert result == {"id": "ch_1"}
    assert min(service.delays) >= 40


def test_a_read_that_is_busy_keeps_nobody_longer_than_its_wait(desk: Desk) -> None:
    """RET-05: its error comes at once."""
    service = Service(desk, answer(429, "GET", retry_after="40"))

    early = end_of(desk, service, wait="1s", safety="read")

    assert early.response.status_code == 429
    assert len(early.attempts) == 1
    assert desk.clock.monotonic() < 1


def test_the_deadline_ends_retrying_and_no_attempt_starts_later(desk: Desk) -> None:
    """RET-13: three seconds, whatever the delays would be."""
    policy = RetryPolicy(initial_interval=2, maximum_attempts=50, deadline="3s", jitter="equal")
    service = Service(desk, *[lost() for _ in range(60)])

    end_of(desk, service, retry=policy, safety="idempotent")
    again = end_of(desk, service, retry=policy, safety="idempotent")

    assert 1 <= len(service.at) <= 3
    assert service.at[-1] <= 3
    assert desk.clock.monotonic() <= 3
    assert isinstance(again, OutcomeUnknown)


def test_retries_can_be_off(desk: Desk) -> None:
    """RET-03: then each call is one attempt, and its caller decides."""
    service = Service(desk, lost(), lost())

    for _ in range(3):
        end_of(desk, service, safety="idempotent", retry=False)

    assert len(service.at) == 3
    assert desk.effect.state is State.SUCCEEDED


def test_an_ambiguous_attempt_among_refused_ones_is_not_forgotten(desk: Desk) -> None:
    """RET-14, I2: the last answer was a refusal, but the first attempt may have gone through."""
    service = Service(desk, lost(), answer(422))

    end_of(desk, service, safety="idempotent")

    assert desk.effect.state is State.UNKNOWN
    assert [event.event for event in desk.story] == ["claim", "release", "claim", "doubt"]


def test_when_all_attempts_were_refused_for_now_it_is_known_not_done(desk: Desk) -> None:
    """RET-14: no doubt where there is none: retries are used up, nothing happened, a person may grant more."""
    service = Service(desk, *[answer(429) for _ in range(5)])

    end_of(desk, service, safety="idempotent")

    assert (desk.effect.state, desk.effect.spent, desk.effect.uncertain) == (State.RETRYABLE, True, False)


def test_the_error_carries_every_attempt_as_the_trail_has_it(desk: Desk) -> None:
    """RET-21: time, error, what it was taken for, and the delay after it."""
    service = Service(desk, answer(503), answer(503), answer(503), answer(503))

    error = end_of(desk, service, safety="idempotent")

    attempts = error.attempts
    assert [attempt.number for attempt in attempts] == [1, 2, 3, 4]
    assert {attempt.error for attempt in attempts} == {"HTTPStatusError"}
    assert {attempt.fault for attempt in attempts} == {"ambiguous (503)"}
    assert [round(a.delay_s, 1) for a in attempts[:3]] == [round(delay, 1) for delay in service.delays]
    assert attempts[3].delay_s is None
    ends = [event for event in desk.story if event.event in {"release", "doubt"}]
    assert [event.details["fault"] for event in ends] == ["ambiguous (503)"] * 4
    assert [event.at for event in ends] == [attempt.ended_at for attempt in attempts]


@pytest.mark.parametrize("error", [NotDone("full"), Permanent("closed")], ids=["not-done", "permanent"])
def test_a_handlers_own_word_is_not_second_guessed(desk: Desk, error: Exception) -> None:
    """IDE-21: by itself the ledger repeats neither; the next call may, where nothing happened."""
    service = Service(desk, error)

    end_of(desk, service)
    again = end_of(desk, service)

    assert len(service.at) == (2 if isinstance(error, NotDone) else 1)
    assert isinstance(again, dict if isinstance(error, NotDone) else EffectFailed)


def test_a_declared_policy_repeats_what_the_handler_says_is_not_done(desk: Desk) -> None:
    """RET-20: an author who chose a policy wants it for every failure that is not final."""
    service = Service(desk, NotDone("full"), NotDone("full"))

    result = end_of(desk, service, retry=RetryPolicy(initial_interval=1))

    assert result == {"id": "ch_1"}


def test_every_attempt_sends_the_same_key(desk: Desk) -> None:
    """IDE-17, IDE-24: which is why an idempotent write may be sent again."""
    service = Service(desk, lost(), answer(503), answer(429))

    assert end_of(desk, service, safety="idempotent") == {"id": "ch_1"}
    assert len(service.keys) == 4
    assert len(set(service.keys)) == 1


def test_a_classifier_says_what_the_library_cannot_know(desk: Desk) -> None:
    """RET-03: per tool; here an error of the user's own is a rate limit of three seconds."""
    from holdfast import Cause, Fault, FaultKind

    def classify(error: Exception) -> Fault | None:
        if not isinstance(error, KeyError):
            return None
        return Fault(
            kind=FaultKind.RATE_LIMITED,
            cause=Cause.THROTTLE,
            retry_after_s=3.0,
            may_have_acted=False,
            why="busy",
        )

    service = Service(desk, KeyError("busy"))

    assert end_of(desk, service, classify=classify) == {"id": "ch_1"}
    assert service.delays[0] >= 3
