"""Every decision the pipeline takes, as a function from values to a value."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, TypeAlias, assert_never

from holdfast._core.change import Retrying
from holdfast._core.contract import Contract, evidence
from holdfast._core.fault import Cause, Fault, FaultKind, fault_of
from holdfast._core.model import Done, Evidence, Fingerprint, Record, StillUnknown
from holdfast._core.retry import DEFAULT_POLICY, Again, after_fault
from holdfast._core.states import Event, Safety, State
from holdfast._core.value import value
from holdfast.errors import NotDone, Permanent


@dataclass(frozen=True, slots=True)
class Replay:
    """It is done: answer from the record."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Somebody else is at it; its lease ends at *until* unless it is renewed."""

    until: datetime


@dataclass(frozen=True, slots=True)
class Claim:
    """Known not done: claim it again under the same key."""


@dataclass(frozen=True, slots=True)
class TakeOver:
    """Its worker is gone: apply *event*, provided that its lease is still over then."""

    event: Event


@dataclass(frozen=True, slots=True)
class Doubt:
    """Nobody knows: look for evidence, else say so."""


@dataclass(frozen=True, slots=True)
class Differs:
    """The same key with another payload."""


@dataclass(frozen=True, slots=True)
class OtherKind:
    """The key is on record as a read: its answer is no proof that anything was done."""


@dataclass(frozen=True, slots=True)
class Stopped:
    """It will not be executed: its *state* says why."""

    state: State


@dataclass(frozen=True, slots=True)
class Pause:
    """Its next attempt is planned: not before *until*."""

    until: datetime


@dataclass(frozen=True, slots=True)
class Spent:
    """Its retries are used up: no attempt without a person's word."""


Next: TypeAlias = Replay | Wait | Claim | TakeOver | Doubt | Differs | OtherKind | Stopped | Pause | Spent


def on_existing(  # noqa: C901 - one arm per state: this is the table
    record: Record, fingerprint: Fingerprint, contract: Contract, now: datetime, *, joined: bool = False
) -> Next:
    """Decide what to do about an effect the ledger already knows. Total over ``State``.

    Args:
        now: The store's clock, the one that leases are measured by.
        joined: The caller waited for another worker: it receives that worker's outcome,
            and never executes in its wake.
    """
    if record.fingerprint != fingerprint:
        return Differs()
    if record.safety is Safety.READ and contract.safety is not Safety.READ:
        return OtherKind()
    match record.state:
        case State.SUCCEEDED | State.COMPENSATED:
            return Replay()
        case State.PENDING if now < record.lease_until:
            return Wait(record.lease_until)
        case State.PENDING:
            event = after_death(record.safety, contract.safety)
            ends = used_up(record, contract) or is_late(record, contract, now)
            is_over = ends and event is Event.TAKE_OVER
            return TakeOver(_LAST_DEATH.get(record.safety, event) if is_over else event)
        case State.RETRYABLE if joined and record.error is not None and record.not_before is None:
            return Stopped(record.state)
        case State.RETRYABLE if is_spent(record, contract, now) or is_tightened(record, contract):
            return Spent()
        case State.RETRYABLE if record.not_before is not None and now < record.not_before:
            return Pause(record.not_before)
        case State.RETRYABLE:
            return Claim()
        case State.UNKNOWN:
            return Doubt()
        case State.WAITING | State.FAILED | State.DENIED | State.CANCELLED:
            return Stopped(record.state)
        case _:
            assert_never(record.state)


_LAST_DEATH: Final = {Safety.IDEMPOTENT: Event.DOUBT, Safety.LOCAL: Event.RELEASE}
"""What follows a death that no attempt may follow: local rows were rolled back with their worker."""


def used_up(record: Record, contract: Contract) -> bool:
    """Whether an effect was executed as often as its retries allow, whatever became of it each time.

    The default's number holds where retries are off: what kills its workers is not executed for ever.
    """
    retry = contract.retry or DEFAULT_POLICY
    return record.safety is not Safety.READ and record.attempt - record.retry_from >= retry.most_attempts


