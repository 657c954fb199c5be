"""Make a virtual environment ready for use, once: the second call finds it ready and returns.

Usage: python tools/environment.py DIRECTORY [--extra NAME]... [--group NAME]... [--only PACKAGE]...

Needs nothing but Python 3.11 with venv and pip; uses uv instead when it is installed. What is to be
installed comes from pyproject.toml, the versions from constraints.txt.
"""
# ruff: noqa: INP001, S603, T201 - a program of its own that starts programs and speaks to people

from __future__ import annotations

import argparse
import hashlib
import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What an environment is to contain.

    Attributes:
        extras: Optional dependencies of the package itself.
        groups: Dependency groups of pyproject.toml.
        only: If any, the packages to take from the groups, by name.
    """

    extras: Sequence[str] = ()
    groups: Sequence[str] = ()
    only: Sequence[str] = ()


def prepare(directory: Path, wanted: Wanted, *, python: str = sys.executable) -> Path:
    """Bring *directory* to the wanted state and return its Python."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    version = _version_of(python)
    own = directory / "bin" / "python"
    stamp = directory / ".holdfast-ready"
    mark = _mark(project, wanted, version)
    if own.exists() and stamp.exists() and stamp.read_text() == mark:
        return own

    extras = f"[{','.join(wanted.extras)}]" if wanted.extras else ""
    packages = ["-e", f"{ROOT}{extras}", *_packages(project, wanted)]
    started = f"{directory.name}: Python {version}"
    if not own.exists() or _version_of(str(own)) != version:
        print(f"{started}, making the environment ...", flush=True)
        _make(directory, python)
    print(f"{started}, installing the package and its tools (first time: a minute or two) ...", flush=True)
    _install(own, packages)
    stamp.write_text(mark)
    return own


def _mark(project: dict[str, Any], wanted: Wanted, version: str) -> str:
    """A digest of all that decides what is installed."""
    parts = [
        *(str(ROOT), version, wanted.extras, wanted.groups, wanted.only),
        *(project.get(part) for part in ("build-system", "project", "dependency-groups")),
        (ROOT / "constraints.txt").read_text(encoding="utf-8"),
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _packages(project: dict[str, Any], wanted: Wanted) -> list[str]:
    found = [package for group in wanted.groups for package in _group(project, group)]
    if not wanted.only:
        return found
    chosen = [package for package in found if _name(package) in wanted.only]
    missing = set(wanted.only) - {_name(package) for package in chosen}
    if missing:
        message = f"not in the groups {', '.join(wanted.groups)}: {', '.join(sorted(missing))}"
        raise SystemExit(message)
    return chosen


def _group(project: dict[str, Any], name: str) -> list[str]:
    """The requirements of a dependency group, those of included groups among them."""
    found: list[str] = []
    for entry in project["dependency-groups"][name]:
        found += [entry] if isinstance(entry, str) else _group(project, entry["include-group"])
    return found


def _name(requirement: str) -> str:
    return re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0]


def _version_of(python: str) -> str:
    code = "import platform; print(platform.python_version())"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def _make(directory: Path, python: str) -> None:
    uv = shutil.which("uv")
    if uv and _succeeds([uv, "venv", "--clear", "--python", python, str(directory)]):
        return
    _demand([python, "-m", "venv", "--clear", str(directory)])


def _install(own: Path, packages: Sequence[str]) -> None:
    what = ["--constraint", str(ROOT / "constraints.txt"), *packages]
    uv = shutil.which("uv")
    if uv and _succeeds([uv, "pip", "install", "--python", str(own), *what]):
        return
    # An environment that uv made has no pip.
    if not _succeeds([str(own), "-m", "pip", "--version"]):
        _demand([str(own), "-m", "ensurepip"])
    _demand([str(own), "-m", "pip", "install", "--disable-pip-version-check", *what])


def _succeeds(command: Sequence[str]) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _demand(command: Sequence[str]) -> None:
    """Run quietly; on failure show all that was said, and give up."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode != 0:
        print(done.stdout, file=sys.stderr)
        message = f"this failed, see above: {' '.join(command)}"
        raise SystemExit(message)


def main() -> None:
    """Read the command line and prepare the environment."""
    parser = argparse.ArgumentParser(description="Make a virtual environment ready for use.")
    parser.add_argument("directory", type=Path)
    for option in ("extra", "group", "only"):
        parser.add_argument(f"--{option}", action="append", default=[])
    given = parser.parse_args()
    wanted = Wanted(extras=given.extra, groups=given.group, only=given.only)
    prepare(ROOT / given.directory, wanted)


if __name__ == "__main__":
    main()
