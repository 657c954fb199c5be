"""The world outside: a desk that makes every charge it is asked for, and a list of every step that was begun.

Both are files that each act adds one line to by one system call: a kill cannot tear it, and the next process reads
what the one before has done.
"""

from __future__ import annotations

import os
import uuid
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from holdfast import Done, Effect, NotDone


class Outside:
    """What is so, whatever the ledger says of it."""

    def __init__(self, directory: str | Path) -> None:
        self._desk = Path(directory) / "desk.log"
        self._steps = Path(directory) / "steps.log"

    def charge(self, key: str, what: str) -> dict[str, Any]:
        """Charge; the desk knows no keys, so asked twice it charges twice."""
        made = uuid.uuid4().hex
        _add(self._desk, f"{key} {what} {made}")
        return {"id": made}

    def look_up(self, effect: Effect) -> Done | NotDone:
        """Return what the desk knows of an effect: it is asked by whoever doubts."""
        for key, _, made in _lines(self._desk):
            if key == effect.idem_key:
                return Done({"id": made})
        return NotDone()

    def begin(self, workflow_id: str, step: str) -> int:
        """Note that a step's function was called; return how often it was before."""
        before = self.steps()[workflow_id, step] if step in COUNTED else 0
        _add(self._steps, f"{workflow_id} {step}")
        return before

    def charges(self) -> list[tuple[str, str, str]]:
        """Return the key, the object and the id of every charge, oldest first."""
        return [(key, what, made) for key, what, made in _lines(self._desk)]

    def steps(self) -> Counter[tuple[str, str]]:
        """Return how often the function of each step of each workflow was called."""
        return Counter((workflow_id, step) for workflow_id, step in _lines(self._steps))


COUNTED = frozenset({"flaky"})
"""Steps that fail by how often they were called."""


def by_what(charges: list[tuple[str, str, str]]) -> dict[str, list[str]]:
    """Return the ids of the charges of each object."""
    found: dict[str, list[str]] = defaultdict(list)
    for _, what, made in charges:
        found[what].append(made)
    return found


def _add(path: Path, line: str) -> None:
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(file, f"{line}\n".encode())
    finally:
        os.close(file)


def _lines(path: Path) -> list[list[str]]:
    if not path.exists():
        return []
    return [line.split(" ") for line in path.read_text().splitlines()]
