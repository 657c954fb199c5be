"""Attack a scenario of your own with crashes, frozen workers and lost answers; see what repeats.

    report = attack(scenario)       # async def scenario(ledger): ...
    assert report.ok, report

Every history begins with an empty ledger and one disturbance, and ends with the scenario being run again,
as every queue, supervisor and impatient user does. Time stands still but for the leases of the dead.
"""

from __future__ import annotations

import asyncio
import itertools
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from holdfast.errors import InvalidCall
from holdfast.settings import Settings
from holdfast.testing.disturbance import Duplicates, Nothing, disturbances
from holdfast.testing.history import Attacked, Disturbance, Execution, History
from holdfast.testing.places import Places, places

__all__ = ["AttackReport", "Repeated", "attack"]

_LONGEST: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeated:
    """An effect that happened more often than once.

    Attributes:
        tool: Whose effect it is.
        executions: How often its handler was started.
        expected: How often an undisturbed run starts it.
        keys: The effects that the ledger took it for; several mean that its identity changes.
        after: What was done to it.
    """

    tool: str
    executions: int
    expected: int
    keys: tuple[str, ...]
    after: str

    def __str__(self) -> str:
        keys = f" under {len(self.keys)} keys: its identity changes" if len(self.keys) > self.expected else ""
        return f"{self.tool} ran {self.executions} times, not {self.expected}{keys}; after {self.after}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AttackReport:
    """What came of an attack; print it.

    Attributes:
        histories: What was done, one line each.
        repeated: Effects that ran again although their contract does not allow it, and although no
            handler said that nothing had happened.
        on_evidence: Unsafe effects that ran again because a reconciler said ``NotDone`` while the first
            worker stood still. If that one acts after all, only ``effect.idem_key`` stops it.
        problems: What the audit trails showed.
        doubts: By tool, in how many histories an effect was left ``unknown``.
    """

    histories: tuple[str, ...]
    repeated: tuple[Repeated, ...]
    on_evidence: tuple[Repeated, ...]
    problems: tuple[str, ...]
    doubts: Mapping[str, int]

    @property
    def ok(self) -> bool:
        """Whether no effect was repeated and every audit trail is whole."""
        return not self.repeated and not self.problems

    def __str__(self) -> str:
        kinds = Counter(name.partition(" at ")[0].partition(" of ")[0] for name in self.histories)
        lines = [
            f"{len(self.histories)} histories: " + ", ".join(f"{n} x {kind}" for kind, n in kinds.items())
        ]
        lines += [f"REPEATED  {found}" for found in self.repeated]
        lines += [f"evidence  {found}: send effect.idem_key along" for found in self.on_evidence]
        lines += [f"BROKEN    {found}" for found in self.problems]
        lines += [
            f"in doubt  {tool} in {n} histories: reconcile= would settle them"
            for tool, n in sorted(self.doubts.items())
        ]
        if self.ok:
            lines.append("No effect was repeated.")
        return "\n".join(lines)


def attack(
    scenario: Attacked,
    *,
    store: str | Places = "memory",
    prepare: Callable[[], object] | None = None,
    check: Callable[[], object] | None = None,
    retries: int = 2,
    settings: Settings | None = None,
    life_s: float = 30.0,
) -> AttackReport:
    """Disturb *scenario* in every way at every boundary, run it again, and report repeated effects.

    Executions of handlers are counted by effect; what a ``ledger.begin`` block does is not seen.

    Args:
        scenario: ``async def scenario(ledger)``, with your own tools. What it raises ends that life only.
        store: ``memory``, ``sqlite``, a PostgreSQL URL, or a function that makes places.
        prepare: Called before each history: empty your fakes here.
        check: Called after each history: assert here what must be true of your fakes.
        retries: How often the scenario is run again after the disturbance.
        settings: The ledger's tuning.
        life_s: Longest a life may take, in real seconds.

    Raises:
        InvalidCall: An event loop runs in this thread: use ``await asyncio.to_thread(attack, scenario)``.
    """
    if _has_loop():
        raise InvalidCall("attack() inside a running event loop", "await asyncio.to_thread(attack, scenario)")
    with tempfile.TemporaryDirectory() as directory:
        siege = _Siege(
            scenario,
            places(store, Path(directory), blocking=False),
            prepare,
            check,
            retries,
            settings or Settings(),
            life_s,
        )
        return siege.report()


class _Siege:
    def __init__(
        self,
        scenario: Attacked,
        make: Places,
        prepare: Callable[[], object] | None,
        check: Callable[[], object] | None,
        retries: int,
        settings: Settings,
        life_s: float,
    ) -> None:
        self._scenario = scenario
        self._make = make
        self._prepare = prepare
        self._check = check
        self._retries = retries
        self._settings = settings
        self._life_s = life_s
        self._expected: Counter[str] = Counter()
        self._names: list[str] = []
        self._repeated: list[Repeated] = []
        self._on_evidence: list[Repeated] = []
        self._problems: list[str] = []
        self._doubts: Counter[str] = Counter()

    def report(self) -> AttackReport:
        alone = self._history(Nothing(), retries=0)
        self._expected = Counter(tool for tool, _ in {(e.tool, e.key) for e in alone.executions})
        self._judge(self._history(Nothing()))
        for make in disturbances():
            self._one_way(make)
        for among in ("two processes", "one process"):
            self._judge(self._history(Duplicates(among)))
        return AttackReport(
            histories=tuple(self._names),
            repeated=tuple(self._repeated),
            on_evidence=tuple(self._on_evidence),
            problems=tuple(self._problems),
            doubts=dict(self._doubts),
        )

    def _one_way(self, make: Callable[[int], Disturbance]) -> None:
        """Disturb in one way at the first place, the second, … until there is none left."""
        for at in itertools.count():
            history = self._history(make(at))
            if not history.disturbed or at > _LONGEST:
                return
            self._judge(history)

    def _history(self, disturbance: Disturbance, *, retries: int | None = None) -> History:
        if self._prepare is not None:
            self._prepare()
        history = History(self._scenario, self._make(), disturbance, self._settings, self._life_s)
        asyncio.run(history.run(self._retries if retries is None else retries))
        if self._check is not None:
            try:
                self._check()
            except BaseException as error:
                error.add_note(f"after: {history.name}")
                raise
        return history

    def _judge(self, history: History) -> None:
        self._names.append(history.name)
        by_tool: dict[str, list[Execution]] = {}
        for execution in history.executions:
            by_tool.setdefault(execution.tool, []).append(execution)
        for tool, executions in by_tool.items():
            self._judge_tool(tool, executions, history.name)
        self._problems += [f"{problem}; after {history.name}" for problem in history.problems]
        self._doubts.update(history.doubts)

    def _judge_tool(self, tool: str, executions: list[Execution], after: str) -> None:
        times = Counter(execution.key for execution in executions)
        expected = max(self._expected[tool], 1)
        found = Repeated(
            tool=tool, executions=len(executions), expected=expected, keys=tuple(times), after=after
        )
        excess = max(times[execution.key] - execution.allowed for execution in executions)
        denied = max(times[execution.key] - execution.allowed - execution.denied for execution in executions)
        if denied > 0 or len(times) > max(expected, executions[0].free):
            self._repeated.append(found)
        elif excess > 0:
            self._on_evidence.append(found)


def _has_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
