"""What a model is told of a loop: what was seen, and what to do instead. No values, only names and counts."""

from __future__ import annotations

from typing import Final

from holdfast._core.loop import LoopKind

_LONGEST_NAME: Final = 80
_SEEN: Final[dict[LoopKind, str]] = {
    "identical_call": "You have called {tool} with the same arguments in {count} turns.",
    "identical_result": "You have called {tool} with the same arguments {count} times, it gave the same "
    "answer each time, and nothing new happened in between.",
    "ping_pong": "You go back and forth: the same calls, with the same answers, {count} times in a row.",
    "poll_no_change": "You have looked {count} times with {tool}, and nothing has changed.",
    "same_error": "{tool} failed in the same way in {count} turns on end.",
    "dependency_open": "{tool} is in trouble: calls that depend on it were not sent, in {count} turns.",
    "no_progress": "Your last {count} turns brought nothing that you did not know.",
    "duplicate_intent": "You asked for the same {tool} call {count} times in one turn; it ran once.",
    "fan_out": "You have begun {count} agents.",
    "context_growth": "In {count} turns on end there was more to read, and nothing new in it.",
}
_INSTEAD: Final[dict[LoopKind, str]] = {
    "identical_call": "If you are not waiting for something, use what you have, or try another way.",
    "identical_result": "The same call will not tell you more: use what you have, try another way, or answer "
    "with what you know and say what is missing.",
    "ping_pong": "Choose one way, or answer with what you know and say what is missing.",
    "poll_no_change": "Do something else meanwhile, wait for longer before you look again, or answer and say "
    "what is still open.",
    "same_error": "Do not try variations: read the error, do it another way, or answer and say what does not "
    "work.",
    "dependency_open": "Do not call what depends on it: do something else meanwhile, or answer and say "
    "what is missing.",
    "no_progress": "Answer with what you know and say what is missing, or do something that you have not "
    "done yet.",
    "duplicate_intent": "Ask once; to do it twice on purpose, let an argument tell the two apart.",
    "fan_out": "Let those finish, or do the rest yourself.",
    "context_growth": "Do not read again what you have read: answer with what you know.",
}


def evidence(kind: LoopKind, tool: str, count: int) -> str:
    """Return what the model is told.

    Args:
        tool: The tool concerned; names come from models, and may be anything.
    """
    name = tool if len(tool) <= _LONGEST_NAME else f"{tool[:_LONGEST_NAME]}..."
    return f"{_SEEN[kind].format(tool=repr(name), count=count)} {_INSTEAD[kind]}"
