"""Asks and tells how the systems are that tools depend on: breakers, the budget of retries, alerts.

Good outcomes are counted in memory and told now and then; faults, probes and retries at once. What cannot be
told because the store is away is lost: these are statistics, and no effect hangs on them.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Final

from holdfast._core.breaker import Counted, Seen, ask_again_at, counted, is_probe_due, with_probe
from holdfast._core.dependency import BreakerState, Dependency, new_record
from holdfast._core.execution import ExecutionQuery
from holdfast._core.fault import Fault
from holdfast._core.model import Alert
from holdfast._core.states import WorkflowStatus
from holdfast._runtime import context
from holdfast._runtime.parts import Parts, Work
from holdfast.errors import CircuitOpen, ExecutionTaken, StoreError, WorkflowStopped
from holdfast.errors.effects import resume_hint

_TELL_EVERY_S: Final = 10.0
_LOOK_EVERY_S: Final = 1.0
_TRIES: Final = 50
_NEVER: Final = float("-inf")


async def admit_read(parts: Parts, work: Work) -> str:
    """Let a read go, or refuse it; return the name of the probe that it is, else an empty one.

    Raises:
        CircuitOpen: The dependency is in trouble. What others found out within the last second may be missed.
        WorkflowStopped: This process knows that the workflow was stopped.
    """
    place = work.tenant, work.new.workflow_id
    if place in parts.known.stopped and context.undone_in(*place) is None:
        await _obey(parts, work)
    of = work.contract.dependency
    if of is None or not of.breaker or context.is_probing(of.name):
        return ""
    now = parts.runtime.monotonic()
    here = parts.known.of(work.tenant, of.name, now)
    if now - here.looked_at < _LOOK_EVERY_S:
        return ""
    claim = parts.next_owner()
    if await pass_breaker(parts, work, claim):
        return claim
    here.looked_at = now
    return ""


async def _hold(parts: Parts, work: Work) -> None:
    tenant, workflow_id = work.tenant, work.new.workflow_id
    epoch = context.epoch_of(tenant, workflow_id)
    if epoch is None:
        return
    found = await parts.store.executions(ExecutionQuery(tenant=tenant, workflow_id=workflow_id, limit=1))
    for row in found:
        if (row.epoch, row.status) == (epoch, WorkflowStatus.RUNNING):
            return
    raise ExecutionTaken(workflow_id, found[0].owner if found else "")


async def _obey(parts: Parts, work: Work) -> None:
    place = work.tenant, work.new.workflow_id
    workflow = await parts.store.workflow(*place)
    if workflow is not None and workflow.stopped is not None:
        parts.known.stopped.add(place)
        raise WorkflowStopped(workflow.workflow_id, workflow.stopped)
    parts.known.stopped.discard(place)


async def why_refused(parts: Parts, work: Work, claim: str) -> bool:
    """Find out why *claim* was not admitted; return whether it may go after all, as the one probe.

    Raises:
        WorkflowStopped: Its workflow waits for a person.
        ExecutionTaken: Its workflow is no longer gone through here.
        CircuitOpen: Its dependency is in trouble.
    """
    await _hold(parts, work)
    if work.undone is None and context.undone_in(work.tenant, work.new.workflow_id) is None:
        await _obey(parts, work)
    return await pass_breaker(parts, work, claim)


async def pass_breaker(parts: Parts, work: Work, claim: str) -> bool:
    """Return ``False`` when the breaker is closed, ``True`` when *claim* won the one probe.

    Raises:
        CircuitOpen: It is open, or somebody else's probe is on its way.
    """
    of = work.contract.dependency
    if of is None:
        return False
    for _ in range(_TRIES):
        found = await parts.store.dependency(work.tenant, of.name)
        record = found.record
        if record is None or record.state is BreakerState.CLOSED:
            return False
        if not is_probe_due(record, of, found.now):
            raise CircuitOpen(work.key, of.name, ask_again_at(record, of, found.now, draw(parts)))
        if await parts.store.put_dependency(with_probe(record, of, claim, found.now)):
            parts.known.probes.add(claim)
            return True
    raise CircuitOpen(work.key, of.name, parts.runtime.now())


async def went_well(parts: Parts, work: Work, probe: str) -> None:
    """Count an answer of the dependency; a probe's is told at once, others now and then."""
    of = work.contract.dependency
    if of is None:
        return
    now = parts.runtime.monotonic()
    here = parts.known.of(work.tenant, of.name, now)
    here.of = of
    if probe:
        await _tell(parts, work.tenant, of, Seen(good=1, probe=probe), keeps=True)
        return
    here.good += 1
    if now - here.told_at >= _TELL_EVERY_S:
        await _tell(parts, work.tenant, of, Seen())


