"""What a model call used, each token in one place only; or why nobody knows."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Final, TypeAlias, TypeGuard

MOST_TOKENS: Final = 10**12
"""More than this no single response can mean: it is a mistake, or an attack on the books."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What one response used, in tokens unless said otherwise.

    The four kinds of input are disjoint: together they are what the model read.

    Attributes:
        uncached_input: Read anew, neither from a cache nor written to one.
        cache_read: Read from a cache.
        cache_write_short: Read, and kept for minutes (Anthropic: 5; OpenAI: 30).
        cache_write_long: Read, and kept for hours (Anthropic: 1; OpenAI: 12).
        output: Written, reasoning included.
        reasoning: How many of *output* were reasoning.
        input_audio: How many of all input were audio.
        output_audio: How many of *output* were audio.
        requests: Requests that were billed.
        web_searches: Searches that the provider made by itself.
        file_searches: Searches in files that the provider keeps.
        code_executions: Programs that the provider ran by itself.
        other_tools: What else the provider did by itself, and how often. Nobody knows what that costs.
        batch: Whether it was asked for in a batch.
        service_tier: How it was served: ``standard``, or as the provider calls it.
        region: Where it was served, if that may cost extra, e.g. ``us``; else empty.
    """

    uncached_input: int = 0
    cache_read: int = 0
    cache_write_short: int = 0
    cache_write_long: int = 0
    output: int = 0
    reasoning: int = 0
    input_audio: int = 0
    output_audio: int = 0
    requests: int = 1
    web_searches: int = 0
    file_searches: int = 0
    code_executions: int = 0
    other_tools: tuple[tuple[str, int], ...] = ()
    batch: bool = False
    service_tier: str = "standard"
    region: str = ""

    def __post_init__(self) -> None:
        for name in _COUNTS:
            value: Any = getattr(self, name)
            if not is_count(value):
                raise ValueError(f"{name} is no whole number from 0 to {MOST_TOKENS}")
        if self.reasoning + self.output_audio > self.output or self.input_audio > self.input:
            raise ValueError("a part is larger than the whole")

    @property
    def input(self) -> int:
        """All that the model read; long-context prices follow from this."""
        return self.uncached_input + self.cache_read + self.cache_write_short + self.cache_write_long


_COUNTS: Final = tuple(
    item.name for item in fields(Usage) if item.name not in {"other_tools", "batch", "service_tier", "region"}
)


@dataclass(frozen=True, slots=True)
class UnknownUsage:
    """Nobody knows what a call used: it settles at its bound, never at zero.

    Attributes:
        why: What is missing or cannot be; names of fields, no values.
    """

    why: str


Reading: TypeAlias = Usage | UnknownUsage
"""What is known of a call's use."""


def is_count(value: Any) -> TypeGuard[int]:
    """Whether *value* is a whole number that can be a count: no boolean, no float, not below zero."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST_TOKENS
