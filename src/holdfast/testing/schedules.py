"""Try every order of concurrent callers: each suspends before every transaction, and a scheduler chooses."""

from __future__ import annotations

import contextvars
import random
import types
from collections.abc import Callable, Coroutine, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from holdfast.ports import Bell, Store
from holdfast.testing.faults import Crash, FaultyStore
from holdfast.testing.runtime import FakeClock, FakeRuntime

Make: TypeAlias = "Callable[[], Sequence[Coroutine[Any, Any, Any]]]"
_READS: Final = frozenset(
    {
        *("find", "trail", "effects", "counts", "keys", "joining"),
        *("workflow", "workflows", "signals", "dependency", "dependencies"),
        *("approval", "latest_approval", "approvals", "approval_counts"),
        *("version", "view_workflows", "tally", "attention", "pulse", "waiting"),
        *("budgets", "holds", "costs"),
    }
)


@dataclass(frozen=True, slots=True)
class Turn:
    """A caller is about to do *what*; somebody else may go first."""

    what: str

    @property
    def writes(self) -> bool:
        """Whether it may change what others see."""
        return self.what not in _READS


@dataclass(frozen=True, slots=True)
class Pause:
    """A caller waits: until something was written, or until *timeout_s* pass on *clock*."""

    timeout_s: float
    clock: FakeClock


@types.coroutine
def _suspended(on: Turn | Pause) -> Generator[Turn | Pause, None, None]:
    yield on


async def switch(what: str = "switch") -> None:
    """Let the scheduler choose who goes next; for handlers and for callers of your own."""
    await _suspended(Turn(what))


class _Switches:
    async def reach(self, name: str) -> None:
        when, _, what = name.partition(" ")
        # Who stood still inside an open transaction would keep the others out, at least on SQLite.
        if when == "before" and not what.startswith("local "):
            await switch(what)


class SwitchingStore(FaultyStore):
    """Suspends before every transaction, so that a scheduler can choose who goes next."""

    def __init__(self, inner: Store) -> None:
        super().__init__(inner, _Switches())


class SwitchingRuntime(FakeRuntime):
    """A runtime whose waiters let others go on; time passes only when everybody waits."""

    def bell(self) -> Bell:
        return _SwitchingBell(self.clock)

    async def sleep(self, seconds: float) -> None:
        await _suspended(Pause(seconds, self.clock))


class _SwitchingBell:
    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self._rung = False

    def ring(self) -> None:
        self._rung = True

    async def heard(self, timeout_s: float) -> bool:
        if not self._rung:
            await _suspended(Pause(timeout_s, self._clock))
        heard, self._rung = self._rung, False
        return heard


async def time_passes(clock: FakeClock, seconds: float) -> None:
    """Be one of the callers of a schedule: time that passes at any moment."""
    await switch("time passes")
    clock.advance(seconds)


class _Play:
    """One order of one set of callers."""

    def __init__(self, callers: Sequence[Coroutine[Any, Any, Any]]) -> None:
        self.taken: list[int] = []
        self.ends: list[object] = [None] * len(callers)
        self._callers = callers
        # Each caller has surroundings of its own, as a task or a thread has.
        self._contexts = [contextvars.copy_context() for _ in callers]
        self._at: dict[int, Turn | Pause] = {}
        for who in range(len(callers)):  # up to its first transaction a caller meets nobody
            self._resume(who)

    def ready(self) -> list[int]:
        """Return who may go next; when everybody waits, time passes first."""
        able = [who for who, at in self._at.items() if isinstance(at, Turn)]
        if not able and self._at:
            pauses = [at for at in self._at.values() if isinstance(at, Pause)]
            for clock in {id(pause.clock): pause.clock for pause in pauses}.values():
                clock.advance(min(pause.timeout_s for pause in pauses))
            self._wake()
            able = list(self._at)
        return able

    def go(self, who: int) -> None:
        """Let *who* go on to its next transaction, or to its end."""
        self.taken.append(who)
        wrote = self.writes(who)
        self._resume(who)
        if wrote:
            self._wake()

    def writes(self, who: int) -> bool:
        """Whether what *who* is about to do may change what others see."""
        at = self._at[who]
        return isinstance(at, Turn) and at.writes

    def _resume(self, who: int) -> None:
        self._at.pop(who, None)
        try:
            self._at[who] = self._contexts[who].run(self._callers[who].send, None)
        except StopIteration as stop:
            self.ends[who] = stop.value
        except (Exception, Crash) as error:  # noqa: BLE001 - how a caller ends is what is looked at
            self.ends[who] = error

    def _wake(self) -> None:
        for who, at in self._at.items():
            if isinstance(at, Pause):
                self._at[who] = Turn("find")

    def close(self) -> None:
        for context, caller in zip(self._contexts, self._callers, strict=True):
            context.run(caller.close)


