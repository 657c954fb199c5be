"""Standard Webhooks (https://www.standardwebhooks.com): how a message is signed, and when that is good."""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from holdfast.errors import InvalidTool

TOLERANCE_S: Final = 300
_PREFIX: Final = "whsec_"
_LEAST_BYTES: Final = 24
_MOST_BYTES: Final = 64
_MOST_SIGNATURES: Final = 16
_ID: Final = re.compile(r"[!-\-/-~]{1,200}")  # no dot: it is what parts the id from the time
_TIME: Final = re.compile(r"[0-9]{1,12}")


class Forged(Exception):
    """A message whose sender is not proved. Its text says why, for logs; the sender is not told."""


def keys_of(secrets: Sequence[str]) -> tuple[bytes, ...]:
    """Return the keys in *secrets*, the newest first.

    Raises:
        InvalidTool: One is no secret of this kind. It is not shown.
    """
    given: Any = secrets
    if isinstance(given, str) or not given:
        raise InvalidTool("secrets of a webhook are no list", "give a list of one, or two while you rotate")
    return tuple(_key(secret) for secret in secrets)


def _key(secret: Any) -> bytes:
    fix = f"make one: '{_PREFIX}' + base64.b64encode(secrets.token_bytes(32)).decode()"
    if not isinstance(secret, str) or not secret.startswith(_PREFIX):
        raise InvalidTool(f"a webhook's secret does not begin with {_PREFIX!r}", fix)
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise InvalidTool("a webhook's secret is no base64", fix) from None
    if not _LEAST_BYTES <= len(key) <= _MOST_BYTES:
        raise InvalidTool(f"a webhook's secret has {len(key)} bytes", fix)
    return key


def signed(keys: Sequence[bytes], message_id: str, at_s: int, body: bytes) -> dict[str, str]:
    """Return the headers of a message, with one signature for each key."""
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(at_s),
        "webhook-signature": " ".join(f"v1,{_signature(key, message_id, str(at_s), body)}" for key in keys),
    }


def verified(keys: Sequence[bytes], headers: Mapping[str, str], body: bytes, now_s: float) -> str:
    """Return the id of a message that one of *keys* has signed, at most five minutes from now.

    Args:
        headers: By names in small letters.
        body: As it came, before anything is made of it.

    Raises:
        Forged: It is not proved.
    """
    name, at = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not _ID.fullmatch(name) or not _TIME.fullmatch(at):
        msg = "its id or its time is missing, or no such thing"
        raise Forged(msg)
    if abs(now_s - int(at)) > TOLERANCE_S:
        msg = "it is too old, or of the future"
        raise Forged(msg)
    given = headers.get("webhook-signature", "").split(" ")[:_MOST_SIGNATURES]
    wanted = [f"v1,{_signature(key, name, at, body)}".encode() for key in keys]
    if not any(hmac.compare_digest(one.encode(), other) for one in given for other in wanted):
        msg = "no signature of it is good"
        raise Forged(msg)
    return name


def _signature(key: bytes, message_id: str, at: str, body: bytes) -> str:
    return base64.b64encode(hmac.digest(key, f"{message_id}.{at}.".encode() + body, "sha256")).decode()
