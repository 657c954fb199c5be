"""Branches of code on an event loop: which there are, in what order they were made, whether any goes on."""

from __future__ import annotations

import asyncio
from collections import deque
from contextvars import Context, ContextVar
from dataclasses import dataclass
from typing import Any, Final

from holdfast._runtime import context
from holdfast.errors import Suspended

_SETTLING: Final = 1000  # turns of the loop in which code may go on by itself; what never waits is cut off
_SETTLING_UNSEEN: Final = 10  # the same on a loop that does not show what goes on next


@dataclass(slots=True)
class _Branch:
    of: Branches
    task: object
    path: str
    children: int = 0


_here: ContextVar[_Branch | None] = ContextVar("holdfast_branch", default=None)


class Branches:
    """The branches of one life's code, which is one at first.

    Attributes:
        asks: How often any of them has asked for something.
        is_alone: Nothing was ever under way beside the main one.
    """

    def __init__(self) -> None:
        self.asks = 0
        self.is_alone = True
        self._root = _Branch(self, None, "")

    def begin(self) -> None:
        """Take the task that this runs in for the main branch."""
        _here.set(self._root)
        self._root.task = asyncio.current_task()

    def asking(self) -> str:
        """Return the name of the branch that asks for something: the same in every life."""
        self.asks += 1
        task, here = asyncio.current_task(), _here.get() or self._root
        if here.task is not task:
            self.is_alone = False
            here.children += 1
            path = f"{here.path}.{here.children}" if here.path else str(here.children)
            here = _Branch(self, task, path)
            _here.set(here)
            if task is not None:
                task.add_done_callback(_retrieve)
        return here.path

    def note(self) -> None:
        """Note whether others than the main branch are under way: it may await beside its asker."""
        if asyncio.current_task() is not self._root.task:
            self.is_alone = False

    def is_astir(self) -> bool:
        """Whether the code goes on in the next turn of the loop, as far as that can be seen."""
        ready: deque[Any] | None = getattr(asyncio.get_running_loop(), "_ready", None)
        # A copy: other threads add to it at any time.
        return ready is None or any(self._is_of_code(handle) for handle in ready.copy())

    def _is_of_code(self, handle: Any) -> bool:
        around: Context = handle._context  # noqa: SLF001 - not to be had otherwise
        here = around.get(_here)
        return here is not None and here.of is self and around.get(context.life) is not None

    async def settled(self) -> None:
        """Let the code run until all of it waits: what it does of itself comes before whatever it is told."""
        is_seen = hasattr(asyncio.get_running_loop(), "_ready")
        for _ in range(_SETTLING if is_seen else _SETTLING_UNSEEN):
            if is_seen and not self.is_astir():
                return
            await asyncio.sleep(0)


def _retrieve(task: asyncio.Task[Any]) -> None:
    """Take note of how a branch ended that was put away: nobody awaits it any more."""
    if not task.cancelled() and isinstance(task.exception(), Suspended):
        return
