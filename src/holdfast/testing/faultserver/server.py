"""A real HTTP server on loopback that fails as real ones do, and knows what it really did."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime

from holdfast.testing.faultscript import Chances
from holdfast.testing.faultserver.books import LogEntry
from holdfast.testing.faultserver.exchange import api_error
from holdfast.testing.faultserver.host import Host, utc_now
from holdfast.testing.faultserver.payments import Payments
from holdfast.testing.faultserver.webhooks import Delivery, Fate, Target, Webhooks


class FaultServer(Host):
    """A payments service whose network breaks as you say: ``with FaultServer(seed=7) as server: server.url``.

    ``POST /v1/charges`` takes JSON or a form with an ``amount`` and an ``Idempotency-Key``;
    ``GET /v1/charges/{id}``, ``GET /v1/charges?idempotency_key=…`` (or any other field) find charges;
    ``POST`` and ``GET /v1/charges/{id}/refunds`` do the same for refunds. Any other path is a thing that
    is kept and echoed. For the same seed and order of requests everything happens the same way again.

    Args:
        chances: What may befall requests, e.g. ``"drop_after=0.1,503=0.1:2*3"``; see :class:`FaultKind`.
        seed: Another seed is another story.
        deduplicates: Whether a request with a known ``Idempotency-Key`` gets the first one's answer.
        port: Which port of 127.0.0.1; 0 for a free one.
        log_path: A file that each committed change is appended to before the client is answered.
        clock: What time it is (aware, UTC), for ``Date``, ``Retry-After`` and the log.

    Raises:
        InvalidCall: The chances cannot be read.
    """

    def __init__(
        self,
        chances: Chances = "",
        *,
        seed: int = 0,
        deduplicates: bool = True,
        port: int = 0,
        log_path: str | os.PathLike[str] | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._seed = seed
        super().__init__(
            Payments(deduplicates, seed),
            api_error,
            chances=chances,
            seed=seed,
            port=port,
            log_path=log_path,
            clock=clock,
        )

    def commits(self, *, path: str = "", key: str = "") -> tuple[LogEntry, ...]:
        """Return what was really done, oldest first; only at *path* and with *key* when they are given."""
        return tuple(
            entry
            for entry in self.log
            if entry.committed and path in {"", entry.path} and key in {"", entry.key}
        )

    def webhooks(self, target: Target, *fates: Fate | str, chances: str = "") -> None:
        """Tell *target* of ``charge.processing``, ``charge.succeeded`` and ``charge.refunded`` from now on.

        Events are delivered one at a time, in the order of commits unless their fate is another. What is
        due at once is delivered before the client is answered, so that a test need not wait; with several
        clients at once it may be the answer to another one of them that comes after it.

        Args:
            target: A URL on loopback for HTTP POST, or a function, called in a thread of the server.
                What it raises or answers is kept in :attr:`deliveries`; nothing is delivered again for it.
            fates: ``now``, ``twice``, ``after_next``, ``late`` or ``lost``, for one event after another.
            chances: What may become of the others, e.g. ``"late=0.2,twice=0.1"``; the rest are delivered now.

        Raises:
            InvalidCall: The target is neither, or there is no such fate.
        """
        self._exchange.webhooks = Webhooks(target, fates, chances, self._seed)

    def deliver_webhooks(self) -> tuple[Delivery, ...]:
        """Deliver all events that are held, in order; return these deliveries once they are made."""
        webhooks = self._exchange.webhooks
        return () if webhooks is None else webhooks.flush()

    @property
    def deliveries(self) -> tuple[Delivery, ...]:
        """What was delivered, in order."""
        webhooks = self._exchange.webhooks
        return () if webhooks is None else webhooks.deliveries
