"""Plant known bugs, one at a time, in a copy of the project and demand that the tests notice each.

Usage: .venv/bin/python tools/mutation.py [--root DIRECTORY] [--plant-only] [NAME]...

The bugs are those of tools/mutation.toml: an exact text, what to put in its place, and the tests that
must fail then. The same tests must pass without the bug. A text that no longer occurs exactly once is a
failure too: the bug has to move with the code.
"""
# ruff: noqa: INP001, S603, T201 - a program of its own that starts programs and speaks to people

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

COPIED: Final = ("src", "tests", "docs", "tools", "pyproject.toml", "README.md")
LIMIT_S: Final = 300
"""A bug that makes the tests hang is not noticed by them."""

GRACE_S: Final = 30

PASSED: Final = 0
FAILED: Final = 1
"""Pytest's exit codes; any other means that the tests did not run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """One exact replacement in one file."""

    file: str
    old: str
    new: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bug:
    """One bug to plant.

    Attributes:
        name: What is wrong then, in a few words.
        edits: The replacements that plant it, in all stores alike.
        tests: Arguments for pytest: those that must notice.
    """

    name: str
    edits: tuple[Edit, ...]
    tests: tuple[str, ...]


class Stale(Exception):
    """The text that a bug replaces is not there, or not only once."""


def bugs(table: Path) -> list[Bug]:
    """Read the table of bugs."""
    entries: list[dict[str, Any]] = tomllib.loads(table.read_text(encoding="utf-8"))["bug"]
    return [
        Bug(
            name=entry["name"],
            edits=tuple(Edit(**edit) for edit in entry["edit"]),
            tests=tuple(entry["tests"]),
        )
        for entry in entries
    ]


def plant(bug: Bug, tree: Path) -> dict[Path, str]:
    """Put *bug* into *tree*; return the former text of the files it changed.

    Raises:
        Stale: A text to be replaced does not occur exactly once. Nothing was changed.
    """
    before: dict[Path, str] = {}
    after: dict[Path, str] = {}
    for edit in bug.edits:
        path = tree / edit.file
        if path not in before:
            before[path] = after[path] = path.read_text(encoding="utf-8") if path.exists() else ""
        times = after[path].count(edit.old)
        if times != 1:
            message = f"{edit.file} has this text {times} times, not once: {edit.old.strip()!r}"
            raise Stale(message)
        after[path] = after[path].replace(edit.old, edit.new)
    for path, text in after.items():
        path.write_text(text, encoding="utf-8")
    return before


def restore(before: dict[Path, str]) -> None:
    """Take the bug out again."""
    for path, text in before.items():
        path.write_text(text, encoding="utf-8")


def run(tests: Sequence[str], tree: Path) -> tuple[int | None, str]:
    """Run *tests* on *tree*, stopping at the first failure; exit code (``None``: it hung) and output."""
    # The copy goes before the installed package, in the programs that tests start as well.
    environment = os.environ | {"PYTHONPATH": str(tree / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-x", "-q", "--no-header", "--tb=line", *tests]
    with subprocess.Popen(
        command, cwd=tree, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as pytest:
        try:
            output, _ = pytest.communicate(timeout=LIMIT_S)
        except subprocess.TimeoutExpired:
            # An interrupted pytest still stops the servers that it started; a killed one would not.
            pytest.send_signal(signal.SIGINT)
            return None, f"the tests did not end within {LIMIT_S} s:\n{_ending(pytest)}"
    return pytest.returncode, output


def _ending(pytest: subprocess.Popen[str]) -> str:
    try:
        return pytest.communicate(timeout=GRACE_S)[0]
    except subprocess.TimeoutExpired:
        pytest.kill()
        return pytest.communicate()[0]


def verdict(bug: Bug, tree: Path) -> tuple[bool, str]:
    """Whether the tests notice *bug*, and in which words."""
    try:
        before = plant(bug, tree)
    except Stale as stale:
        return False, f"cannot be planted: {stale}"
    try:
        code, output = run(bug.tests, tree)
    finally:
        restore(before)
    if code == FAILED:
        failures = [line for line in output.splitlines() if line.startswith("FAILED ")]
        return True, failures[0].removeprefix("FAILED ") if failures else "noticed"
    if code == PASSED:
        return False, f"NOT noticed by {' '.join(bug.tests)}"
    return False, f"the tests could not run with it:\n{output}"


def plantable(root: Path, chosen: Sequence[Bug]) -> int:
    """Plant each bug in a copy of *root* and run nothing; return how many cannot be planted."""
    missed = 0
    with tempfile.TemporaryDirectory(prefix="holdfast-mutation-") as home:
        tree = Path(home)
        _copy(root, tree)
        for bug in chosen:
            try:
                before = plant(bug, tree)
            except Stale as stale:
                missed += 1
                print(f"FAIL {bug.name}: {stale}")
            else:
                restore(before)
    return missed


def check(root: Path, chosen: Sequence[Bug]) -> int:
    """Plant each bug in a copy of *root*; return how many were not noticed."""
    missed = 0
    with tempfile.TemporaryDirectory(prefix="holdfast-mutation-") as home:
        tree = Path(home)
        _copy(root, tree)
        for tests in dict.fromkeys(bug.tests for bug in chosen):
            print(f"Without a bug: {' '.join(tests)} ...", flush=True)
            code, output = run(tests, tree)
            if code != PASSED:
                print(f"the tests fail without a bug already:\n{output}")
                return len(chosen)
        for bug in chosen:
            is_noticed, words = verdict(bug, tree)
            missed += not is_noticed
            print(f"{'ok  ' if is_noticed else 'FAIL'} {bug.name}: {words}", flush=True)
    return missed


def _copy(root: Path, tree: Path) -> None:
    for name in COPIED:
        source = root / name
        if source.is_dir():
            shutil.copytree(source, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.exists():
            shutil.copy2(source, tree / name)


def main() -> int:
    """Read the command line and check the bugs that it names, or all."""
    parser = argparse.ArgumentParser(description="Plant known bugs and demand that the tests notice.")
    parser.add_argument("--root", type=Path, default=Path(__file__).resolve().parent.parent)
    parser.add_argument("--plant-only", action="store_true", help="see that each fits the code; no tests")
    parser.add_argument("names", nargs="*", help="the bugs to plant (default: all)")
    given = parser.parse_args()
    known = bugs(given.root / "tools" / "mutation.toml")
    chosen = [bug for bug in known if not given.names or bug.name in given.names]
    strange = set(given.names) - {bug.name for bug in known}
    if strange:
        parser.error(
            f"no such bug: {', '.join(sorted(strange))}; known: {', '.join(bug.name for bug in known)}"
        )
    if given.plant_only:
        missed = plantable(given.root, chosen)
        print(f"{len(chosen) - missed} of {len(chosen)} bugs fit the code.")
        return 1 if missed else 0
    missed = check(given.root, chosen)
    print(f"{len(chosen) - missed} of {len(chosen)} planted bugs were noticed.")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
