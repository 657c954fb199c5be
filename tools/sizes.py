"""Hold files and functions to a size that can be read at one go, and modules to names that say something.

Usage: python tools/sizes.py [ROOT]

Fails on a file over 500 lines (conformance kits excepted), a function over 60, AGENTS.md over 120, and
on modules named after nothing; speaks up about files over 300 lines and functions over 40.
"""
# ruff: noqa: INP001, T201 - a program of its own that speaks to people

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

FILE_GOAL: Final = 300
FILE_CAP: Final = 500
FUNCTION_GOAL: Final = 40
FUNCTION_CAP: Final = 60
AGENTS_CAP: Final = 120
PLACES: Final = ("src", "tests", "tools", "bench")
NAMELESS: Final = frozenset({"util", "utils", "helper", "helpers", "common", "misc"})


@dataclass(frozen=True, slots=True)
class Remark:
    """Something to say about a place in the code.

    Attributes:
        where: File, and line if there is one.
        what: What is the matter.
        is_failure: Whether this must change, or merely should.
    """

    where: str
    what: str
    is_failure: bool


def remarks(root: Path) -> Iterator[Remark]:
    """Look at every Python file of the project at *root*, and at AGENTS.md."""
    agents = root / "AGENTS.md"
    if agents.exists() and _lines(agents) > AGENTS_CAP:
        yield Remark("AGENTS.md", f"has {_lines(agents)} lines, may have {AGENTS_CAP}", is_failure=True)
    for place in PLACES:
        for path in sorted((root / place).rglob("*.py")):
            # Environments of their own (bench/.envs) are not ours to measure.
            if not any(part.startswith(".") for part in path.relative_to(root).parts):
                yield from _of_file(path, path.relative_to(root))


def _of_file(path: Path, name: Path) -> Iterator[Remark]:
    if path.stem in NAMELESS:
        what = f"is named {path.stem!r}, which says nothing: name it for what it answers"
        yield Remark(str(name), what, is_failure=True)
    count = _lines(path)
    if count > FILE_GOAL:
        is_kit = "conformance" in name.parts
        what = f"has {count} lines, should have {FILE_GOAL} and may have {FILE_CAP}"
        yield Remark(str(name), what, is_failure=count > FILE_CAP and not is_kit)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > FUNCTION_GOAL:
                what = (
                    f"{node.name} has {length} lines, should have {FUNCTION_GOAL} and may have {FUNCTION_CAP}"
                )
                yield Remark(f"{name}:{node.lineno}", what, is_failure=length > FUNCTION_CAP)


def _lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def main() -> int:
    """Print every remark; fail if one is a failure."""
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent
    found = list(remarks(root))
    for remark in found:
        print(f"{'error' if remark.is_failure else 'note'}: {remark.where}: {remark.what}")
    failures = sum(remark.is_failure for remark in found)
    print(f"Sizes: {failures} errors, {len(found) - failures} notes.")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
