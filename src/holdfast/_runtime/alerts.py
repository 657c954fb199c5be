"""Tells people what they should hear of now: the log, whoever asked to be told, and other systems."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from holdfast._core.model import Alert
from holdfast.ports.alerts import AlertSink

log = logging.getLogger("holdfast.alerts")
Listener = Callable[[Alert], object]


def _nowhere(alert: Alert) -> None:
    """Where there are no sinks."""
    del alert


@dataclass(slots=True)
class Alerts:
    """Where the alerts of one ledger go.

    Attributes:
        sinks: Other systems; each is told by an effect of its own (``_runtime/alerting.py``).
        outward: Lets the sinks have an alert, soon; whoever tells waits for nothing.
    """

    listeners: list[Listener] = field(default_factory=list[Listener])
    sinks: tuple[AlertSink, ...] = ()
    outward: Callable[[Alert], None] = _nowhere

    def tell(self, alert: Alert) -> None:
        """Tell of *alert* here and let the sinks have it."""
        self.tell_here(alert)
        self.outward(alert)

    def tell_here(self, alert: Alert) -> None:
        """Log *alert* and hand it to each listener; a listener that raises stops nobody."""
        log.warning("%s: %s", alert.code, alert.message)
        for listener in self.listeners:
            try:
                listener(alert)
            except Exception:
                log.exception("a listener could not take an alert (%s)", alert.code)
