"""Signatures of those who take people's answers, for those who act on them to check."""

from __future__ import annotations

from typing import Protocol


class Signatures(Protocol):
    """Proves that an answer was taken by who may take answers.

    Where it is given, an approval counts only with a good signature on each of its votes. A worker has what
    it takes to check them, and not what it takes to make them.
    """

    def sign(self, text: bytes) -> str:
        """Return a signature of *text*.

        Raises:
            InvalidTool: Whoever asks has no key to sign with.
        """
        ...

    def holds(self, text: bytes, signature: str) -> bool:
        """Whether *signature* is a good one of *text*."""
        ...
