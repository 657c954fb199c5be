"""Signatures of people's answers with Ed25519: workers check them; only who takes answers makes them."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any, Final

from holdfast.errors import InvalidTool, MissingExtra

try:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
except ImportError as error:
    raise MissingExtra("crypto", "cryptography") from error

_KEY_BYTES: Final = 32
_DOMAIN: Final = b"holdfast-signature/1\0"


class Ed25519Signatures:
    """Signs votes, and checks their signatures; give it to a ledger as ``signatures=``.

    A worker has the public keys only: whatever it, or an agent in it, writes into the database, it approves
    nothing. The process where people decide has the private key as well.

    Args:
        public: 32-byte public keys by id. Old ones stay here for as long as votes that they prove are of use.
        private: The 32-byte private key that signs; ``None`` where nothing is signed.
        active: The id of its public key; default the only one.

    Raises:
        InvalidTool: A key has another length, *active* names none, or the private key is of another one.
    """

    def __init__(
        self, public: Mapping[str, bytes], *, private: bytes | None = None, active: str | None = None
    ) -> None:
        for kid, key in public.items():
            _check(f"public key {kid!r}", key)
            if not kid.isalnum():
                raise InvalidTool(f"key id {kid!r:.80} has other characters", "use letters and digits")
        if active is None and len(public) == 1:
            active = next(iter(public))
        if active is None or active not in public:
            raise InvalidTool(f"key id {active!r} is not among the public keys", "name one with active=")
        self._public = {kid: Ed25519PublicKey.from_public_bytes(key) for kid, key in public.items()}
        self._active = active
        self._private: Ed25519PrivateKey | None = None
        if private is not None:
            _check("private key", private)
            self._private = Ed25519PrivateKey.from_private_bytes(private)
            if self._private.public_key().public_bytes_raw() != public[active]:
                raise InvalidTool(f"the private key is not that of {active!r}", "name its own with active=")

    @staticmethod
    def generate_keys() -> tuple[bytes, bytes]:
        """Return a new private key, and the public key of it."""
        private = Ed25519PrivateKey.generate()
        return private.private_bytes_raw(), private.public_key().public_bytes_raw()

    def sign(self, text: bytes) -> str:
        """Return a signature of *text*.

        Raises:
            InvalidTool: There is no private key here: people do not decide in this process.
        """
        if self._private is None:
            raise InvalidTool("this process has no key to sign answers with", "let people decide elsewhere")
        return f"{self._active}:{base64.b64encode(self._private.sign(_DOMAIN + text)).decode()}"

    def holds(self, text: bytes, signature: str) -> bool:
        """Whether *signature* is a good one of *text*, by a key that is known."""
        kid, _, encoded = signature.partition(":")
        key = self._public.get(kid)
        if key is None:
            return False
        try:
            key.verify(base64.b64decode(encoded, validate=True), _DOMAIN + text)
        except (InvalidSignature, binascii.Error, ValueError):
            return False
        return True


def _check(what: str, key: Any) -> None:
    if not isinstance(key, bytes) or len(key) != _KEY_BYTES:
        length = len(key) if isinstance(key, bytes) else type(key).__name__
        raise InvalidTool(f"{what}: {length} in place of {_KEY_BYTES} bytes", "use generate_keys()")
