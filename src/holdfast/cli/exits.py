"""Exit codes: one number per kind of answer, the same for every subcommand."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import Final

from holdfast import errors
from holdfast._core.states import State


class Exit(IntEnum):
    """What a script may rely on."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    NOTHING_FOUND = 3
    DENIED = 4
    WAITING = 5
    IN_DOUBT = 6
    BROKEN = 7

    @property
    def meaning(self) -> str:
        """The code in words."""
        return _MEANINGS[self]

    @property
    def slug(self) -> str:
        """The code as one word."""
        return self.meaning.replace(" ", "-")


_MEANINGS: Final = {
    Exit.DONE: "done",
    Exit.FAILED: "failed",
    Exit.USAGE: "wrong usage",
    Exit.NOTHING_FOUND: "nothing found",
    Exit.DENIED: "denied or not allowed",
    Exit.WAITING: "waiting for a person",
    Exit.IN_DOUBT: "in doubt",
    Exit.BROKEN: "integrity broken",
}

_OF_ERROR: Final[dict[type[errors.HoldfastError], Exit]] = {
    errors.HoldfastError: Exit.FAILED,
    errors.InvalidCall: Exit.USAGE,
    errors.InvalidTool: Exit.USAGE,
    errors.InvalidURL: Exit.USAGE,
    errors.NotSerializable: Exit.USAGE,
    errors.InvalidPrice: Exit.USAGE,
    errors.CurrencyMismatch: Exit.USAGE,
    errors.OutcomeUnknown: Exit.IN_DOUBT,
    errors.ApprovalRequired: Exit.WAITING,
    errors.WorkflowStopped: Exit.WAITING,
    errors.ApprovalDenied: Exit.DENIED,
    errors.ApprovalVoid: Exit.BROKEN,
    errors.ApprovalNotFound: Exit.NOTHING_FOUND,
    errors.DecisionRefused: Exit.DENIED,
    errors.PolicyDenied: Exit.DENIED,
    errors.CapRefused: Exit.DENIED,
    errors.NotResolvable: Exit.DENIED,
    errors.EffectNotFound: Exit.NOTHING_FOUND,
    errors.WorkflowNotFound: Exit.NOTHING_FOUND,
    errors.StoreInvariant: Exit.BROKEN,
}

_OF_STATE: Final = {
    State.SUCCEEDED: Exit.DONE,
    State.COMPENSATED: Exit.DONE,
    State.PENDING: Exit.FAILED,
    State.RETRYABLE: Exit.FAILED,
    State.FAILED: Exit.FAILED,
    State.CANCELLED: Exit.FAILED,
    State.DENIED: Exit.DENIED,
    State.WAITING: Exit.WAITING,
    State.UNKNOWN: Exit.IN_DOUBT,
}


def exit_for(error: errors.HoldfastError) -> Exit:
    """Return the code of an error: its own kind's, else that of the kind above it."""
    if isinstance(error, errors.NotResolvable) and error.state == State.WAITING:
        return Exit.WAITING
    return next(_OF_ERROR[kind] for kind in type(error).__mro__ if kind in _OF_ERROR)


def exit_of(states: Iterable[State], *, stopped: bool = False) -> Exit:
    """Return the code of effects in these states: the gravest one's.

    Args:
        stopped: Their workflow was stopped: it waits for a person.
    """
    codes = [_OF_STATE[state] for state in states]
    return max([*codes, Exit.WAITING] if stopped else codes, default=Exit.DONE)


class Refused(Exception):
    """The command cannot do what it was asked.

    Args:
        what: What is wrong, and with which thing.
        fix: What to do about it, with the next command if there is one.
        code: The exit code.
    """

    def __init__(self, what: str, fix: str, code: Exit = Exit.USAGE) -> None:
        super().__init__(what, fix)
        self.what = what
        self.fix = fix
        self.code = code

    def __str__(self) -> str:
        return f"{self.what}; {self.fix}"
