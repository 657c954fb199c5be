"""What a worker of either kind does: what it takes of which queues, and when timetables fire."""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from holdfast._core.advance import QueueRule, bell_of_queue
from holdfast._core.approval import ApprovalState
from holdfast._core.execution import ExecutionRecord
from holdfast._runtime.herald import Herald
from holdfast._runtime.minding import look_after
from holdfast.errors import (
    ExecutionTaken,
    InvalidTool,
    NonDeterminism,
    StoreError,
    StoreUnavailable,
    VersionMismatch,
    WorkflowConflict,
)
from holdfast.ledger.cron import Cron
from holdfast.ledger.engine import Engine

log = logging.getLogger("holdfast.worker")
TICK_S: Final = 0.5
"""How long a worker with its hands full does not look at its timetables."""
_SHORTEST_S: Final = 0.05
_LONGEST_S: Final = 1.0
_TOLD_EVERY_S: Final = 30.0
_ASK_EVERY_S: Final = 2.0
_ASK_LIMIT: Final = 100


@dataclass(slots=True)
class Rounds:
    """One worker's rounds over its queues.

    Attributes:
        poll_s: How long to wait before the next round, unless something rings.
    """

    engine: Engine
    queues: tuple[str, ...]
    poll_s: float = _SHORTEST_S
    _first: int = 0
    _herald: Herald = field(default_factory=Herald)
    _asks_at: float = -math.inf
    _next: dict[str, datetime] = field(default_factory=dict[str, datetime])

    @property
    def bells(self) -> list[str]:
        """What rings when there is something to take."""
        return [bell_of_queue(self.engine.tenant, queue) for queue in self.queues]

    async def take(self, free: int) -> list[ExecutionRecord]:
        """Take at most *free* executions that are due; from each queue first in turn."""
        taken: list[ExecutionRecord] = []
        self._first = (self._first + 1) % len(self.queues)
        for queue in (*self.queues[self._first :], *self.queues[: self._first]):
            if len(taken) >= free or self.engine.parts.traffic.is_leaving:
                break
            rule = self.engine.shared.rules.get(queue) or QueueRule(name=queue)
            taken += await self.engine.durable.dequeue(rule, free - len(taken))
        self.poll_s = _SHORTEST_S if taken else min(self.poll_s * 2, _LONGEST_S)
        return taken

    async def fire(self) -> None:
        """Enqueue what timetables ask for. Several workers do, and each start is there once."""
        now = self.engine.parts.runtime.now()
        for cron in self.engine.shared.crons.values():
            due = self._next.get(cron.name) or cron.first(now)
            while due <= now:
                await _started(cron, due)
                due = cron.after(due)
            self._next[cron.name] = due
        await self._look_after()

    async def _look_after(self) -> None:
        """Remind, escalate and end what people were asked, once in a while; several workers do, once each."""
        parts = self.engine.parts
        if parts.runtime.monotonic() >= self._asks_at:
            self._asks_at = parts.runtime.monotonic() + _ASK_EVERY_S
            await parts.store.open()
            for approval in await look_after(parts, self.engine.tenant, _ASK_LIMIT):
                if approval.state is not ApprovalState.PENDING:
                    await self.engine.hint(approval.workflow_id, None)
            self._herald.make_round(parts, self.engine.tenant, _ASK_LIMIT)

    async def go_on(self, execution: ExecutionRecord) -> None:
        """Go through the code of a taken execution; whatever is wrong with it stops no worker."""
        workflow_id = execution.workflow_id
        try:
            left = await self.engine.durable.live(execution)
        except ExecutionTaken:
            log.warning("workflow %s was taken over by another worker", workflow_id)
        except (NonDeterminism, VersionMismatch, StoreError) as error:
            log.warning("workflow %s: %s", workflow_id, error)
        except Exception:
            log.exception("workflow %s could not be gone on with", workflow_id)
        else:
            log.debug("workflow %s is %s", workflow_id, left.status)


async def _started(cron: Cron, due: datetime) -> None:
    """Begin what a timetable asks for at one time; whatever is wrong with it stops no worker."""
    try:
        await cron.start(due)
    except StoreUnavailable:
        raise
    except WorkflowConflict as error:
        log.info("timetable %s began at %s before it was changed: %s", cron.name, due, error)
    except Exception:
        log.exception("timetable %s could not begin its workflow of %s", cron.name, due)


def rounds_of(engine: Engine, queues: Sequence[str] | None) -> Rounds:
    """Return the rounds over *queues*; ``None``: over those of all declared workflows.

    Raises:
        InvalidTool: The ledger has no workflows.
    """
    if not engine.shared.flows.names:
        raise InvalidTool("this ledger has no workflows", "import the module that declares them")
    chosen = engine.shared.flows.queues if queues is None else tuple(dict.fromkeys(queues))
    return Rounds(engine, chosen)


async def opened(engine: Engine, waited: Callable[[float], Awaitable[bool]]) -> bool:
    """Open the ledger's database, however long it is away, and say so once in a while.

    Args:
        waited: Waits for so many seconds; returns whether the worker is to stop.

    Returns:
        Whether it is open: not when the worker is to stop.

    Raises:
        LedgerClosed: The ledger was closed.
        StoreError: Waiting does not mend it: its password, its name, its tables.
    """
    parts, delay_s, tell_at = engine.opened().parts, _SHORTEST_S, -math.inf
    while True:
        try:
            await parts.store.open()
        except StoreUnavailable as error:
            if error.lasts:
                raise
            if parts.runtime.monotonic() >= tell_at:
                log.warning("the worker waits for its database: %s", error)
                tell_at = parts.runtime.monotonic() + _TOLD_EVERY_S
        else:
            return True
        if await waited(delay_s):
            return False
        delay_s = min(delay_s * 2, _LONGEST_S)


def checked(concurrency: Any) -> int:
    """Return how many executions a worker goes on with at once."""
    if not isinstance(concurrency, int) or isinstance(concurrency, bool) or concurrency < 1:
        raise InvalidTool(f"concurrency={concurrency!r} is no count", "give a whole number of at least 1")
    return concurrency
