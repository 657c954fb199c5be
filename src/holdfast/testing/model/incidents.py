"""Scripts of agents that go wrong, and of one that only looks like it: what detectors are tried on.

Each is a line for ``then``: ``ScriptedModel(then=same_call("search", query="x"))``.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from holdfast.testing.model.requests import CHARACTERS_PER_TOKEN, ModelRequest
from holdfast.testing.model.turns import Call, Said, call, says

__all__ = ["growing_context", "ping_pong", "poll", "same_call"]


def same_call(tool: str, /, *, reworded: bool = False, **args: Any) -> Callable[[ModelRequest], Said]:
    """Return a line that calls *tool* with the same arguments for ever, whatever it is told.

    Args:
        tool: Which.
        reworded: Whether each turn has other words, and the arguments in another order and spacing: the same
            intent, and no two turns in a row alike as text.
        args: The arguments.
    """

    def again(request: ModelRequest) -> Said:
        if not reworded:
            return says(call(tool, **args))
        n = request.turns
        items = list(args.items())
        turned = items[n % len(items) :] + items[: n % len(items)] if items else items
        arguments = json.dumps(
            dict(turned), separators=((",", ":") if n % 2 else (", ", ": ")), ensure_ascii=False
        )
        return says(f"Attempt {n + 1}: once more.", Call(tool, arguments))

    return again


def ping_pong(*calls: Call) -> Callable[[ModelRequest], Said]:
    """Return a line that makes *calls* one after the other, and then again, for ever: A, B, A, B."""
    return lambda request: says(calls[request.turns % len(calls)])


def poll(
    tool: str, /, *, until: Callable[[str], bool], answer: str = "Done.", **args: Any
) -> Callable[[ModelRequest], Said]:
    """Return a line that calls *tool* with the same arguments until a result satisfies *until*.

    The calls are alike and their results are not: no detector of loops may stop it while there is progress.

    Args:
        tool: Which.
        until: Told the text of the last result.
        answer: What is said then.
        args: The arguments.
    """

    def look(request: ModelRequest) -> Said:
        is_done = any(until(result) for result in request.results[-1:])
        return says(answer) if is_done else says(call(tool, **args))

    return look


def growing_context(
    tool: str, /, *, tokens: int = 1000, argument: str = "note"
) -> Callable[[ModelRequest], Said]:
    """Return a line that calls *tool* for ever, each time with something new of about *tokens* tokens.

    Every request is longer than the one before, and no two calls are alike: only the size gives it away.

    Args:
        tool: Which.
        tokens: How many are added by each call.
        argument: The name of the argument that carries them.
    """

    def grow(request: ModelRequest) -> Said:
        head = f"Note {request.turns + 1}. "
        return says(call(tool, **{argument: head.ljust(tokens * CHARACTERS_PER_TOKEN, "x")}))

    return grow
