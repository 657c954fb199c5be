"""The tables: ratios first, absolute figures second, and whether the goals were met."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from environments import PARTICIPANTS, Participant
from results import Results

TITLES = {
    "new": "New call: claim, handler, record",
    "replay": "Replay: the same call again, from a new client",
    "concurrent16": "16 tasks at once, new calls",
    "concurrent64": "64 tasks at once, new calls",
}
OURS = {"PostgreSQL": "holdfast", "SQLite": "holdfast (SQLite)"}
Ratio = tuple[float | None, float | None]
"""The median over the rounds, and the same in quiet moments."""

AT_MOST, AT_LEAST = "at most", "at least"
FACTS = {
    "select1": "one round trip",
    "insert": "one durable commit",
    "new": "claim and result, two durable commits",
    "replay": "read by primary key",
    "concurrent16": "16 tasks, claim and result",
    "concurrent64": "64 tasks, claim and result",
    "batch16": "claim and result of 16 at a time",
    "batch64": "claim and result of 64 at a time",
}


@dataclass(frozen=True)
class Goal:
    """A limit on one ratio, as this project sets it for itself."""

    text: str
    limit: float
    sense: str
    measured: Callable[[Results], Ratio]

    def line(self, results: Results) -> list[str]:
        found, quiet = self.measured(results)
        if found is None:
            return [self.text, self._limit(), "not measured", "", ""]
        is_met = found <= self.limit if self.sense == AT_MOST else found >= self.limit
        return [
            self.text,
            self._limit(),
            f"{found:.2f}",
            _number(quiet, 2),
            "met" if is_met else "**not met**",
        ]

    def _limit(self) -> str:
        return f"{self.sense} {self.limit:g}"


def _to_floor(name: str, mode: str) -> Callable[[Results], Ratio]:
    sides = (name, "own"), (name, next(p.floor for p in PARTICIPANTS if p.name == name))
    return lambda results: (results.over(mode, *sides), results.quiet(mode, *sides))


def _against_lone(results: Results) -> Ratio:
    many, lone = results.own("holdfast (SQLite)", "concurrent16"), results.own("holdfast (SQLite)", "new")
    if not many or not lone:
        return None, None
    best = max(s.per_s for s in many.values()) / max(s.per_s for s in lone.values())
    return statistics.median(many[n].per_s / lone[n].per_s for n in many.keys() & lone.keys()), best


GOALS = (
    Goal("PostgreSQL, new call: p50 over the floor's two commits", 1.4, AT_MOST, _to_floor("holdfast", "new")),
    Goal("PostgreSQL, replay: p50 over the floor's read by key", 1.6, AT_MOST, _to_floor("holdfast", "replay")),
    Goal(
        "PostgreSQL, 16 tasks without group commit: rate over the floor's 16 connections", 0.65, AT_LEAST,
        _to_floor("holdfast, no group commit", "concurrent16"),
    ),
    Goal(
        "PostgreSQL, 16 tasks with group commit: rate over the floor's 16 connections", 1.2, AT_LEAST,
        _to_floor("holdfast", "concurrent16"),
    ),
    Goal(
        "PostgreSQL, 64 tasks with group commit: rate over the floor's 64 connections", 1.3, AT_LEAST,
        _to_floor("holdfast", "concurrent64"),
    ),
    Goal("SQLite, new call: p50 over the floor's two commits", 1.7, AT_MOST, _to_floor("holdfast (SQLite)", "new")),
    Goal("SQLite, 16 tasks: rate over the floor's", 1.1, AT_LEAST, _to_floor("holdfast (SQLite)", "concurrent16")),
    Goal("SQLite, 16 tasks: rate over its own lone calls'", 1.5, AT_LEAST, _against_lone),
)  # fmt: skip


def _number(value: float | None, digits: int = 0) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table with its columns aligned, so that it reads well in a terminal too."""
    lines = [head, *rows]
    widths = [max(3, *(len(line[at]) for line in lines)) for at in range(len(head))]
    shown = []
    for line in lines:
        cells = [
            cell.ljust(width) if at == 0 else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        shown.append("| " + " | ".join(cells) + " |")
    rule = (
        "| "
        + " | ".join("-" * width if at == 0 else "-" * (width - 1) + ":" for at, width in enumerate(widths))
        + " |"
    )
    return "\n".join([shown[0], rule, *shown[1:]])


def ahead(results: Results, mode: str, peer: Participant) -> float | None:
    """How many times faster holdfast is than *peer*; below 1 it is slower."""
    ours = OURS[peer.store]
    if mode.startswith("concurrent"):
        return results.over(mode, (ours, "own"), (peer.name, "own"))
    return results.over(mode, (peer.name, "own"), (ours, "own"))


def mode_table(results: Results, mode: str) -> str:
    rows = []
    rate = mode.startswith("concurrent")
    for participant in PARTICIPANTS:
        if participant.is_floor or (found := results.figures(participant.name, mode)) is None:
            continue
        sides = (participant.name, "own"), (participant.name, participant.floor)
        faster = None if participant.is_ours else ahead(results, mode, participant)
        rows.append([
            participant.name,
            participant.floor.removeprefix("floor: "),
            _number(results.over(mode, *sides), 2),
            _number(results.quiet(mode, *sides), 2),
            "" if participant.is_ours else _number(faster, 2 if faster and faster < 1 else 1),
            *(_number(found[key]) for key in ("p50", "p95", "p99", "per_s")),
        ])  # fmt: skip
    head = [
        "",
        "driver",
        "rate / floor" if rate else "p50 / floor",
        "quiet",
        "holdfast is faster by",
        "p50 µs",
        "p95 µs",
        "p99 µs",
        "calls/s",
    ]
    return _table(head, rows)


def facts_table(results: Results) -> str:
    floors = [p.name for p in PARTICIPANTS if p.is_floor]
    rows = []
    for mode, title in FACTS.items():
        cells = []
        for name in floors:
            found = results.figures(name, mode) or _pooled_floor(results, name, mode)
            rate = mode.startswith(("concurrent", "batch"))
            cells.append(
                "-" if found is None else f"{found['per_s']:,.0f}/s" if rate else f"{found['p50']:,.0f} µs"
            )
        rows.append([title, *cells])
    return _table(["", *(name.removeprefix("floor: ") for name in floors)], rows)


def _pooled_floor(results: Results, floor: str, mode: str) -> dict[str, float] | None:
    """The floor's own figures, from the slices next to holdfast (or to whoever used that floor)."""
    users = sorted(
        {name for name, m, role in results.samples if role == floor and m == mode},
        key=lambda n: "holdfast" not in n,
    )
    return results.figures(users[0], mode, floor) if users else None


def beside_lines(results: Results) -> list[str]:
    """holdfast against the floor of the driver that it does not use."""
    lines = []
    for participant in PARTICIPANTS:
        for floor in participant.beside:
            for mode in participant.modes:
                ratio = results.over(mode, (participant.name, "own"), (participant.name, floor))
                if ratio is not None:
                    what = "rate" if mode.startswith("concurrent") else "p50"
                    lines.append(f"- {participant.name}, {mode}: {what} {ratio:.2f} times that of {floor}")
    return lines


def behind_lines(results: Results) -> list[str]:
    """Where a peer is faster."""
    lines = []
    for mode in TITLES:
        for peer in PARTICIPANTS:
            if peer.is_floor or peer.is_ours:
                continue
            faster = ahead(results, mode, peer)
            if faster is not None and faster < 1:
                note = f" ({peer.note})" if peer.note else ""
                lines.append(
                    f"- {mode}: {peer.name} is {1 / faster:.1f} times faster than {OURS[peer.store]}{note}"
                )
    return lines or ["- nowhere in this run"]


def _sections(results: Results) -> list[tuple[str, str]]:
    measured = [mode for mode in TITLES if any(m == mode for _, m, _ in results.samples)]
    notes = "\n".join(f"- {p.name}: {p.note}" for p in PARTICIPANTS if p.note)
    goals = _table(
        ["goal", "limit", "measured", "in quiet moments", ""], [goal.line(results) for goal in GOALS]
    )
    return [
        ("Against the goals", goals),
        *((TITLES[mode], mode_table(results, mode)) for mode in measured),
        ("Where a peer is faster", "\n".join(behind_lines(results))),
        ("Beside the other driver's floor", "\n".join(beside_lines(results))),
        ("The floor itself", facts_table(results)),
        ("To be known", notes),
        ("Conditions", "\n".join(f"- {key}: {value}" for key, value in results.conditions.items())),
    ]


def text(results: Results) -> str:
    return "\n\n".join(f"{title}\n{body}" for title, body in _sections(results))


INTRODUCTION = """# Benchmarks

One durable tool call, measured for holdfast, for other libraries with the same job, and for the floor: the same
durable commits made by hand with the same driver. One session, one machine, one PostgreSQL server with stock settings
(`fsync` and `synchronous_commit` on); all take turns in every round, each next to a slice of its floor.

Read the ratios. Absolute figures belong to the machine and the minute: a ratio is the median over the rounds of the
ratio within a round, and *quiet* is the ratio of the 10th percentiles of all calls (of the best rates, when tasks work
at once), which leaves out what else the machine was doing. The handler does nothing, so a ratio is the worst case: a real tool call takes milliseconds more,
and the overhead stays the same. The rules are in `bench/PROTOCOL.md`; `make bench` makes this page's tables anew.
"""


def markdown(results: Results) -> str:
    body = "\n\n".join(f"## {title}\n\n{body}" for title, body in _sections(results))
    return f"{INTRODUCTION}\n{body}\n"
