"""The tables: ratios first, absolute figures second."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence

from participants import RIVALS
from rates import LAYOUTS, Slice, Slices
from waiting import Waiting

GOALS = {"DBOS": 3.0, "Absurd": 1.0}


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    every = [list(head), *map(list, rows)]
    widths = [max(len(row[at]) for row in every) for at in range(len(head))]

    def line(row: Sequence[str]) -> str:
        first, *rest = (
            cell.ljust(width) if at == 0 else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        return f"| {' | '.join((first, *rest))} |"

    marks = (
        "| " + " | ".join("-" * w if at == 0 else "-" * (w - 1) + ":" for at, w in enumerate(widths)) + " |"
    )
    return "\n".join([line(head), marks, *map(line, rows)])


def _spread(values: Sequence[float]) -> str:
    """The median, and the least and the most that was seen."""
    if len(values) == 1:
        return f"{values[0]:.1f}"
    return f"{statistics.median(values):.1f} ({min(values):.1f} to {max(values):.1f})"


def _over(
    above: Mapping[int, Slice], below: Mapping[int, Slice], of: Callable[[Slice], float]
) -> list[float]:
    """The ratio within each round in which both were measured."""
    return [of(above[number]) / of(below[number]) for number in sorted(above.keys() & below.keys())]


def _work_ms(made: Slice) -> float:
    return made.client_ms + (made.server_ms or 0)


def ratios(found: Slices) -> str:
    """How many times the steps of each other participant's, round by round."""
    rows: list[list[str]] = []
    ours = [rival.name for rival in RIVALS if rival.is_ours]
    for layout in LAYOUTS:
        for own in ours:
            row = [f"{layout.title}: {own}"]
            for other, least in GOALS.items():
                top, bottom = found.get((own, layout.title)), found.get((other, layout.title))
                if not top or not bottom or not top.keys() & bottom.keys():
                    row += ["", ""]
                    continue
                rates = _over(top, bottom, lambda made: made.per_s)
                work = _over(bottom, top, _work_ms)
                met = "" if statistics.median(rates) >= least else " **not met**"
                row += [_spread(rates) + met, _spread(work)]
            if any(row[1:]):
                rows.append(row)
    head = [
        "",
        *(
            text
            for other in GOALS
            for text in (f"steps/s over {other}'s", f"{other}'s processor time over ours")
        ),
    ]
    return table(head, rows)


def absolute(found: Slices) -> str:
    rows: list[list[str]] = []
    for layout in LAYOUTS:
        for rival in RIVALS:
            made = found.get((rival.name, layout.title))
            if made:
                rates = sorted(each.per_s for each in made.values())
                rows.append(
                    [
                        f"{layout.title}: {rival.name}",
                        f"{statistics.median(rates):,.0f} ({rates[0]:,.0f} to {rates[-1]:,.0f})",
                        f"{statistics.median(each.client_ms for each in made.values()):.2f}",
                        f"{statistics.median(each.server_ms or 0 for each in made.values()):.2f}",
                    ]
                )
    return table(["", "steps/s", "its processor ms per step", "the server's"], rows)


def durability() -> str:
    rows = [[rival.name, rival.before, str(rival.durable)] for rival in RIVALS]
    return table(["", "on record before a step runs", "commits of a step that wait for the disk"], rows)


def held(found: Waiting) -> str:
    rows = [
        [f"{n:,} waiting", f"{found.kib[n] / 1024:.1f}", str(found.connections[n])] for n in sorted(found.kib)
    ]
    return table(["", "a worker's memory, MiB", "connections of worker and signaller"], rows)


def woken(found: Waiting) -> str:
    told = [f"{found.at(share):.1f}" for share in (0.5, 0.95, 0.99)]
    head = [f"signal to the step after it, {len(found.ms)} of {found.n:,}", "p50 ms", "p95 ms", "p99 ms"]
    return table(head, [["PostgreSQL, two processes", *told]])


def resumed(found: dict[str, list[float]]) -> str:
    rows = [
        [store, f"{statistics.median(ms):.1f}", f"{min(ms):.1f}", f"{max(ms):.1f}"]
        for store, ms in found.items()
    ]
    return table(["1,000 recorded steps, resumed", "median ms", "least", "most"], rows)
