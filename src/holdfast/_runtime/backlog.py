"""The alert of questions that pile up: told once each time that begins, whatever the number of workers."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

from holdfast._core.approval import ApprovalState
from holdfast._core.model import Alert
from holdfast._core.states import State
from holdfast._runtime.alerting import ALERT_TOOL, own
from holdfast._runtime.parts import Parts
from holdfast._runtime.pipeline import RESERVED
from holdfast.ports import ApprovalQuery, Query

_BACKLOG: Final = f"{RESERVED}backlog"


async def look_at_backlog(parts: Parts, tenant: str) -> None:
    """Alert people when too many questions wait, or one waits for too long; once each time that begins.

    Each change from one to the other is an effect, numbered: of several who see it one makes it.
    """
    size, age_s = parts.settings.backlog_size, parts.settings.backlog_age_s
    query = ApprovalQuery(tenant=tenant, state=ApprovalState.PENDING, limit=size + 1)
    waiting = await parts.store.approvals.listed(query)
    latest = await parts.store.effects(Query(tenant=tenant, workflow_id=_BACKLOG, tool=ALERT_TOOL, limit=1))
    number, was_over = 0, False
    if latest:
        known = latest[0]
        told: Any = json.loads(parts.opened(known.tenant, known.key, known.args, "args"))
        number, was_over = int(told["crossing"]), bool(told["over"])
        if known.state is not State.SUCCEEDED:  # whoever began to tell of it may have died
            await own(parts, tenant, _BACKLOG, str(number), told, _telling(parts, tenant, told))
    oldest_s = 0.0
    if waiting:
        now = parts.runtime.now()
        oldest_s = max((now - row.created_at).total_seconds() for row in waiting)
    is_over = len(waiting) > size or oldest_s > age_s
    if is_over is not was_over:
        told = {"crossing": number + 1, "over": is_over, "many": len(waiting) > size}
        await own(parts, tenant, _BACKLOG, str(number + 1), told, _telling(parts, tenant, told))


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
