"""What a forked child must forget of its parent, before any of its threads can see it."""

from __future__ import annotations

import os
from typing import Protocol
from weakref import WeakSet


class Inherited(Protocol):
    """Something that belongs to one process."""

    def forget_parent(self) -> None:
        """Start afresh; what is left behind is neither used nor closed."""
        ...


_inherited: WeakSet[Inherited] = WeakSet()


def forget_in_child(thing: Inherited) -> None:
    """Let *thing* be told when this process was forked, in the child and before its code goes on."""
    _inherited.add(thing)


def _in_child() -> None:
    for thing in tuple(_inherited):
        thing.forget_parent()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
