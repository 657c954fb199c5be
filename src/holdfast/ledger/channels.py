"""Checks the channels that a ledger is given: what cannot tell anybody is refused at once."""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from typing import Any, Final

from holdfast.errors import InvalidTool
from holdfast.ports import Channel

_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,63}")
_SAFETIES: Final = ("idempotent", "unsafe")


def checked_channels(channels: Sequence[Channel], *, blocking: bool) -> tuple[Channel, ...]:
    """Return *channels* as a ledger keeps them.

    Raises:
        InvalidTool: One has no name of its own, or cannot be called here.
    """
    given: Any = channels
    if not isinstance(given, list | tuple):
        raise InvalidTool(f"channels= is {type(given).__name__}", "give a list of channels")
    names: set[str] = set()
    for channel in channels:
        name: Any = getattr(channel, "name", None)
        if not isinstance(name, str) or not _NAME.fullmatch(name) or name in names:
            what = f"the channel {name!r:.80} has no name of its own"
            raise InvalidTool(what, "use small letters, digits, - and _, and each name once")
        names.add(name)
        if not callable(getattr(channel, "tell", None)):
            raise InvalidTool(f"the channel {name!r} has no method tell", "see holdfast.ports.Channel")
        if channel.safety not in _SAFETIES:
            what = f"the channel {name!r} has safety={channel.safety!r}"
            raise InvalidTool(what, f"use one of {', '.join(_SAFETIES)}")
        if blocking and inspect.iscoroutinefunction(channel.tell):
            raise InvalidTool(f"the channel {name!r} is async, and this is a SyncLedger", "use Ledger")
    return tuple(channels)
