"""One virtual environment per participant, so that no library's dependencies decide another's."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
ENVS = HERE / ".envs"


@dataclass(frozen=True, kw_only=True)
class Participant:
    """One program under measurement.

    Attributes:
        name: As it stands in the tables.
        script: The adapter, relative to this folder.
        floor: The participant whose figures are this one's floor: same store, same driver.
        requires: What pip installs, pinned; empty for what runs in the project's own environment.
        options: Further words on the adapter's command line.
        modes: What it takes part in.
        beside: Further floors to measure next to it.
        note: What a reader must know to compare it.
    """

    name: str
    script: str
    floor: str
    requires: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    modes: tuple[str, ...] = ("new", "replay", "concurrent16")
    beside: tuple[str, ...] = ()
    note: str = ""

    @property
    def is_floor(self) -> bool:
        return self.floor == self.name

    @property
    def is_ours(self) -> bool:
        return self.name.startswith("holdfast")

    @property
    def store(self) -> str:
        return "SQLite" if self.floor == "floor: SQLite" else "PostgreSQL"


def _ours(package: str) -> str:
    """Pin *package* to the version that holdfast itself is measured with."""
    return f"{package}=={importlib.metadata.version(package.partition('[')[0])}"


PSYCOPG = (_ours("psycopg[binary]"), "psycopg-pool==3.3.3")
ASYNCPG = "asyncpg==0.32.0"
EVERY = ("new", "replay", "concurrent16", "concurrent64")

PARTICIPANTS = (
    Participant(
        name="floor: psycopg 3", script="floor.py", floor="floor: psycopg 3", modes=EVERY,
        requires=(*PSYCOPG, ASYNCPG), options=("--driver", "psycopg"),
    ),
    Participant(
        name="floor: asyncpg", script="floor.py", floor="floor: asyncpg", modes=EVERY,
        requires=(*PSYCOPG, ASYNCPG), options=("--driver", "asyncpg"),
    ),
    Participant(
        name="floor: SQLite", script="floor.py", floor="floor: SQLite", modes=EVERY,
        requires=(*PSYCOPG, ASYNCPG), options=("--driver", "sqlite"),
    ),
    Participant(
        name="holdfast", script="adapters/holdfast_pg.py", floor="floor: psycopg 3", modes=EVERY,
        beside=("floor: asyncpg",),
    ),
    Participant(
        name="holdfast, no group commit", script="adapters/holdfast_pg.py", floor="floor: psycopg 3",
        options=("--no-group-commit",), modes=("concurrent16", "concurrent64"),
    ),
    Participant(
        name="agent-ledger", script="adapters/agent_ledger_pg.py", floor="floor: psycopg 3",
        requires=("agent-ledger==0.2.1", *PSYCOPG),
    ),
    Participant(
        name="exactly-once", script="adapters/exactly_once_pg.py", floor="floor: psycopg 3",
        requires=("exactly-once==0.2.1", *PSYCOPG),
    ),
    Participant(
        name="idemkit", script="adapters/idemkit_pg.py", floor="floor: asyncpg",
        requires=("idemkit[postgres]==1.0.2", ASYNCPG),
    ),
    Participant(
        name="effect-ledger", script="adapters/effect_ledger_pg.py", floor="floor: psycopg 3",
        requires=("effect-ledger==0.1.2", *PSYCOPG),
    ),
    Participant(name="holdfast (SQLite)", script="adapters/holdfast_sqlite.py", floor="floor: SQLite", modes=EVERY),
    Participant(
        name="ledger-once (SQLite)", script="adapters/ledger_once_sqlite.py", floor="floor: SQLite",
        requires=("ledger-once==0.1.5",),
        note="its default, synchronous=NORMAL: a power cut loses acknowledged calls",
    ),
    Participant(
        name="ledger-once, FULL (SQLite)", script="adapters/ledger_once_sqlite.py", floor="floor: SQLite",
        requires=("ledger-once==0.1.5",), options=("--full",),
        note="its store with synchronous=FULL set from outside, the durability of the others",
    ),
    Participant(
        name="agent-runtime-governance (SQLite)", script="adapters/agent_runtime_governance_sqlite.py",
        floor="floor: SQLite", requires=("agent-runtime-governance==0.9.1",),
    ),
)  # fmt: skip


def interpreter(participant: Participant) -> Path:
    """The Python of *participant*'s environment, which is made or renewed when it is not as pinned."""
    if not participant.requires:
        return Path(sys.executable)
    folder = ENVS / Path(participant.script).stem
    python, stamp = folder / "bin" / "python", folder / "installed"
    wanted = "\n".join(participant.requires)
    if not stamp.exists() or stamp.read_text() != wanted:
        print(f"setting up {folder.name}: {', '.join(participant.requires)}", file=sys.stderr, flush=True)
        venv.create(folder, clear=True, with_pip=True)
        pip = [python, "-m", "pip", "install", "-qq", "--disable-pip-version-check", *participant.requires]
        subprocess.run(pip, check=True)
        stamp.write_text(wanted)
    return python
