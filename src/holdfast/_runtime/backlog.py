"""Alerts that are told once, whatever the number of workers: of questions that pile up, of lost notices."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any, Final

from holdfast._core.approval import ApprovalState
from holdfast._core.declare import make_contract
from holdfast._core.model import JSON, Alert, ToolCall
from holdfast._core.states import State
from holdfast._runtime.parts import Parts
from holdfast._runtime.pipeline import RESERVED, Request, call
from holdfast.errors import HoldfastError, StoreError
from holdfast.ports import ApprovalQuery, Query

log = logging.getLogger("holdfast")
_TOOL: Final = f"{RESERVED}alert"
_BACKLOG: Final = f"{RESERVED}backlog"
_ALERTS: Final = f"{RESERVED}alerts"
_ACTOR: Final = "clock"
_CONTRACT: Final = make_contract(_TOOL, safety="idempotent", dependency=False)


async def look_at_backlog(parts: Parts, tenant: str) -> None:
    """Alert people when too many questions wait, or one waits for too long; once each time that begins.

    Each change from one to the other is an effect, numbered: of several who see it one makes it.
    """
    size, age_s = parts.settings.backlog_size, parts.settings.backlog_age_s
    query = ApprovalQuery(tenant=tenant, state=ApprovalState.PENDING, limit=size + 1)
    waiting = await parts.store.approvals.listed(query)
    latest = await parts.store.effects(Query(tenant=tenant, workflow_id=_BACKLOG, tool=_TOOL, limit=1))
    number, was_over = 0, False
    if latest:
        known = latest[0]
        told: Any = json.loads(parts.opened(known.tenant, known.key, known.args, "args"))
        number, was_over = int(told["crossing"]), bool(told["over"])
        if known.state is not State.SUCCEEDED:  # whoever began to tell of it may have died
            await _own(parts, tenant, _BACKLOG, str(number), told, _telling(parts, tenant, told))
    oldest_s = 0.0
    if waiting:
        now = parts.runtime.now()
        oldest_s = max((now - row.created_at).total_seconds() for row in waiting)
    is_over = len(waiting) > size or oldest_s > age_s
    if is_over is not was_over:
        told = {"crossing": number + 1, "over": is_over, "many": len(waiting) > size}
        await _own(parts, tenant, _BACKLOG, str(number + 1), told, _telling(parts, tenant, told))


def _telling(parts: Parts, tenant: str, told: dict[str, Any]) -> Callable[[], None]:
    size, age_s = parts.settings.backlog_size, parts.settings.backlog_age_s
    what = f"more than {size} questions wait" if told["many"] else f"a question has waited {age_s:g} s"

    def tell() -> None:
        if told["over"]:
            message = f"{what} for people: see `holdfast approvals`; ask fewer, or more people"
            alert = Alert(
                code="review_backlog",
                message=message,
                tenant=tenant,
                subject=f"backlog/{told['crossing']}",
                at=parts.runtime.now(),
            )
            parts.alerts.tell(alert)

    return tell


async def alert_once(parts: Parts, tenant: str, name: str, *, code: str, subject: str, message: str) -> None:
    """Tell an alert unless it was told under this name before."""

    def tell() -> None:
        at = parts.runtime.now()
        parts.alerts.tell(Alert(code=code, message=message, tenant=tenant, subject=subject, at=at))

    await _own(parts, tenant, _ALERTS, name, {"code": code, "subject": subject}, tell)


async def _own(
    parts: Parts, tenant: str, workflow_id: str, name: str, args: dict[str, JSON], tell: Callable[[], None]
) -> None:
    def handler(**about: Any) -> None:
        del about
        tell()

    tool_call = ToolCall(workflow_id=workflow_id, tool=_TOOL, args=args, key=name)
    request = Request(
        tenant=tenant,
        actor=_ACTOR,
        call=tool_call,
        contract=_CONTRACT,
        handler=handler,
        wait_s=0.0,
        is_own=True,
    )
    try:
        await call(parts, request)
    except StoreError:
        raise
    except HoldfastError as error:  # somebody else is at it
        log.debug("an alert is told elsewhere (%s)", error.code)
