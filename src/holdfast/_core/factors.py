"""Why a workflow cost what it did: the five ways in which an agent costs more than a chain of calls. Pure."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from itertools import pairwise
from typing import Any, Final

from holdfast._core.budget import HoldRecord
from holdfast._core.model import Record
from holdfast._core.usage import Usage, is_count
from holdfast._core.wire import is_object

_READ: Final = ("uncached_input", "cache_read", "cache_write_short", "cache_write_long")
_USAGE: Final = frozenset(item.name for item in fields(Usage))
_ANTHROPIC: Final = ("cache_read_input_tokens", "cache_creation_input_tokens")


@dataclass(frozen=True, slots=True, kw_only=True)
class CostFactors:
    """What made a workflow cost what it did. ``None`` where nobody knows.

    Attributes:
        workflow_id: The task.
        model_calls: Calls of models for this task, each counted once however often it was tried.
        input_tokens: What each attempt of them read, oldest first; ``None`` where no provider told.
        tool_calls: Calls of tools on record; what was answered from the record is free, and not in it.
        retries: Attempts after the first, of models and of tools.
        rounds: How often a model was asked after tools had been called since it was asked before.
        repeats: Tool calls on record with the tool and the arguments of an earlier one.
        output_bytes: What tools returned in all, as JSON in UTF-8.
        largest_output: The largest of it; *largest_tool* returned that.
        unknown_outputs: Results that cannot be read here, or were not recorded: they are not in it.
        is_whole: The workflow has no more on record than was looked at, its newest 10,000.
    """

    workflow_id: str
    model_calls: int
    input_tokens: tuple[int | None, ...]
    tool_calls: int
    retries: int
    rounds: int
    repeats: int
    output_bytes: int
    largest_output: int
    largest_tool: str
    unknown_outputs: int
    is_whole: bool

    @property
    def context_growth(self) -> float | None:
        """How many times as much the last model call read as the first, of those that are known."""
        known = [tokens for tokens in self.input_tokens if tokens is not None]
        return known[-1] / known[0] if len(known) > 1 and known[0] else None

    @property
    def growth_per_call(self) -> float | None:
        """How many tokens more each model call read than the one before, on average."""
        known = [tokens for tokens in self.input_tokens if tokens is not None]
        return (known[-1] - known[0]) / (len(known) - 1) if len(known) > 1 else None


def factors_of(
    workflow_id: str,
    holds: Iterable[HoldRecord],
    tools: Sequence[Record],
    results: Mapping[str, str | None],
    *,
    is_whole: bool,
) -> CostFactors:
    """Return what made a workflow cost what it did.

    Args:
        holds: What its attempts held.
        tools: Its effects, those of models among them.
        results: By key, the JSON text of what was returned; ``None`` where that cannot be read.
    """
    asked = sorted((hold for hold in holds if hold.model), key=lambda hold: (hold.at, hold.attempt))
    models = {hold.key for hold in asked}
    called = sorted(
        (effect for effect in tools if effect.key not in models), key=lambda each: each.created_at
    )
    sizes = {key: len(text.encode()) for key, text in results.items() if text is not None}
    largest = max(called, key=lambda effect: sizes.get(effect.key, 0), default=None)
    seen = Counter((effect.tool, effect.fingerprint) for effect in called)
    return CostFactors(
        workflow_id=workflow_id,
        model_calls=len(models),
        input_tokens=tuple(input_in(hold.usage) for hold in asked),
        tool_calls=len(called),
        retries=len(asked) - len(models) + sum(max(effect.attempt - 1, 0) for effect in called),
        rounds=_rounds(
            [hold.at for hold in asked if hold.attempt == 1], [each.created_at for each in called]
        ),
        repeats=sum(count - 1 for count in seen.values()),
        output_bytes=sum(sizes.get(effect.key, 0) for effect in called),
        largest_output=0 if largest is None else sizes.get(largest.key, 0),
        largest_tool="" if largest is None or not sizes.get(largest.key, 0) else largest.tool,
        unknown_outputs=sum(results.get(effect.key, "") is None for effect in called),
        is_whole=is_whole,
    )


def _rounds(asked: Sequence[datetime], called: Sequence[datetime]) -> int:
    moments = sorted([(at, "asked") for at in asked] + [(at, "called") for at in called])
    was_asked = bool(moments) and moments[0][1] == "asked"
    found = 0
    for before, after in pairwise(moments):
        was_asked |= before[1] == "asked"
        found += was_asked and (before[1], after[1]) == ("called", "asked")
    return found


def input_in(usage: str | None) -> int | None:
    """Return how many tokens a model read, from JSON text of what a provider told; ``None`` if it did not.

    Three shapes are read: our own :class:`Usage`, and what OpenAI and Anthropic send.
    """
    try:
        told: Any = json.loads(usage or "null")
    except ValueError:
        return None
    if not is_object(told):
        return None
    if _USAGE & told.keys():
        return _sum(told, _READ)
    if "prompt_tokens" in told:
        return _sum(told, ("prompt_tokens",))
    if "input_tokens" not in told:
        return None
    # Of OpenAI's input what came from a cache is a part; of Anthropic's it is not.
    return _sum(told, ("input_tokens", *_ANTHROPIC))


def _sum(told: Mapping[str, Any], names: Iterable[str]) -> int | None:
    counts = [told.get(name) or 0 for name in names]
    return sum(counts) if all(is_count(count) for count in counts) else None
