"""The effect and the workflow that the current code runs inside."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Final

from holdfast._core.model import EffectKey


@dataclass(slots=True)
class Frame:
    """One handler on the stack, and the errors that effects inside it ended with: they speak for those."""

    parent: Frame | None
    foreign: list[BaseException] = field(default_factory=list[BaseException])


executing: Final[ContextVar[frozenset[str]]] = ContextVar("holdfast_executing", default=frozenset())
"""Keys of the effects whose handlers are on the stack: joining one of them would wait for itself."""

workflow: Final[ContextVar[str]] = ContextVar("holdfast_workflow", default="")
"""The surrounding workflow's id; empty outside one."""

in_transaction: Final[ContextVar[bool]] = ContextVar("holdfast_in_transaction", default=False)
"""Whether a local effect's transaction is open: a second call would wait for its own lock."""

frame: Final[ContextVar[Frame | None]] = ContextVar("holdfast_frame", default=None)
"""The innermost handler on the stack."""

deadline: Final[ContextVar[float | None]] = ContextVar("holdfast_deadline", default=None)
"""When the innermost handler that has a timeout is given up, by the monotonic clock."""

probing: Final[ContextVar[frozenset[str]]] = ContextVar("holdfast_probing", default=frozenset())
"""Dependencies whose one probe is on the stack: a call inside its handler belongs to it."""

undoing: Final[ContextVar[EffectKey | None]] = ContextVar("holdfast_undoing", default=None)
"""What the compensation undoes whose handler is on the stack: it goes on although its workflow is stopped."""
