"""Checks where a ledger's alerts are to go, and lets other systems have those that nobody else sends them."""

from __future__ import annotations

import inspect
import logging
import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, Final, TypeAlias

from holdfast._core.model import Alert
from holdfast._runtime.alerting import send
from holdfast._runtime.alerts import Alerts
from holdfast._runtime.closing import passing
from holdfast._runtime.parts import Parts
from holdfast.errors import HoldfastError, InvalidTool
from holdfast.ports import AlertSink

log = logging.getLogger("holdfast")
AlertTarget: TypeAlias = "Callable[[Alert], object] | AlertSink"
"""Whoever is told of alerts: a function, or a sink (:class:`holdfast.ports.AlertSink`)."""
_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,63}")


def checked_alerts(given: Any) -> Alerts:
    """Return where alerts go.

    Raises:
        InvalidTool: Something given can take no alert, or has no name of its own.
    """
    targets: list[Any] = []
    if isinstance(given, list | tuple):
        targets = [*given]  # pyright: ignore[reportUnknownVariableType] - anything may come
    elif given is not None:
        targets = [given]
    alerts, names = Alerts(), set[str]()
    for target in targets:
        if not hasattr(target, "send"):
            if not callable(target):
                what = f"on_alert is {type(target).__name__}"
                raise InvalidTool(what, "give a function that takes an Alert, a sink, or a list of these")
            alerts.listeners.append(target)
            continue
        name: Any = getattr(target, "name", None)
        if not isinstance(name, str) or not _NAME.fullmatch(name) or name in names:
            what = f"the sink of alerts {name!r:.80} has no name of its own"
            raise InvalidTool(what, "use small letters, digits, - and _, and each name once")
        if inspect.iscoroutinefunction(target.send):
            raise InvalidTool(f"the sink of alerts {name!r} is async", "give it a plain method send")
        names.add(name)
        alerts.sinks = (*alerts.sinks, target)
    return alerts


def send_outward(parts: Parts) -> None:
    """Let the sinks have each alert that is told here, soon: it is named by when and of what it was told."""
    if not parts.alerts.sinks:
        return

    def outward(alert: Alert) -> None:
        name = f"alert-{parts.runtime.token().hex()}"
        try:
            parts.runtime.aside(partial(_sent, parts, replace(alert, id=name)))
        except Exception as error:  # noqa: BLE001 - no more threads, or no loop: the log has it all the same
            log.warning("an alert was not sent (%s)", type(error).__qualname__)

    parts.alerts.outward = outward


async def _sent(parts: Parts, alert: Alert) -> None:
    try:
        async with passing(parts):
            parts.traffic.ensure_open()
            await send(parts, alert)
    except HoldfastError as error:
        log.warning("an alert was not sent (%s)", error.code)
