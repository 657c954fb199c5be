"""Steps per second: everybody works off the same workflows, in turns, on one server.

A slice starts the processes, warms them up with workflows that are not counted, enqueues *n* workflows of ten steps,
and times from the word to begin to the end of the last step. Then everything has to be on record as ended well. What
the participant's processes and the server spend of the processors meanwhile is counted as well: it is told apart from
what else a machine does.
"""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import database
import processor
from participants import CALLED, QUEUED, RIVALS, Rival

HERE = Path(__file__).parent
STEPS = 10
PATIENCE_S = 180.0


@dataclass(frozen=True)
class Layout:
    """*processes* that each work on *at_once* workflows at the same time, which come to them by *way*."""

    processes: int
    at_once: int
    way: str = QUEUED

    @property
    def title(self) -> str:
        if self.way == CALLED:
            return f"{self.at_once} tasks call" if self.at_once > 1 else "1 task calls"
        if self.processes > 1 or self.at_once == 1:
            return f"{self.processes} worker{'s' * (self.processes > 1)}"
        return f"1 worker, {self.at_once} at once"


Slices = dict[tuple[str, str], dict[int, "Slice"]]
"""By participant and layout; by round."""
LAYOUTS = (
    Layout(1, 1), Layout(4, 1), Layout(16, 1), Layout(1, 4), Layout(1, 16), Layout(1, 1, CALLED), Layout(1, 16, CALLED),
)  # fmt: skip


class Stuck(Exception):
    """A participant did not work off what it was given."""


class Process:
    """One process of a participant."""

    def __init__(self, rival: Rival, layout: Layout, dsn: str, python: Path, folder: Path) -> None:
        self.name = rival.name
        self.errors = tempfile.TemporaryFile(mode="w+")  # noqa: SIM115 - lives as long as the process
        called = ["--called"] if layout.way == CALLED else []
        words = [*rival.options, *called, "--dsn", dsn, "--at-once", str(layout.at_once)]
        if rival.polls:  # so often as all of them together can bear: looking is what they would be busy with
            words += ["--poll-s", str(0.02 * layout.processes)]
        self.process = subprocess.Popen(
            [python, HERE / rival.script, *words],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.stdin, self.stdout = self.process.stdin, self.process.stdout
        os.set_blocking(self.stdout.fileno(), False)
        self.pending = b""

    def tell(self, do: str, **what: object) -> None:
        self.stdin.write(json.dumps({"do": do, **what}).encode() + b"\n")
        self.stdin.flush()

    def read(self) -> Iterator[dict[str, Any]]:
        """What it has said meanwhile."""
        came = os.read(self.stdout.fileno(), 1 << 16)
        if not came:
            self.errors.seek(0)
            message = f"{self.name} has failed:\n{self.errors.read()[-3000:]}"
            raise Stuck(message)
        *lines, self.pending = (self.pending + came).split(b"\n")
        for line in lines:
            if line.startswith(b"{"):
                yield json.loads(line)

    def stop(self) -> None:
        self.stdin.close()
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@dataclass(frozen=True)
class Slice:
    """Steps per second, and milliseconds of the processors per step: of the participant, and of the server."""

    per_s: float
    client_ms: float
    server_ms: float | None


@dataclass
class Crew:
    """The processes of one slice."""

    members: Sequence[Process]
    server: int | None
    waiting: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)

    def __post_init__(self) -> None:
        for member in self.members:
            self.waiting.register(member.stdout, selectors.EVENT_READ, member)

    def hear(self, what: str, count: int) -> list[Any]:
        """Wait for *count* answers that tell *what*."""
        found: list[Any] = []
        until = time.monotonic() + PATIENCE_S
        while len(found) < count:
            ready = self.waiting.select(until - time.monotonic())
            if not ready:
                message = f"{self.members[0].name}: {len(found)} of {count} {what} after {PATIENCE_S:g} s"
                raise Stuck(message)
            for key, _ in ready:
                found += [said[what] for said in key.data.read() if what in said]
        return found

    def all(self, do: str, **what: object) -> None:
        for member in self.members:
            member.tell(do, **what)

    def spent(self) -> tuple[float, float | None]:
        server = None if self.server is None else processor.spent_s([self.server], with_children=True)
        return processor.spent_s(member.process.pid for member in self.members), server

    def worked_off(self, prefix: str, n: int) -> Slice:
        """Have *n* workflows worked off."""
        first = self.members[0]
        first.tell("enqueue", prefix=prefix, n=n)
        self.hear("done", 1)
        clients, server = self.spent()
        began = time.monotonic()
        self.all("work", prefix=prefix, n=n)
        ended: list[float] = self.hear("ended", n)
        clients_after, server_after = self.spent()
        self.all("rest")
        self.hear("done", len(self.members))
        until = time.monotonic() + 20
        while self._count(prefix) != n:
            if time.monotonic() > until:
                message = f"{first.name}: {self._count(prefix)} of {n} workflows are on record as ended"
                raise Stuck(message)
            time.sleep(0.1)
        served = (
            None if server is None or server_after is None else 1e3 * (server_after - server) / (n * STEPS)
        )
        spent_ms = 1e3 * (clients_after - clients) / (n * STEPS)
        return Slice(n * STEPS / (max(ended) - began), spent_ms, served)

    def _count(self, prefix: str) -> int:
        self.members[0].tell("count", prefix=prefix)
        return int(self.hear("count", 1)[0])


