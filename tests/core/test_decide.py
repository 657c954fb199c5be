"""Every decision, as a table: what is done about an effect that is known, dead, failed or in doubt."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from holdfast._core.contract import Contract
from holdfast._core.decide import (
    Claim,
    Differs,
    Doubt,
    Fallen,
    OtherKind,
    Replay,
    Stopped,
    TakeOver,
    Wait,
    after_death,
    in_doubt,
    on_error,
    on_evidence,
    on_existing,
)
from holdfast._core.model import Done, EffectKey, Fingerprint, Record, StillUnknown
from holdfast._core.states import Event, Safety, State
from holdfast.errors import NotDone, Permanent

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SAME = Fingerprint("a" * 64)
OTHER = Fingerprint("b" * 64)
MICROSECOND = timedelta(microseconds=1)
SKEW = timedelta(seconds=5)

RECORD = Record(
    tenant="t",
    key=EffectKey("v1:" + "0" * 64),
    workflow_id="w",
    tool="charge",
    intent="charge",
    safety=Safety.UNSAFE,
    fingerprint=SAME,
    args="{}",
    call_id=None,
    actor="agent",
    state=State.SUCCEEDED,
    fence=1,
    attempt=1,
    owner="o",
    lease_until=NOW,
    deadline_at=None,
    result=None,
    result_gap=None,
    error=None,
    created_at=NOW,
    updated_at=NOW,
    observed_at=None,
    audit_seq=1,
    audit_hash=b"",
)
NO_READ = [safety for safety in Safety if safety is not Safety.READ]


def decided(record: Record, *, declared: Safety = Safety.UNSAFE, joined: bool = False) -> Any:
    return on_existing(record, SAME, Contract(safety=declared), NOW, joined=joined)


@pytest.mark.parametrize("joined", [False, True])
@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (State.SUCCEEDED, Replay()),
        (State.COMPENSATED, Replay()),
        (State.UNKNOWN, Doubt()),
        (State.WAITING, Stopped(State.WAITING)),
        (State.FAILED, Stopped(State.FAILED)),
        (State.DENIED, Stopped(State.DENIED)),
        (State.CANCELLED, Stopped(State.CANCELLED)),
    ],
)
def test_a_settled_state_decides_alone(state: State, expected: object, joined: bool) -> None:
    """IDE-04, IDE-16, IDE-21: whatever was declared, and whether or not the caller waited."""
    for recorded, declared in itertools.product(NO_READ, NO_READ):
        record = replace(RECORD, state=state, safety=recorded)
        assert decided(record, declared=declared, joined=joined) == expected


@pytest.mark.parametrize("state", list(State))
def test_another_payload_under_the_same_key_is_refused_in_every_state(state: State) -> None:
    """IDE-10: never a silent replay, never a second execution."""
    record = replace(RECORD, state=state)

    assert on_existing(record, OTHER, Contract(), NOW) == Differs()


@pytest.mark.parametrize("state", list(State))
def test_the_record_of_a_read_is_no_proof_that_anything_was_done(state: State) -> None:
    record = replace(RECORD, state=state, safety=Safety.READ)

    for declared in NO_READ:
        assert decided(record, declared=declared) == OtherKind()


@pytest.mark.parametrize("left", [MICROSECOND, timedelta(seconds=10)])
def test_a_claim_that_lives_is_waited_for(left: timedelta) -> None:
    """X3."""
    record = replace(RECORD, state=State.PENDING, lease_until=NOW + left)

    for declared in Safety:
        assert decided(record, declared=declared) == Wait(NOW + left)


@pytest.mark.parametrize("over", [timedelta(0), MICROSECOND, timedelta(days=1)])
@pytest.mark.parametrize("joined", [False, True])
def test_a_claim_is_dead_from_the_moment_its_lease_ends(over: timedelta, joined: bool) -> None:
    """X4, IDE-19: by the store's clock, and for those who waited as well."""
    for recorded, declared in itertools.product(NO_READ, Safety):
        record = replace(RECORD, state=State.PENDING, safety=recorded, lease_until=NOW - over)
        expected = TakeOver(after_death(recorded, declared))
        assert decided(record, declared=declared, joined=joined) == expected


TAKEN_OVER = {
    (Safety.IDEMPOTENT, Safety.IDEMPOTENT),
    (Safety.IDEMPOTENT, Safety.READ),
    (Safety.READ, Safety.IDEMPOTENT),
    (Safety.READ, Safety.READ),
    *((Safety.LOCAL, declared) for declared in Safety),
}


