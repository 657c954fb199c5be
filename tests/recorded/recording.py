"""Executions as a release left them: written into a file, put back into a store of each kind, gone on with."""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from psycopg import sql

from holdfast import Settings
from holdfast.ports import ExecutionQuery, Query, Store
from holdfast.stores.memory import MemoryStore
from holdfast.stores.migrate import migrations
from holdfast.stores.postgres import BlockingPostgresStore, PostgresStore
from holdfast.stores.sqlite.store import SqliteStore
from holdfast.testing import FakeClock
from holdfast.testing.runtime import START
from migrate.databases import Database, PostgresSchema, SqliteFile
from recorded.sample import Sample, begun, settled
from recorded.samples import SAMPLES
from workflows.sites import Process, Site
from workflows.worlds import Counted

HERE: Final = Path(__file__).parent
DIALECTS: Final = ("sqlite", "postgres")
MADE_BY_THE_SERVER: Final = {"holdfast_audit": {"id", "xid"}}
KEPT: Final = (
    *("holdfast_effect", "holdfast_audit", "holdfast_workflow", "holdfast_execution", "holdfast_step"),
    *("holdfast_message", "holdfast_halt"),
)
"""Tables that workflows are in."""


@dataclass(frozen=True)
class Recording:
    """One sample as a release left it in one dialect.

    Attributes:
        migrations: How many there were: the tables are made by these.
        moment: What the clock said.
        rows: Of each table.
        calls: What was called of the sample's functions when that release went on with it, sorted.
        ends: What became of its executions then.
        effects: Tools and keys of all effects that there were then, sorted.
    """

    release: str
    name: str
    dialect: str
    migrations: int
    moment: datetime
    rows: dict[str, list[dict[str, Any]]]
    calls: list[str]
    ends: dict[str, Any]
    effects: list[list[str]]

    @property
    def sample(self) -> Sample:
        return SAMPLES[self.name]

    @property
    def path(self) -> Path:
        return HERE / self.release / f"{self.name}.{self.dialect}.json"

    def write(self) -> None:
        """Put it into its file, a line for each row."""
        told = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "rows"}
        head = _json(told).removesuffix("}")
        tables = [
            f'"{table}": [\n' + ",\n".join(map(_json, rows)) + "\n]"
            for table, rows in sorted(self.rows.items())
        ]
        text = head + ', "rows": {\n' + ",\n".join(tables) + "\n}}\n"
        self.path.parent.mkdir(exist_ok=True)
        self.path.write_text(text, encoding="utf-8")


def _json(value: Any) -> str:
    return json.dumps(value, default=_plain, ensure_ascii=False, sort_keys=True)


