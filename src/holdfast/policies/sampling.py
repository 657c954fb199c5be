"""Which of the allowed calls people look at: the same answer for the same call, and foreseen by nobody."""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

_BITS: Final = 64


def is_sampled(secret: bytes, key: str, rate: float) -> bool:
    """Whether the effect of *key* is in the share *rate*.

    A hash with a key decides: chance alone would answer otherwise after a restart, and a plain hash could be
    computed by an agent that chooses its arguments so as not to be seen. One that is in a small share is in
    every larger one as well.
    """
    digest = hmac.digest(secret, b"holdfast-sample\0" + key.encode(), hashlib.sha256)
    drawn = int.from_bytes(digest[: _BITS // 8], "big")
    return drawn < int(rate * (1 << _BITS))
