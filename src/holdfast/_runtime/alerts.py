"""Tells people what they should hear of now: the log, and whoever asked to be told."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from holdfast._core.model import Alert

log = logging.getLogger("holdfast.alerts")
Listener = Callable[[Alert], object]


@dataclass(slots=True)
class Alerts:
    """Where the alerts of one ledger go."""

    listeners: list[Listener] = field(default_factory=list[Listener])

    def tell(self, alert: Alert) -> None:
        """Log *alert* and hand it to each listener; a listener that raises stops nobody."""
        log.warning("%s: %s", alert.code, alert.message)
        for listener in self.listeners:
            try:
                listener(alert)
            except Exception:
                log.exception("a listener could not take an alert (%s)", alert.code)
