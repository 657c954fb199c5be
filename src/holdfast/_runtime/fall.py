"""What follows an attempt that raised: its record, evidence, another attempt or the error."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from typing import Any, Final

from holdfast._core.audit import attempts
from holdfast._core.change import PlainOutcome, Retrying, WorkflowStop
from holdfast._core.decide import Fallen, Tries, in_doubt, on_error
from holdfast._core.fault import Cause, Fault, FaultKind
from holdfast._core.model import Done, EffectKey, Receipt, Record
from holdfast._core.states import Event, Safety, State
from holdfast._core.value import value
from holdfast._runtime import context
from holdfast._runtime.answer import replay
from holdfast._runtime.dependencies import draw, tell_of_auth, went_wrong
from holdfast._runtime.parts import Held, Parts, Work, failure_of
from holdfast._runtime.reconcile import has_evidence, settle
from holdfast._runtime.record import Verdict, record, told_done
from holdfast.errors import AttemptInfo, LeaseLost, OutcomeUnknown, StoreError, StoreInvariant
from holdfast.errors.effects import resume_hint, retry_hint

_TOLD: Final = "_holdfast_told"


@value
class Fell:
    """An attempt that raised, on record.

    Attributes:
        error: What it raised.
        fallen: What that means.
        again_s: Another one follows after so many seconds; ``None``: *error* is raised.
    """

    error: Exception
    fallen: Fallen
    again_s: float | None = None


async def fall(parts: Parts, work: Work, held: Held, error: Exception, fallen: Fallen) -> Receipt | Fell:
    """Record what *error* means; look for evidence if there is doubt; say whether another attempt follows.

    Raises:
        OutcomeUnknown: The record could not be written.
        LeaseLost: Another worker took over meanwhile.
    """
    again_s, wanted = None, fallen.again_s is not None
    if wanted:  # first, so that what is recorded is what will be; its delay holds for whoever calls again
        again_s = await paid(parts, work, held.probe, fallen)
    try:
        head = await record(parts, held, work.actor, verdict_of(error, fallen))
    except (OutcomeUnknown, LeaseLost) as unrecorded:
        raise unrecorded from error
    if fallen.stops_workflow:
        await tell_of_auth(parts, work, fallen.fault.why)
    if again_s is None and not wanted:
        await paid(parts, work, held.probe, fallen)
    state = head.state
    if state is State.UNKNOWN and await _is_evidence_near(parts, work):
        found, is_early = await _looked(parts, work, work.key)
        if found.state is State.SUCCEEDED:
            return replay(parts, work, found)
        state = found.state
        if again_s is not None and state is State.UNKNOWN:
            again_s = _when_quiet(parts, work, found, again_s) if is_early else None
    if again_s is not None:
        return Fell(error=error, fallen=fallen, again_s=again_s)
    return Fell(error=await told(parts, work, error, state, fallen), fallen=fallen)


async def _is_evidence_near(parts: Parts, work: Work) -> bool:
    return has_evidence(work.contract) or await told_done(parts, work.tenant, work.key)


async def _looked(parts: Parts, work: Work, key: EffectKey) -> tuple[Record, bool]:
    """Look for evidence at once; return the effect, and whether "not done" was found too early."""
    found = (await parts.store.find(work.tenant, key)).record
    if found is None:
        raise StoreInvariant("look for evidence", "the effect's row has vanished", key)
    if found.state is not State.UNKNOWN:
        return found, False
    until = context.deadline.set(None)  # the handler's time is over, not that of who looks
    try:
        return await settle(parts, found, work.contract, work.actor)
    finally:
        context.deadline.reset(until)


async def paid(parts: Parts, work: Work, probe: str, fallen: Fallen) -> float | None:
    """Tell how the dependency is; return when another attempt follows, if it can be paid for."""
    wants = fallen.again_s is not None
    may = await went_wrong(parts, work, fallen.fault, probe=probe, wants_retry=wants)
    return fallen.again_s if may else None


def _when_quiet(parts: Parts, work: Work, found: Record, again_s: float) -> float | None:
    """Return when "not done" may be believed, in seconds from now; ``None``: later than its caller waits."""
    quiet_at = (found.deadline_at or found.lease_until) + parts.settings.skew
    quiet_s = (quiet_at - parts.runtime.now()).total_seconds() + 0.001
    retry = work.contract.retry
    return max(again_s, quiet_s) if retry is not None and quiet_s <= retry.longest_wait_s else None


def tries_of(parts: Parts, held: Held) -> Tries:
    """Return what the effect has behind it when the attempt under *held* ends."""
    since = held.since or held.head.at
    return Tries(
        attempt=held.head.attempt - held.retry_from,
        elapsed_s=(parts.runtime.now() - since).total_seconds(),
        previous_s=held.previous_s,
        uncertain=held.uncertain,
        draw=draw(parts),
    )


def word_of(parts: Parts, error: BaseException, work: Work, held: Held | None) -> Done | Fallen:
    """Read evidence from a handler's error; what another effect's handler raised says nothing of this one."""
    tries = Tries() if held is None else tries_of(parts, held)
    if not is_foreign(error) and isinstance(error, Exception):
        return on_error(error, work.contract, parts.runtime.now(), tries)
    return no_word(work, why=type(error).__name__)


def no_word(work: Work, *, why: str) -> Fallen:
    """Return what an attempt means of which nothing is known but that it ended."""
    safety = work.contract.safety
    fault = Fault(kind=FaultKind.AMBIGUOUS, cause=Cause.CODE, may_have_acted=True, why=why)
    event = in_doubt(safety)
    return Fallen(event=event, fault=fault, retrying=harmless(safety), gave_up="unrecognised")


def harmless(safety: Safety) -> Retrying:
    """Return what is recorded of further attempts when one ended without evidence."""
    return Retrying(uncertain=True if safety is Safety.IDEMPOTENT else None)


def verdict_of(error: BaseException, fallen: Fallen) -> Verdict:
    """Return what is recorded of an attempt that raised."""
    fault = fallen.fault
    details: dict[str, Any] = {}
    if fault.is_recognised:
        details["fault"] = str(fault.kind) if fault.status is None else f"{fault.kind} ({fault.status})"
    if fallen.gave_up == "spent":
        details["why"] = "its retries are used up"
    if fallen.event is Event.DOUBT and fault.retry_after_s is not None:
        details["retry_after_s"] = round(fault.retry_after_s, 3)  # for when the doubt is over
    reason = f"authentication failed ({fault.why})"
    return Verdict(
        event=fallen.event,
        outcome=error_outcome(error, fault),
        details=details or None,
        retrying=fallen.retrying,
        workflow=WorkflowStop(reason=reason) if fallen.stops_workflow else None,
        is_proof=not fault.may_have_acted,
    )


def error_outcome(error: BaseException, fault: Fault | None = None) -> PlainOutcome:
    """Return what is recorded of an error."""
    failure = failure_of(error, fault)
    said: dict[str, Any] = {"type": failure.type, "message": failure.message}
    if failure.kind:
        said |= {"kind": failure.kind, "status": failure.status}
    return PlainOutcome(error=json.dumps(said), error_type=failure.type)


def timed_out(work: Work, timeout_s: float | None) -> TimeoutError:
    """Return the error for a handler that took too long."""
    return TimeoutError(f"handler of {work.call.tool!r} took longer than its timeout of {timeout_s:g} s")


async def told(parts: Parts, work: Work, error: Exception, state: State, fallen: Fallen) -> Exception:
    """Return the handler's own error, with its attempts and a note on what the ledger made of it."""
    await tell_attempts(parts, work, error, fallen)
    settle = (
        f"reconcile {work.key} --app MODULE:LEDGER" if has_evidence(work.contract) else f"resolve {work.key}"
    )
    follow_up = {
        State.UNKNOWN: f"it will not be repeated without evidence: `holdfast {settle}`",
        State.RETRYABLE: _RETRYABLE.get(fallen.gave_up, "the same call tries again").format(
            retry=retry_hint(work.key)
        ),
        State.FAILED: "it is final: the same call gets this failure again",
    }.get(state, f"see `holdfast show {work.key}`")
    if state is State.RETRYABLE and not fallen.retrying.uncertain:
        follow_up = f"it is not done: {follow_up}"
    if fallen.stops_workflow:
        follow_up = f"its workflow is stopped until {resume_hint(work.new.workflow_id)}"
    add_note(error, f"holdfast: effect {work.key} is {state}; {follow_up}")
    speak_for_itself(error)
    return error


