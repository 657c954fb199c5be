"""What traces the lives of workflows."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from holdfast._core.execution import ExecutionRecord


class Tracer(Protocol):
    """Tells where code is traced, and makes what a life does part of its workflow's trace."""

    def here(self) -> str:
        """Return the W3C ``traceparent`` of the code that runs now; empty when nobody traces it."""
        ...

    def life(self, execution: ExecutionRecord) -> AbstractContextManager[None]:
        """Surround one life of a workflow."""
        ...


class NoTracer:
    """Nobody traces."""

    def here(self) -> str:
        """Return nothing."""
        return ""

    def life(self, execution: ExecutionRecord) -> AbstractContextManager[None]:
        """Surround it with nothing."""
        del execution
        return nullcontext()
