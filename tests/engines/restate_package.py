"""The Restate server, from the npm package of this platform; installed once, and kept for the next time."""

from __future__ import annotations

import fcntl
import os
import platform
import shutil
import subprocess
from pathlib import Path
from typing import Final

VERSION: Final = "1.7.12"
_PATIENCE_S: Final = 240
_MACHINES: Final = {"x86_64": "x64", "amd64": "x64", "arm64": "arm64", "aarch64": "arm64"}


class NotToBeHad(RuntimeError):
    """The server cannot be installed here; the message says why."""


def server_binary() -> Path:
    """Return the server's program; install it first if need be.

    Raises:
        NotToBeHad: npm is missing, or does not reach the package.
    """
    system, machine = platform.system().lower(), _MACHINES.get(platform.machine().lower())
    package = f"@restatedev/restate-server-{system}-{machine}"
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    home = caches / "holdfast" / f"restate-{VERSION}"
    binary = home / "node_modules" / package / "bin" / "restate-server"
    home.mkdir(parents=True, exist_ok=True)
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests run in several processes; one of them installs
        if not (home / "installed").exists():
            _install(home, package)
            (home / "installed").touch()
    return binary


def _install(home: Path, package: str) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise NotToBeHad("npm is not installed")
    # The package is the server: no script of it is run, and nothing else is fetched.
    command = [npm, "install", "--prefix", str(home), "--ignore-scripts", "--no-audit", "--no-fund"]
    try:
        done = subprocess.run(
            [*command, f"{package}@{VERSION}"],
            capture_output=True,
            text=True,
            timeout=_PATIENCE_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise NotToBeHad(f"npm did not bring {package} within {_PATIENCE_S} s") from None
    if done.returncode:
        raise NotToBeHad(f"npm does not bring {package}: {done.stderr.strip()[-300:]}")
