"""The server's own books: what was asked for, what was done, and what befell whom."""

from __future__ import annotations

import json
import os
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from holdfast.testing.faultscript import FaultKind, Turn
from holdfast.testing.faultserver.wire import Request


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEntry:
    """A change that was asked for, and whether the service made it.

    Attributes:
        number: Which request asked for it; a duplicate has two entries with one number.
        method: Of the request.
        path: Of the request, without its query.
        key: Its ``Idempotency-Key``, ``None`` when there was none.
        digest: SHA-256 of its body's bytes, in hex.
        committed: Whether anything was changed. Not so when a fault came before, when the service refused,
            and when it answered from the record of an earlier request with the same key.
        made: The id of what was made, e.g. ``ch_…``; empty when nothing was.
        fault: What befell the request.
        at: When (aware, UTC).
    """

    number: int
    method: str
    path: str
    key: str | None
    digest: str
    committed: bool
    made: str
    fault: FaultKind
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """How much happened.

    Attributes:
        requests: Requests that arrived whole, whatever became of them.
        outcomes: How many of them each fault befell, by its text; ``ok`` for those that none befell.
        commits: Changes that were made.
        incomplete: Requests whose client left in the middle of sending; nothing was done for them.
    """

    requests: int
    outcomes: Mapping[str, int]
    commits: int
    incomplete: int


class Books:
    """Keeps the log, in memory and in a file; may be used by several threads.

    Args:
        clock: What time it is (aware, UTC).
    """

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._entries: list[LogEntry] = []
        self._outcomes: Counter[str] = Counter()
        self._incomplete = 0
        self._lock = threading.Lock()  # everything here: one line is written at a time, in the list's order
        self._file: int | None = None

    def open(self, path: str | os.PathLike[str] | None) -> None:
        """Append committed changes to the file at *path*, one JSON line each, on disk before an answer."""
        if path is not None:
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def close(self) -> None:
        """Close the file; the log stays readable."""
        with self._lock:
            if self._file is not None:
                os.close(self._file)
                self._file = None

    def arrived(self, turn: Turn) -> None:
        """Count a request that arrived whole."""
        with self._lock:
            self._outcomes[turn.fault.kind.value] += 1

    def broke_off(self) -> None:
        """Count a request that did not arrive whole."""
        with self._lock:
            self._incomplete += 1

    def enter(self, request: Request, turn: Turn, *, made: str = "") -> None:
        """Log a change that was asked for; *made* is the id of what was made, empty when nothing was."""
        entry = LogEntry(
            number=turn.number,
            method=request.method,
            path=request.path,
            key=request.key,
            digest=request.digest,
            committed=bool(made),
            made=made,
            fault=turn.fault.kind,
            at=self._clock(),
        )
        with self._lock:
            if made and self._file is not None:
                line = json.dumps({**asdict(entry), "at": entry.at.isoformat()})
                os.write(self._file, line.encode() + b"\n")
                os.fsync(self._file)
            self._entries.append(entry)

    @property
    def entries(self) -> tuple[LogEntry, ...]:
        """All entries, oldest first."""
        with self._lock:
            return tuple(self._entries)

    @property
    def requests(self) -> int:
        """How many requests arrived whole."""
        with self._lock:
            return self._outcomes.total()

    def stats(self) -> Stats:
        """Return how much happened."""
        with self._lock:
            return Stats(
                requests=self._outcomes.total(),
                outcomes=dict(self._outcomes),
                commits=sum(entry.committed for entry in self._entries),
                incomplete=self._incomplete,
            )


def read_log(path: str | os.PathLike[str]) -> tuple[LogEntry, ...]:
    """Return the committed changes that a server appended to the file at *path*, oldest first.

    May be called by any process, while the server runs and after it was killed.
    """
    lines = Path(path).read_bytes().split(b"\n")[:-1]  # without the end of a line that is being written
    return tuple(_entry(json.loads(line)) for line in lines)


def _entry(told: Mapping[str, object]) -> LogEntry:
    at, fault = datetime.fromisoformat(str(told["at"])), FaultKind(str(told["fault"]))
    rest: dict[str, object] = {name: value for name, value in told.items() if name not in {"at", "fault"}}
    return LogEntry(at=at, fault=fault, **rest)  # type: ignore[arg-type]
