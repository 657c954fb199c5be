"""What an agent says of a call besides its arguments: for rules, and for people who have to decide on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from holdfast.errors import InvalidCall

_LONGEST: Final = 4000
_MOST_INFERRED: Final = 64
_TEXTS: Final = ("belief", "uncertainty", "on_decline", "on_behalf_of")


@dataclass(frozen=True, slots=True, kw_only=True)
class CallContext:
    """Why an agent wants a call made. All of it is the agent's word: people see it marked as such.

    Attributes:
        belief: What it takes to be so.
        confidence: How sure it is, from 0 to 1; ``None`` when it does not say, which counts as not at all.
        uncertainty: What it does not know.
        on_decline: What happens when people say no.
        inferred: Arguments that nobody told it, by name, and what it made them out of.
        on_behalf_of: The person for whom it acts. They do not decide on it. No rule sees it: who must not
            decide whatever the agent says is named in the policy or the directory.
    """

    belief: str = ""
    confidence: float | None = None
    uncertainty: str = ""
    on_decline: str = ""
    inferred: Mapping[str, str] = field(default_factory=dict[str, str])
    on_behalf_of: str = ""

    def __post_init__(self) -> None:
        for name in _TEXTS:
            _text(name, getattr(self, name))
        sure: Any = self.confidence
        if sure is not None and (
            not isinstance(sure, int | float) or isinstance(sure, bool) or not 0 <= sure <= 1
        ):
            raise InvalidCall(f"a confidence of type {type(sure).__name__}", "give a number from 0 to 1")
        inferred: Any = self.inferred
        if not isinstance(inferred, Mapping) or len(inferred) > _MOST_INFERRED:  # pyright: ignore[reportUnknownArgumentType]
            raise InvalidCall("inferred= is no short mapping", "give the names of arguments, and why")
        for name, why in self.inferred.items():
            _text("inferred", name)
            _text("inferred", why)


def _text(name: str, given: Any) -> None:
    if not isinstance(given, str) or len(given) > _LONGEST:
        raise InvalidCall(f"{name}= is no text of at most {_LONGEST} characters", "say it shorter")
    try:
        given.encode()
    except UnicodeEncodeError:
        raise InvalidCall(f"{name}= has a lone surrogate", "give text that can be encoded") from None
