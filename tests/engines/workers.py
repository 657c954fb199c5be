"""Workers as processes of their own, which die and are started again on the same port."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from engines.restate_server import ServerTrouble, answers, free_ports, until

TESTS = Path(__file__).resolve().parents[1]


class Worker:
    """An ASGI application under hypercorn.

    Attributes:
        url: Where Restate calls it.

    Args:
        processes: Of hypercorn's own; without any it is one process, and dies as one.
        ingress: What its own ledger wakes the workflows through that its workflows begin.
    """

    def __init__(
        self,
        module: str,
        home: Path,
        url: str,
        look_every: str = "1h",
        processes: int = 0,
        ingress: Sequence[str] = (),
    ) -> None:
        (port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{port}"
        self._log = home / f"worker-{port}.log"
        self._command = [sys.executable, "-m", "hypercorn", "--workers", str(processes)]
        self._command += ["--bind", f"127.0.0.1:{port}", f"engines.{module}:app"]
        paths = os.pathsep.join([str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])])
        shop = {"SHOP_HOME": str(home), "SHOP_URL": url, "SHOP_LOOK_EVERY": look_every}
        shop["SHOP_INGRESS"] = " ".join(ingress)
        self._environment = {**os.environ, "PYTHONPATH": paths, **shop}
        self._process: subprocess.Popen[bytes] | None = None

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
        """Start it; return when it answers."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        until(lambda: self.is_dead() or answers(f"{self.url}/health"), self._trouble, "the worker to answer")
        if self.is_dead():
            raise self._trouble("the worker to answer, and it died")

    def is_dead(self) -> bool:
        """Whether it died."""
        return self._process is None or self._process.poll() is not None

    def wait_for_death(self) -> None:
        """Return when it died of its own."""
        until(self.is_dead, self._trouble, "the worker to die")

    def kill(self) -> None:
        """End it, and its processes, with SIGKILL."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """End it with SIGTERM, and wait until it is gone."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            until(self.is_dead, self._trouble, "the worker to stop")
            self._process = None

    def _trouble(self, what: str) -> ServerTrouble:
        return ServerTrouble(f"waited for {what}; {self._log.read_text(errors='replace')[-3000:]}")
