"""Vectors beside the words: asked of the user's function, packed, compared."""

from __future__ import annotations

import base64
import inspect
import math
import struct
from collections.abc import Awaitable, Callable, Sequence
from operator import mul
from typing import Any, Final, TypeAlias

from holdfast._runtime.parts import Parts
from holdfast._runtime.stops import HandlerTimeout
from holdfast.errors import InvalidTool

Vectors: TypeAlias = "Sequence[Sequence[float]]"
Embed: TypeAlias = "Callable[[list[str]], Vectors | Awaitable[Vectors]]"
"""Returns a vector for each text; plain or async."""

_LARGEST: Final = 16_384


def check_embed(embed: object, *, blocking: bool) -> None:
    """Refuse what cannot be asked.

    Raises:
        InvalidTool: It is no function, or an async one for a ledger that cannot await it.
    """
    if embed is None:
        return
    if not callable(embed):
        raise InvalidTool(f"embed= is {type(embed).__name__}", "give a function of a list of texts")
    if blocking and inspect.iscoroutinefunction(embed):
        raise InvalidTool("embed= is an async function on a SyncLedger", "use Ledger, or a plain function")


async def embedded(parts: Parts, embed: Embed, text: str) -> tuple[float, ...]:
    """Return the vector of *text*, of length 1.

    Raises:
        InvalidTool: *embed* returned no vector.
        TimeoutError: It took longer than ``Settings.reconcile_timeout``.
    """
    timeout_s = parts.settings.reconcile_timeout_s
    try:
        answer: Any = await parts.runtime.ask(embed, [text], timeout_s=timeout_s)
    except HandlerTimeout as error:
        message = f"embed= took longer than {timeout_s:g} s (Settings.reconcile_timeout)"
        raise TimeoutError(message) from error
    try:
        (vector,) = answer
        numbers = tuple(float(number) for number in vector)
    except (TypeError, ValueError, OverflowError):
        numbers = ()
    length = math.hypot(*numbers)
    if not 0 < len(numbers) <= _LARGEST or not math.isfinite(length):
        what = f"embed= did not return one vector of 1 to {_LARGEST} finite numbers for one text"
        raise InvalidTool(what, "return a list with a list of numbers for each text")
    return tuple(number / length for number in numbers) if length else numbers


def packed(vector: Sequence[float]) -> str:
    """Return *vector* as text: single precision, which is what models make."""
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def likeness(vector: Sequence[float], text: str) -> float | None:
    """Return the cosine of *vector* and of a packed one; ``None`` if that is of another model."""
    raw = base64.b64decode(text)
    if len(raw) != 4 * len(vector):
        return None
    return math.fsum(map(mul, vector, struct.unpack(f"<{len(vector)}f", raw)))