@pytest.mark.parametrize(("recorded", "declared"), list(itertools.product(Safety, Safety)))
def test_only_what_may_be_repeated_on_both_words_is_taken_over(recorded: Safety, declared: Safety) -> None:
    """I1, IDE-19: what the dead worker ran is what was recorded; all else is doubt."""
    expected = Event.TAKE_OVER if (recorded, declared) in TAKEN_OVER else Event.DOUBT

    assert after_death(recorded, declared) is expected


def test_what_is_known_not_done_is_claimed_again() -> None:
    for error in (None, '{"type":"NotDone"}'):
        assert decided(replace(RECORD, state=State.RETRYABLE, error=error)) == Claim()


def test_a_joiner_gets_the_owners_failure_and_does_not_execute_in_its_wake() -> None:
    """C10; a claim that was given back without an execution is no failure."""
    failed = replace(RECORD, state=State.RETRYABLE, error='{"type":"NotDone"}')

    assert decided(failed, joined=True) == Stopped(State.RETRYABLE)
    assert decided(replace(failed, error=None), joined=True) == Claim()


@pytest.mark.parametrize("safety", list(Safety))
def test_an_odd_error_is_doubt_where_twice_would_hurt(safety: Safety) -> None:
    """IDE-13, IDE-16, IDE-24."""
    expected = Event.DOUBT if safety is Safety.UNSAFE else Event.RELEASE

    assert in_doubt(safety) is expected
    for error in (ValueError("x"), TimeoutError(), ConnectionError(), KeyError("k")):
        assert event_of(on_error(error, Contract(safety=safety), NOW)) is expected


def event_of(word: Any) -> Any:
    """What becomes of the effect; or that it is done."""
    return word.event if isinstance(word, Fallen) else word


@pytest.mark.parametrize("safety", list(Safety))
def test_the_handlers_own_word_counts_before_any_classifier(safety: Safety) -> None:
    contract = Contract(safety=safety, classify=lambda error: Done("no"))

    words = [event_of(on_error(error, contract, NOW)) for error in (NotDone(), Permanent(), _Declined())]
    assert words == [Event.RELEASE, Event.FAIL, Event.RELEASE]


class _Declined(NotDone):
    pass


def _raising(error: Exception) -> Any:
    raise LookupError


@pytest.mark.parametrize(
    ("classify", "expected"),
    [
        (lambda error: Done({"id": 1}), Done({"id": 1})),
        (lambda error: NotDone("declined"), Event.RELEASE),
        (lambda error: NotDone, Event.RELEASE),
        (lambda error: StillUnknown("?"), Event.DOUBT),
        (lambda error: StillUnknown, Event.DOUBT),
        (lambda error: None, Event.DOUBT),
        (lambda error: True, Event.DOUBT),
        (lambda error: "done", Event.DOUBT),
        (_raising, Event.DOUBT),
    ],
    ids=[
        "done",
        "not-done",
        "not-done-class",
        "unknown",
        "unknown-class",
        "nothing",
        "true",
        "text",
        "raises",
    ],
)
def test_a_classifier_gives_evidence_or_none(classify: Any, expected: object) -> None:
    """A classifier that raises or says something else leaves the default: never "not done"."""
    assert event_of(on_error(RuntimeError(), Contract(classify=classify), NOW)) == expected


@pytest.mark.parametrize("deadline", [None, NOW + timedelta(seconds=60)])
def test_not_done_counts_only_once_the_attempt_can_no_longer_act(deadline: datetime | None) -> None:
    """X2, IDE-15: after its deadline, or its lease when it has none, plus skew."""
    record = replace(RECORD, state=State.UNKNOWN, deadline_at=deadline, lease_until=NOW)
    quiet_at = (deadline or NOW) + SKEW

    early = on_evidence(NotDone(), record, quiet_at - MICROSECOND, SKEW)

    assert isinstance(early, StillUnknown)
    assert quiet_at.isoformat() in early.why
    assert on_evidence(NotDone(), record, quiet_at, SKEW) is Event.RESOLVE_NOT_DONE


def test_done_counts_at_once_and_nothing_is_nothing() -> None:
    record = replace(RECORD, state=State.UNKNOWN, deadline_at=NOW + timedelta(days=1))
    nothing = StillUnknown("the provider is away")

    assert on_evidence(Done(1), record, NOW, SKEW) is Event.RESOLVE_DONE
    assert on_evidence(nothing, record, NOW + timedelta(days=2), SKEW) is nothing
