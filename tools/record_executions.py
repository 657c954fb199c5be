"""Record the sample executions of tests/recorded with the present code, for the release to come.

Usage: python tools/record_executions.py [--only SAMPLE]... [--again]

The release is the version of pyproject.toml. What is recorded of it is not recorded again: it is what
that release left in databases. As long as it is not out, it has no users, and ``--again`` may be said.
"""
# ruff: noqa: E402, INP001, T201 - a program of its own that speaks to people, and works with the tests' modules

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import uuid
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]

import psycopg

from conftest import with_options
from pg_server import PostgresServer
from recorded.recording import DIALECTS, HERE, recorded, version
from recorded.samples import SAMPLES


def main() -> int:
    """Record what is not recorded yet."""
    parser = argparse.ArgumentParser(description="Record sample executions for the release to come.")
    parser.add_argument("--only", action="append", choices=sorted(SAMPLES), default=[])
    parser.add_argument("--again", action="store_true", help="replace what is recorded; never once it is out")
    given = parser.parse_args()
    release = version()
    names = [name for name in given.only or SAMPLES if given.again or not _is_recorded(release, name)]
    with PostgresServer() as server, tempfile.TemporaryDirectory() as directory:
        for name in names:
            for dialect in DIALECTS:
                where = f"{directory}/{name}.db" if dialect == "sqlite" else _schema(server.url)
                recording = asyncio.run(recorded(release, name, dialect, where))
                recording.write()
                print(recording.path.relative_to(ROOT))
    if not names:
        print(f"everything is recorded of {release}")
    return 0


def _is_recorded(release: str, name: str) -> bool:
    return any((HERE / release).glob(f"{name}.*.json"))


def _schema(url: str) -> str:
    name = f"recorded_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(url, autocommit=True) as db:
        db.execute(f"CREATE SCHEMA {name}")
    return with_options(url, f"-csearch_path={name}")


if __name__ == "__main__":
    sys.exit(main())
