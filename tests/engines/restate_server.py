"""Real Restate servers on free ports of the loopback interface, alone or as a cluster, to be killed at will."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from urllib.error import URLError
from urllib.request import Request, urlopen

START_S: Final = 90.0
_POLL_S: Final = 0.05

SETTINGS: Final = """
cluster-name = "holdfast-tests"
node-name = "{name}"
base-dir = "{home}"
roles = ["http-ingress", "admin", "worker", "log-server", "metadata-server"]
listen-mode = "tcp"
bind-address = "127.0.0.1:{fabric}"
advertised-address = "http://127.0.0.1:{fabric}/"
auto-provision = {is_first}
default-num-partitions = 4
default-replication = {replication}
disable-telemetry = true
rocksdb-total-memory-size = "256.0 MiB"
log-disable-ansi-codes = true

[metadata-client]
addresses = [{addresses}]

[ingress]
bind-address = "127.0.0.1:{ingress}"

[admin]
bind-address = "127.0.0.1:{admin}"
disable-web-ui = true

[worker.invoker]
inactivity-timeout = "{attempt}"
abort-timeout = "{attempt}"
"""


class ServerTrouble(RuntimeError):
    """A server does not do what it should; the message ends with its log."""


class Node:
    """One server.

    Attributes:
        ingress: Where it takes calls.
        admin: Where it is administered.
    """

    def __init__(
        self, binary: Path, home: Path, name: str, ports: tuple[int, int, int], settings: str
    ) -> None:
        self.ingress = f"http://127.0.0.1:{ports[0]}"
        self.admin = f"http://127.0.0.1:{ports[1]}"
        self.name = name
        self._log = home / f"{name}.log"
        self._settings = home / f"{name}.toml"
        self._settings.write_text(settings)
        self._command = [str(binary), "--no-logo", "--config-file", str(self._settings)]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, with whatever it has on disk; it is ready when :meth:`wait_until_ready` returns."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def wait_until_ready(self) -> None:
        """Return when it takes calls."""
        for url in (f"{self.admin}/health", f"{self.ingress}/restate/health"):
            until(lambda url=url: answers(url), self._trouble, f"{self.name} to answer")

    def kill(self) -> None:
        """End it as a power cut would."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def register(self, worker_url: str) -> None:
        """Have it call a worker."""
        call(f"{self.admin}/deployments", {"uri": worker_url, "force": True})

    def invocations(self) -> list[dict[str, Any]]:
        """Return what it knows of calls, those that ended a moment ago included."""
        query = {"query": "SELECT id, target, status FROM sys_invocation"}
        rows: list[dict[str, Any]] = call(f"{self.admin}/query", query)["rows"]
        return rows

    def log(self) -> str:
        """Return what it said."""
        return self._log.read_text(errors="replace")

    def _trouble(self, what: str) -> ServerTrouble:
        return ServerTrouble(f"waited for {what}; {self.log()[-2000:]}")


class Cluster:
    """Servers that replicate to each other: one, or three of which one may be lost."""

    def __init__(self, binary: Path, home: Path, size: int = 1, attempt: str = "1s") -> None:
        ports = free_ports(3 * size)
        each = [(ports[3 * i], ports[3 * i + 1], ports[3 * i + 2]) for i in range(size)]
        addresses = ", ".join(f'"http://127.0.0.1:{fabric}/"' for _, _, fabric in each)
        self.nodes = []
        for number, (ingress, admin, fabric) in enumerate(each, 1):
            name = f"n{number}"
            settings = SETTINGS.format(
                name=name,
                home=home / name,
                ingress=ingress,
                admin=admin,
                fabric=fabric,
                is_first="true" if number == 1 else "false",
                replication=2 if size > 1 else 1,
                addresses=addresses,
                attempt=attempt,
            )
            self.nodes.append(Node(binary, home, name, (ingress, admin, fabric), settings))

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.callback(self.kill)
            self.start()
            stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def start(self) -> None:
        """Start all of them; return when they take calls."""
        for node in self.nodes:
            node.start()
        for node in self.nodes:
            node.wait_until_ready()

    def kill(self) -> None:
        """End all of them."""
        for node in self.nodes:
            node.kill()

    @property
    def ingress_urls(self) -> list[str]:
        """Where calls go."""
        return [node.ingress for node in self.nodes]


def until(
    is_so: Callable[[], bool], trouble: Callable[[str], Exception], what: str, patience_s: float = START_S
) -> None:
    """Look again and again, until *is_so* says yes."""
    deadline = time.monotonic() + patience_s
    while not is_so():
        if time.monotonic() > deadline:
            raise trouble(what)
        time.sleep(_POLL_S)


def answers(url: str) -> bool:
    """Whether *url* answers well."""
    try:
        with urlopen(url, timeout=2) as response:
            return bool(response.status < 300)
    except (URLError, OSError):
        return False


def call(url: str, body: Any = None, method: str = "POST") -> Any:
    """Send JSON, return JSON."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"content-type": "application/json", "accept": "application/json"}
    request = Request(url, data=data, headers=headers, method=method)
    with urlopen(request, timeout=30) as response:
        text = response.read()
    return json.loads(text) if text else None


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
