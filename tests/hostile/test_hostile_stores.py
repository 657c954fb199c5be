"""Databases that cannot be used: wrong names, nobody there, read-only, full, older, newer, something else."""

from __future__ import annotations

import logging
import os
import socket
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from holdfast import Ledger, SyncLedger
from holdfast.errors import (
    HoldfastError,
    InvalidURL,
    MissingExtra,
    SchemaOutdated,
    StoreError,
    StoreInvariant,
    StoreUnavailable,
)
from hostile.harm import GOOD, assert_unharmed
from promises.ledgers import HASTY, Book, Calls, Place

pytestmark = pytest.mark.bare

FACES = pytest.mark.parametrize("face", [Ledger, SyncLedger], ids=["async", "sync"])
SECRET = "hunter2"

URLS = {
    "empty": "",
    "word": "agent.db",
    "path": "/var/lib/agent.db",
    "unknown": "mysql://user@host/db",
    "no-slashes": "sqlite:agent.db",
    "two-slashes": "sqlite://agent.db",
    "no-path": "sqlite:///",
    "nul": "sqlite:///a\0b",
    "options": "sqlite:///a.db?mode=memory",
    "spaces": "  ",
    "bad-host": "postgresql://user@[::1/db",
    "bad-option": "postgresql://user@host/db?no_such_option=1",
    "bytes": b"sqlite:///a.db",
    "number": 7,
    "path-object": Path("agent.db"),
}


