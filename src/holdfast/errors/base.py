"""The base of all errors raised by the library."""

from __future__ import annotations

from typing import ClassVar


class HoldfastError(Exception):
    """Base of all errors raised by the library."""

    code: ClassVar[str] = "holdfast"
    """Stable slug; also the anchor of this error's page in the docs."""
