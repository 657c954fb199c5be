"""A second caller of an effect that is being executed waits for the first one's outcome."""

from __future__ import annotations

from holdfast._core.model import Record
from holdfast._core.states import State
from holdfast._runtime import context
from holdfast._runtime.parts import Parts, Work
from holdfast.errors import InProgress
from holdfast.ports import Caller, Found


async def join(parts: Parts, work: Work, caller: Caller, record: Record) -> Found:
    """Wait for the worker that executes the effect; return the effect once it may have moved.

    Raises:
        InProgress: It takes longer than ``wait=`` allows, or that worker waits for this very caller.
    """
    executing = context.executing.get()
    mine = parts.runtime.blocking and parts.heartbeat.held_by_this_thread(work.tenant, work.key)
    if mine or work.key in executing:
        raise InProgress(work.key, record.lease_until)  # waiting for oneself would never end
    with parts.bus.waiting(work.key, executing if work.patience.left_s is None else frozenset()) as ends:
        if not ends:  # nor would waiting for one another
            raise InProgress(work.key, record.lease_until)
        started = parts.runtime.monotonic()
        try:
            return await _moved(parts, work, caller, started)
        finally:
            work.patience.spend(parts.runtime.monotonic() - started)


async def _moved(parts: Parts, work: Work, caller: Caller, started: float) -> Found:
    first, last = parts.store.poll_s
    delay = first
    bell = parts.runtime.bell()
    caller.shield(on=False)
    with parts.bus.listening(work.key, bell):
        await parts.store.joining(work.tenant, work.key)
        while True:
            found = await parts.store.find(work.tenant, work.key)
            current = found.record
            if current is None or current.state is not State.PENDING or current.lease_until <= found.now:
                caller.shield(on=True)
                return found
            left = (current.lease_until - found.now).total_seconds()
            if work.patience.left_s is not None:
                patience = work.patience.left_s - (parts.runtime.monotonic() - started)
                if patience <= 0:
                    raise InProgress(work.key, current.lease_until)
                left = min(left, patience)
            heard = await bell.heard(min(delay, left + 0.001))
            delay = first if heard else min(delay * 2, last)