@contextmanager
def crew(
    rival: Rival, layout: Layout, dsn: str, python: Path, folder: Path, server: int | None
) -> Iterator[Crew]:
    with ExitStack() as stopping:
        members: list[Process] = []
        for _ in range(layout.processes):
            members.append(Process(rival, layout, dsn, python, folder))
            stopping.callback(members[-1].stop)
        ready = Crew(members, server)
        ready.hear("done", layout.processes)
        yield ready


def chosen(only: Iterable[str]) -> list[Rival]:
    words = list(only)
    return [rival for rival in RIVALS if not words or any(word in rival.name for word in words)]


def measure(
    url: str, folder: Path, *, rivals: Sequence[Rival], layouts: Sequence[Layout], rounds: int, n: int
) -> Slices:
    """Every slice, by participant and layout; the order turns from round to round."""
    pythons = {rival.name: rival.python() for rival in rivals}
    places = {rival.name: database.fresh_database(url, f"bench_{at}") for at, rival in enumerate(rivals)}
    found: Slices = {}
    server = processor.postmaster(url)
    for number in range(rounds):
        for layout in layouts:
            turn = number % len(rivals)
            for rival in (*rivals[turn:], *rivals[:turn]):
                if layout.way not in rival.ways:
                    continue
                place, python = places[rival.name], pythons[rival.name]
                try:
                    with crew(rival, layout, place, python, folder, server) as working:
                        mark = f"{number}-{layout.title.replace(' ', '')}"
                        working.worked_off(f"warm{mark}", 3 * layout.processes * layout.at_once)
                        made = working.worked_off(f"run{mark}", n)
                except Stuck as stuck:
                    if rival.is_ours:
                        raise SystemExit(str(stuck)) from stuck
                    print(f"not counted: {layout.title}: {stuck}", file=sys.stderr, flush=True)
                    places[rival.name] = database.fresh_database(url, f"again_{number}_{len(found)}")
                    continue
                found.setdefault((rival.name, layout.title), {})[number] = made
                told = (
                    f"round {number + 1} of {rounds}, {layout.title}: {rival.name} {made.per_s:,.0f} steps/s"
                )
                spent = f"{made.client_ms:.2f} + {made.server_ms or 0:.2f} ms per step"
                print(f"{told}, {spent}", file=sys.stderr, flush=True)
    return found
