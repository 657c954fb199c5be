"""What can be known, or not known, of an effect."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from holdfast.errors.base import HoldfastError


def retry_hint(key: str) -> str:
    """Return the command that grants an effect more retries."""
    return f"`holdfast retry {key} --by YOU --reason WHAT_WAS_MENDED`"


def resume_hint(workflow_id: str) -> str:
    """Return the command that lets a workflow go on; the id is from outside, so it is quoted."""
    return f"`holdfast resume {shlex.quote(workflow_id)} --by YOU --reason WHAT_WAS_MENDED`"


class InProgress(HoldfastError):
    """Another worker is executing this effect. This caller executed nothing.

    Attributes:
        key: The effect's key.
        until: When that worker's lease runs out unless it is renewed (aware, UTC).
    """

    code = "in-progress"

    def __init__(self, key: str, until: datetime) -> None:
        super().__init__(key, until)
        self.key = key
        self.until = until

    def __str__(self) -> str:
        return (
            f"effect {self.key!r} is being executed elsewhere (lease until {self.until.isoformat()}); "
            f"call again later, or wait longer with wait="
        )


class OutcomeUnknown(HoldfastError):
    """The effect may or may not have happened. It is not repeated until there is evidence.

    Attributes:
        key: The effect's key.
        why: Why nobody can know.
        result: The handler's result when it finished here but could not be recorded; lost by pickling.
    """

    code = "outcome-unknown"

    def __init__(self, key: str, why: str) -> None:
        super().__init__(key, why)
        self.key = key
        self.why = why
        self.result: object = None

    def __str__(self) -> str:
        return (
            f"effect {self.key!r} is in doubt: {self.why}. It will not be repeated blindly; "
            f"give evidence with `holdfast resolve {self.key}`, or, if its tool has a reconciler, "
            f"`holdfast reconcile {self.key} --app MODULE:LEDGER`"
        )


@dataclass(frozen=True, slots=True)
class AttemptInfo:
    """One execution of an effect, as the ledger recorded it.

    Attributes:
        number: 1 for the first attempt.
        started_at: When it was claimed (aware, UTC).
        ended_at: When its outcome was recorded; ``None`` while it runs or when it died.
        outcome: The state that it led to.
        error: The error's type, or ``None``.
        fault: What the error was taken for, e.g. ``rate_limited (429)``, or ``None``.
        delay_s: Seconds from its end until the next attempt was due; ``None`` when none was planned.
    """

    number: int
    started_at: datetime
    ended_at: datetime | None
    outcome: str
    error: str | None
    fault: str | None = None
    delay_s: float | None = None


class EffectFailed(HoldfastError):
    """The effect failed, and this is the recorded failure. It did not run again.

    Attributes:
        key: The effect's key.
        error_type: Class name of the original error.
        error_message: Its text.
        state: ``failed`` (final) or ``retryable`` (a new call may try again).
        attempts: All executions so far.
        spent: Its retries are used up: no call tries again until a person grants more.
        retry_at: Before this moment no call tries again (aware, UTC); ``None`` for any time.
    """

    code = "effect-failed"

    def __init__(
        self,
        key: str,
        error_type: str,
        error_message: str,
        state: str,
        attempts: Sequence[AttemptInfo] = (),
        *,
        spent: bool = False,
        retry_at: datetime | None = None,
    ) -> None:
        super().__init__(key, error_type, error_message, state, tuple(attempts))
        self.spent = spent
        self.retry_at = retry_at
        self.key = key
        self.error_type = error_type
        self.error_message = error_message
        self.state = state
        self.attempts = tuple(attempts)

    def __str__(self) -> str:
        what = f"{self.error_type}: {self.error_message}" if self.error_message else self.error_type
        next_step = "it is final" if self.state == "failed" else "it is not done: call again to try again"
        if self.spent:
            next_step = f"its retries are used up: {retry_hint(self.key)} grants more"
        elif self.retry_at is not None:
            next_step = f"it is not done: call again after {self.retry_at.isoformat(timespec='seconds')}"
        tries = "1 attempt" if len(self.attempts) <= 1 else f"{len(self.attempts)} attempts"
        return f"effect {self.key!r} {self.state} after {tries} ({what}); {next_step}"


class CircuitOpen(HoldfastError):
    """The system that the tool depends on is in trouble, so the call was not sent. Nothing ran.

    The effect stays as it was: the same call goes on under the same key once the circuit is closed.

    Attributes:
        key: The effect's key.
        dependency: The system's name.
        until: From when a call may be let through, to see how it is (aware, UTC).
    """

    code = "circuit-open"

    def __init__(self, key: str, dependency: str, until: datetime) -> None:
        super().__init__(key, dependency, until)
        self.key = key
        self.dependency = dependency
        self.until = until

    def __str__(self) -> str:
        return (
            f"effect {self.key!r} was not tried: the circuit of {self.dependency!r} is open until "
            f"{self.until.isoformat(timespec='seconds')}; nothing ran. Call again after that, or see "
            f"`holdfast dependencies`"
        )


class WorkflowStopped(HoldfastError):
    """The workflow was stopped and waits for a person. Nothing ran.

    Attributes:
        workflow_id: The workflow.
        reason: Why it was stopped.
    """

    code = "workflow-stopped"

    def __init__(self, workflow_id: str, reason: str) -> None:
        super().__init__(workflow_id, reason)
        self.workflow_id = workflow_id
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"workflow {self.workflow_id!r} is stopped ({self.reason}); nothing ran. Mend the cause, then "
            f"{resume_hint(self.workflow_id)}"
        )


class EffectCancelled(HoldfastError):
    """The effect was called off before it was executed.

    Attributes:
        key: The effect's key.
    """

    code = "effect-cancelled"

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key

    def __str__(self) -> str:
        return f"effect {self.key!r} was cancelled before it ran; use another key to do it after all"


class LeaseLost(HoldfastError):
    """A worker lost its claim while its handler ran; the successor's record stands.

    The handler's outcome is kept in the audit trail as evidence.

    Attributes:
        key: The effect's key.
        state: The state in which the effect was found.
    """

    code = "lease-lost"

    def __init__(self, key: str, state: str) -> None:
        super().__init__(key, state)
        self.key = key
        self.state = state

    def __str__(self) -> str:
        return (
            f"effect {self.key!r} was taken over while its handler ran here (now {self.state}); "
            f"this outcome is kept as evidence: see `holdfast show {self.key}`"
        )


class EffectNotFound(HoldfastError, LookupError):
    """No such effect in this tenant's ledger.

    Attributes:
        key: What was looked for.
    """

    code = "effect-not-found"

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key

    def __str__(self) -> str:
        return f"no effect {self.key!r} in this ledger (tenant, URL?); list them with `holdfast effects`"


_INSTEAD: Final = {
    "pending": "its worker is at it, wait until it is done or its lease has ended",
    "retryable": "it is known not done, make the same call again",
    "waiting": "a person has to decide on it first",
}


class NotResolvable(HoldfastError):
    """The effect is not in doubt, so there is nothing to resolve. Nothing changed.

    Attributes:
        key: The effect's key.
        state: The state that it is in.
    """

    code = "not-resolvable"

    def __init__(self, key: str, state: str) -> None:
        super().__init__(key, state)
        self.key = key
        self.state = state

    def __str__(self) -> str:
        told = f"effect {self.key!r} is {self.state}, not unknown; only doubt can be resolved"
        return f"{told}: {_INSTEAD.get(self.state, 'it is settled')}"


class NotDone(Exception):
    """Raise from a handler, or return from a reconciler, to say: *nothing happened in the world*.

    It is the only error after which an unsafe effect may be tried again.
    """


class Permanent(Exception):
    """Raise from a handler to say: nothing happened, and trying again would not help.

    Recorded as ``failed``; every later call gets the same failure without running.
    """
