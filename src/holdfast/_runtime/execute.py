"""Steps 7 to 10 under a claim: execute, classify, guard the result, record."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from holdfast._core.change import Head, PlainOutcome
from holdfast._core.decide import in_doubt, on_error
from holdfast._core.identity import read_result
from holdfast._core.model import Done, Effect, Finding, Receipt
from holdfast._core.states import Event, State
from holdfast._runtime import context
from holdfast._runtime.claim import replay
from holdfast._runtime.drive import HandlerTimeout, NeverStarted, StillRunning
from holdfast._runtime.inspect import inspect_out
from holdfast._runtime.parts import Held, Parts, Work, failure_of
from holdfast._runtime.reconcile import reconcile
from holdfast._runtime.record import Verdict, offer_evidence, record
from holdfast.errors import (
    HoldfastError,
    InvalidTool,
    LeaseLost,
    NotSerializable,
    OutcomeUnknown,
    PolicyDenied,
    StoreError,
)

log = logging.getLogger("holdfast")


@dataclass(frozen=True, slots=True)
class Finished:
    """A handler's return value, read: what is recorded and what is given back."""

    outcome: PlainOutcome
    result: Any
    findings: tuple[Finding, ...]


async def execute(parts: Parts, work: Work, held: Held) -> Receipt:
    """Run the handler under its claim and record what is known afterwards.

    Raises:
        Exception: Whatever the handler raised, with a note that says what was recorded.
        OutcomeUnknown: It was stopped, or the record could not be written.
        LeaseLost: Another worker took over meanwhile.
    """
    with executing(work):
        await ensure_held(parts, held)
        try:
            returned = await run_handler(parts, work, held.head, late=_late(parts, work, held))
        except parts.runtime.stops as stop:
            await record_stop(parts, work, held, stop)
            raise
        except StillRunning as running:
            await record_stop(parts, work, held, running.stop, goes_on=True)
            raise running.stop from None
        except NeverStarted as never:
            await record_unstarted(parts, work, held)
            raise never.stop from None
        except HandlerTimeout:
            return await _timed_out(parts, work, held)
        except Exception as error:  # noqa: BLE001 - any error is evidence to classify; it is raised again
            return await _failed(parts, work, held, error)
        return await succeed(parts, work, held, returned)


async def ensure_held(parts: Parts, held: Held) -> None:
    """Make sure that a claim whose lease may be over is still ours, before anything is started under it.

    Raises:
        LeaseLost: Somebody else was given the right meanwhile. Nothing ran here.
    """
    if parts.runtime.monotonic() < held.live.expires:
        return
    found = (await parts.store.find(held.head.tenant, held.head.key)).record
    if found is None or (found.owner, found.fence) != (held.owner, held.head.fence):
        raise LeaseLost(held.head.key, State.UNKNOWN if found is None else found.state)


class executing:  # noqa: N801 - used as a word of the language, like contextlib's own
    """Mark the effect and its workflow as the surroundings of the code inside."""

    __slots__ = ("_flow", "_frame", "_key", "_work")

    def __init__(self, work: Work) -> None:
        self._work = work

    def __enter__(self) -> None:
        work = self._work
        self._key = context.executing.set(context.executing.get() | {work.key})
        self._flow = context.workflow.set(work.new.workflow_id)
        self._frame = context.frame.set(context.Frame(context.frame.get()))

    def __exit__(self, *_: object) -> None:
        # A `begin` block may be left in another context than it was entered in: then there is nothing to
        # take back, and no reason to lose the outcome over it.
        with suppress(ValueError):
            context.frame.reset(self._frame)
            context.workflow.reset(self._flow)
            context.executing.reset(self._key)


async def run_handler(
    parts: Parts,
    work: Work,
    head: Head,
    *,
    late: Callable[[Callable[[], Any]], Coroutine[Any, Any, None]],
    tx: Any = None,
) -> Any:
    """Call the handler with its arguments and, if it wants one, its effect."""
    shape, handler = work.shape, work.handler
    if shape is None or handler is None:
        raise InvalidTool(f"call of {work.call.tool!r} has no handler", "pass handler=...")
    kwargs = work.kwargs
    if not shape.is_async:
        parts.lingering.add(work.key)  # until it ends: should it be given up, its thread goes on
    if shape.effect_param is not None:
        kwargs = {**kwargs, shape.effect_param: effect_for(work, head, tx)}
    try:
        returned = await parts.runtime.invoke(handler, kwargs, timeout_s=work.contract.timeout_s, late=late)
    except (HandlerTimeout, StillRunning):
        raise
    except BaseException:
        parts.lingering.discard(work.key)
        raise
    parts.lingering.discard(work.key)
    return returned


