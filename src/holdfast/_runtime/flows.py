"""The code of workflows, by name and version."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from holdfast._core.budgeting import Budget
from holdfast._core.execution import ExecutionRecord
from holdfast._core.value import value
from holdfast._runtime.life import Life
from holdfast.errors import InvalidTool, UnknownWorkflow


@value
class Flow:
    """A workflow's code.

    Attributes:
        name: Under which it is registered; executions are on record under it.
        code: Given the life and the input, returns the coroutine of the user's function.
        on_failure: What is done when it fails or is cancelled: ``compensate``, ``review`` or ``leave``.
        compensate: Undoes what a workflow did, for a reason; returns whether the rest needs a person.
        upgrade: Makes the input of an older version one of this; given that version.
        timeout_s: How long an execution may take, waits included.
        queue: Whose workers take it.
        limit_key: Names what an input shares a queue's limit per key with.
        budget: What an execution, and all that it begins, may spend; ``None`` for anything.
    """

    name: str
    version: str
    code: Callable[[Life, Mapping[str, Any]], Coroutine[Any, Any, Any]]
    on_failure: str
    compensate: Callable[[ExecutionRecord, str], Coroutine[Any, Any, bool]]
    upgrade: Callable[[str, dict[str, Any]], Mapping[str, Any]] | None
    timeout_s: float | None
    queue: str
    priority: int
    limit_key: Callable[[Mapping[str, Any]], str] | None
    budget: Budget | None = None


class Flows:
    """All workflows of a ledger. Several versions of one may stand side by side; the last declared begins."""

    def __init__(self) -> None:
        self._flows: dict[str, dict[str, Flow]] = {}

    def add(self, flow: Flow) -> None:
        """Register *flow*.

        Raises:
            InvalidTool: This version of it is registered.
        """
        versions = self._flows.setdefault(flow.name, {})
        if flow.version in versions:
            what = f"workflow {flow.name!r} is declared twice on this ledger, as version {flow.version!r}"
            raise InvalidTool(what, "give one of them another name, or another version")
        versions[flow.version] = flow

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all that are registered."""
        return tuple(self._flows)

    @property
    def queues(self) -> tuple[str, ...]:
        """The queues that they are put into, each once."""
        return tuple(dict.fromkeys(flow.queue for of in self._flows.values() for flow in of.values()))

    def newest(self, name: str) -> Flow:
        """Return the version that was declared last.

        Raises:
            UnknownWorkflow: Nothing of that name is registered.
        """
        if name not in self._flows:
            raise UnknownWorkflow(name, self.names)
        return next(reversed(self._flows[name].values()))

    def of(self, execution: ExecutionRecord) -> Flow:
        """Return the version that began an execution, or the newest one.

        Raises:
            UnknownWorkflow: Nothing of that name is registered.
        """
        return self._flows.get(execution.function, {}).get(execution.version) or self.newest(
            execution.function
        )
