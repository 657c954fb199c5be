"""How a handler, or a source of evidence, ends without having come to its end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

STOPS: Final = (KeyboardInterrupt, SystemExit)


class HandlerTimeout(Exception):
    """A handler took longer than its contract allows."""


class ReturnedTimeout(HandlerTimeout):
    """What a plain function returned to be awaited took too long; nothing goes on."""


class SourceStopped(Exception):
    """A source of evidence ended as if it had been stopped, and nobody had stopped it."""


class CalledOff(Exception):
    """A handler was called off.

    Attributes:
        stop: Why, to be raised again once what that leaves is recorded.
    """

    def __init__(self, stop: BaseException) -> None:
        super().__init__()
        self.stop = stop


class NeverStarted(CalledOff):
    """It had not started yet: nothing happened."""


class StillRunning(CalledOff):
    """Its thread goes on: it may still act."""


class Outlasts(StillRunning):
    """The ledger is closed, and its thread goes on: it acts under its claim until it has ended.

    Attributes:
        at_its_end: Calls what it is given once the thread has ended: in that thread, or at once if it has.
    """

    def __init__(self, stop: BaseException, at_its_end: Callable[[Callable[[Any], object]], object]) -> None:
        super().__init__(stop)
        self.at_its_end = at_its_end


def heard(asked: Callable[[], Any], *, stops: tuple[type[BaseException], ...] = STOPS) -> Any:
    """Return what a plain source of evidence says.

    Args:
        stops: What stops whoever asks; in a thread of its own a source can stop nobody.

    Raises:
        SourceStopped: It raised what only stops are told by.
    """
    passing: tuple[type[BaseException], ...] = (Exception, *stops)
    try:
        return asked()
    except passing:
        raise
    except BaseException as error:
        raise SourceStopped(type(error).__qualname__) from error