def effect_for(work: Work, head: Head, tx: Any = None) -> Effect:
    """Return what the handler gets to see of its effect."""
    return Effect(
        key=work.key,
        idem_key=work.key.removeprefix("v1:"),
        tenant=work.tenant,
        workflow_id=work.new.workflow_id,
        tool=work.call.tool,
        intent=work.new.intent,
        args=work.payload.args,
        attempt=head.attempt,
        tx=tx,
    )


def read_returned(parts: Parts, work: Work, returned: Any) -> Finished:
    """Read a return value; one that cannot be kept leaves a gap, for the effect is done all the same."""
    try:
        read = read_result(returned, max_bytes=parts.settings.max_result_bytes)
        result, findings = inspect_out(parts, read.plain, work.facts)
    except NotSerializable as error:
        return Finished(PlainOutcome(result_gap=f"{error.path} {error.why}"), None, ())
    except PolicyDenied as error:
        return Finished(PlainOutcome(result_gap=f"$ was withheld: {error.reason}"), None, ())
    text = read.text if result is read.plain else json.dumps(result)
    return Finished(PlainOutcome(result=text), result, findings)


async def succeed(
    parts: Parts, work: Work, held: Held, returned: Any, findings: tuple[Finding, ...] = ()
) -> Receipt:
    """Record the handler's result and return the receipt."""
    finished = read_returned(parts, work, returned)
    try:
        head = await record(parts, held, work.actor, Verdict(event=Event.SUCCEED, outcome=finished.outcome))
    except OutcomeUnknown as error:
        error.result = returned
        raise
    except StoreError as error:  # refused for good: the result is not on record, and nowhere else
        doubt = OutcomeUnknown(work.key, f"its handler ended (succeed), but its record was refused: {error}")
        doubt.result = returned
        raise doubt from error
    if finished.outcome.result_gap is not None:
        path, _, why = finished.outcome.result_gap.partition(" ")
        gap = NotSerializable(path, why, work.key)
        gap.result = returned
        raise gap
    return receipt(work, head, finished.result, findings + finished.findings)


def receipt(work: Work, head: Head, result: Any, findings: tuple[Finding, ...] = ()) -> Receipt:
    """Return the receipt of an effect that was executed here."""
    return Receipt(
        result=result,
        replayed=False,
        observed_at=head.at,
        key=work.key,
        state=head.state,
        audit_hash=head.audit_hash.hex(),
        workflow_id=work.new.workflow_id,
        tool=work.call.tool,
        call_id=work.call.call_id,
        findings=work.findings + findings,
    )


async def _timed_out(parts: Parts, work: Work, held: Held) -> Receipt:
    """Record what a timeout leaves; a plain handler goes on in its thread, and may still act."""
    error = timed_out(work)
    try:
        return await _failed(parts, work, held, error)
    except TimeoutError as raised:
        if raised is not error or in_doubt(work.contract.safety) is not Event.DOUBT:
            raise
        raise OutcomeUnknown(work.key, str(error)) from error


async def _failed(parts: Parts, work: Work, held: Held, error: Exception) -> Receipt:
    """Record what the handler's error is evidence of, then raise it; or return, if the effect is done."""
    verdict = word_of(error, work)
    if isinstance(verdict, Done):
        told = Finding(
            code="classified_done", message="the handler raised, but its error says that it is done"
        )
        return await succeed(parts, work, held, verdict.result, (told,))
    try:
        head = await record(parts, held, work.actor, Verdict(event=verdict, outcome=error_outcome(error)))
    except (OutcomeUnknown, LeaseLost) as unrecorded:
        raise unrecorded from error
    state = head.state
    if state is State.UNKNOWN and work.contract.reconcile is not None:
        found = await parts.store.find(work.tenant, work.key)
        if found.record is not None and found.record.state is State.UNKNOWN:
            settled = await reconcile(parts, found.record, work.contract, work.actor)
            state = settled.state
            if state is State.SUCCEEDED:
                return replay(parts, work, settled)
    raise _noted(error, work, state)


def timed_out(work: Work) -> TimeoutError:
    """Return the error for a handler that took too long."""
    return TimeoutError(
        f"handler of {work.call.tool!r} took longer than its timeout of {work.contract.timeout_s:g} s"
    )


