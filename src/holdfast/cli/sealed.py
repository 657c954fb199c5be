"""What stands for payloads that a codec sealed: the command line has no keys, and shows the rest."""

from __future__ import annotations

import json
from typing import Final

from holdfast._runtime.deeds import NoKey

SEALED: Final = "[sealed]"
_ENVELOPE: Final = {"enc", "kid", "ct"}


class NoKeys:
    """Opens what is not sealed, and a word for what is; for commands that only look."""

    def seal(self, text: str, *, context: str) -> str:
        """Refuse to write: who has no keys must not.

        Raises:
            NoKey: Always.
        """
        raise NoKey(f"no key for {context}: {len(text)} characters are not written")

    def open(self, text: str, *, context: str) -> str:
        """Return *text*, or what stands for it when it is sealed."""
        read: object = json.loads(text)
        if not (isinstance(read, dict) and set(read) == _ENVELOPE):  # pyright: ignore[reportUnknownArgumentType]
            return text
        is_error = context.endswith("/error")  # an error is an object in every life
        return json.dumps({"type": SEALED, "message": ""} if is_error else SEALED)
