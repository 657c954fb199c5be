"""Where alerts go besides the log and whoever listens: what a sink of alerts has to be."""

from __future__ import annotations

from typing import Protocol

from holdfast._core.model import Alert


class AlertSink(Protocol):
    """Takes alerts to another system, which knows an alert by its id: it may come more than once."""

    @property
    def name(self) -> str:
        """Names it among a ledger's sinks: small letters, digits, ``-`` and ``_``; never to change."""
        ...

    def send(self, alert: Alert) -> object:
        """Send one alert. It is plain, not async, and is called in a thread where that matters.

        What it raises is taken as a tool's error is: it is sent again later, unless it is ``Permanent``. No
        error may have a secret in its text.
        """
        ...