class _Search:
    """Which orders are still to be tried: all but those that only swap two neighbouring reads.

    Once a caller's next step was tried at some point, it need not go first after a step that it commutes
    with: that order was seen. (Such callers are called asleep; Godefroid's sleep sets.)
    """

    def __init__(self) -> None:
        self._pending: list[tuple[list[int], frozenset[int]]] = [([], frozenset())]

    def prefixes(self) -> Iterator[Callable[[_Play, list[int]], int | None]]:
        """Yield one chooser after the other until everything was tried."""
        while self._pending:
            prefix, asleep = self._pending.pop()
            yield self._chooser(prefix, asleep)

    def _chooser(self, prefix: list[int], asleep: frozenset[int]) -> Callable[[_Play, list[int]], int | None]:
        sleeping = asleep

        def choose(play: _Play, ready: list[int]) -> int | None:
            nonlocal sleeping
            at = len(play.taken)
            if at < len(prefix):
                return prefix[at]
            able = [who for who in ready if who not in sleeping]
            for n, other in enumerate(able[1:], 1):
                rest = _still_asleep(play, sleeping.union(able[:n]), other)
                self._pending.append(([*play.taken, other], rest))
            if not able:
                return None
            sleeping = _still_asleep(play, sleeping, able[0])
            return able[0]

        return choose


def _still_asleep(play: _Play, sleeping: frozenset[int], chosen: int) -> frozenset[int]:
    if play.writes(chosen):
        return frozenset()
    return frozenset(who for who in sleeping if not play.writes(who))


def every_schedule(make: Make, check: Callable[[list[Any]], None]) -> int:
    """Run the callers that *make* returns in every order of their transactions; return how many there are.

    Orders that differ only by swapping two reads are one. Three callers of one effect have 198.

    Args:
        make: Returns new callers over a new ledger on a :class:`SwitchingStore`.
        check: Is given what each caller returned or raised.

    Raises:
        AssertionError: What *check* found; a note says which order led to it.
    """
    return sum(_played(make, check, choose) for choose in _Search().prefixes())


def random_schedules(make: Make, check: Callable[[list[Any]], None], *, count: int, seed: int = 0) -> int:
    """Run *count* orders drawn by *seed*: for more callers than :func:`every_schedule` can exhaust."""
    draw = random.Random(seed)  # noqa: S311 - repeatable on purpose
    return sum(_played(make, check, lambda _, ready: draw.choice(ready)) for _ in range(count))


def _played(
    make: Make, check: Callable[[list[Any]], None], choose: Callable[[_Play, list[int]], int | None]
) -> bool:
    """Play one order to its end and check it; ``False`` when an equal one was played before."""
    play = _Play(make())
    try:
        while ready := play.ready():
            who = choose(play, ready)
            if who is None:
                return False
            play.go(who)
        check(play.ends)
    except BaseException as error:
        error.add_note(f"order of the callers: {play.taken}")
        raise
    finally:
        play.close()
    return True
