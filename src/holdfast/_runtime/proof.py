"""Proof that comes late: it is kept as the outside's words are, and people hear of it where nothing moves."""

from __future__ import annotations

import json
from typing import Any, Final

from holdfast._core.change import PlainOutcome, WorkflowStop
from holdfast._core.model import Alert, Record
from holdfast._core.states import State
from holdfast._runtime.parts import Parts
from holdfast.errors.effects import resume_hint
from holdfast.ports import Signal

DONE: Final = frozenset({State.SUCCEEDED, State.COMPENSATED})
"""On record as done: no proof of it is news."""
UNDONE: Final = frozenset({State.FAILED, State.DENIED, State.CANCELLED})
"""On record as not done, and nothing leaves these states: proof of the contrary is for people."""


async def keep_done(
    parts: Parts, record: Record, outcome: PlainOutcome | None, source: str, actor: str
) -> tuple[Signal, bool]:
    """Keep a "done" that came too late to be applied, as the outside's words are kept: it is heard later.

    Returns:
        The signal that it is kept as, and whether it is a new one.
    """
    result = None if outcome is None else outcome.result
    told: dict[str, Any] = {"result": None if result is None else json.loads(result)}
    told["evidence"] = {"source": source}
    if outcome is not None and outcome.result_gap is not None:
        told["result_gap"] = outcome.result_gap
    signal = Signal(
        tenant=record.tenant,
        subject=record.key,
        id=source,
        outcome="done",
        body=parts.stamp(record.tenant, record.key, actor).seal(json.dumps(told, sort_keys=True), "signal"),
        received_at=(await parts.store.find(record.tenant, record.key)).now,
    )
    return signal, await parts.store.put_signal(signal)


async def refuted(parts: Parts, record: Record, who: str) -> WorkflowStop | None:
    """Return the stop of the workflow of an effect that is done; ``None`` unless its record says it is not.

    Args:
        who: Who says that it is done.
    """
    if record.state not in UNDONE:
        return None
    stopped = await parts.store.workflow(record.tenant, record.workflow_id)
    earlier = None if stopped is None else stopped.stopped
    what = f"{who} says that {record.tool[:60]} is done, which is {record.state}"
    return WorkflowStop(reason=f"{what}; besides: {earlier[:300]}" if earlier else what)


def tell(parts: Parts, record: Record, who: str) -> None:
    """Tell people that the record is wrong; nothing leaves its state, so it is theirs to mend."""
    parts.known.stopped.add((record.tenant, record.workflow_id))
    message = (
        f"{who} says that effect {record.key} ({record.tool}) is done, but it is {record.state}: "
        f"nobody will undo it; see `holdfast show {record.key}`, set it right outside, then let the "
        f"workflow go on with {resume_hint(record.workflow_id)}"
    )
    parts.alerts.tell(
        Alert(
            code="done_after_all",
            message=message,
            tenant=record.tenant,
            subject=record.key,
            workflow_id=record.workflow_id,
            at=parts.runtime.now(),
        )
    )
