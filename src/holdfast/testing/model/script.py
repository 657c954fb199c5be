"""A model that says what a test has written down, and keeps what it was asked."""

from __future__ import annotations

import inspect
import json
import threading
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, TypeAlias

from holdfast._runtime.injected import InjectedStatus
from holdfast.errors import InvalidCall
from holdfast.testing.model import chat
from holdfast.testing.model.played import Ids, Played, play
from holdfast.testing.model.requests import ModelRequest
from holdfast.testing.model.turns import Call, Failure, Said, Silence, Turn, says

__all__ = ["Line", "ModelFailed", "ScriptedModel", "by_position"]

Line: TypeAlias = "Turn | str | Call | Callable[[ModelRequest], Turn | str | Call]"
"""One line of a script: a turn, a text or a call for short, or a function of the request that returns one."""


class ModelFailed(InjectedStatus):
    """The scripted error of a model that is called as a function.

    It has a ``response`` with ``status_code`` and ``headers``, as the errors of HTTP clients have.
    """


class ScriptedModel:
    """A model that answers by a script: ``ScriptedModel(call("charge", amount=100), "Done.")``.

    Each request takes the next line, in the order of arrival. The same script, seed and order of requests
    make the same answers, ids included. Give it to a :class:`ModelServer`, or call it as the chat function of
    an agent: ``model(messages, tools)`` returns a message as OpenAI's chat completions have it. May be asked
    by several threads.

    Args:
        lines: What it says, one line for each request.
        then: The line for every request after those, for ever; without it a further request is a mistake.
        delay: Told the seconds of each turn that takes some, e.g. a clock's ``advance``; what it returns is
            awaited by :meth:`ask`. Nobody waits otherwise.
        seed: Another seed makes other ids.
        window: The most tokens that a request may have; a longer one is refused and takes no line.
    """

    def __init__(
        self,
        *lines: Line,
        then: Line | None = None,
        delay: Callable[[float], object] | None = None,
        seed: int = 0,
        window: int | None = None,
    ) -> None:
        self._lines = lines
        self._then = then
        self._delay = delay
        self._seed = seed
        self._window = window
        self._used = 0
        self._delayed_s = 0.0
        self._requests: list[ModelRequest] = []
        self._problems: list[Exception] = []
        self._lock = threading.Lock()  # everything above that changes

    @property
    def requests(self) -> tuple[ModelRequest, ...]:
        """What it was asked, oldest first, refused requests included."""
        with self._lock:
            return tuple(self._requests)

    @property
    def count(self) -> int:
        """How often it was asked."""
        return len(self.requests)

    @property
    def left(self) -> int:
        """How many lines of the script nobody has heard."""
        with self._lock:
            return max(len(self._lines) - self._used, 0)

    @property
    def delayed_s(self) -> float:
        """How long its turns took, in seconds of the script."""
        with self._lock:
            return self._delayed_s

    @property
    def problems(self) -> tuple[Exception, ...]:
        """What went wrong with the script: it had ended, or a function in it raised."""
        with self._lock:
            return tuple(self._problems)

    def __call__(self, messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None = None) -> Any:
        """Return the next message.

        Raises:
            ModelFailed: The script has an error here.
            TimeoutError: The script is silent here.
            InvalidCall: The script has ended.
        """
        request, turn = self.take(_direct(messages, tools))
        self.told(turn)
        return self._message(request, turn)

    async def ask(self, messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None = None) -> Any:
        """Do what calling it does, and await what ``delay`` returns, e.g. ``delay=asyncio.sleep``."""
        request, turn = self.take(_direct(messages, tools))
        waiting = self._tell(turn)
        if inspect.isawaitable(waiting):
            await waiting
        return self._message(request, turn)

    def take(self, request: ModelRequest) -> tuple[ModelRequest, Turn]:
        """Keep *request*; return it with its number, and the turn that answers it. The server asks by this.

        Raises:
            InvalidCall: The script has ended.
        """
        with self._lock:
            request = replace(request, number=len(self._requests) + 1)
            self._requests.append(request)
            if self._window is not None and request.input_tokens > self._window:
                return request, _too_long(request.input_tokens, self._window)
            line = self._lines[self._used] if self._used < len(self._lines) else self._then
            self._used += 1
        try:
            return request, self._turn(line, request)
        except Exception as error:
            with self._lock:
                self._problems.append(error)
            raise

    def told(self, turn: Turn) -> None:
        """Tell ``delay`` how long *turn* takes.

        Raises:
            InvalidCall: It wants to be awaited, and nobody can here.
        """
        waiting = self._tell(turn)
        if inspect.isawaitable(waiting):
            if inspect.iscoroutine(waiting):
                waiting.close()
            raise InvalidCall("delay= is async, and the model is not asked by ask()", "give a plain function")

    def play(self, said: Said, request: ModelRequest, created: int = 0) -> Played:
        """Return *said* as it answers *request*, with its ids."""
        return play(said, request, Ids(self._seed, request.number), created)

    def _message(self, request: ModelRequest, turn: Turn) -> dict[str, Any]:
        match turn:
            case Said():
                return chat.message(self.play(turn, request))
            case Failure():
                wait = {} if turn.retry_after_s is None else {"retry-after": f"{turn.retry_after_s:g}"}
                what = turn.message or f"the scripted model failed with status {turn.status}"
                raise ModelFailed(what, turn.status, wait, "POST")
            case Silence():
                raise TimeoutError("the scripted model is silent here")

    def _turn(self, line: Line | None, request: ModelRequest) -> Turn:
        if line is None:
            what = f"request {request.number} to a model whose script has {len(self._lines)} lines"
            raise InvalidCall(what, "add lines, or say with then= what comes after them")
        said = line(request) if callable(line) else line
        return says(said) if isinstance(said, str | Call) else said

    def _tell(self, turn: Turn) -> Awaitable[object] | object:
        seconds = turn.delay_s if isinstance(turn, Said) else 0.0
        if not seconds:
            return None
        with self._lock:
            self._delayed_s += seconds
        return self._delay(seconds) if self._delay is not None else None


def by_position(*lines: Line) -> Callable[[ModelRequest], Turn | str | Call]:
    """Return a line that says, in any conversation, what comes at its place: the first of *lines* at first.

    The place is how often the model has spoken in the conversation. So each of many conversations hears the
    whole script, and a request that is sent again (after a lost answer, or by a process that started anew)
    gets the same intent under a new id. Use it as ``then``.
    """

    def at_its_place(request: ModelRequest) -> Turn | str | Call:
        if request.turns >= len(lines):
            what = f"turn {request.turns + 1} of a conversation whose script has {len(lines)} lines"
            raise InvalidCall(what, "add lines to by_position()")
        line = lines[request.turns]
        return line(request) if callable(line) else line

    return at_its_place


def _direct(messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None) -> ModelRequest:
    offered = tools or []
    text = json.dumps({"messages": messages, "tools": offered}, ensure_ascii=False)
    read = json.loads(text)  # a copy: the caller goes on with its own list
    return chat.direct(read["messages"], read["tools"], text)


def _too_long(tokens: int, window: int) -> Failure:
    message = f"prompt is too long: {tokens} tokens > {window} maximum"
    return Failure(status=400, message=message, code="context_length_exceeded")
