"""The demo's processes as their parent sees them: started, listened to, killed, and always waited for."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

EXITED = "exited"
"""The last word of every process; its facts have the ``code``."""

_TAIL_LINES = 12


class DemoFailed(Exception):
    """The demo could not be played to its end. Every process that it started is gone."""


@dataclass(frozen=True, slots=True)
class Word:
    """Something that a process reported.

    Attributes:
        speaker: The process.
        event: What happened.
        facts: What belongs to it.
    """

    speaker: Child
    event: str
    facts: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Server:
    """A process that listens.

    Attributes:
        url: Where.
        pid: The operating system's number for it.
    """

    url: str
    pid: int


@dataclass(frozen=True, slots=True, eq=False)
class Child:
    """One process of the demo.

    Attributes:
        name: What people call it.
        process: The real one.
        log: Where its stderr goes.
    """

    name: str
    process: Process
    log: Path

    @property
    def pid(self) -> int:
        """The operating system's number for it."""
        return self.process.pid

    async def kill(self) -> None:
        """Send SIGKILL and wait until it is gone; nothing of it gets to run once more."""
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):  # it ended by itself between the two lines
                self.process.kill()
        await self.process.wait()

    def last_words(self) -> str:
        """Return the end of what it wrote to stderr."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(lines[-_TAIL_LINES:])


class Crew:
    """All processes of one demo. Leaving the ``async with`` kills and collects those that still run.

    Should this process itself be killed, they notice that their stdin was closed, and end.
    """

    def __init__(self, directory: Path, environment: Mapping[str, str]) -> None:
        """Make a crew that keeps its logs in *directory* and runs with *environment* on top of ours."""
        self._directory = directory
        ours = {name: value for name, value in os.environ.items() if not name.startswith("OPENAI_")}
        # The demo talks to this machine only, whatever proxy the user's shell is set up for.
        self._environment = {**ours, "NO_PROXY": "*", "no_proxy": "*", **environment}
        self._children: list[Child] = []
        self._listeners: list[asyncio.Task[None]] = []
        self._words: asyncio.Queue[Word] = asyncio.Queue()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for child in self._children:
            await child.kill()
        await asyncio.gather(*self._listeners)

    async def start(self, name: str, module: str, *arguments: str) -> Child:
        """Start ``python -m holdfast.demo.<module>``."""
        log = self._directory / f"{name}.log"
        with log.open("ab") as errors:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",  # a stray openai.py in the user's directory is not the SDK
                "-m",
                f"holdfast.demo.{module}",
                *arguments,
                stdin=PIPE,
                stdout=PIPE,
                stderr=errors,
                env=self._environment,
                start_new_session=True,  # Ctrl-C is ours to handle; we stop them in order
            )
        child = Child(name, process, log)
        self._children.append(child)
        if process.stdout is not None:  # it never is: we asked for a pipe
            self._listeners.append(asyncio.create_task(self._listen(child, process.stdout)))
        return child

    async def start_server(self, name: str, module: str, *arguments: str) -> Server:
        """Start a server and return once it listens."""
        child = await self.start(name, module, *arguments)
        while True:
            word = await self.hear()
            if word.speaker is child and word.event == "ready":
                return Server(word.facts["url"], child.pid)
            if word.speaker is child and word.event == EXITED:
                raise DemoFailed(f"{name} did not start:\n{child.last_words()}")

    @property
    def pids(self) -> tuple[int, ...]:
        """All processes that were ever started."""
        return tuple(child.pid for child in self._children)

    async def hear(self) -> Word:
        """Wait for the next thing that any process reports."""
        return await self._words.get()

    async def _listen(self, child: Child, stdout: asyncio.StreamReader) -> None:
        async for line in stdout:
            try:
                facts: dict[str, Any] = json.loads(line)
            except ValueError:  # not ours: something printed by a library that the process imports
                continue
            self._words.put_nowait(Word(child, facts.pop("event"), facts))
        self._words.put_nowait(Word(child, EXITED, {"code": await child.process.wait()}))
