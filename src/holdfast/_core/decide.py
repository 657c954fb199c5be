"""Every decision the pipeline takes, as a function from values to a value."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeAlias, assert_never

from holdfast._core.contract import Contract, evidence
from holdfast._core.model import Done, Evidence, Fingerprint, Record, StillUnknown
from holdfast._core.states import Event, Safety, State
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


Next: TypeAlias = Replay | Wait | Claim | TakeOver | Doubt | Differs | OtherKind | Stopped


def on_existing(
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
            return TakeOver(after_death(record.safety, contract.safety))
        case State.RETRYABLE if joined and record.error is not None:
            return Stopped(record.state)
        case State.RETRYABLE:
            return Claim()
        case State.UNKNOWN:
            return Doubt()
        case State.WAITING | State.FAILED | State.DENIED | State.CANCELLED:
            return Stopped(record.state)
        case _:
            assert_never(record.state)


def after_death(recorded: Safety, declared: Safety) -> Event:
    """Name the event for a claim whose worker is gone.

    What the dead worker ran is what was *recorded*; what a new one would run is what is *declared* now.
    Only when both may be repeated is it executed again.
    """
    if recorded is Safety.LOCAL:
        return Event.TAKE_OVER  # its rows and its record commit together: no record, no rows
    repeatable = {Safety.IDEMPOTENT, Safety.READ}
    return Event.TAKE_OVER if {recorded, declared} <= repeatable else Event.DOUBT


def on_error(error: Exception, contract: Contract) -> Done | Event:
    """Read evidence from the error of a handler: it happened after all, or what becomes of the effect.

    A classifier that raises, or says something else than evidence, leaves the default.
    """
    if isinstance(error, NotDone):
        return Event.RELEASE
    if isinstance(error, Permanent):
        return Event.FAIL
    match _classified(error, contract):
        case Done() as done:
            return done
        case NotDone():
            return Event.RELEASE
        case StillUnknown() | None:
            return in_doubt(contract.safety)


def in_doubt(safety: Safety) -> Event:
    """Name the event for an attempt that ended without evidence (odd error, timeout, interrupt)."""
    return Event.DOUBT if safety is Safety.UNSAFE else Event.RELEASE


def _classified(error: Exception, contract: Contract) -> Evidence | None:
    if contract.classify is None:
        return None
    try:
        found = contract.classify(error)
    except Exception:  # noqa: BLE001 - a broken classifier is no evidence
        return None
    return None if found is None else evidence(found, source="classify")


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
