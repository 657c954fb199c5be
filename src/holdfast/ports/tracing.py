"""What traces the lives of workflows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol, TypeAlias

from holdfast._core.execution import ExecutionRecord
from holdfast._core.model_trace import Attribute

Told: TypeAlias = Callable[[Mapping[str, Attribute]], None]
"""Takes what is known of a model call once it is answered."""


class Tracer(Protocol):
    """Tells where code is traced, and makes what a life does part of its workflow's trace."""

    def here(self) -> str:
        """Return the W3C ``traceparent`` of the code that runs now; empty when nobody traces it."""
        ...

    def life(self, execution: ExecutionRecord) -> AbstractContextManager[None]:
        """Surround one life of a workflow."""
        ...

    def noted(self, name: str, attributes: Mapping[str, str]) -> None:
        """Note in the current span what was decided of a call, whether or not it runs."""
        ...

    def decided(self, trace: str, attributes: Mapping[str, str]) -> None:
        """Make a span of somebody's decision, linked to the code that asked for it."""
        ...

    def asking(
        self, attributes: Callable[[], Mapping[str, Attribute]]
    ) -> AbstractContextManager[Told | None]:
        """Surround one request that is sent to a model.

        Args:
            attributes: What is known of it before; asked only if somebody listens.

        Returns:
            What takes the rest; ``None`` when nobody listens.
        """
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

    def noted(self, name: str, attributes: Mapping[str, str]) -> None:
        """Note nothing."""

    def decided(self, trace: str, attributes: Mapping[str, str]) -> None:
        """Make no span."""

    def asking(
        self, attributes: Callable[[], Mapping[str, Attribute]]
    ) -> AbstractContextManager[Told | None]:
        """Surround it with nothing."""
        del attributes
        return nullcontext()