def version() -> str:
    """Return the release that the present code is, or is about to be."""
    project = tomllib.loads((HERE.parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return str(project["version"])


def read(path: Path) -> Recording:
    """Read a recording's file."""
    told = json.loads(path.read_text(encoding="utf-8"))
    return Recording(**{**told, "moment": datetime.fromisoformat(told["moment"])})


def _plain(value: Any) -> Any:
    return {"hex": value.hex()} if isinstance(value, bytes) else value.isoformat()


def _bytes(value: Any) -> Any:
    return bytes.fromhex(value["hex"]) if isinstance(value, dict) else value


async def left(site: Site, sample: Sample) -> Counted:
    """Bring a sample to where it is recorded."""
    world = Counted()
    if sample.before is not None:
        await sample.before(site, sample, world)
    else:
        process = site.open()
        await begun(process, sample, sample.declare(process, world))
        await settled(process)
    return world


async def gone_on_with(site: Site, sample: Sample) -> dict[str, Any]:
    """Go on to the end, in a new process that has today's code; return the last three of a recording."""
    site.recover()
    world, process = Counted(), site.open()
    flows = sample.declare(process, world)
    if sample.after is not None:
        await sample.after(process)
    for turn in range(8):
        await settled(process)
        for row in await process.executions():
            if row.ended_at is None and row.wake_at is not None:
                site.clock.advance(max((row.wake_at - site.clock()).total_seconds(), 0))
            if row.ended_at is None:
                await process.signal(row.workflow_id, "go", turn, signal_id=f"go-{turn}")
    ends = {row.workflow_id: _end(row) for row in await process.executions()}
    assert all(end["status"] in {"succeeded", "failed"} for end in ends.values()), ends
    await _answered_again(process, sample, flows)
    assert (await process.verify()).ok
    effects = sorted([effect.tool, effect.key] for effect in await process.effects())
    return {"calls": sorted(world.calls), "ends": ends, "effects": effects}


async def _answered_again(process: Process, sample: Sample, flows: Any) -> None:
    """Whoever begins them again with the same input is answered from the record."""
    for workflow_id, given in sample.given.items():
        output = await flows[workflow_id.partition("-")[0]].run(workflow_id, **given)
        assert output == json.loads((await process.execution(workflow_id)).output)


def _end(row: Any) -> dict[str, Any]:
    return {name: getattr(row, name) for name in ("function", "version", "status", "output", "error")}


def dump(database: Database) -> dict[str, list[dict[str, Any]]]:
    """Return the rows that make up executions."""
    return {table: rows for table, rows in database.rows().items() if table in KEPT and rows}


def load(recording: Recording, database: SqliteFile | PostgresSchema) -> None:
    """Make the tables of the recording's time, put its rows into them, and upgrade them to today's."""
    database.make(recording.migrations)
    for table, rows in recording.rows.items():
        for row in sorted(rows, key=lambda row: row.get("id", 0)) if table == "holdfast_audit" else rows:
            _insert(database, table, row)
    outstanding = tuple(each.name for each in migrations(recording.dialect)[recording.migrations :])
    assert database.upgrade() == outstanding


def _insert(database: SqliteFile | PostgresSchema, table: str, row: dict[str, Any]) -> None:
    if isinstance(database, SqliteFile):
        marks = ", ".join("?" * len(row))
        values = [_bytes(value) for value in row.values()]
        database.db.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", values)
        return
    columns = sql.SQL(", ").join(
        sql.Identifier(name) for name in row if name not in MADE_BY_THE_SERVER.get(table, ())
    )
    statement = sql.SQL("INSERT INTO {0} ({1}) SELECT {1} FROM json_populate_record(NULL::{0}, %s::json)")
    database.db.execute(statement.format(sql.Identifier(table), columns), [json.dumps(row)])


async def remembered(path: Path, clock: Any) -> MemoryStore:
    """Return a store in memory that has all that the file has."""
    source: Store = SqliteStore(str(path), blocking=True, clock=clock)
    store = MemoryStore(clock=clock, is_test=True)
    for record in await source.effects(Query(tenant="default", limit=1000)):
        store._effects["default", record.key] = record
        store._trails["default", record.key] = list(await source.trail("default", record.key))
    for workflow in await source.workflows("default", None, 1000):
        store._workflows["default", workflow.workflow_id] = workflow
    for row in await source.executions(ExecutionQuery(tenant="default", limit=1000)):
        place = "default", row.workflow_id
        journal = await source.journal(*place)
        assert journal is not None
        store._executions._rows[place] = journal.execution
        store._executions._steps[place] = {step.place: step for step in journal.steps}
        store._executions._messages[place] = list(journal.messages)
    await source.close()
    return store


def opened(kind: str, where: str, clock: FakeClock) -> Store:
    """Open a durable store as a site of that kind does; *where* is a path or a URL."""
    is_blocking = kind.startswith("sync-")
    if kind.endswith("sqlite"):
        return SqliteStore(where, blocking=is_blocking, clock=clock)
    store = BlockingPostgresStore if is_blocking else PostgresStore
    return store(where, settings=Settings(), clock=clock)


def empty_database(dialect: str, where: str) -> SqliteFile | PostgresSchema:
    """Return a database without tables; *where* is a path or a URL."""
    return PostgresSchema(where) if dialect == "postgres" else SqliteFile(Path(where))


async def recorded(release: str, name: str, dialect: str, where: str) -> Recording:
    """Run a sample to where it is recorded, and then on to its end."""
    count = len(migrations(dialect))
    database = empty_database(dialect, where)
    database.make(count)
    site = Site(dialect, lambda clock: opened(dialect, where, clock))
    await left(site, SAMPLES[name])
    rows, moment = dump(database), site.clock()
    came = await gone_on_with(site, SAMPLES[name])
    await site.close()
    database.close()
    return Recording(
        release=release,
        name=name,
        dialect=dialect,
        migrations=count,
        moment=moment,
        rows=rows,
        **came,
    )


async def site_of(recording: Recording, kind: str, where: str) -> Site:
    """Return a site of a kind that has what was recorded, at the time at which it was."""
    database = empty_database(recording.dialect, where)
    load(recording, database)
    database.close()
    kept: list[Store] = []
    site = Site(kind, lambda clock: kept[0] if kept else opened(kind, where, clock))
    site.clock.advance(recording.moment - START)
    if kind.endswith("memory"):
        kept.append(await remembered(Path(where), site.clock))
    return site
