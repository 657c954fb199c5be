"""Fine control: the caller executes the effect itself, between a claim and an outcome."""

from __future__ import annotations

from dataclasses import replace

from holdfast._core.change import Head, PlainOutcome
from holdfast._core.decide import Fallen
from holdfast._core.model import JSON, Receipt
from holdfast._core.states import Event, Safety
from holdfast._runtime.claim import obtain
from holdfast._runtime.closing import passing
from holdfast._runtime.deciding import decide
from holdfast._runtime.dependencies import give_back as give_back_probe
from holdfast._runtime.dependencies import tell_of_auth, went_well
from holdfast._runtime.execute import give_back, read_returned, receipt
from holdfast._runtime.fall import error_outcome, harmless, paid, verdict_of
from holdfast._runtime.parts import Held, Parts, Work
from holdfast._runtime.pipeline import Request, prepare
from holdfast._runtime.record import Verdict, record
from holdfast.errors import NotSerializable, OutcomeUnknown
from holdfast.ports import Caller


async def begin(parts: Parts, request: Request) -> tuple[Work, Held | Receipt]:
    """Claim the effect, or answer from the record."""
    work = prepare(parts, request)
    undelivered: list[Held] = []

    async def claimed(caller: Caller) -> Held | Receipt:
        caller.shield(on=True)
        async with passing(parts):
            parts.traffic.ensure_open()
            await parts.store.open()
            nonlocal work
            work = await decide(parts, work)
            held = await obtain(parts, work, caller)
            if isinstance(held, Receipt):
                return held
            if caller.left:
                try:
                    return await give_back(parts, work, held)
                finally:
                    await give_back_probe(parts, work, held.probe)
            work = work if held.work is None else held.work
            undelivered.append(held)
            return held

    async def returned(caller: Caller) -> None:
        caller.shield(on=True)
        async with passing(parts):
            for held in undelivered:
                await give_back(parts, work, held)

    try:
        held = await parts.runtime.shielded(claimed)
    except parts.runtime.stops:  # the claim may be on its way to somebody who does not take it any more
        await parts.runtime.shielded(returned)
        raise
    return work, held


async def finish(parts: Parts, work: Work, held: Held, verdict: Verdict) -> Head:
    """Record what the caller says became of the effect."""

    async def recorded(caller: Caller) -> Head:
        caller.shield(on=True)
        async with passing(parts):
            try:
                return await record(parts, held, work.actor, verdict)
            finally:
                parts.heartbeat.drop(held.live)

    return await parts.runtime.shielded(recorded)


async def finish_done(parts: Parts, work: Work, held: Held, result: JSON) -> Receipt:
    """Record that the effect happened.

    Raises:
        NotSerializable: It is recorded as succeeded, without its result.
    """
    finished = read_returned(parts, work, result)
    try:
        head = await finish(parts, work, held, Verdict(event=Event.SUCCEED, outcome=finished.outcome))
    except OutcomeUnknown as error:
        error.result = result
        raise
    await went_well(parts, work, held.probe)
    if finished.outcome.result_gap is not None:
        path, _, why = finished.outcome.result_gap.partition(" ")
        raise NotSerializable(path, why, work.key)
    return receipt(work, head, finished.result, finished.findings)


async def finish_fallen(parts: Parts, work: Work, held: Held, error: Exception, fallen: Fallen) -> None:
    """Record what the error means that the block was left with, and tell how the dependency is."""
    # Nobody plans another attempt; but what the other side asks for holds for whoever calls next.
    delay_s = None if fallen.fault.retry_after_s is None else fallen.retrying.delay_s
    calm = replace(fallen, again_s=None, retrying=replace(fallen.retrying, delay_s=delay_s))
    await finish(parts, work, held, verdict_of(error, calm))
    if fallen.stops_workflow:
        await tell_of_auth(parts, work, fallen.fault.why)
    await paid(parts, work, held.probe, calm)


def failed(event: Event, error: BaseException | str, *, safety: Safety, is_proof: bool) -> Verdict:
    """Return the verdict for an effect that ended with an error, or with a reason for doubt."""
    retrying = None if is_proof else harmless(safety)
    if isinstance(error, str):
        why = {"why": error[:2000]}
        return Verdict(event=event, outcome=PlainOutcome(), details=why, retrying=retrying, is_proof=is_proof)
    return Verdict(event=event, outcome=error_outcome(error), retrying=retrying, is_proof=is_proof)