def is_tightened(record: Record, contract: Contract) -> bool:
    """Whether an attempt may have acted that was harmless to repeat then, and would not be any more."""
    return record.uncertain and contract.safety is Safety.UNSAFE


def is_spent(record: Record, contract: Contract, now: datetime) -> bool:
    """Whether no attempt may follow without a person's word."""
    if record.safety is Safety.READ:
        return False
    if contract.retry is None:
        return record.spent  # by deaths, or by the policy that there was
    if contract.is_retry_declared and used_up(record, contract):
        return True  # however they ended: the author chose how many there may be
    return record.spent or is_late(record, contract, now)


def is_late(record: Record, contract: Contract, now: datetime) -> bool:
    """Whether the time for further attempts is over."""
    deadline_s = None if contract.retry is None else contract.retry.deadline_s
    if deadline_s is None or record.attempt <= record.retry_from:
        return False
    return (now - (record.retry_since or record.created_at)).total_seconds() >= deadline_s


def after_death(recorded: Safety, declared: Safety) -> Event:
    """Name the event for a claim whose worker is gone.

    What the dead worker ran is what was *recorded*; what a new one would run is what is *declared* now.
    Only when both may be repeated is it executed again.
    """
    if recorded is Safety.LOCAL:
        return Event.TAKE_OVER  # its rows and its record commit together: no record, no rows
    repeatable = {Safety.IDEMPOTENT, Safety.READ}
    return Event.TAKE_OVER if {recorded, declared} <= repeatable else Event.DOUBT


@value
class Tries:
    """What an effect has behind it when an attempt of it ends.

    Attributes:
        attempt: How many attempts the present budget has seen, the one that ended included.
        elapsed_s: Seconds since that budget began.
        previous_s: The delay before this attempt; 0 when there was none.
        uncertain: An earlier attempt may have acted.
        draw: A random number in [0, 1).
    """

    attempt: int = 1
    elapsed_s: float = 0.0
    previous_s: float = 0.0
    uncertain: bool = False
    draw: float = 0.0


@value
class Fallen:
    """What an attempt that raised means.

    Attributes:
        event: What becomes of the effect.
        fault: What the error was taken for.
        retrying: What is recorded about further attempts.
        again_s: Another attempt, or another look for evidence, follows after so many seconds.
        gave_up: Why none follows; empty when one does.
        stops_workflow: Nothing of the workflow may go on until a person says so.
    """

    event: Event
    fault: Fault
    retrying: Retrying
    again_s: float | None = None
    gave_up: str = ""
    stops_workflow: bool = False


_FIRST_TRY: Final = Tries()


def on_error(error: Exception, contract: Contract, now: datetime, tries: Tries = _FIRST_TRY) -> Done | Fallen:
    """Read evidence from the error of a handler: it happened after all, or what becomes of the effect.

    A classifier that raises, or says something else than evidence or a fault, leaves the default. Whose class
    an error is, the class tells: the error itself may say anything.
    """
    kind = type(error)
    if issubclass(kind, NotDone):
        return _fallen(_NOT_DONE, error, contract, tries)
    if issubclass(kind, Permanent):
        fault = Fault(kind=FaultKind.PERMANENT, cause=Cause.CODE, may_have_acted=False, why="Permanent")
        # It speaks for its own attempt: an earlier one may have gone through.
        event = Event.DOUBT if tries.uncertain else Event.FAIL
        retrying = Retrying(uncertain=tries.uncertain or None)
        return Fallen(event=event, fault=fault, retrying=retrying, gave_up="refused")
    match _classified(error, contract):
        case Done() as done:
            return done
        case NotDone():
            return _fallen(_NOT_DONE, error, contract, tries)
        case Fault() as fault:
            return _fallen(fault, error, contract, tries)
        case StillUnknown():
            return _fallen(_NO_EVIDENCE, error, contract, tries)
        case _:
            return _fallen(fault_of(error, now=now), error, contract, tries)


