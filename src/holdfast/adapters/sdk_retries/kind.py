"""What is known of one kind of client: how its retries are read, and how they are switched off."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from holdfast.adapters.sdk_retries.stored import is_a

NO_LIMIT: Final = sys.maxsize
"""The retries of a client that never gives up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of client.

    Attributes:
        retries: Further attempts, at most; ``None`` where the client does not look as this kind does.
        silence: Returns the client without retries, itself or a copy; ``None`` where that cannot be done.
        fix: What to write instead; ``{client}`` stands for the name of the client's type.
        library: The package, where its modules do not begin with its name.
    """

    retries: Callable[[object], int | None]
    silence: Callable[[Any], object] | None
    fix: str
    library: str = ""


def number(thing: object) -> int | None:
    """Return *thing* if it is a number of retries."""
    return int.__index__(thing) if is_a(thing, int) else None


def highest(counts: Iterable[int | None]) -> int | None:
    """Return the highest count that is known."""
    return max((count for count in counts if count is not None), default=None)
