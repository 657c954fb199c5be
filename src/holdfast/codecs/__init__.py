"""Codecs seal payloads (arguments, results, errors, audit details) before they are stored."""

from holdfast.codecs.aes import AesGcmCodec

__all__ = ["AesGcmCodec"]
