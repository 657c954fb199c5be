"""What a workflow's code asks for, against what is on record of it. Pure.

A life of a workflow goes through its code from the beginning. What is on record is told again, in the order
in which it was told the first time; what is not on record may begin once all that is has been told.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from typing import Final

from holdfast._core.execution import StepKind, StepRecord
from holdfast._core.identity import differing_paths
from holdfast._core.value import value
from holdfast.errors import NonDeterminism, StepCollision

_SHOWN: Final = 80


@value
class Asked:
    """One step that the code asks for.

    Attributes:
        occurrence: Which one it is among equal ones, from 0.
        branch: The branch of the code that asks; empty for the main one.
        args: What it is called with, as canonical JSON.
        recorded: What is on record of it, if anything.
    """

    kind: StepKind
    name: str
    fingerprint: str
    occurrence: int
    branch: str
    args: str
    recorded: StepRecord | None

    @property
    def told_at(self) -> int | None:
        """The position of its end, if that is on record."""
        return None if self.recorded is None else self.recorded.position


@value
class _Named:
    function: str
    args: str


class Script:
    """What is on record of a workflow, and how far its code has come in this life.

    Attributes:
        told: How many ends the code was told.
    """

    def __init__(self, steps: Sequence[StepRecord]) -> None:
        self._recorded = {step.place: step for step in steps}
        self._ends = {step.position: step for step in steps if step.position is not None}
        self._last = max(self._ends, default=0)
        self._on_record = self._last
        self._unasked = {step.place: step for step in steps if step.position is None}
        self._gates = {step.place for step in steps if step.kind is StepKind.GATE}
        self._gone: set[int] = set()
        self._counts: Counter[tuple[str, str]] = Counter()
        self._named: dict[str, _Named] = {}
        self._fresh: list[Asked] = []
        self.told = 0

    @property
    def is_told(self) -> bool:
        """Whether the code was told all ends that are on record."""
        return self.told >= self._on_record

    @property
    def is_live(self) -> bool:
        """Whether it has, moreover, asked for all that was begun: nothing that it comes to is on record."""
        return self.told >= self._on_record and not self._unasked

    def asked(self, kind: StepKind, name: str, *, args: str, function: str = "", branch: str = "") -> Asked:
        """Find what is on record of the next step of that name and those arguments.

        Args:
            args: Canonical JSON.
            function: What is called; for people, and to tell two steps of one name apart.
            branch: Which of the code's branches asks: those that run at once count their own.

        Raises:
            StepCollision: Another step has that name.
        """
        if kind is StepKind.STEP:
            known = self._named.setdefault(name, _Named(function=function, args=args))
            if (known.function, known.args) != (function, args):
                paths = differing_paths(json.loads(known.args), json.loads(args))
                raise StepCollision(name, known.function, function, paths)
        fingerprint = hashlib.sha256(f"{kind}\n{branch}\n{args}".encode("utf-8", "surrogatepass")).hexdigest()
        occurrence = self._counts[name, fingerprint]
        self._counts[name, fingerprint] += 1
        recorded = self._recorded.get(place := (name, fingerprint, occurrence))
        self._unasked.pop(place, None)
        self._gates.discard(place)
        found = Asked(
            kind=kind,
            name=name,
            fingerprint=fingerprint,
            occurrence=occurrence,
            branch=branch,
            args=args,
            recorded=recorded,
        )
        if found.told_at is None:
            self._fresh.append(found)
        return found

    def end(self) -> int:
        """Return the position of the next end that is put on record."""
        self._last += 1
        return self._last

    def tell(self, position: int) -> None:
        """Note that the code is told the end at *position*; it must be its turn."""
        if self.is_gone(position):
            return
        while position > self.told + 1 and self.skip_gate():
            pass
        if position != self.told + 1:
            raise self.divergence(position)
        self.told = position

    def skip_gate(self) -> bool:
        """Go on past a gate that is on record next and that the code has not asked for; whether there is one.

        It was open, so the execution went the way of the code that has the patch; code without the gate has
        no other way. Whether it is the same way is told by what is on record after it.
        """
        step = self._ends.get(self.told + 1)
        if step is None or step.place not in self._gates:
            return False
        self.told += 1
        self._gone.add(self.told)
        return True

    def is_through(self) -> bool:
        """Whether code that waits for nothing any more has come past all that is on record."""
        while self.skip_gate():
            pass
        return self.is_live

    def is_gone(self, position: int) -> bool:
        """Whether that is a gate that was gone past. Code that asks for it after all finds it open."""
        return position in self._gone

    def divergence(self, instead: int | None = None) -> NonDeterminism:
        """Return the error for code that does not ask for what is on record.

        Args:
            instead: The position of what it asks for, where that is on record as well.
        """
        missing = self._ends.get(self.told + 1)
        if missing is None and self._unasked:
            missing = self._unasked[min(self._unasked)]
        place = self.told + 1
        expected = (
            "nothing more" if missing is None else _shown(missing.kind, missing.name, missing.occurrence)
        )
        other = None if instead is None else self._ends.get(instead)
        if other is not None:
            asked = _shown(other.kind, other.name, other.occurrence)
        elif self._fresh:
            first = self._fresh[0]
            asked = _shown(first.kind, first.name, first.occurrence)
        else:
            asked = "nothing"
        changes = missing is not None and any(
            (fresh.kind, fresh.name) == (missing.kind, missing.name) for fresh in self._fresh
        )
        return NonDeterminism(place, expected, asked, has_other_args=changes)


def _shown(kind: StepKind, name: str, occurrence: int) -> str:
    again = f" ({occurrence + 1})" if occurrence else ""
    return f"{kind} {name[:_SHOWN]!r}{again}"
