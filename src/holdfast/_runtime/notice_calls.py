"""What telling of a notice through a channel is: an effect of the ledger's own, and how it is tried again."""

from __future__ import annotations

import inspect
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from holdfast._core.approval import Approval, Notice
from holdfast._core.contract import Contract
from holdfast._core.declare import make_contract
from holdfast._core.fault import Fault, FaultKind, fault_of
from holdfast._core.model import JSON, ToolCall
from holdfast._core.retry import RetryPolicy
from holdfast._core.states import Safety
from holdfast._runtime.parts import Parts
from holdfast._runtime.pipeline import RESERVED, Request
from holdfast.ports import Channel, Handler, Telling

ACTOR: Final = "channels"
"""Who writes what is on record of telling."""
TOOL: Final = f"{RESERVED}tell"
_TIMEOUT_S: Final = 10.0
_RETRY: Final = RetryPolicy(
    initial_interval=2.0,
    backoff_coefficient=2.0,
    maximum_interval=900.0,
    maximum_attempts=72,
    jitter="equal",
    longest_wait=3600.0,  # nobody waits: it only says how long a pause may be
    stop_on_auth=False,
)
"""For about half a day; then somebody is told that nobody was."""


def request_of(parts: Parts, channel: Channel, approval: Approval, notice: Notice, handle: JSON) -> Request:
    """Return what tells of one notice through one channel."""
    name = f"{approval.id}-{notice.number}-{channel.name}"
    page = parts.settings.console_url.rstrip("/")
    telling = Telling(
        id=name,
        notice=notice,
        approval=approval,
        handle=handle,
        link=f"{page}/approvals/{approval.id}" if page else "",
    )
    args: dict[str, JSON] = {
        "id": name,
        "approval": approval.id,
        "notice": notice.number,
        "kind": notice.kind,
        "channel": channel.name,
        "handle": handle,
    }
    return Request(
        tenant=approval.tenant,
        actor=ACTOR,
        call=ToolCall(workflow_id=workflow_of(approval.id), tool=TOOL, args=args, key=name),
        contract=_contract(parts, channel),
        handler=_handler(channel, telling),
        wait_s=0.0,
        is_own=True,
    )


def workflow_of(approval_id: str) -> str:
    """Return the id under which the library's own effects about a question are on record."""
    return f"{RESERVED}approval:{approval_id}"


def _contract(parts: Parts, channel: Channel) -> Contract:
    is_unsafe = Safety(channel.safety) is Safety.UNSAFE
    return make_contract(
        TOOL,
        safety=channel.safety,
        timeout=_TIMEOUT_S,
        reconcile=getattr(channel, "reconcile", None) if is_unsafe else None,
        retry=_RETRY,
        dependency=f"channel:{channel.name}",
        classify=lambda error: as_it_passes(error, parts.runtime.now()),
        ignore=["handle"],  # a person's word about an earlier notice may bring one later
    )


def as_it_passes(error: Exception, now: datetime) -> Fault:
    """Return what an error of a channel's says; what people can mend is waited for as an outage is."""
    fault = fault_of(error, now=now)
    can_be_mended = fault.kind is FaultKind.AUTH or (
        fault.kind is FaultKind.PERMANENT and fault.may_have_acted
    )
    return replace(fault, kind=FaultKind.TRANSIENT) if can_be_mended else fault


def _handler(channel: Channel, telling: Telling) -> Handler:
    if inspect.iscoroutinefunction(channel.tell):

        async def tells(**about: Any) -> Any:
            del about
            return await channel.tell(telling)

        return tells

    def plainly(**about: Any) -> Any:
        del about
        return channel.tell(telling)

    return plainly