_NOT_DONE: Final = Fault(kind=FaultKind.TRANSIENT, cause=Cause.CODE, may_have_acted=False, why="NotDone")
_NO_EVIDENCE: Final = Fault(
    kind=FaultKind.AMBIGUOUS, cause=Cause.CODE, may_have_acted=True, why="no evidence"
)


def on_timeout(
    contract: Contract, error: Exception, tries: Tries = _FIRST_TRY, *, limit_s: float | None = None
) -> Fallen:
    """Say what becomes of an effect whose handler was given up after its time.

    Args:
        limit_s: What its time was; less than the tool's own *timeout* is its caller's impatience, and no
            fault of what it depends on.
    """
    is_own = limit_s is None or (contract.timeout_s is not None and limit_s >= contract.timeout_s)
    cause = Cause.NETWORK if is_own else Cause.CODE
    fault = Fault(kind=FaultKind.AMBIGUOUS, cause=cause, may_have_acted=True, why="timeout")
    return _fallen(fault, error, contract, tries)


def _fallen(fault: Fault, error: Exception, contract: Contract, tries: Tries) -> Fallen:
    decision = after_fault(
        contract.retry,
        fault,
        error,
        attempt=tries.attempt,
        elapsed_s=tries.elapsed_s,
        draw=tries.draw,
        previous_s=tries.previous_s,
        is_declared=contract.is_retry_declared,
    )
    again_s = decision.delay_s if isinstance(decision, Again) else None
    gave_up = "" if isinstance(decision, Again) else decision.why
    stops = fault.kind is FaultKind.AUTH and contract.retry is not None and contract.retry.stop_on_auth
    is_spent = gave_up == "spent"
    acted = fault.may_have_acted and contract.safety in {Safety.UNSAFE, Safety.IDEMPOTENT}
    uncertain = tries.uncertain or acted
    if contract.safety is Safety.UNSAFE and acted:
        event = Event.DOUBT  # never again without evidence; with some, the ledger looks before it tries
        again_s = again_s if contract.probe is not None or contract.reconcile is not None else None
        retrying = Retrying(spent=is_spent or None)
    elif is_spent and uncertain:
        event, retrying = Event.DOUBT, Retrying(uncertain=True, spent=True)
    elif fault.kind is FaultKind.PERMANENT and not acted and contract.safety is not Safety.LOCAL:
        # Refused now, but an earlier attempt may have gone through: that is doubt, not failure.
        event = Event.DOUBT if tries.uncertain else Event.FAIL
        retrying = Retrying(uncertain=uncertain or None)
    else:
        event = Event.RELEASE
        retrying = Retrying(uncertain=uncertain or None, spent=is_spent or None, delay_s=decision.delay_s)
    return Fallen(
        event=event,
        fault=fault,
        retrying=retrying,
        again_s=again_s,
        gave_up=gave_up,
        stops_workflow=stops,
    )


def in_doubt(safety: Safety) -> Event:
    """Name the event for an attempt that ended without evidence (odd error, timeout, interrupt)."""
    return Event.DOUBT if safety is Safety.UNSAFE else Event.RELEASE


def _classified(error: Exception, contract: Contract) -> Evidence | Fault | None:
    if contract.classify is None:
        return None
    try:
        found = contract.classify(error)
    except Exception:  # noqa: BLE001 - a broken classifier is no evidence
        return None
    return found if found is None or isinstance(found, Fault) else evidence(found, source="classify")


def on_evidence(found: Evidence, record: Record, now: datetime, skew: timedelta) -> Event | StillUnknown:
    """Decide what a reconciler's finding is worth.

    *Not done* counts only once the last attempt can no longer act: a request that is still on its way
    would make it a lie.
    """
    match found:
        case Done():
            return Event.RESOLVE_DONE
        case StillUnknown():
            return found
        case _:
            quiet_at = (record.deadline_at or record.lease_until) + skew
            if now >= quiet_at:
                return Event.RESOLVE_NOT_DONE
            return StillUnknown(f"found nothing, but the last attempt may act until {quiet_at.isoformat()}")
