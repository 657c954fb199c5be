"""Keeps the claims of this process alive while their handlers run, however long those take.

One thread per ledger, with a connection of its own: a blocked event loop must not lose leases.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from holdfast._runtime.forks import forget_in_child
from holdfast.ports import Lease, Renewer

log = logging.getLogger("holdfast.heartbeat")


@dataclass(slots=True)
class LiveClaim:
    """A claim of this process.

    Attributes:
        expires: When it runs out unless it is renewed, by the monotonic clock.
        misses: How many beats found it settled or taken over; one is what a record under way looks like.
        thread: The thread that took it; a blocking caller must not wait for its own claim.
    """

    lease: Lease
    expires: float
    thread: int
    misses: int = 0


class Heartbeat:
    """All live claims of one ledger, renewed by one statement every few seconds."""

    def __init__(
        self,
        renewer: Callable[[], Renewer],
        *,
        lease_s: float,
        every_s: float,
        monotonic: Callable[[], float] = time.monotonic,
        threaded: bool = True,
    ) -> None:
        self._make_renewer = renewer
        self._lease_s = lease_s
        self._every_s = every_s
        self._monotonic = monotonic
        self._threaded = threaded
        self._live: dict[Lease, LiveClaim] = {}
        self._lock = threading.Lock()  # protects _thread: two callers must not start two
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._pid = os.getpid()
        forget_in_child(self)

    def forget_parent(self) -> None:
        """Forget the parent's claims: to remember them is not to hold them."""
        self._live, self._thread, self._pid = {}, None, os.getpid()
        self._lock, self._stop = threading.Lock(), threading.Event()

    def add(self, lease: Lease, *, claimed_at: float) -> LiveClaim:
        """Keep *lease* alive from now on.

        Args:
            claimed_at: Monotonic time *before* the claim was sent, so that we never think we
                hold it longer than the store does.
        """
        claim = LiveClaim(lease, claimed_at + self._lease_s, threading.get_ident())
        self._live[lease] = claim
        if self._threaded and self._thread is None:
            self._start()
        return claim

    def drop(self, claim: LiveClaim) -> None:
        """Stop renewing *claim*."""
        self._live.pop(claim.lease, None)

    @property
    def is_busy(self) -> bool:
        """Whether any claim is alive."""
        return bool(self._live)

    def held_by_this_thread(self, tenant: str, key: str) -> bool:
        """Whether the calling thread itself holds a claim on *key*."""
        me = threading.get_ident()
        return any(
            claim.thread == me and claim.lease.key == key and claim.lease.tenant == tenant
            for claim in tuple(self._live.values())
        )

    def close(self) -> None:
        """Stop the thread and give its connection back."""
        self._stop.set()
        thread, self._thread = self._thread, None
        if thread is not None and self._pid == os.getpid():
            thread.join(timeout=5)

    def beat(self, renewer: Renewer) -> None:
        """Renew every live claim once."""
        claims = tuple(self._live.values())
        if not claims:
            return
        sent_at = self._monotonic()
        held = renewer.renew([claim.lease for claim in claims], self._lease_s)
        for claim in claims:
            if claim.lease in held:
                claim.expires = sent_at + self._lease_s
            elif claim.lease in self._live:
                claim.misses += 1
                if claim.misses == 2:  # noqa: PLR2004 - once may be our own record, just committed
                    kind = "workflow" if claim.lease.is_execution else "effect"
                    log.warning("%s %s was taken over or settled elsewhere", kind, claim.lease.key)

    def _start(self) -> None:
        with self._lock:
            if self._thread is None and not self._stop.is_set():
                thread = threading.Thread(
                    target=self._run, args=(self._stop,), name="holdfast-heartbeat", daemon=True
                )
                thread.start()
                self._thread = thread  # only now: one that could not be started is tried again

    def _run(self, stop: threading.Event) -> None:
        renewer: Renewer | None = None
        try:
            while not stop.wait(self._every_s):
                try:
                    renewer = renewer or self._make_renewer()
                    self.beat(renewer)
                except Exception as error:  # noqa: BLE001 - a thread that ended would renew nothing ever after
                    # The claims live until their leases end; the next beat tries again.
                    log.warning("could not renew claims: %s", error)
                    if renewer is not None:
                        renewer.close()
                    renewer = None
        finally:
            if renewer is not None:
                renewer.close()
