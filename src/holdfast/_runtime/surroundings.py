"""What the code inside a handler, or a ``begin`` block, finds around it."""

from __future__ import annotations

from contextlib import suppress
from contextvars import ContextVar, Token
from typing import TypeVar

from holdfast._runtime import context
from holdfast._runtime.parts import Parts, Work

T = TypeVar("T")


class executing:  # noqa: N801 - used as a word of the language, like contextlib's own
    """Mark the effect and its workflow as the surroundings of the code inside."""

    __slots__ = (
        "_deadline",
        "_flow",
        "_frame",
        "_here",
        "_is_probe",
        "_key",
        "_origin",
        "_probing",
        "_undoing",
        "_until",
        "_work",
    )

    def __init__(
        self, work: Work, parts: Parts, timeout_s: float | None = None, *, is_probe: bool = False
    ) -> None:
        self._work = work
        self._is_probe = is_probe
        self._until = None if timeout_s is None else parts.runtime.monotonic() + timeout_s

    def __enter__(self) -> None:
        work = self._work
        self._here = here = context.Frame()
        self._key = context.executing.set(context.executing.get() | {work.key})
        self._flow = context.workflow.set(work.new.workflow_id)
        self._frame = context.frame.set(here)
        self._origin = context.origin.set(context.Origin(work.key))
        of = work.contract.dependency
        probed = of.name if of is not None and self._is_probe else None
        self._probing = _hand_down(context.probing, probed, here)
        undone = work.undone
        undoing = None if undone is None else context.Undoing(work.tenant, work.new.workflow_id, undone.key)
        self._undoing = _hand_down(context.undoing, undoing, here)
        self._deadline = _hand_down(context.deadline, self._until, here)

    def __exit__(self, *_: object) -> None:
        # The thread of a handler that was given up goes on inside it: its calls are held to what it has.
        self._here.is_over = not self._here.lingers
        # A `begin` block may be left in another context than it was entered in: then there is nothing to
        # take back, and no reason to lose the outcome over it.
        with suppress(ValueError):
            context.deadline.reset(self._deadline)
            context.undoing.reset(self._undoing)
            context.probing.reset(self._probing)
            context.origin.reset(self._origin)
            context.frame.reset(self._frame)
            context.workflow.reset(self._flow)
            context.executing.reset(self._key)


def _hand_down(
    handed: ContextVar[context.Handed[T] | None], value: T | None, by: context.Frame
) -> Token[context.Handed[T] | None]:
    """Let the calls inside see *value*, or what they would see anyway."""
    outer = handed.get()
    return handed.set(outer if value is None else context.Handed(value, by, outer))
