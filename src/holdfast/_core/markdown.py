"""Text from anywhere as one line of Markdown: it shows what it says, and cannot become structure.

What an agent noted may have come from a web page or from a user. Put into the next prompt it must stay data:
no heading, list, fence, tag or link begins or ends in it, and no unseen character hides anything.
"""

from __future__ import annotations

import re
from typing import Final

_SPECIAL: Final = re.compile(r"[\\`*<>\[\]|~#&]")
_LEADING: Final = re.compile(r"^(?=[-+=_:])|(?<=^\d)(?=[.)])|(?<=^\d\d)(?=[.)])")


def one_line(text: str) -> str:
    """Return *text* as one line of Markdown that reads like it, and is nothing but text."""
    line = " ".join(text.split())
    seen = "".join(char if char.isprintable() else "\ufffd" for char in line)
    return _LEADING.sub(r"\\", _SPECIAL.sub(r"\\\g<0>", seen))
