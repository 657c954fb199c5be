"""Who works off workflows, and what each has on record of a step."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from environments import PSYCOPG, Participant, interpreter

QUEUED, CALLED = "queued", "called"


@dataclass(frozen=True, kw_only=True)
class Rival:
    """One way to use one library.

    Attributes:
        durable: Commits of a step that wait for the disk.
        before: What is on record of a step before it runs.
        polls: How often its workers look for work is a setting.
        ways: How workflows come to who works on them: from a queue, or called by tasks of one process.
    """

    name: str
    script: str
    durable: int
    before: str
    polls: bool = False
    requires: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    ways: tuple[str, ...] = (QUEUED,)

    @property
    def is_ours(self) -> bool:
        return self.name.startswith("holdfast")

    def python(self) -> Path:
        """The Python of its environment, which is made when it is not there."""
        as_participant = Participant(
            name=self.name, script=self.script, floor="", requires=self.requires, options=self.options
        )
        return interpreter(as_participant)


RIVALS = (
    Rival(
        name="holdfast", script="holdfast_worker.py", durable=1, ways=(QUEUED, CALLED),
        before="that it began (a commit that survives the process, not the machine)",
    ),
    Rival(
        name="holdfast, tools", script="holdfast_worker.py", options=("--tools",), durable=2, ways=(QUEUED, CALLED),
        before="its claim (a commit that survives the machine)",
    ),
    Rival(
        name="DBOS", script="dbos_worker.py", requires=("dbos==3.4.0", PSYCOPG[0]), durable=1, ways=(QUEUED, CALLED),
        before="nothing", polls=True,
    ),
    Rival(
        name="Absurd", script="absurd_worker.py", requires=("absurd-sdk==0.5.1", "absurdctl==0.5.1", PSYCOPG[0]),
        durable=1, before="nothing",
    ),
)  # fmt: skip
