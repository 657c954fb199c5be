"""What a worker is given of a queue, in memory: the rules of :class:`~holdfast._core.advance.Dequeue`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta

from holdfast._core.advance import Dequeue
from holdfast._core.execution import IDLE, ExecutionRecord, Pause
from holdfast._core.states import WorkflowStatus
from holdfast.stores.memory_rows import is_abandoned


def chosen(rows: Sequence[ExecutionRecord], op: Dequeue, now: datetime) -> list[ExecutionRecord]:
    """Return those of a queue's *rows* that *op* takes, in its order."""
    rule = op.rule
    running = [row for row in rows if row.status is WorkflowStatus.RUNNING and not is_abandoned(row, now)]
    fitting = [row for row in rows if row.pause is Pause.NO and row.function in op.functions]
    dead = sorted(
        (row for row in fitting if row.status is WorkflowStatus.RUNNING and row.lease_until <= now),
        key=lambda row: (row.lease_until, row.workflow_id),
    )
    due = sorted(
        (row for row in fitting if row.status in IDLE and row.wake_at is not None and row.wake_at <= now),
        key=lambda row: (-row.priority, row.wake_at, row.workflow_id),
    )
    if rule.per_key is not None:
        due = _within_keys(due, running, rule.per_key)
    if rule.rate is not None:
        since = now - timedelta(seconds=rule.rate_s)
        started = sum(row.started_at is not None and row.started_at > since for row in rows)
        fresh = [row for row in due if row.started_at is None]
        late = {row.workflow_id for row in fresh[max(rule.rate - started, 0) :]}
        due = [row for row in due if row.workflow_id not in late]
    if rule.concurrency is not None:
        due = due[: max(rule.concurrency - len(running), 0)]
    return (dead + due)[: op.limit]


def _within_keys(
    due: Sequence[ExecutionRecord], running: Sequence[ExecutionRecord], per_key: int
) -> list[ExecutionRecord]:
    counts = Counter(row.limit_key for row in running)
    within: list[ExecutionRecord] = []
    for row in due:
        counts[row.limit_key] += 1
        if row.limit_key == "" or counts[row.limit_key] <= per_key:
            within.append(row)
    return within