def _noted(error: Exception, work: Work, state: State) -> Exception:
    """Return the handler's own error, with a note on what the ledger made of it."""
    settle = (
        f"resolve {work.key}"
        if work.contract.reconcile is None
        else f"reconcile {work.key} --app MODULE:LEDGER"
    )
    follow_up = {
        State.UNKNOWN: f"it will not be repeated without evidence: `holdfast {settle}`",
        State.RETRYABLE: "it is not done: the same call tries again",
        State.FAILED: "it is final: the same call gets this failure again",
    }.get(state, f"see `holdfast show {work.key}`")
    add_note(error, f"holdfast: effect {work.key} is {state}; {follow_up}")
    speak_for_itself(error)
    return error


def speak_for_itself(error: BaseException) -> None:
    """Note that *error* tells what became of the effect in whose handler this is: of that one only."""
    frame = context.frame.get()
    if frame is not None and frame.parent is not None:
        frame.parent.foreign.append(error)


def word_of(error: BaseException, work: Work) -> Done | Event:
    """Read evidence from a handler's error; what another effect's handler raised says nothing of this one."""
    frame = context.frame.get()
    is_foreign = frame is not None and any(error is foreign for foreign in frame.foreign)
    if is_foreign or not isinstance(error, Exception):
        return in_doubt(work.contract.safety)
    return on_error(error, work.contract)


def add_note(error: Exception, note: str) -> None:
    """Add *note* to the user's error; one that takes none (a frozen dataclass) stays as it is."""
    with suppress(Exception):
        error.add_note(note)


def error_outcome(error: BaseException) -> PlainOutcome:
    """Return what is recorded of an error."""
    failure = failure_of(error)
    return PlainOutcome(
        error=json.dumps({"type": failure.type, "message": failure.message}), error_type=failure.type
    )


async def record_stop(
    parts: Parts, work: Work, held: Held, stop: BaseException, *, goes_on: bool = False
) -> None:
    """A handler was stopped from outside: one attempt to put its doubt on record.

    Args:
        goes_on: Its thread cannot be stopped and may still act.
    """
    event = Event.DOUBT if goes_on else in_doubt(work.contract.safety)
    verdict = Verdict(event=event, outcome=error_outcome(stop), goes_on=goes_on)
    try:
        await record(parts, held, work.actor, verdict)
    except HoldfastError as error:
        log.warning("a stopped handler's doubt could not be recorded; its lease will tell: %s", error)


def _late(parts: Parts, work: Work, held: Held) -> Callable[[Callable[[], Any]], Coroutine[Any, Any, None]]:
    """Return what takes the outcome of a handler that ended after it was given up."""

    async def offer(get: Callable[[], Any]) -> None:
        parts.lingering.discard(work.key)
        try:
            returned = get()
        except BaseException as error:  # noqa: BLE001 - how it ended is the evidence
            found_out = word_of(error, work)
            event = Event.SUCCEED if isinstance(found_out, Done) else found_out
            outcome = (
                read_returned(parts, work, found_out.result).outcome
                if isinstance(found_out, Done)
                else error_outcome(error)
            )
        else:
            event, outcome = Event.SUCCEED, read_returned(parts, work, returned).outcome
        verdict = Verdict(event=event, outcome=outcome)
        found = await parts.store.find(work.tenant, work.key)
        if found.record is None:
            return
        try:
            if (found.record.state, found.record.fence) == (State.PENDING, held.head.fence):
                await record(parts, held, work.actor, verdict)
            else:
                await offer_evidence(parts, found.record, work.actor, verdict, attempt=held.head.attempt)
        except LeaseLost as lost:
            log.warning("%s", lost)

    return offer


async def record_unstarted(parts: Parts, work: Work, held: Held) -> None:
    """A handler was called off before it was started: put on record that nothing happened."""
    details = {"why": "stopped before the handler was started"}
    verdict = Verdict(event=Event.RELEASE, outcome=PlainOutcome(), details=details)
    try:
        await record(parts, held, work.actor, verdict)
    except HoldfastError as error:
        log.warning("a handler that never started could not be recorded; its lease will tell: %s", error)


async def give_back(parts: Parts, work: Work, held: Held) -> Receipt:
    """Release a claim whose caller left before its handler was started: nothing happened."""
    details = {"why": "the caller left before the handler was started"}
    verdict = Verdict(event=Event.RELEASE, outcome=PlainOutcome(), details=details)
    try:
        head = await record(parts, held, work.actor, verdict)
    finally:
        parts.heartbeat.drop(held.live)
    return receipt(work, head, None)
