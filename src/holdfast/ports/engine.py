"""What an engine that is not ours does for durable workflows."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol


class Engine(Protocol):
    """Drives workflows: it calls ``ledger.drive`` with a workflow's id until the workflow has ended.

    At least once after each :meth:`wake`, and again at the time that ``drive`` answers. More often does no
    harm, and neither do two at once: the ledger's own leases exclude them.
    """

    async def wake(self, tenant: str, workflow_id: str, at: datetime | None) -> None:
        """Have a workflow driven soon, or at *at* (aware, UTC). Under a ``SyncLedger`` it must not suspend.

        Asked for when it is begun, forked or restarted, and when something lets it go on: a signal, resuming,
        the end of a halt, cancelling. It is on record already: a wake-up that is lost is made good by the
        next one, or by an engine that looks from time to time.

        Raises:
            EngineUnavailable: Nobody knows whether it was told. Waking again is safe.
        """
        ...
