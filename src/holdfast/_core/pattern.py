"""How is a tool meant to be called? Its author says so, and a loop can be told from what is meant."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from holdfast._core.duration import Duration, seconds
from holdfast.errors import InvalidTool


@dataclass(frozen=True, slots=True, kw_only=True)
class Poll:
    """The tool is meant to be asked again until its answer changes; or it waits.

    Attributes:
        every: How long to wait from one look to the next: seconds, a ``timedelta`` or text such as ``"30s"``.
            A look that comes sooner is judged as any other repeated call. ``None``: at any pace.
        progress: Where a result tells how far it is: a path such as ``"status"``, or a pure function of the
            result; what else changes in it is no progress. ``None``: any other result is progress.
    """

    every: Duration | None = None
    progress: str | Callable[[Any], Any] | None = None

    def __post_init__(self) -> None:
        if self.every is not None:
            object.__setattr__(self, "every", seconds(self.every, name="Poll.every"))
        rule: Any = self.progress
        if rule is not None and not callable(rule) and (not isinstance(rule, str) or not rule):
            what = f"Poll.progress is {type(rule).__name__}"
            raise InvalidTool(what, 'give a path such as "status", or a function of the result')

    @property
    def every_s(self) -> float | None:
        """Seconds of *every*."""
        return None if self.every is None else seconds(self.every, name="Poll.every")


@dataclass(frozen=True, slots=True)
class Spawn:
    """Each new call of the tool begins another agent."""


Pattern: TypeAlias = Poll | Spawn


def progress_of(poll: Poll, result: Any) -> Any:
    """Return what a result tells of how far it is; the result itself when it does not tell."""
    rule = poll.progress
    if rule is None:
        return result
    try:
        if not isinstance(rule, str):
            return rule(result)
        found = result
        for part in rule.split("."):
            found = found[part]
    except Exception:  # noqa: BLE001 - a result of another shape is an answer all the same
        return result
    return found
