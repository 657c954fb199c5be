"""Which migrations there are, and what an existing database lacks. Forward only.

``NNNN_pre_name.sql`` only adds, so that old code keeps working while new code is rolled out;
``NNNN_post_name.sql`` runs after the roll-out. A file that was changed after it ran is refused.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

from holdfast.errors import SchemaOutdated, StoreInvariant

_NAME: Final = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


TRACKING: Final = {
    "sqlite": "CREATE TABLE IF NOT EXISTS holdfast_migration "
    "(name TEXT PRIMARY KEY, sha256 TEXT NOT NULL, applied_at INTEGER NOT NULL) STRICT",
    "postgres": "CREATE TABLE IF NOT EXISTS holdfast_migration "
    "(name text PRIMARY KEY, sha256 text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())",
}
"""The table that remembers which migrations ran, by dialect."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered SQL file.

    Attributes:
        name: File name without ``.sql``.
        sha256: Hash of its text, kept in the database.
    """

    name: str
    sql: str
    sha256: str


def migrations(dialect: str) -> tuple[Migration, ...]:
    """Return the migrations of a dialect (``sqlite``, ``postgres``) in order."""
    folder = files(f"holdfast.stores.{dialect}").joinpath("migrations")
    texts = {
        item.name: item.read_text(encoding="utf-8") for item in folder.iterdir() if item.name.endswith(".sql")
    }
    return tuple(
        Migration(name.removesuffix(".sql"), text, hashlib.sha256(text.encode()).hexdigest())
        for name, text in sorted(texts.items())
    )


def outstanding(known: Sequence[Migration], applied: Mapping[str, str]) -> tuple[Migration, ...]:
    """Return what still has to run on a database that has *applied* (name -> sha256).

    Raises:
        SchemaOutdated: The database is newer than this library.
        StoreInvariant: A migration was changed after it ran.
    """
    names = {migration.name for migration in known}
    if applied.keys() - names:
        raise SchemaOutdated(sorted(applied), sorted(names))
    for migration in known:
        if applied.get(migration.name, migration.sha256) != migration.sha256:
            raise StoreInvariant("migrate", f"migration {migration.name} was changed after it ran")
    return tuple(migration for migration in known if migration.name not in applied)


def script(dialect: str, missing: Sequence[Migration]) -> str:
    """Return the SQL that *missing* amounts to, remembering included, for other migration tools."""
    now = (
        "now()" if dialect == "postgres" else "CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)"
    )
    parts = [f"{TRACKING[dialect]};"]
    for migration in missing:
        parts += [
            f"-- {migration.name}",
            migration.sql.strip(),
            # Our own file names and hex digests, in a script for people to read.
            f"INSERT INTO holdfast_migration VALUES ('{migration.name}', '{migration.sha256}', {now});",  # noqa: S608
        ]
    return "\n\n".join(parts) + "\n"


def queries(dialect: str) -> dict[str, str]:
    """Return a dialect's named statements, from every file of them beside its store."""
    found: dict[str, str] = {}
    for item in files(f"holdfast.stores.{dialect}").iterdir():
        if item.name.endswith(".sql"):
            _, *parts = _NAME.split(item.read_text(encoding="utf-8"))
            found.update(zip(parts[::2], (body.strip().rstrip(";") for body in parts[1::2]), strict=True))
    return found
