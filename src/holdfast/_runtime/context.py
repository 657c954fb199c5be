"""The effect and the workflow that the current code runs inside."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

from holdfast._core.model import EffectKey
from holdfast._core.purse import Purse
from holdfast._runtime.traffic import Passage

T = TypeVar("T")
turns: Final = itertools.count(1)
"""Puts in order, within this process, when handlers were started and when their effects' errors were told."""


@dataclass(slots=True)
class Frame:
    """One handler on the stack.

    Attributes:
        since: Its turn: what was told of other effects later was told while it ran.
        lingers: It was given up, and its thread goes on.
        is_over: It has ended. What it handed down holds no longer, for a task that outlives it neither.
    """

    since: int = field(default_factory=turns.__next__)
    lingers: bool = False
    is_over: bool = False


@dataclass(frozen=True, slots=True)
class Undoing:
    """What a compensation undoes: its calls in other workflows are those workflows' own."""

    tenant: str
    workflow_id: str
    key: EffectKey


@dataclass(frozen=True, slots=True)
class Handed(Generic[T]):
    """What a handler hands down to the calls inside it, until it has ended; and what it was handed itself."""

    value: T
    by: Frame
    outer: Handed[T] | None


def in_force(handed: ContextVar[Handed[T] | None]) -> Iterator[T]:
    """Return what the handlers hand down that have not ended, innermost first."""
    one = handed.get()
    while one is not None:
        if not one.by.is_over:
            yield one.value
        one = one.outer


@dataclass(frozen=True, slots=True)
class Origin:
    """One attempt of a handler or of a step: where equal requests are told apart by their order.

    Attributes:
        name: The same for all attempts of it.
        counts: How often each request was made so far: every attempt makes them in the same order.
    """

    name: str
    counts: dict[str, int] = field(default_factory=dict[str, int])


origin: Final[ContextVar[Origin | None]] = ContextVar("holdfast_origin", default=None)
"""The innermost handler or step that the current code is a part of; ``None`` outside of any."""

executing: Final[ContextVar[frozenset[str]]] = ContextVar("holdfast_executing", default=frozenset())
"""Keys of the effects whose handlers are on the stack: joining one of them would wait for itself."""

workflow: Final[ContextVar[str]] = ContextVar("holdfast_workflow", default="")
"""The surrounding workflow's id; empty outside one."""

in_transaction: Final[ContextVar[bool]] = ContextVar("holdfast_in_transaction", default=False)
"""Whether a local effect's transaction is open: a second call would wait for its own lock."""

frame: Final[ContextVar[Frame | None]] = ContextVar("holdfast_frame", default=None)
"""The innermost handler on the stack."""

passages: Final[ContextVar[tuple[Passage, ...]]] = ContextVar("holdfast_passages", default=())
"""What is under way around the current code: a ledger that is closed from within it does not wait for it."""

deadline: Final[ContextVar[Handed[float] | None]] = ContextVar("holdfast_deadline", default=None)
"""When a handler that has a timeout is given up, by the monotonic clock."""

probing: Final[ContextVar[Handed[str] | None]] = ContextVar("holdfast_probing", default=None)
"""A dependency whose one probe is on the stack: a call inside its handler belongs to it."""

undoing: Final[ContextVar[Handed[Undoing] | None]] = ContextVar("holdfast_undoing", default=None)
"""What the compensation undoes whose handler is on the stack: it goes on although its workflow is stopped."""

purses: Final[ContextVar[tuple[Purse, ...]]] = ContextVar("holdfast_purses", default=())
"""The budgets around the current code, outermost first."""

reserve: Final[ContextVar[bool]] = ContextVar("holdfast_reserve", default=False)
"""Whether the current code may spend what the budgets around it reserve."""

life: Final[ContextVar[Any]] = ContextVar("holdfast_life", default=None)
"""The life of the workflow whose code runs: calls made there are steps of it. ``None`` inside of a step."""


@dataclass(frozen=True, slots=True)
class Holding:
    """The execution whose code runs here, or what that calls; it is ours while it has this epoch."""

    tenant: str
    workflow_id: str
    epoch: int


holding: Final[ContextVar[Holding | None]] = ContextVar("holdfast_holding", default=None)
"""The execution that the current code is a part of, steps and handlers included."""


def epoch_of(tenant: str, workflow_id: str) -> int | None:
    """Return under which epoch the current code goes through that workflow, if it is a part of it."""
    held = holding.get()
    is_it = held is not None and (held.tenant, held.workflow_id) == (tenant, workflow_id)
    return held.epoch if held is not None and is_it else None


def given_up_at() -> float | None:
    """Return when the innermost handler that has a timeout is given up."""
    return next(in_force(deadline), None)


def is_probing(name: str) -> bool:
    """Whether the one probe of that dependency is on the stack."""
    return name in in_force(probing)


def undone_in(tenant: str, workflow_id: str) -> EffectKey | None:
    """Return which effect of that workflow is being undone by a handler on the stack."""
    keys = (one.key for one in in_force(undoing) if (one.tenant, one.workflow_id) == (tenant, workflow_id))
    return next(keys, None)
