"""Processor time and memory, of processes and of a PostgreSQL server: they are told apart from what else runs."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import psycopg

TICKS = os.sysconf("SC_CLK_TCK")


def _fields(pid: int) -> list[str]:
    """What ``/proc`` says of a process, from its state on."""
    return (Path("/proc") / str(pid) / "stat").read_text().rpartition(") ")[2].split()


def _pids() -> Iterator[int]:
    yield from (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())


def postmaster(url: str) -> int | None:
    """The server's first process, if it runs on this machine."""
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT pg_backend_pid()").fetchone()
        try:
            return int(_fields(row[0])[1])
        except (OSError, TypeError):
            return None


def spent_s(pids: Iterable[int], *, with_children: bool = False) -> float:
    """Processor seconds of *pids*; of the children that they have, and had, as well."""
    wanted = set(pids)
    ticks = 0
    for pid in wanted:
        fields = _fields(pid)
        ticks += sum(map(int, fields[11:15] if with_children else fields[11:13]))
    if with_children:
        for pid in _pids():
            try:
                fields = _fields(pid)
            except OSError:
                continue
            if int(fields[1]) in wanted:
                ticks += int(fields[11]) + int(fields[12])
    return ticks / TICKS


def resident_kib(pid: int) -> int:
    """The memory of a process."""
    for line in (Path("/proc") / str(pid) / "status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise LookupError(pid)
