"""What a session saw: the figures of every slice, and the ratios between neighbours in the same round."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field


def quantile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


@dataclass(frozen=True)
class Sample:
    """One slice: the durations of its calls and its rate."""

    us: tuple[float, ...]
    per_s: float

    @classmethod
    def of(cls, us: list[float], wall_s: float) -> Sample:
        return cls(tuple(us), len(us) / wall_s)

    @property
    def p50(self) -> float:
        return statistics.median(self.us)


@dataclass
class Results:
    """All slices, by who they were measured for, the mode, and the role: ``own`` or the name of a floor."""

    conditions: dict[str, str]
    samples: dict[tuple[str, str, str], dict[int, Sample]] = field(default_factory=dict)

    def add(self, name: str, mode: str, role: str, number: int, sample: Sample) -> None:
        self.samples.setdefault((name, mode, role), {})[number] = sample

    def own(self, name: str, mode: str) -> dict[int, Sample]:
        return self.samples.get((name, mode, "own"), {})

    def figures(self, name: str, mode: str, role: str = "own") -> dict[str, float] | None:
        """p50, p95 and p99 over all calls of all rounds, and the median rate; ``None`` when not measured."""
        found = self.samples.get((name, mode, role))
        if not found:
            return None
        calls = [us for sample in found.values() for us in sample.us]
        named = {f"p{round(share * 100)}": quantile(calls, share) for share in (0.5, 0.95, 0.99)}
        return {**named, "per_s": statistics.median(sample.per_s for sample in found.values())}

    def over(self, mode: str, above: tuple[str, str], below: tuple[str, str]) -> float | None:
        """Median over the rounds of *above* / *below*, each a name and a role, compared round by round.

        Lone calls are compared by their median duration (lower is better), concurrent ones by their rate.
        """
        top = self.samples.get((above[0], mode, above[1]), {})
        bottom = self.samples.get((below[0], mode, below[1]), {})
        rounds = top.keys() & bottom.keys()
        if not rounds:
            return None
        if mode.startswith("concurrent"):
            return statistics.median(top[n].per_s / bottom[n].per_s for n in rounds)
        return statistics.median(top[n].p50 / bottom[n].p50 for n in rounds)

    def quiet(self, mode: str, above: tuple[str, str], below: tuple[str, str]) -> float | None:
        """The same ratio in quiet moments: of the 10th percentiles of all calls, or of the best rounds' rates."""
        top = self.samples.get((above[0], mode, above[1]), {})
        bottom = self.samples.get((below[0], mode, below[1]), {})
        if not top or not bottom:
            return None
        if mode.startswith("concurrent"):
            return max(s.per_s for s in top.values()) / max(s.per_s for s in bottom.values())
        tenth = [quantile([us for s in side.values() for us in s.us], 0.1) for side in (top, bottom)]
        return tenth[0] / tenth[1]

    def as_json(self) -> dict[str, object]:
        rows = []
        for (name, mode, role), found in self.samples.items():
            rounds = [
                {"round": n, "p50_us": round(s.p50, 1), "per_s": round(s.per_s, 1)} for n, s in found.items()
            ]
            rows.append(
                {
                    "for": name,
                    "mode": mode,
                    "role": role,
                    **(self.figures(name, mode, role) or {}),
                    "rounds": rounds,
                }
            )
        return {"conditions": self.conditions, "rows": rows}
