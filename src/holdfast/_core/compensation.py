"""What a compensated workflow leaves behind, as values. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from holdfast._core.contract import ReversalName
from holdfast._core.model import EffectKey

Fate: TypeAlias = Literal["undone", "never_happened", "called_off", "stands", "failed", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectFate:
    """What became of one effect of a compensated workflow.

    Attributes:
        fate: ``undone``: its compensation succeeded. ``never_happened``: nothing to undo. ``called_off``: it
            was about to be tried, and will not be. ``stands``: it happened and cannot be undone. ``failed``:
            its compensation did not succeed. ``unknown``: nobody knows whether there is anything to undo.
        reversal: What its tool says undoing can achieve.
        by: The effect that undid it, or tried to; ``None`` when there is none.
        why: For people; empty when all is well.
        external_id: What the system outside calls it.
    """

    key: EffectKey
    tool: str
    intent: str
    fate: Fate
    reversal: ReversalName
    by: EffectKey | None = None
    why: str = ""
    external_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CompensationReport:
    """What a workflow leaves behind after its compensation, newest effect first.

    Attributes:
        effects: Every effect of the workflow that was more than a look, and what became of it.
        needs_review: A person has to see to the rest; the workflow is stopped until then.
    """

    workflow_id: str
    effects: tuple[EffectFate, ...]
    needs_review: bool

    def of(self, *fates: Fate) -> tuple[EffectFate, ...]:
        """Return the effects that met one of *fates*."""
        return tuple(effect for effect in self.effects if effect.fate in fates)

    @property
    def undone(self) -> tuple[EffectFate, ...]:
        """What was undone."""
        return self.of("undone")

    @property
    def stands(self) -> tuple[EffectFate, ...]:
        """What still stands in the world, or may."""
        return self.of("stands", "failed", "unknown")
