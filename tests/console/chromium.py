"""The system's Chromium; installed where that is allowed, else a reason why not."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

_NAMES: Final = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
_PATIENCE_S: Final = 300


class NotToBeHad(RuntimeError):
    """There is no browser here, and none can be installed; the message says why."""


def chromium() -> str:
    """Return the browser's program; install it first if need be.

    Raises:
        NotToBeHad: It is not there, and Debian's cannot be installed.
    """
    named = os.environ.get("HOLDFAST_CHROMIUM")
    if named:
        return named
    found = _found()
    if found is None:
        with (Path(tempfile.gettempdir()) / f"holdfast-chromium-{os.getuid()}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # tests run in several processes; one of them installs
            found = _found() or _installed()
    return found


def _found() -> str | None:
    return next((path for name in _NAMES if (path := shutil.which(name))), None)


def _installed() -> str:
    apt = shutil.which("apt-get")
    if apt is None or os.geteuid() != 0:
        raise NotToBeHad("no Chromium on the PATH, and nobody who may install one (apt-get as root)")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", "chromium"]):
        try:
            done = subprocess.run(
                [apt, *command],
                capture_output=True,
                text=True,
                timeout=_PATIENCE_S,
                check=False,
                env=environment,
            )
        except subprocess.TimeoutExpired:
            raise NotToBeHad(f"apt-get did not bring Chromium within {_PATIENCE_S} s") from None
        if done.returncode:
            raise NotToBeHad(f"apt-get does not bring Chromium: {done.stderr.strip()[-300:]}")
    found = _found()
    if found is None:
        raise NotToBeHad("apt-get brought no program named chromium")
    return found
