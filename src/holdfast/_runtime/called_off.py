"""What is put on record of a handler that was stopped from outside, or never started."""

from __future__ import annotations

import logging

from holdfast._core.change import PlainOutcome, Retrying
from holdfast._core.decide import in_doubt
from holdfast._core.states import Event
from holdfast._runtime.fall import error_outcome, harmless
from holdfast._runtime.parts import Held, Parts, Work
from holdfast._runtime.record import Verdict, record
from holdfast.errors import HoldfastError

log = logging.getLogger("holdfast")


async def record_stop(
    parts: Parts, work: Work, held: Held, stop: BaseException, *, goes_on: bool = False
) -> None:
    """A handler was stopped from outside: one attempt to put its doubt on record.

    Args:
        goes_on: Its thread cannot be stopped and may still act.
    """
    event = Event.DOUBT if goes_on else in_doubt(work.contract.safety)
    verdict = Verdict(
        event=event,
        outcome=error_outcome(stop),
        goes_on=goes_on,
        retrying=harmless(work.contract.safety),
        is_proof=False,
    )
    try:
        await record(parts, held, work.actor, verdict)
    except HoldfastError as error:
        log.warning("a stopped handler's doubt could not be recorded; its lease will tell: %s", error)


async def record_unstarted(parts: Parts, work: Work, held: Held) -> None:
    """A handler was called off before it was started: put on record that nothing happened."""
    details = {"why": "stopped before the handler was started"}
    verdict = Verdict(
        event=Event.RELEASE, outcome=PlainOutcome(), details=details, retrying=Retrying(unstarted=True)
    )
    try:
        await record(parts, held, work.actor, verdict)
    except HoldfastError as error:
        log.warning("a handler that never started could not be recorded; its lease will tell: %s", error)
