"""What is counted of an incident: at the model's server, at the service that acts, and by one price list."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from holdfast.prices import Money, PriceBook, PriceRow, Usage, cost_of
from holdfast.testing.model import Line, ModelRequest, ScriptedModel

MODEL: Final = "gpt-example"
PRICES: Final = PriceBook(
    {f"openai/{MODEL}": {"input": "3", "output": "15", "context_window": 400_000}}, bundled=False
)
"""In dollars for a million tokens: what capable models usually cost."""
_PLAYED_ON: Final = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """How an incident went once.

    Attributes:
        requests: How often the model was asked, counted where it answers.
        tokens: What it read and wrote.
        acts: What was done in the world, counted where it is done.
        micros: What all of it cost, in millionths of a dollar.
        ended: What ended it.
    """

    requests: int
    tokens: int
    acts: int
    micros: int
    ended: str

    @property
    def dollars(self) -> str:
        """What it cost, for people."""
        return f"${self.micros / 1_000_000:,.2f}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """An incident that was played.

    Attributes:
        without: How it went without holdfast.
        guarded: How it went with it.
        at_scale: What the run without it says of what was reported, and what of that is arithmetic.
    """

    without: Run
    guarded: Run
    at_scale: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """An incident.

    Attributes:
        name: For commands.
        title: What it was.
        reported: What was told of it, and where.
        story: What is played.
        acts: What is done in the world, in the plural; empty for nothing.
        asks_models: Whether models are asked.
        stops: What of holdfast stops it.
        play: Plays it, with files in a directory of its own.
    """

    name: str
    title: str
    reported: str
    story: str
    acts: str
    stops: str
    play: Callable[[Path], Played]
    asks_models: bool = True


class CountedModel(ScriptedModel):
    """A scripted model that knows what its answers used."""

    def __init__(self, *lines: Line, then: Line | None = None) -> None:
        super().__init__(*lines, then=then)
        self._usages: list[Usage] = []

    def play(self, said: Any, request: ModelRequest, created: int = 0) -> Any:
        """See :meth:`ScriptedModel.play`."""
        played = super().play(said, request, created)
        if played.usage is not None:
            read, written = played.usage.input_tokens, played.usage.output_tokens
            self._usages.append(Usage(uncached_input=read, output=written))
        return played

    @property
    def tokens(self) -> int:
        """What it read and wrote."""
        return sum(usage.uncached_input + usage.output for usage in self._usages)

    @property
    def largest(self) -> int:
        """What the largest of its answers used, in tokens."""
        return max((usage.uncached_input + usage.output for usage in self._usages), default=0)

    @property
    def micros(self) -> int:
        """What its answers cost."""
        row = price()
        return sum(cost_of(usage, row).total.micros for usage in self._usages)

    def run(self, ended: str, *, acts: int = 0, paid: Money | None = None) -> Run:
        """Return how it went, with *acts* in the world that cost *paid* each."""
        each = 0 if paid is None else paid.micros
        return Run(
            requests=len(self._usages),
            tokens=self.tokens,
            acts=acts,
            micros=self.micros + acts * each,
            ended=ended,
        )


def price() -> PriceRow:
    """Return the prices of the model."""
    return PRICES.resolve("openai", MODEL, at=_PLAYED_ON)
