"""Errors of memories, hand-offs and of fitting a history into a window."""

from __future__ import annotations

from holdfast.errors.calls import InvalidCall


class NoteTooLarge(InvalidCall):
    """What should be remembered or handed on is larger than the settings allow. Nothing was recorded.

    Attributes:
        size: How large it is.
        limit: What is allowed.
        unit: What *size* and *limit* count: ``bytes`` or ``items``.
    """

    code = "note-too-large"

    def __init__(self, size: int, limit: int, unit: str, setting: str) -> None:
        what = f"a note of {size} {unit}, where {limit} are allowed"
        super().__init__(what, f"note less, or raise Settings.{setting}; nothing ran")
        self.args = (size, limit, unit, setting)
        self.size = size
        self.limit = limit
        self.unit = unit
        self.setting = setting


class WindowExceeded(InvalidCall):
    """A history cannot be made to fit: what has to stay is larger than the window alone. Nothing was changed.

    Attributes:
        size: Of the system message and of the newest message, with what belongs to it.
        limit: Of the window.
    """

    code = "window-exceeded"

    def __init__(self, size: int, limit: int) -> None:
        what = f"the system message and the newest message count {size}, the window holds {limit}"
        super().__init__(what, "shorten the newest tool result, or use a larger window; nothing ran")
        self.args = (size, limit)
        self.size = size
        self.limit = limit
