"""Queues and halts in PostgreSQL: what goes together in one transaction, and what the database answers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from holdfast._core.advance import Dequeue, HaltExecutions, bell_of_queue
from holdfast._core.execution import ExecutionRecord
from holdfast.stores.postgres.executions import Row, checked, execution_in

LOOK: Final = 256
"""So many of a queue are looked at, where keys have limits, before those of each key are."""


def dequeue_of(op: Dequeue, now: datetime | None) -> tuple[Sequence[str], Row]:
    """Return the names of the statements that take what is due, in one transaction, and their parameters.

    Args:
        now: The time by which leases are measured; ``None`` for the database's.

    Raises:
        StoreInvariant: It holds what no database text can hold.
    """
    rule = op.rule
    values: Row = {
        "tenant": op.tenant,
        "queue": rule.name,
        "functions": list(op.functions),
        "owner": op.owner,
        "limit": op.limit,
        "lease_s": op.lease_s,
        "at": op.at,
        "now": now,
    }
    if rule.concurrency is None and rule.per_key is None and rule.rate is None:
        return ("dequeue",), checked("dequeue", values)
    values |= {
        "concurrency": rule.concurrency,
        "per_key": rule.per_key,
        "rate": rule.rate,
        "rate_s": rule.rate_s,
        "look": op.limit if rule.per_key is None else max(op.limit, LOOK),
    }
    return ("lock_queue", "dequeue_within"), checked("dequeue", values)


def dequeued_in(rows: Sequence[Sequence[Any]]) -> list[ExecutionRecord]:
    """Return what was taken, in its order."""
    return [execution_in(told) for (told,) in rows]


def halt_of(op: HaltExecutions, now: datetime | None) -> tuple[Sequence[str], Row]:
    """Return the names of the statements that halt an actor or let it go on, and their parameters.

    Raises:
        StoreInvariant: It holds what no database text can hold.
    """
    values: Row = {
        "tenant": op.tenant,
        "actor": op.actor,
        "reason": op.reason,
        "at": op.at,
        "now": now,
        "due": bell_of_queue(op.tenant, ""),
    }
    name = "halt_executions" if op.is_on else "unhalt_executions"
    return ("lock_halts", name), checked(name, values)
