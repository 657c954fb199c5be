"""What this process knows by itself of dependencies and stopped workflows, between two looks at the store."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Local:
    """What this process knows of one dependency.

    Attributes:
        good: Good outcomes that were not told yet.
        told_at: When something was told last, by the monotonic clock.
        looked_at: When its breaker was seen closed last.
    """

    good: int = 0
    told_at: float = 0.0
    looked_at: float = float("-inf")


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
            known = self.dependencies[place] = Local(told_at=now)
        return known
