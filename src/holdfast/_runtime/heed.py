"""A word that moves nothing becomes a note in its effect's trail, for whoever looks before it moves."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from holdfast._core.audit import AuditEntry
from holdfast._core.change import head_of
from holdfast._core.model import Record
from holdfast._core.plan import plan_move
from holdfast._core.states import Event
from holdfast._runtime.parts import Parts
from holdfast._runtime.proof import refuted, tell
from holdfast._runtime.record import commit_patiently
from holdfast.ports import Signal


async def heed(
    parts: Parts,
    record: Record,
    signal: Signal,
    actor: str,
    *,
    is_new: bool,
    who: str = "the outside",
    why: str = "",
) -> tuple[Record, bool]:
    """Put a kept signal into its effect's trail, once; return the effect, and whether the note is in it.

    It is not when the effect moved meanwhile: then the signal may be worth something else. Who claimed the
    effect, and looked before the signal was kept, finds the note in the way and looks again. Where the signal
    tells that what is on record as not done was done, the workflow stops for a person, who is told.

    Args:
        is_new: Nobody else had the signal before.
        who: Who says so.
        why: What else to note.
    """
    details = {"signal": signal.id, "told": signal.outcome, **({"why": why} if why else {})}
    until = parts.runtime.monotonic() + parts.settings.store_patience_s
    while True:
        if not is_new and _is_noted(parts, await parts.store.trail(record.tenant, record.key), signal):
            return record, True
        stop = await refuted(parts, record, who) if signal.outcome == "done" else None
        stamp = parts.stamp(record.tenant, record.key, actor)
        change, head = plan_move(head_of(record), Event.NOTE, stamp, details=details, workflow=stop)
        await commit_patiently(parts, change, until=until)
        found = (await parts.store.find(record.tenant, record.key)).record
        if found is None:
            return record, True
        is_ours = found.audit_hash == head.audit_hash or any(
            entry.hash == head.audit_hash for entry in await parts.store.trail(record.tenant, record.key)
        )
        if is_ours and stop is not None:
            tell(parts, found, who)
        if is_ours or (found.state, found.fence) != (record.state, record.fence):
            return found, is_ours
        record, is_new = found, False


def _is_noted(parts: Parts, trail: Sequence[AuditEntry], signal: Signal) -> bool:
    entries = tuple(entry for entry in trail if entry.event is Event.NOTE)
    bodies: list[Any] = [
        json.loads(body) for body in parts.plain_bodies(entries).values() if body is not None
    ]
    return any((body.get("signal"), body.get("told")) == (signal.id, signal.outcome) for body in bodies)
