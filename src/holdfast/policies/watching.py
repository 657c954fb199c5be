"""Policies that follow their files: a changed one is in force without a restart, a broken one never is."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from holdfast.errors import InvalidPolicy
from holdfast.policies.deciding import Policies
from holdfast.policies.reading import read_files, read_policy
from holdfast.ports import Facts, Verdict, Window

log: Final = logging.getLogger("holdfast.policies")
_Documents = list[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyChange:
    """What became of the files of a policy.

    Attributes:
        code: ``policy_loaded``, or ``policy_broken``: the earlier version stays in force.
        message: For people: what is wrong, where, and how to mend it.
        version: The version in force.
    """

    code: str
    message: str
    version: str


class WatchedPolicies:
    """The policies of a file or directory, as they are now: a :class:`holdfast.ports.Policy`.

    Before a decision the files are read again, at most every *every_s* seconds. What has changed is taken
    when it has stayed the same from one look to the next, so that no half-written file is; what cannot be
    used is told, and the last good version stays in force.

    Args:
        path: See :func:`load_policies`.
        tools: See :class:`Policies`.
        secret: See :class:`Policies`.
        on_change: Is told of every change, the broken ones as well; one that raises stops nobody.
        every_s: How often to look.
        clock: Seconds that never go back.

    Raises:
        InvalidPolicy: The files cannot be used now: there is nothing to fall back to.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        tools: Any = None,
        secret: bytes | None = None,
        on_change: Callable[[PolicyChange], object] | None = None,
        every_s: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = path
        self._tools = tools
        self._secret = secret
        self._on_change = on_change
        self._every_s = every_s
        self._clock = clock
        # One at a time looks at the files; the others decide by what is in force meanwhile.
        self._looking = threading.Lock()
        found = read_files(path)
        self._current = self._loaded(found)
        self._taken: object = found
        self._seen: object = found
        self._looked_at = clock()
        # Of the call that is decided on in this task or thread: another's look may change what is in force.
        self._asked: ContextVar[tuple[str, Policies] | None] = ContextVar("asked", default=None)

    @property
    def current(self) -> Policies:
        """The version in force."""
        return self._current

    @property
    def version(self) -> str:
        """SHA-256 (hex) of what is in force."""
        return self._current.version

    def needs(self, facts: Facts) -> Sequence[Window]:
        """Return what has to be counted before this call can be decided on."""
        # Only here, not when deciding: what was counted is then what the same version asked for.
        self._look()
        current = self._current
        self._asked.set((facts.key, current))
        return current.needs(facts)

    def decide(self, facts: Facts) -> Verdict:
        """Return whether the call may go ahead, by the version that said what to count for it."""
        key, asked = self._asked.get() or ("", self._current)
        self._asked.set(None)
        return (asked if key == facts.key else self._current).decide(facts)

    def reload(self) -> Policies:
        """Take the files as they are now.

        Raises:
            InvalidPolicy: They cannot be used; the earlier version stays in force.
        """
        with self._looking:
            try:
                found = read_files(self._path)
                self._seen = found
                self._take(found)
            except InvalidPolicy as error:
                self._tell_broken(error)
                raise
            return self._current

    def _look(self) -> None:
        if self._clock() - self._looked_at < self._every_s or not self._looking.acquire(blocking=False):
            return
        try:
            self._looked_at = self._clock()
            self._follow()
        finally:
            self._looking.release()

    def _follow(self) -> None:
        try:
            found: object = read_files(self._path)
        except InvalidPolicy as error:
            found = str(error)
        is_settled = found == self._seen
        self._seen = found
        if not is_settled or found == self._taken:
            return
        self._taken = found  # also when it is broken: it is told once
        try:
            self._take(read_files(self._path) if isinstance(found, str) else found)
        except Exception as error:  # noqa: BLE001 - whatever it is, the last good version stays
            self._tell_broken(error)

    def _take(self, found: Any) -> None:
        before = self._current.version
        self._current = self._loaded(found)
        self._taken = found
        if self._current.version != before:
            self._tell("policy_loaded", f"policy {self._path} is in force in version {self.version[:12]}")

    def _loaded(self, found: _Documents) -> Policies:
        return Policies(read_policy(found), tools=self._tools, secret=self._secret, where=str(self._path))

    def _tell_broken(self, error: Exception) -> None:
        why = str(error) if isinstance(error, InvalidPolicy) else type(error).__name__
        stays = f"version {self.version[:12]} stays in force"
        self._tell("policy_broken", f"policy {self._path} cannot be used, and {stays}: {why}")

    def _tell(self, code: str, message: str) -> None:
        log.log(logging.ERROR if code == "policy_broken" else logging.INFO, "%s: %s", code, message)
        if self._on_change is None:
            return
        try:
            self._on_change(PolicyChange(code=code, message=message, version=self.version))
        except Exception:
            log.exception("a listener could not take a change of policy (%s)", code)
