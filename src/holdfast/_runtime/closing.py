"""Releases what a closed ledger holds, once the last of what goes on in it has ended."""

from __future__ import annotations

from holdfast._runtime.parts import Parts


async def close_when_idle(parts: Parts) -> None:
    """Release everything, if the ledger was closed and none of its claims is alive.

    A handler that nobody can stop, or a block that is not left yet, may act until its end: a claim that is
    not renewed any more lets somebody else act as well.
    """
    if parts.traffic.is_closing and not parts.heartbeat.is_busy:
        parts.heartbeat.close()
        await parts.store.close()
