"""Every death of a process: one durable store seen through many lives, and the world outside it."""

from __future__ import annotations

import contextvars
import itertools
import tempfile
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar

from holdfast._core.model import JSON
from holdfast._runtime.drive import run_sync
from holdfast.ledger import EffectRecord, Ledger, VerifyReport
from holdfast.ports import Handler, Store
from holdfast.settings import Settings
from holdfast.testing.faults import Crash, Faults, FaultyRuntime, FaultyStore
from holdfast.testing.places import Open, Places, ledger_on, places
from holdfast.testing.runtime import FakeClock, FakeRuntime

T = TypeVar("T")
Scenario: TypeAlias = "Callable[[Ledger, World], Coroutine[Any, Any, Any]]"
Check: TypeAlias = "Callable[[World, Life], None]"

_WORLDS: Final = itertools.count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """One life of the process.

    Attributes:
        end: What the scenario returned or raised; a :class:`Crash` when it died.
        died_at: The boundary where it died, else ``None``.
        boundaries: The boundaries that it passed.
    """

    end: object
    died_at: str | None
    boundaries: tuple[str, ...]


class World:
    """One durable store seen through many lives of the process, and what its tools did outside.

    Args:
        open_store: Opens the store; called once per life.
        settings: The ledger's tuning.

    Attributes:
        clock: The time; it stands still until it is moved.
        tenant: A tenant of this world's own, so that worlds may share a database.
        executed: How often each tool ran, over all lives.
        lives: All lives so far.
    """

    def __init__(self, open_store: Open, *, settings: Settings | None = None) -> None:
        self.clock = FakeClock()
        self.tenant = f"world-{next(_WORLDS)}"
        self.executed: Counter[str] = Counter()
        self.lives: list[Life] = []
        self._open = open_store
        self._settings = settings or Settings()
        self._tokens = itertools.count(1)
        self._processes = itertools.count(1)
        self._faults = Faults()
        self._observer: Store | None = None

    def tool(
        self, name: str, result: JSON = None, *, raises: Exception | None = None, takes_s: float = 0.0
    ) -> Handler:
        """Return a handler that counts its executions, lets time pass, then returns or raises."""

        def handler(**args: object) -> JSON:
            del args
            self.executed[name] += 1
            self.clock.advance(takes_s)
            if raises is not None:
                raise raises
            return result

        handler.__name__ = handler.__qualname__ = name
        return handler

    def boundary(self, name: str) -> None:
        """Let the process die here too: for handlers that do several things."""
        self._faults.pass_by(name)

    def live(self, scenario: Scenario, *, die_at: int | str | None = None) -> Life:
        """Run one life of the process, to its end or to the boundary *die_at* (its number or its name)."""
        outer, self._faults = self._faults, Faults(die_at)
        faults = self._faults
        store = self._open(self.clock)
        end: object
        try:
            end = _in_new_process(scenario(self._ledger(store, faults), self))
        except (Exception, Crash) as ended:  # noqa: BLE001 - how a life ends is the result
            end = ended
        finally:
            self._faults = outer  # one life may run inside another's handler
            run_sync(store.close())  # the system closes the connections of the dead as well
        life = Life(end=end, died_at=faults.died_at, boundaries=tuple(faults.trace))
        self.lives.append(life)
        return life

    def recover(self) -> None:
        """Let time pass until every claim of the dead is over and every reconciler may be believed."""
        self.clock.advance(self._settings.lease_s + self._settings.skew.total_seconds() + 1)

    def look(self, question: Callable[[Ledger], Coroutine[Any, Any, T]]) -> T:
        """Ask the ledger something, from another process that does not die."""
        if self._observer is None:
            self._observer = self._open(self.clock)
        return _in_new_process(question(self._ledger(self._observer, Faults())))

    def effects(self) -> list[EffectRecord]:
        """Return every effect on record, newest first."""
        return self.look(lambda ledger: ledger.effects(limit=1000))

    def verify(self) -> VerifyReport:
        """Check every audit chain."""
        return self.look(lambda ledger: ledger.verify())

    def close(self) -> None:
        """Release the store."""
        if self._observer is not None:
            run_sync(self._observer.close())

    def _ledger(self, store: Store, faults: Faults) -> Ledger:
        return ledger_on(
            FaultyStore(store, faults),
            FaultyRuntime(FakeRuntime(self.clock, tokens=self._tokens), faults),
            tenant=self.tenant,
            owner=f"process-{next(self._processes)}",
            settings=self._settings,
        )