@FACES
@pytest.mark.parametrize("url", URLS.values(), ids=URLS.keys())
def test_a_url_that_names_no_store_is_refused_with_examples(
    face: Any, url: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """INT-13."""
    monkeypatch.chdir(tmp_path)

    with pytest.raises(InvalidURL, match=r"use sqlite:///.*postgresql://.*memory://") as refused:
        face(url)

    assert "\0" not in str(refused.value)
    assert list(tmp_path.iterdir()) == []


@FACES
@pytest.mark.parametrize(
    "url",
    [
        f"mysql://user:{SECRET}@host/db",
        f"postgresql://user:{SECRET}@[::1/db",
        f"postgresql://user:{SECRET}@host/db?no_such_option=1",
        f"postgresql://user@host/db?password={SECRET}&no_such_option=1",
        f"sqlite://user:{SECRET}@host",
    ],
)
def test_no_error_shows_a_password(face: Any, url: str) -> None:
    """INT-13."""
    with pytest.raises(InvalidURL) as refused:
        face(url)

    assert SECRET not in f"{refused.value} {refused.value.args} {refused.value.url}"


@FACES
async def test_nobody_listens(face: Any, caplog: pytest.LogCaptureFixture) -> None:
    """C18: typed, soon, and without the password."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"postgresql://user:{SECRET}@127.0.0.1:{unused.getsockname()[1]}/db"
        book, calls = Book(face(url, settings=HASTY)), Calls()
        with caplog.at_level(logging.DEBUG), pytest.raises(StoreUnavailable) as told:
            await book.run(GOOD, handler=book.handler(calls))
        await book.close()

    assert "holdfast doctor" in str(told.value)
    assert SECRET not in f"{told.value}{told.value.__cause__}{caplog.text}"
    assert calls.count == 0


@pytest.mark.kinds("postgres", "sync-postgres")
@pytest.mark.parametrize(
    "wrong",
    [
        lambda url: url.replace("holdfast:", "stranger:"),
        lambda url: url.replace("/postgres?", "/no_such_database?"),
    ],
    ids=["account", "database"],
)
async def test_a_server_that_does_not_let_us_in(place: Place, wrong: Callable[[str], str]) -> None:
    """C18."""
    stranger = Place(place.kind, wrong(place.url))
    book, calls = stranger.open(settings=HASTY), Calls()
    password = place.url.partition("@")[0].rpartition(":")[2]

    with pytest.raises(StoreUnavailable) as told:
        await book.run(GOOD, handler=book.handler(calls))
    await stranger.close()

    assert password not in str(told.value)
    assert calls.count == 0
    await assert_unharmed(place.open())


async def refused(book: Book, error: type[HoldfastError], says: str) -> None:
    calls = Calls()
    with pytest.raises(error, match=says) as told:
        await book.run(GOOD, handler=book.handler(lambda n: calls(n=n)))
    assert type(told.value) is error
    assert calls.count == 0


@pytest.mark.kinds("postgres", "sync-postgres")
async def test_a_server_that_takes_no_writes(place: Place) -> None:
    """C18: as a standby does; what is on record can still be read, and replayed."""
    await assert_unharmed(place.open())
    readonly = Place(
        place.kind, place.url.replace("options=", "options=-cdefault_transaction_read_only%3Don%20")
    )
    book, calls = readonly.open(settings=HASTY, migrate=False), Calls()

    assert await book.run(GOOD, handler=book.handler(calls)) == "fine"
    with pytest.raises(StoreUnavailable, match="read-only"):
        await book.run(GOOD, handler=book.handler(calls), workflow_id=None, key=lambda c: "another")
    assert len(await book.effects()) == 1
    await readonly.close()

    assert calls.count == 0


READ_ONLY = """
import os, sys
from holdfast import Settings, SyncLedger, ToolCall
from holdfast.errors import StoreUnavailable

ledger = SyncLedger(sys.argv[1], settings=Settings(store_patience=0.05))
for _ in range(2):  # whatever is imported late may be out of reach afterwards
    with SyncLedger(sys.argv[2]) as another:
        another.run(ToolCall(workflow_id="w", tool="t"), lambda: 1)
if os.geteuid() == 0:  # root may write everywhere
    os.setgid(65534)
    os.setuid(65534)
with ledger:
    try:
        ledger.run(ToolCall(workflow_id="w", tool="t"), lambda: print("the handler ran"))
    except StoreUnavailable as error:
        print(error)
"""


@pytest.mark.parametrize("what", ["file", "directory"])
async def test_a_file_that_may_not_be_written(tmp_path: Path, what: str) -> None:
    """C18: whether the file is there already or could not even be made."""
    with tempfile.TemporaryDirectory(
        prefix="holdfast-read-only-"
    ) as made:  # outside of pytest's private ones
        directory = Path(made)
        place = Place("sync-sqlite", f"sqlite:///{directory}/ledger.db")
        if what == "file":
            await assert_unharmed(place.open())
            await place.close()
            (directory / "ledger.db").chmod(0o444)
        directory.chmod(0o555)

        done = subprocess.run(
            [sys.executable, "-c", READ_ONLY, place.url, f"sqlite:///{tmp_path}/another.db"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        directory.chmod(0o755)

        assert done.returncode == 0, done.stderr
        assert "readonly database" in done.stdout or "unable to open" in done.stdout
        assert "holdfast doctor" in done.stdout
        assert "the handler ran" not in done.stdout
        if what == "file":
            (directory / "ledger.db").chmod(0o644)
            with SyncLedger(place.url) as again:
                assert again.verify().ok


class Unusable:
    """Things at a file's place that are no ledger."""

    @staticmethod
    def text(path: Path) -> None:
        path.write_text("this is no database, but it is somebody's\n" * 100)

    @staticmethod
    def directory(path: Path) -> None:
        path.mkdir()

    @staticmethod
    def cut_off(path: Path) -> None:
        with closing(sqlite3.connect(path)) as db:
            db.execute("CREATE TABLE t (x)")
            db.executemany("INSERT INTO t VALUES (?)", [("x" * 1000,)] * 100)
            db.commit()
        path.write_bytes(path.read_bytes()[:5000])

    @staticmethod
    def overwritten(path: Path) -> None:
        with closing(sqlite3.connect(path)) as db:
            db.execute("CREATE TABLE t (x)")
        path.write_bytes(path.read_bytes()[:16] + os.urandom(4080))

    @staticmethod
    def pipe(path: Path) -> None:
        os.mkfifo(path)

    @staticmethod
    def missing_directory(path: Path) -> None:
        """The file's directory is not there."""
        path.parent.rmdir()


@pytest.mark.parametrize("face", ["sqlite", "sync-sqlite"])
@pytest.mark.parametrize(
    "make", [value for name, value in vars(Unusable).items() if name[0] != "_"], ids=lambda m: m.__name__
)
async def test_a_file_that_is_no_ledger_is_refused_and_left_alone(
    tmp_path: Path, face: str, make: Any
) -> None:
    """C18."""
    path = tmp_path / "somewhere" / "agent.db"
    path.parent.mkdir()
    make.__func__(path)
    before = path.read_bytes() if path.is_file() else None
    place = Place(face, f"sqlite:///{path}")

    await refused(place.open(settings=HASTY), StoreUnavailable, r"agent\.db.*holdfast doctor")
    await place.close()

    assert (path.read_bytes() if path.is_file() else None) == before


@pytest.mark.kinds("sqlite", "sync-sqlite")
async def test_somebody_elses_database_gets_tables_and_keeps_its_own(place: Place) -> None:
    """INT-12: one file for the agent's own data and its ledger is fine; all our tables say whose they are."""
    place.sql("CREATE TABLE effects (mine)")

    await assert_unharmed(place.open())

    tables = {name for (name,) in place.sql("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')")}
    assert "effects" in tables
    assert all(
        name.startswith("holdfast_") for name in tables - {"effects"} if not name.startswith("sqlite_")
    )


@pytest.mark.kinds("sqlite", "sync-sqlite", "postgres", "sync-postgres")
async def test_a_database_with_newer_tables_is_refused_with_upgrade_holdfast(place: Place) -> None:
    """INT-12."""
    await place.open().effects()
    now = "now()" if place.store == "postgres" else "0"
    place.sql(
        f"INSERT INTO holdfast_migration (name, sha256, applied_at) VALUES ('9999_pre_future', '', {now})"
    )

    await refused(place.open(), SchemaOutdated, "newer than this library.*9999_pre_future.*upgrade holdfast")


@pytest.mark.kinds("sqlite", "sync-sqlite", "postgres", "sync-postgres")
async def test_a_migration_that_was_changed_after_it_ran_is_refused(place: Place) -> None:
    """INT-12."""
    await place.open().effects()
    place.sql("UPDATE holdfast_migration SET sha256 = 'another'")

    await refused(place.open(), StoreInvariant, "0001_pre_initial was changed after it ran")


@pytest.mark.kinds("postgres", "sync-postgres")
async def test_an_empty_database_is_refused_with_the_command_to_run(place: Place) -> None:
    """INT-12."""
    await refused(place.open(migrate=False), SchemaOutdated, r"`holdfast migrate` or pass migrate=True")

    await assert_unharmed(place.open(migrate=True))


@pytest.mark.kinds("sqlite", "sync-sqlite", "postgres", "sync-postgres")
async def test_a_database_whose_migrations_are_not_on_record_is_refused_and_keeps_its_tables(
    place: Place,
) -> None:
    """INT-12: as after a restore that left one table out; nothing is created over what is there."""
    await assert_unharmed(place.open())
    place.sql("DELETE FROM holdfast_migration")

    calls, book = Calls(), place.open(settings=HASTY, migrate=False)
    with pytest.raises(StoreError, match=r"holdfast migrate|already exists"):
        await book.run(GOOD, handler=book.handler(lambda n: calls(n=n)))

    assert calls.count == 0
    assert place.sql("SELECT count(*) FROM holdfast_effect") == [(1,)]


@pytest.mark.kinds("postgres", "sync-postgres")
async def test_tables_that_vanish_are_a_typed_error_and_not_made_anew(place: Place) -> None:
    """C17, C18: whoever dropped them must not find an empty ledger that executes everything again."""
    book = place.open(settings=HASTY)
    await book.effects()
    place.sql("DROP TABLE holdfast_effect CASCADE")

    await refused(book, SchemaOutdated, "holdfast")


@pytest.mark.kinds("sqlite", "sync-sqlite", "postgres", "sync-postgres")
async def test_a_full_disk_stops_the_claim_and_the_ledger_goes_on_when_there_is_room(place: Place) -> None:
    """C18: SQLite with a bound on its pages; PostgreSQL with the very error it gives for a full disk."""
    book = place.open(settings=HASTY)
    await book.effects()
    if place.store == "sqlite":
        database = book.ledger._engine.parts.store.database
        bounded = [database.connection(use) for use in ("write", "inline")]
        for connection in bounded:
            pages = connection.execute("PRAGMA page_count").fetchone()[0]
            connection.execute(f"PRAGMA max_page_count = {pages}")
        big = {"text": "x" * 100_000}
    else:
        place.refuse_inserts("full")
        big = {}

    calls = Calls()
    call = {"name": "t", "args": big, "id": "c"}
    with pytest.raises(StoreUnavailable) as told:
        await book.run(call, handler=book.handler(lambda **_: calls()), workflow_id="w")
    assert "full" in told.value.why or place.store == "postgres"
    assert calls.count == 0

    if place.store == "sqlite":
        for connection in bounded:
            connection.execute("PRAGMA max_page_count = 1073741823")
    else:
        place.mend()
    await assert_unharmed(book)


FILE_LIMIT = """
import resource, sys
from holdfast import Settings, SyncLedger, ToolCall
from holdfast.errors import OutcomeUnknown, StoreUnavailable

def call(n):
    return ToolCall(workflow_id="w", tool="t", args={"n": n, "text": "x" * 20_000})

def charge(n, text):
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, resource.RLIM_INFINITY))  # the disk is full from now on
    ran.append(n)
    return {"charged": n, "text": text}

ran = []
with SyncLedger(sys.argv[1], settings=Settings(lease=0.3, renew_every=0.1, store_patience=0.05)) as ledger:
    ledger.run(ToolCall(workflow_id="w", tool="good"), lambda: 1)
    for n in (1, 2):
        try:
            ledger.run(call(n), charge)
        except OutcomeUnknown as error:
            print("unknown, with the result" if error.result["charged"] == n else error.result)
        except StoreUnavailable as error:
            print("refused:", error.why)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    print("ran", ran)
    print("states", *sorted(str(effect.state) for effect in ledger.effects()))
    try:
        ledger.run(call(1), charge)
    except OutcomeUnknown:
        print("still in doubt")
    print("again", ledger.run(ToolCall(workflow_id="w", tool="good"), lambda: 2), ledger.verify().ok)
"""


def test_a_disk_that_fills_up_during_the_handler_hands_the_result_over_and_leaves_doubt(
    tmp_path: Path,
) -> None:
    """X6, C18: the system itself refuses to let the file grow; no call after that is even claimed."""
    done = subprocess.run(
        [sys.executable, "-c", FILE_LIMIT, f"sqlite:///{tmp_path}/ledger.db"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    first, second, *rest = done.stdout.splitlines()
    assert first == "unknown, with the result"
    assert second.startswith("refused: ")
    assert rest == ["ran [1]", "states pending succeeded", "still in doubt", "again 1 True"]


@pytest.mark.parametrize("face", ["sqlite", "sync-sqlite"])
async def test_a_file_whose_write_lock_somebody_keeps_is_refused_after_a_while(
    tmp_path: Path, face: str
) -> None:
    """C18: and while it is kept, what is on record can be read."""
    place = Place(face, f"sqlite:///{tmp_path}/ledger.db")
    book = place.open(settings=HASTY)
    await book.effects()
    with closing(sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)) as hog:
        hog.execute("BEGIN IMMEDIATE")
        await refused(book, StoreUnavailable, "locked")
        assert await book.effects() == []
        hog.execute("ROLLBACK")

    await assert_unharmed(book)
    await place.close()


NO_DRIVER = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == sys.argv[1]:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
from holdfast.errors import MissingExtra
try:
    if sys.argv[1] == "psycopg":
        from holdfast import Ledger
        Ledger("postgresql://user@host/db")
    else:
        import holdfast.codecs
except MissingExtra as error:
    print(error)
"""


@pytest.mark.parametrize(("package", "extra"), [("psycopg", "postgres"), ("cryptography", "crypto")])
def test_a_missing_package_is_named_with_the_command_that_installs_it(package: str, extra: str) -> None:
    """INT-13."""
    done = subprocess.run(
        [sys.executable, "-c", NO_DRIVER, package], capture_output=True, text=True, timeout=60, check=False
    )

    assert done.stdout == f"{package} is not installed; run: pip install 'holdfast[{extra}]'\n", done.stderr
    assert issubclass(MissingExtra, ImportError)
