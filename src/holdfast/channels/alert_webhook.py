"""Tells another system of alerts by signed webhooks: each alert under an id that never changes."""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Callable, Sequence
from typing import Any

from holdfast._core.model import Alert
from holdfast.channels.reach import Lookup, Reach
from holdfast.channels.signing import keys_of, signed


class AlertWebhook:
    """Sends the alerts of a ledger to one address: give it to a ledger as ``on_alert=``.

    An alert that is not taken is sent again for about half a day, under the same ``webhook-id``; all
    attempts are on record. An alert of a budget, of a backlog or of a lost notice is sent at least once even
    if the process dies; other alerts are told by whoever is there.

    Args:
        url: Fixed here: nothing that an agent says has a part in it.
        secrets: ``whsec_…``; two while one takes the place of the other: each message is signed with all.
        allow: Networks that are let through although they are not public, e.g. ``10.1.0.0/16``.
        name: Names it among the sinks of a ledger, and on record; never to change.
        timeout_s: All of an exchange takes no longer than so many seconds.
        context: For TLS; default: Python's own.
        lookup: Returns the addresses of a name.

    Raises:
        InvalidTool: The address or a secret is none.
    """

    def __init__(
        self,
        url: str,
        secrets: Sequence[str],
        *,
        allow: Sequence[str] = (),
        name: str = "webhook",
        timeout_s: float = 8.0,
        context: ssl.SSLContext | None = None,
        clock: Callable[[], float] = time.time,
        lookup: Lookup | None = None,
    ) -> None:
        self.name = name
        self._clock = clock
        self._keys = keys_of(secrets)
        self._reach = Reach(url, allow=allow, timeout_s=timeout_s, context=context, lookup=lookup)

    def send(self, alert: Alert) -> None:
        """Send one alert; what it raises names neither the address nor a secret."""
        body = json.dumps(message_of(alert), ensure_ascii=True, sort_keys=True).encode()
        headers = signed(self._keys, alert.id, int(self._clock()), body)
        self._reach.post(body, {**headers, "content-type": "application/json"})


def message_of(alert: Alert) -> dict[str, Any]:
    """Return what is told of an alert."""
    return {
        "type": f"alert.{alert.code}",
        "id": alert.id,
        "code": alert.code,
        "message": alert.message,
        "tenant": alert.tenant,
        "subject": alert.subject,
        "workflow_id": alert.workflow_id,
        "at": alert.at.isoformat(),
    }