_RETRYABLE = {
    "spent": "its retries are used up: {retry} grants more",
    "later": "the other side asks for patience: the same call tries again later",
}


async def tell_attempts(parts: Parts, work: Work, error: Exception, fallen: Fallen) -> None:
    """Give the error an attribute ``attempts``, when retries were a question and it has none of its own."""
    if not (fallen.fault.is_recognised or work.contract.is_retry_declared):
        return
    with suppress(StoreError):
        attempts_so_far = await history(parts, work)
        with suppress(
            Exception
        ):  # an error that takes no attributes, or refuses to show any, keeps its shape
            if not hasattr(error, "attempts"):
                object.__setattr__(error, "attempts", attempts_so_far)


async def history(parts: Parts, work: Work) -> tuple[AttemptInfo, ...]:
    """Return every execution of the effect so far."""
    entries = tuple(await parts.store.trail(work.tenant, work.key))
    return attempts(entries, parts.plain_bodies(entries))


def speak_for_itself(error: BaseException) -> None:
    """Note that *error* tells what became of one effect only, and nothing of the one whose handler called it.

    The note is on the error: it goes wherever the error goes, through threads without surroundings as well.
    """
    with suppress(Exception):  # one that takes no attributes at all
        object.__setattr__(error, _TOLD, (os.getpid(), next(context.turns)))


def is_foreign(error: BaseException) -> bool:
    """Whether *error* was told of another effect since the innermost handler was started.

    An error object that is raised again and again, for one effect after the other, is each one's own.
    """
    told_at: Any = None
    with suppress(Exception):
        told_at = object.__getattribute__(error, _TOLD)
    if told_at is None:
        return False
    frame, (process, turn) = context.frame.get(), told_at
    return frame is None or process != os.getpid() or turn > frame.since


def add_note(error: Exception, note: str) -> None:
    """Add *note* to the user's error; one that takes none (a frozen dataclass) stays as it is."""
    with suppress(Exception):
        error.add_note(note)
