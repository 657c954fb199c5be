"""Calls that rules let pass and that were drawn for people to look at afterwards: what they found. Pure.

That a call is drawn is in its claim's own audit entry; a review is a note in the same trail.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, TypeAlias, get_args

from holdfast._core.model import EffectKey
from holdfast._core.people import Directory, Principal, standings
from holdfast._core.states import State

ReviewVerdict: TypeAlias = Literal["ok", "wrong"]
"""What somebody who looked at a call afterwards says: it was right to let it pass, or it was not."""

REVIEW_VERDICTS: Final = get_args(ReviewVerdict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """What somebody found who looked at a call afterwards.

    Attributes:
        by: Their id.
        method: How they proved who they are, e.g. ``terminal``.
    """

    by: str
    verdict: ReviewVerdict
    reason: str
    at: datetime
    method: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SampledCall:
    """A call that went ahead by rules and is in the share that people look at.

    Attributes:
        args: What was recorded of its arguments; ``None`` when they are sealed or erased.
        at: When it was made (aware, UTC).
        rule: The rules that let it pass, and *policy* their version.
        reviews: What was found, oldest first; the last one counts.
    """

    tenant: str
    key: EffectKey
    workflow_id: str
    tool: str
    actor: str
    state: State
    args: Mapping[str, Any] | None
    at: datetime
    rule: str
    policy: str
    reviews: tuple[Review, ...] = ()

    @property
    def verdict(self) -> ReviewVerdict | None:
        """What counts by now; ``None`` as long as nobody has looked."""
        return self.reviews[-1].verdict if self.reviews else None


def drawn(bodies: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """Return the verdict that let a call pass and drew it, of what its audit entries say, oldest first."""
    for body in bodies:
        told = body.get("verdict")
        if isinstance(told, dict) and told.get("sampled") == "yes":  # pyright: ignore[reportUnknownMemberType]
            return told  # pyright: ignore[reportUnknownVariableType]
    return None


def reviews_in(bodies: Sequence[tuple[datetime, Mapping[str, Any]]]) -> tuple[Review, ...]:
    """Return the reviews in what audit entries say, each with when it was written."""
    found: list[Review] = []
    for at, body in bodies:
        told: Any = body.get("review")
        if isinstance(told, dict):
            found.append(
                Review(
                    by=str(told["by"]),  # pyright: ignore[reportUnknownArgumentType]
                    verdict="wrong" if told["verdict"] == "wrong" else "ok",
                    reason=str(told["reason"]),  # pyright: ignore[reportUnknownArgumentType]
                    at=at,
                    method=str(told["method"]),  # pyright: ignore[reportUnknownArgumentType]
                )
            )
    return tuple(found)


def why_no_reviewer(call: SampledCall, who: Principal, directory: Directory | None, now: datetime) -> str:
    """Say why *who* may not review *call*; empty when they may.

    Nobody reviews what they, or an agent of theirs, have done.
    """
    if not who.is_human:
        return "a program's review is no person's"
    if who.id == call.actor:
        return f"{who.id} has made the call, and nobody reviews their own"
    if not standings(who, directory, now):
        return f"{who.id} is nobody who may decide"
    person = None if directory is None else directory.find(who.id)
    if person is not None and call.actor in {*person.agents, *person.accounts.values()}:
        return f"the agent is {who.id}'s own, and nobody reviews their own"
    return ""


def golden_case_of(call: SampledCall) -> Mapping[str, Any] | None:
    """Return a call that ought not to have passed, as a case to test agents with; ``None`` for any other.

    The shape is that of the decisions in which people knew better; what the agent said is not on record.
    """
    if call.verdict != "wrong" or call.args is None:
        return None
    last = call.reviews[-1]
    return {
        "id": call.key,
        "input": {"tool": call.tool, "args": dict(call.args), "context": None, "called": None},
        "expected": {"decision": "deny"},
        "reason": last.reason,
        "by": last.by,
        "at": last.at.isoformat(),
        "rule": call.rule,
    }
