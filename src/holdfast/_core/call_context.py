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
class InfoAnswer:
    """What an agent answers to people who asked it for more before they decide.

    Attributes:
        to: What it answers: :attr:`holdfast.errors.InformationRequested.to`. An answer to anything else is
            none, so one that comes again after a crash does not answer what was asked since.
        text: At most 4000 characters.
    """

    to: str
    text: str

    def __post_init__(self) -> None:
        _text("to", self.to)
        _text("text", self.text)
        if not self.to.strip() or not self.text.strip():
            raise InvalidCall("an answer without text, or to nothing", "say what you answer, and to what")


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
        answer: To what people asked it about this very call before they decide.
    """

    belief: str = ""
    confidence: float | None = None
    uncertainty: str = ""
    on_decline: str = ""
    inferred: Mapping[str, str] = field(default_factory=dict[str, str])
    on_behalf_of: str = ""
    answer: InfoAnswer | None = None

    def __post_init__(self) -> None:
        for name in _TEXTS:
            _text(name, getattr(self, name))
        answer: Any = self.answer
        if answer is not None and not isinstance(answer, InfoAnswer):
            raise InvalidCall(f"an answer of type {type(answer).__name__}", "give an InfoAnswer")
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
