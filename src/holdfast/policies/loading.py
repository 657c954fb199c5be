"""Policies from files, and from what is written in Python: the same checks, meaning and version."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from holdfast.policies.deciding import Policies
from holdfast.policies.model import PolicySet
from holdfast.policies.reading import read_files, read_policy


def load_policies(
    source: str | Path | Sequence[str | Path] | PolicySet, *, tools: Any = None, secret: bytes | None = None
) -> Policies:
    """Return the policies of a file, a directory, or a :class:`PolicySet`, ready to decide.

    Args:
        source: A path or several, or what was written in Python. All files together are one policy, as are
            all ``*.yaml`` of a directory.
        tools: Handlers by tool name (or declared tools), to check the rules against.
        secret: See :class:`Policies`.

    Raises:
        InvalidPolicy: It cannot be used: it says where, what, and how to mend it.
        MissingExtra: The packages of ``holdfast[policy]`` are not installed.
    """
    if isinstance(source, PolicySet):
        return Policies(source, tools=tools, secret=secret)
    paths = [source] if isinstance(source, str | Path) else source
    policy = read_policy([document for path in paths for document in read_files(path)])
    return Policies(policy, tools=tools, secret=secret, where=", ".join(map(str, paths)))


def read_policies(
    text: str, *, where: str = "policy", tools: Any = None, secret: bytes | None = None
) -> Policies:
    """Return the policies that a YAML text says; see :func:`load_policies`."""
    return Policies(read_policy([(where, text)]), tools=tools, secret=secret, where=where)
