"""Steps 7 to 10 under a claim: execute, classify, guard the result, record."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from holdfast._core.change import Head, PlainOutcome, Retrying
from holdfast._core.contract import name_outside
from holdfast._core.decide import on_timeout
from holdfast._core.identity import read_result
from holdfast._core.model import Done, Effect, Finding, Receipt
from holdfast._core.states import Event, State
from holdfast._runtime import context
from holdfast._runtime.bill import Bill
from holdfast._runtime.called_off import record_stop, record_unstarted
from holdfast._runtime.closing import passing
from holdfast._runtime.dependencies import went_well
from holdfast._runtime.fall import (
    Fell,
    fall,
    timed_out,
    tries_of,
    verdict_of,
    word_of,
)
from holdfast._runtime.handler import call_plain
from holdfast._runtime.inspect import inspect_out
from holdfast._runtime.parts import Held, Parts, Work
from holdfast._runtime.record import Verdict, offer_evidence, record
from holdfast._runtime.stops import HandlerTimeout, NeverStarted, Outlasts, ReturnedTimeout, StillRunning
from holdfast._runtime.surroundings import executing
from holdfast.errors import (
    InvalidTool,
    LeaseLost,
    NotSerializable,
    OutcomeUnknown,
    PolicyDenied,
    StoreError,
)
from holdfast.ports import Handler

log = logging.getLogger("holdfast")


@dataclass(frozen=True, slots=True)
class Finished:
    """A handler's return value, read: what is recorded and what is given back."""

    outcome: PlainOutcome
    result: Any
    findings: tuple[Finding, ...]


async def execute(parts: Parts, work: Work, held: Held) -> Receipt | Fell:
    """Run the handler under its claim and record what is known afterwards.

    Returns:
        The receipt; or what the handler raised, on record, and whether another attempt follows.

    Raises:
        OutcomeUnknown: It was stopped, or the record could not be written.
        LeaseLost: Another worker took over meanwhile.
    """
    with executing(work, parts, held.timeout_s, is_probe=bool(held.probe)):
        await ensure_held(parts, held)
        try:
            returned = await run_handler(
                parts,
                work,
                held.head,
                bill=held.bill,
                late=_late(parts, work, held),
                timeout_s=held.timeout_s,
            )
        except parts.runtime.stops as stop:
            await record_stop(parts, work, held, stop)
            raise
        except Outlasts:  # what it comes to is recorded then, by `_late`
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


async def run_handler(
    parts: Parts,
    work: Work,
    head: Head,
    *,
    late: Callable[[Callable[[], Any]], Coroutine[Any, Any, None]],
    timeout_s: float | None,
    tx: Any = None,
    bill: Bill | None = None,
) -> Any:
    """Call the handler with its arguments and, if it wants one, its effect."""
    shape, handler = work.shape, work.handler
    if shape is None or handler is None:
        raise InvalidTool(f"call of {work.call.tool!r} has no handler", "pass handler=...")
    kwargs = work.kwargs
    if shape.effect_param is not None:
        kwargs = {**kwargs, shape.effect_param: effect_for(work, head, tx, bill)}
    if shape.undone_param is not None:
        kwargs = {**kwargs, shape.undone_param: work.undone}
    if parts.around is not None:
        handler = parts.around.around(handler, work.facts)
    if shape.is_async:
        return await parts.runtime.invoke(handler, kwargs, timeout_s=timeout_s, late=late)
    # Until it ends: should it be given up, its thread goes on, and only that knows when it is over.
    ended = parts.lingering.hold(work.key)
    try:
        returned = await parts.runtime.invoke(
            _telling(handler, ended), kwargs, timeout_s=timeout_s, late=late
        )
    except (HandlerTimeout, StillRunning) as given_up:
        frame = context.frame.get()
        if frame is not None and not isinstance(given_up, ReturnedTimeout):
            frame.lingers = True
        raise
    except BaseException:
        ended()
        raise
    ended()
    return returned


def _telling(handler: Handler, ended: Callable[[], None]) -> Handler:
    """Return *handler*, telling when it is over."""

    def call(**kwargs: Any) -> Any:
        try:
            return call_plain(handler, kwargs)
        finally:
            ended()

    return call


def effect_for(work: Work, head: Head, tx: Any = None, bill: Bill | None = None) -> Effect:
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
        attempted_at=head.at,
        tx=tx,
        bill=bill,
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
    outside = name_outside(work.contract, result)
    return Finished(PlainOutcome(result=text, external_id=outside), result, findings)


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
    await went_well(parts, work, held.probe)
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


async def _failed(parts: Parts, work: Work, held: Held, error: Exception) -> Receipt | Fell:
    """Record what the handler's error is evidence of; it may be that the effect is done."""
    word = word_of(parts, error, work, held)
    if isinstance(word, Done):
        said = Finding(
            code="classified_done", message="the handler raised, but its error says that it is done"
        )
        return await succeed(parts, work, held, word.result, (said,))
    return await fall(parts, work, held, error, word)


async def _timed_out(parts: Parts, work: Work, held: Held) -> Receipt | Fell:
    """Record what a timeout leaves; a plain handler goes on in its thread, and may still act."""
    error = timed_out(work, held.timeout_s)
    fallen = on_timeout(work.contract, error, tries_of(parts, held), limit_s=held.timeout_s)
    if work.contract.classify is not None and work.key not in parts.lingering:
        word = word_of(parts, error, work, held)
        if isinstance(word, Done):
            return await _failed(parts, work, held, error)
        fallen = word
    ended = await fall(parts, work, held, error, fallen)
    if isinstance(ended, Fell) and ended.again_s is None and fallen.event is Event.DOUBT:
        doubt = OutcomeUnknown(work.key, str(error))
        doubt.__cause__ = error
        return Fell(error=doubt, fallen=fallen)
    return ended


def _late(parts: Parts, work: Work, held: Held) -> Callable[[Callable[[], Any]], Coroutine[Any, Any, None]]:
    """Return what takes the outcome of a handler that ended after it was given up."""
    frame = context.frame.get()

    async def offer(get: Callable[[], Any]) -> None:
        if frame is not None:
            frame.is_over = True
        async with passing(parts):
            await brought(get)

    async def brought(get: Callable[[], Any]) -> None:
        try:
            returned = get()
        except BaseException as error:  # noqa: BLE001 - how it ended is the evidence
            word = word_of(parts, error, work, held)
            verdict = (
                Verdict(event=Event.SUCCEED, outcome=read_returned(parts, work, word.result).outcome)
                if isinstance(word, Done)
                else verdict_of(error, word)
            )
        else:
            verdict = Verdict(event=Event.SUCCEED, outcome=read_returned(parts, work, returned).outcome)
        found = await parts.store.find(work.tenant, work.key)
        if found.record is None:
            return
        try:
            if (found.record.state, found.record.fence) == (State.PENDING, held.head.fence):
                await record(parts, held, work.actor, verdict)
            else:
                told, attempt = held.bill.told(), held.head.attempt
                await offer_evidence(parts, found.record, work.actor, verdict, attempt=attempt, spending=told)
        except LeaseLost as lost:
            log.warning("%s", lost)

    return offer


async def give_back(parts: Parts, work: Work, held: Held) -> Receipt:
    """Release a claim whose caller left before its handler was started: nothing happened."""
    details = {"why": "the caller left before the handler was started"}
    verdict = Verdict(
        event=Event.RELEASE, outcome=PlainOutcome(), details=details, retrying=Retrying(unstarted=True)
    )
    try:
        head = await record(parts, held, work.actor, verdict)
    finally:
        parts.heartbeat.drop(held.live)
    return receipt(work, head, None)