async def tell_rest(parts: Parts) -> None:
    """Tell what was not told yet: this process ends, and its good outcomes must not be lost."""
    known = tuple(parts.known.dependencies.items())
    await parts.runtime.together(
        [
            _tell(parts, tenant, here.of, Seen())
            for (tenant, _), here in known
            if here.good and here.of is not None
        ]
    )


async def went_wrong(parts: Parts, work: Work, fault: Fault, *, probe: str, wants_retry: bool) -> bool:
    """Count a fault, pay for a retry if one is wanted; return whether it may follow."""
    of = work.contract.dependency
    if of is None:
        return wants_retry
    faults = (fault,) if fault.blames_dependency else ()
    is_answer = fault.status is not None and not faults  # a refusal is one; one's own errors are none
    if is_answer and not probe:
        parts.known.of(work.tenant, of.name, parts.runtime.monotonic()).good += 1
    if not faults and not probe and not wants_retry:
        return False
    seen = Seen(good=int(is_answer and bool(probe)), faults=faults, probe=probe, wants_retry=wants_retry)
    # A probe speaks for itself: what went well before the outage says nothing about now.
    told = await _tell(parts, work.tenant, of, seen, keeps=bool(probe))
    return wants_retry and told is not None and told.may_retry


async def give_back(parts: Parts, work: Work, probe: str) -> None:
    """Let another call be the probe, if this one was and told nothing."""
    of = work.contract.dependency
    if of is not None and probe in parts.known.probes:
        await _tell(parts, work.tenant, of, Seen(probe=probe), keeps=True)


async def _tell(
    parts: Parts, tenant: str, of: Dependency, seen: Seen, *, keeps: bool = False
) -> Counted | None:
    """Write what was seen, by compare-and-set; ``None`` when the store did not take it."""
    here = parts.known.of(tenant, of.name, parts.runtime.monotonic())
    here.of = of
    good, here.good = (seen.good, here.good) if keeps else (seen.good + here.good, 0)
    parts.known.probes.discard(seen.probe)
    whole = Seen(good=good, faults=seen.faults, probe=seen.probe, wants_retry=seen.wants_retry)
    try:
        for tries in range(_TRIES):
            found = await parts.store.dependency(tenant, of.name)
            told = counted(found.record or new_record(tenant, of, found.now), of, whole, found.now)
            if await parts.store.put_dependency(told.record):
                here.told_at = parts.runtime.monotonic()
                if told.record.state is not BreakerState.CLOSED:
                    here.looked_at = _NEVER
                _alert(parts, told, found.now)
                return told
            await parts.runtime.sleep(min(0.001 * 2**tries, 0.05) * draw(parts))
    except StoreError:
        here.good += 0 if keeps else good
    return None


def _alert(parts: Parts, told: Counted, now: datetime) -> None:
    record = told.record
    for code in told.alerts:
        message = _SAID[code].format(name=record.name, until=record.retry_at)
        parts.alerts.tell(
            Alert(code=code, message=message, tenant=record.tenant, subject=record.name, at=now)
        )


_SAID: Final = {
    "repeated_503": "{name!r} answers 503 again and again; see `holdfast dependencies`",
    "circuit_opened": "{name!r} is in trouble: no calls are sent until {until:%Y-%m-%dT%H:%M:%SZ}",
    "circuit_closed": "{name!r} answers again: calls are sent as usual",
}


def draw(parts: Parts) -> float:
    """Return a random number in [0, 1)."""
    return int.from_bytes(hashlib.sha256(parts.runtime.token()).digest()[:6]) / (1 << 48)


async def tell_of_auth(parts: Parts, work: Work, why: str) -> None:
    """Tell people that this effect stopped its workflow by an authentication fault, if it was the first."""
    place = work.tenant, work.new.workflow_id
    parts.known.stopped.add(place)
    try:
        workflow = await parts.store.workflow(*place)
    except StoreError:  # twice is better than never
        workflow = None
    if workflow is not None and workflow.stopped_by != work.key:
        return
    message = (
        f"workflow {work.new.workflow_id!r} is stopped: tool {work.call.tool!r} was refused ({why}); mend "
        f"the credentials, then {resume_hint(work.new.workflow_id)}"
    )
    alert = Alert(
        code="auth_failed",
        message=message,
        tenant=work.tenant,
        subject=work.key,
        workflow_id=work.new.workflow_id,
        at=parts.runtime.now(),
    )
    parts.alerts.tell(alert)
