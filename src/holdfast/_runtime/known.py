"""What this process knows by itself of dependencies and stopped workflows, between two looks at the store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from holdfast._core.dependency import Dependency
from holdfast._runtime.forks import forget_in_child

_MOST: Final = 1000


@dataclass(slots=True)
class Local:
    """What this process knows of one dependency.

    Attributes:
        good: Good outcomes that were not told yet.
        told_at: When something was told last, by the monotonic clock.
        looked_at: When its breaker was seen closed last.
        of: The dependency as it was declared.
    """

    good: int = 0
    told_at: float = 0.0
    looked_at: float = float("-inf")
    of: Dependency | None = None


@dataclass(slots=True)
class Known:
    """One process's memory of what all workers share.

    Attributes:
        dependencies: By tenant and name.
        probes: Claims of this process that are probes and have told nothing yet.
        stopped: Workflows, by tenant and id, that this process saw stopped: their reads look before they go.
    """

    dependencies: dict[tuple[str, str], Local] = field(default_factory=dict[tuple[str, str], Local])
    probes: set[str] = field(default_factory=set[str])
    stopped: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])

    def of(self, tenant: str, name: str, now: float) -> Local:
        """Return what is known of a dependency; *now* is the monotonic clock."""
        place = tenant, name
        known = self.dependencies.get(place)
        if known is None:
            if len(self.dependencies) >= _MOST:  # names may come from models; statistics may be lost
                idle = [each for each, here in self.dependencies.items() if not here.good]
                for each in idle or tuple(self.dependencies):
                    del self.dependencies[each]
            known = self.dependencies[place] = Local(told_at=now)
        return known


class Lingering:
    """Counts, per effect, the handler threads that outlived their timeout in this process."""

    def __init__(self) -> None:
        self._threads: Counter[str] = Counter()
        forget_in_child(self)

    def forget_parent(self) -> None:
        """Forget the parent's threads: a child has none of them."""
        self._threads = Counter()

    def __contains__(self, key: str) -> bool:
        return self._threads[key] > 0

    def add(self, key: str) -> None:
        """Count one more."""
        self._threads[key] += 1

    def hold(self, key: str) -> Callable[[], None]:
        """Count one more; return what counts it out again, once, however often it is called."""
        threads = self._threads
        self.add(key)
        held = [key]

        def release() -> None:
            if held and threads is self._threads:  # in a forked child there is nothing to count out
                self.discard(held.pop())

        return release

    def discard(self, key: str) -> None:
        """Count one less."""
        self._threads[key] -= 1
        if self._threads[key] <= 0:
            del self._threads[key]
