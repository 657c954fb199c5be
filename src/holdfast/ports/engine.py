"""What a system outside does that goes on with executions for us."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol


class Engine(Protocol):
    """Calls ``ledger.drive(workflow_id)`` until the execution has ended.

    That is all there is to an engine: what an execution did, who works on it and what it waits for are in the
    ledger, so that it may call too often, too early, from two places at once, and after any crash of its own.
    """

    async def wake(self, tenant: str, workflow_id: str, at: datetime | None) -> None:
        """Have an execution driven soon, or at *at*: at least once, and again until it has ended.

        Called after the commit of what there is to wake for, and never instead of it. Under a ``SyncLedger``
        it must not suspend.

        Raises:
            EngineUnavailable: Nobody knows whether it was told. What was committed stands; waking again is safe.
        """
        ...
