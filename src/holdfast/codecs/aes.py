"""Encryption at rest with AES-256-GCM; the key never reaches the database.

Stored is a JSON envelope ``{"enc": "aes-256-gcm", "kid": …, "ct": …}``. The place where a payload sits
(tenant, key and column) is authenticated with it, so that a ciphertext that was moved cannot be opened.
Key and fingerprint of an effect stay plain and unsalted: they are what replays are found by.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import secrets
from collections.abc import Mapping
from typing import Any, Final

from holdfast.errors import InvalidTool, MissingExtra

try:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
except ImportError as error:
    raise MissingExtra("crypto", "cryptography") from error

_NAME: Final = "aes-256-gcm"
_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_WORDS: Final = b"holdfast: digests of what is searched for"


def _is_bytes(value: Any) -> bool:
    return isinstance(value, bytes)


class AesGcmCodec:
    """Seals payloads with AES-256-GCM.

    Args:
        keys: 32-byte keys by id. Old ones stay here so that what they sealed can still be opened.
        active: The id of the key that seals; default the only one.

    Raises:
        InvalidTool: A key has another length, or *active* names none.
    """

    def __init__(self, keys: Mapping[str, bytes], *, active: str | None = None) -> None:
        if active is None and len(keys) == 1:
            active = next(iter(keys))
        if active is None or active not in keys:
            raise InvalidTool(f"codec key id {active!r} is not among the keys", "name one with active=")
        for kid, key in keys.items():
            if not _is_bytes(key):
                raise InvalidTool(
                    f"codec key {kid!r} is {type(key).__name__}", f"give {_KEY_BYTES} random bytes"
                )
            if len(key) != _KEY_BYTES:
                raise InvalidTool(
                    f"codec key {kid!r} has {len(key)} bytes", f"give {_KEY_BYTES} random bytes"
                )
        self._ciphers = {kid: AESGCM(key) for kid, key in keys.items()}
        self._active = active
        # Keys of their own: one key must not serve two algorithms.
        order = sorted(keys, key=lambda kid: kid != active)
        self._hashing = [hmac.digest(keys[kid], _WORDS, "sha256") for kid in order]

    @staticmethod
    def generate_key() -> bytes:
        """Return a new random key."""
        return secrets.token_bytes(_KEY_BYTES)

    def seal(self, text: str, *, context: str) -> str:
        """Return the envelope for *text*; see :meth:`holdfast.ports.Codec.seal`."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        plain = text.encode("utf-8", "surrogatepass")
        sealed = self._ciphers[self._active].encrypt(nonce, plain, context.encode("utf-8", "surrogatepass"))
        ct = base64.b64encode(nonce + sealed).decode()
        return json.dumps({"enc": _NAME, "kid": self._active, "ct": ct}, separators=(",", ":"))

    def digests(self, text: str, *, context: str) -> list[str]:
        """Return HMAC-SHA256 of *text*, 128 bits; see :meth:`holdfast.ports.SearchableCodec.digests`."""
        message = f"{len(context)}/{context}/{text}".encode("utf-8", "surrogatepass")
        return [hmac.digest(key, message, "sha256").hex()[:32] for key in self._hashing]

    def open(self, text: str, *, context: str) -> str:
        """Return the text of an envelope; what was stored before the codec was set is returned as it is.

        Raises:
            ValueError: Unknown key, wrong context, or altered.
        """
        envelope: Any = json.loads(text) if text.startswith('{"enc":') else None
        if not isinstance(envelope, dict) or set(envelope) != {"enc", "kid", "ct"}:  # pyright: ignore[reportUnknownArgumentType]
            return text
        cipher = self._ciphers.get(str(envelope["kid"]))  # pyright: ignore[reportUnknownArgumentType]
        if cipher is None:
            msg = f"sealed with the key {envelope['kid']!r}, which this codec does not have"
            raise ValueError(msg)
        try:
            raw = base64.b64decode(str(envelope["ct"]), validate=True)  # pyright: ignore[reportUnknownArgumentType]
            plain = cipher.decrypt(
                raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], context.encode("utf-8", "surrogatepass")
            )
        except (InvalidTag, binascii.Error) as error:
            msg = "the sealed payload was altered, or belongs to another place"
            raise ValueError(msg) from error
        return plain.decode("utf-8", "surrogatepass")
