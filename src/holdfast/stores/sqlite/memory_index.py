"""Deleting memories together with the index of their words.

No trigger does it: a schema that is not trusted (see connect.py) may not use virtual tables in one.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Any, Final

REAPS: Final = ("reap_expired_memories", "reap_working_memory")


def drop_memories(db: sqlite3.Connection, sql: Mapping[str, str], name: str, row: Mapping[str, Any]) -> int:
    """Run a statement that deletes memories, within a transaction; return how many those were."""
    numbers = db.execute(sql[name], row).fetchall()
    db.executemany(sql["unindex_memory"], numbers)
    return len(numbers)


def reap_memories(db: sqlite3.Connection, sql: Mapping[str, str], row: Mapping[str, Any]) -> int:
    """Delete what has expired, and working memory of runs that ended before then, within a transaction."""
    return sum(drop_memories(db, sql, name, row) for name in REAPS)
