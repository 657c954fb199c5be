"""Names of tools in a policy: exact, or with ``*`` for any part, among the tools that there are."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from holdfast.errors import InvalidPolicy
from holdfast.policies.kinds import is_mapping

MOST_LETTERS: Final = 200
_TOOL: Final = re.compile(r"[!-~]{1,200}")
_PATTERN: Final = re.compile(r"[!-~]{1,200}")


def is_name(name: Any) -> bool:
    """Whether *name* can be a tool's: visible ASCII, so that no two names look alike."""
    return isinstance(name, str) and _TOOL.fullmatch(name) is not None and "*" not in name


def among(pattern: Any, tools: Iterable[str]) -> frozenset[str]:
    """Return those of *tools* that a name or pattern means."""
    if not isinstance(pattern, str) or not _PATTERN.fullmatch(pattern):
        return frozenset()
    if "*" not in pattern:
        return frozenset(name for name in tools if name == pattern)
    parts = [re.escape(part) for part in re.split(r"\*+", pattern)]
    fits = re.compile(".*".join(parts))
    return frozenset(name for name in tools if fits.fullmatch(name))


def named(tools: Any) -> Mapping[str, Any]:
    """Return tools by name: a mapping as it is, declared tools by their own.

    Raises:
        InvalidPolicy: It is neither.
    """
    if is_mapping(tools):
        return tools
    found: dict[str, Any] = {}
    for tool in tools:
        name = getattr(tool, "name", None)
        if not isinstance(name, str):
            what = f"a tool of type {type(tool).__name__} has no name"
            raise InvalidPolicy("policy", "tools", what, "give {name: handler}")
        found[name] = tool
    return found
