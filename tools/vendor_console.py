"""Bring the console's vendored files up to the versions named here, from npm, and write their sums.

Usage: .venv/bin/python tools/vendor_console.py

Never at a user's end: what it brings is committed, and a test compares it with SHA256SUMS. No script of a
package runs: `npm pack` only downloads.
"""
# ruff: noqa: INP001, S603, T201 - a program of its own that starts programs and speaks to people

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
SUMS: Final = "SHA256SUMS"


@dataclass(frozen=True, slots=True)
class Vendored:
    """Files of one npm package.

    Attributes:
        files: Where they are in it, and under which name they are kept.
    """

    package: str
    version: str
    to: Path
    files: dict[str, str]


VENDORED: Final = (
    Vendored(
        package="htmx.org",
        version="4.0.1",
        to=ROOT / "src/holdfast/console/static/vendor",
        files={
            "dist/htmx.min.js": "htmx.min.js",
            "dist/ext/hx-csp.min.js": "hx-csp.min.js",
            "dist/ext/hx-ptag.min.js": "hx-ptag.min.js",
            "LICENSE": "LICENSE.htmx",
        },
    ),
    Vendored(
        package="uplot",
        version="1.6.32",
        to=ROOT / "src/holdfast/console/static/vendor",
        files={
            "dist/uPlot.iife.min.js": "uPlot.iife.min.js",
            "dist/uPlot.min.css": "uPlot.min.css",
            "LICENSE": "LICENSE.uplot",
        },
    ),
    Vendored(
        package="axe-core",
        version="4.14.1",
        to=ROOT / "tests/console/vendor",
        files={"axe.min.js": "axe.min.js", "LICENSE": "LICENSE.axe-core"},
    ),
)


def main() -> int:
    """Fetch, unpack, sum up."""
    npm = shutil.which("npm")
    if npm is None:
        print("npm is not installed: only it brings these files", file=sys.stderr)
        return 1
    sums: dict[Path, list[str]] = {}
    for vendored in VENDORED:
        with tempfile.TemporaryDirectory() as directory:
            sums.setdefault(vendored.to, []).extend(_bring(npm, vendored, Path(directory)))
        print(f"{vendored.package} {vendored.version}: {len(vendored.files)} files in {vendored.to}")
    for to, lines in sums.items():
        (to / SUMS).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return 0


def _bring(npm: str, vendored: Vendored, directory: Path) -> list[str]:
    """Put the files of a package in their place; return their sums, below the package's name."""
    wanted = f"{vendored.package}@{vendored.version}"
    subprocess.run([npm, "pack", "--silent", wanted], cwd=directory, check=True, stdout=subprocess.DEVNULL)
    (archive,) = directory.glob("*.tgz")
    vendored.to.mkdir(parents=True, exist_ok=True)
    lines = [f"# {wanted}"]
    with tarfile.open(archive) as packed:
        for inside, name in vendored.files.items():
            member = packed.extractfile(f"package/{inside}")
            if member is None:
                raise SystemExit(f"{wanted} has no {inside}")
            content = member.read()
            (vendored.to / name).write_bytes(content)
            lines.append(f"{hashlib.sha256(content).hexdigest()}  {name}")
    return lines


if __name__ == "__main__":
    sys.exit(main())
