"""Alerts that are told once, whatever the number of workers: each is an effect of the ledger's own.

A crash, a race and a retry are then what they are for any effect. Each sink is told by an effect of its own,
and before the log: once the log has it, whatever a sink did not take is on record for the sweeper.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any, Final

from holdfast._core.declare import make_contract
from holdfast._core.model import JSON, Alert, EffectKey, Record, ToolCall
from holdfast._core.retry import RetryPolicy
from holdfast._core.states import State
from holdfast._runtime.notice_calls import as_it_passes
from holdfast._runtime.parts import Parts
from holdfast._runtime.pipeline import RESERVED, Request, call
from holdfast.errors import HoldfastError, LedgerClosed, StoreError
from holdfast.ports import AlertSink, Query

log = logging.getLogger("holdfast")
ALERT_TOOL: Final = f"{RESERVED}alert"
SENT_TOOL: Final = f"{RESERVED}alert.sent"
EVERYBODYS: Final = f"{RESERVED}everybody"
"""The tenant that alerts are on record under which are about what all tenants share."""
_ALERTS: Final = f"{RESERVED}alerts"
_ACTOR: Final = "clock"
_TELLING: Final = ("message", "at")
"""Who tells first decides them: whoever comes later says the same thing in other words."""
_CONTRACT: Final = make_contract(ALERT_TOOL, safety="idempotent", dependency=False, ignore=_TELLING)
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
"""For about half a day."""


async def alert_once(parts: Parts, tenant: str, name: str, *, code: str, subject: str, message: str) -> bool:
    """Tell an alert unless it was told under this name before; return whether everybody was, by now.

    Args:
        tenant: Whose it is; empty for what all share.
    """
    alert = Alert(code=code, message=message, tenant=tenant, subject=subject, at=parts.runtime.now(), id=name)
    await parts.runtime.together([_sent(parts, sink, alert) for sink in parts.alerts.sinks])
    return await own(
        parts, _place(alert), _ALERTS, name, _args(alert), partial(parts.alerts.tell_here, alert)
    )


async def send(parts: Parts, alert: Alert) -> None:
    """Let each sink have an alert that was told here already."""
    await parts.runtime.together([_sent(parts, sink, alert) for sink in parts.alerts.sinks])


async def send_again(parts: Parts, tenant: str, limit: int) -> None:
    """Let sinks have what they did not take, as soon as their next attempt is due."""
    if not parts.alerts.sinks:
        return
    for place in (tenant, EVERYBODYS):
        now = (await parts.store.find(place, EffectKey("v1:" + "0" * 64))).now
        query = Query(tenant=place, tool=SENT_TOOL, state=State.RETRYABLE, due=now, limit=limit)
        for record in await parts.store.effects(query):
            parts.traffic.ensure_open()
            await _again(parts, record)


async def _again(parts: Parts, record: Record) -> None:
    if record.spent:
        return
    args: Any = json.loads(parts.opened(record.tenant, record.key, record.args, "args"))
    for sink in parts.alerts.sinks:
        if sink.name == args["sink"]:
            told = {
                name: args[name] for name in ("code", "subject", "message", "tenant", "workflow_id", "id")
            }
            await _sent(parts, sink, Alert(**told, at=datetime.fromisoformat(args["at"])))


async def _sent(parts: Parts, sink: AlertSink, alert: Alert) -> None:
    contract = make_contract(
        SENT_TOOL,
        safety="idempotent",
        timeout=_TIMEOUT_S,
        retry=_RETRY,
        dependency=False,  # a circuit that opens would be an alert itself, and one that is refused is lost
        classify=lambda error: as_it_passes(error, parts.runtime.now()),
        ignore=_TELLING,
    )
    told = {**_args(alert), "sink": sink.name}
    name = f"{alert.id}-{sink.name}"
    try:
        await own(parts, _place(alert), _ALERTS, name, told, partial(sink.send, alert), contract)
    except (StoreError, LedgerClosed):
        raise
    except Exception as error:  # noqa: BLE001 - on record, and tried again by whoever sweeps
        # The type only: what a client says may have an address in it, or a key.
        log.warning("alerts through %s: %s", sink.name, type(error).__qualname__)


def _place(alert: Alert) -> str:
    return alert.tenant or EVERYBODYS


def _args(alert: Alert) -> dict[str, JSON]:
    return {
        "id": alert.id,
        "code": alert.code,
        "subject": alert.subject,
        "tenant": alert.tenant,
        "workflow_id": alert.workflow_id,
        "message": alert.message,
        "at": alert.at.isoformat(),
    }


async def own(
    parts: Parts,
    tenant: str,
    workflow_id: str,
    name: str,
    args: dict[str, JSON],
    tell: Callable[[], object],
    contract: Any = _CONTRACT,
) -> bool:
    """Do *tell* as an effect of the ledger's own; return whether it is done, here or elsewhere."""

    def handler(**about: Any) -> None:
        del about
        tell()

    is_sent = contract is not _CONTRACT
    tool_call = ToolCall(
        workflow_id=workflow_id, tool=SENT_TOOL if is_sent else ALERT_TOOL, args=args, key=name
    )
    request = Request(
        tenant=tenant,
        actor=_ACTOR,
        call=tool_call,
        contract=contract,
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
        return False
    return True
