"""What needs cryptography: codecs that seal payloads before they are stored, signatures of answers."""

from holdfast.codecs.aes import AesGcmCodec
from holdfast.codecs.ed25519 import Ed25519Signatures

__all__ = ["AesGcmCodec", "Ed25519Signatures"]