def _in_new_process(coro: Coroutine[Any, Any, T]) -> T:
    """Run *coro* in empty surroundings: a process knows nothing of the one whose handler started it."""
    return contextvars.Context().run(run_sync, coro)


@dataclass(frozen=True, slots=True, kw_only=True)
class CrashReport:
    """What came of killing a scenario everywhere.

    Attributes:
        boundaries: Where an undisturbed life may be interrupted, in order.
        worlds: How many histories were tried.
        repeated: Tools that ran more than once in one of them, with the most that was seen.
    """

    boundaries: tuple[str, ...]
    worlds: int
    repeated: Mapping[str, int]

    def __len__(self) -> int:
        return len(self.boundaries)


def every_crash(
    scenario: Scenario,
    check: Check | None = None,
    *,
    store: str | Places = "memory",
    deaths: int = 1,
    directory: Path | None = None,
    settings: Settings | None = None,
    around: Callable[[str], AbstractContextManager[object]] = nullcontext,
) -> CrashReport:
    """Kill *scenario* at each boundary in turn, restart it twice after its leases, check the world.

    After every life, the last one too, every audit chain is verified (I6).

    Args:
        scenario: What the process does: ``async def scenario(ledger, world)``; it must not suspend.
        check: Asserts what must hold after each restarted life, ``check(world, life)``.
        store: ``memory``, ``sqlite``, a PostgreSQL URL, or a function that makes places.
        deaths: 2 lets the recovery die at each of its boundaries as well, and so on.
        directory: For SQLite's files; default a temporary one.
        around: Wraps each history; it is given the boundaries where the process dies.

    Raises:
        AssertionError: What *check* found; a note says which crash led to it.
    """
    with nullcontext(directory) if directory else tempfile.TemporaryDirectory() as found:
        sweep = _Sweep(scenario, check, places(store, Path(str(found))), settings, around)
        boundaries = sweep.kill_after((), deaths)
    return CrashReport(boundaries=boundaries, worlds=sweep.worlds, repeated=dict(sweep.repeated))


class _Sweep:
    def __init__(
        self,
        scenario: Scenario,
        check: Check | None,
        make: Places,
        settings: Settings | None,
        around: Callable[[str], AbstractContextManager[object]],
    ) -> None:
        self.worlds = 0
        self.repeated: Counter[str] = Counter()
        self._scenario = scenario
        self._check = check
        self._make = make
        self._settings = settings
        self._around = around

    def kill_after(self, earlier: tuple[int, ...], deaths: int) -> tuple[str, ...]:
        """Let the life after those that died at *earlier* die everywhere; return its boundaries."""
        for die_at in itertools.count():  # ends with the first life that is not long enough to die
            world = World(self._make(), settings=self._settings)
            self.worlds += 1
            try:
                life = self._run(world, (*earlier, die_at))
            finally:
                world.close()
            self.repeated |= Counter({tool: n for tool, n in world.executed.items() if n > 1})
            if life.died_at is None:
                return life.boundaries
            if len(earlier) + 1 < deaths:
                self.kill_after((*earlier, die_at), deaths)
        raise AssertionError

    def _run(self, world: World, deaths: tuple[int, ...]) -> Life:
        """Let *world* go through *deaths* and recover; return the last life that was to die."""
        lives: list[Life] = []
        for at in deaths:
            lives.append(world.live(self._scenario, die_at=at))
            world.recover()
        where = " then ".join(life.died_at or "alive" for life in lives)
        with self._around(f"{deaths} {where}"):
            try:
                self._look(world)
            except BaseException as error:
                error.add_note(f"after: {where}")
                raise
        return lives[-1]

    def _look(self, world: World) -> None:
        self._verify(world)
        for _ in range(2):
            life = world.live(self._scenario)
            self._verify(world)
            if self._check is not None:
                self._check(world, life)
            world.recover()

    def _verify(self, world: World) -> None:
        problems = world.verify().problems
        assert not problems, problems
