"""Approvals in LangGraph: a node that has to wait for people pauses its graph, by LangGraph's own interrupt.

LangGraph runs a node again from its beginning when the graph is resumed. So the call is made again, and the
record decides: the value that the graph is resumed with wakes it up, and decides nothing.
"""

from __future__ import annotations

from typing import Any, Unpack

from holdfast.errors import ApprovalRequired, InformationRequested, MissingExtra
from holdfast.ledger import Ledger, SyncLedger
from holdfast.ledger.engine import ToolOptions
from holdfast.ports import Handler


async def run_or_interrupt(
    ledger: Ledger,
    call: object,
    handler: Handler | None = None,
    *,
    workflow_id: str | None = None,
    **options: Unpack[ToolOptions],
) -> Any:
    """Do what ``ledger.run`` does, within a node; where people have to decide first, interrupt the graph.

    The interrupt's value is ``{"approval", "key", "reason", "expires_at"}``, and while people ask for more
    ``asked`` (``by``, ``question``, ``to``): answer with ``ledger.answer_info``. Resume the graph with
    ``Command(resume=...)`` once they have decided; resumed earlier, it is interrupted again.

    Raises:
        MissingExtra: LangGraph is not installed.
        ApprovalDenied: People said no. Nothing ran.
    """
    while True:
        try:
            return await ledger.run(call, handler, workflow_id=workflow_id, **options)
        except ApprovalRequired as required:
            _interrupt(required)


def run_or_interrupt_sync(
    ledger: SyncLedger,
    call: object,
    handler: Handler | None = None,
    *,
    workflow_id: str | None = None,
    **options: Unpack[ToolOptions],
) -> Any:
    """Do what :func:`run_or_interrupt` does, in a node that is a plain function."""
    while True:
        try:
            return ledger.run(call, handler, workflow_id=workflow_id, **options)
        except ApprovalRequired as required:
            _interrupt(required)


def _interrupt(required: ApprovalRequired) -> None:
    """Pause the graph; return only where it was resumed, and the record has to be asked again."""
    try:
        from langgraph.types import interrupt  # noqa: PLC0415 - whoever writes no graphs has no LangGraph
    except ImportError as error:
        raise MissingExtra("langgraph", "langgraph") from error
    expires_at = required.expires_at
    told: dict[str, Any] = {
        "approval": required.approval,
        "key": required.key,
        "reason": required.reason,
        "expires_at": None if expires_at is None else expires_at.isoformat(),
    }
    if isinstance(required, InformationRequested):
        told["asked"] = {"by": required.by, "question": required.question, "to": required.to}
    interrupt(told)
