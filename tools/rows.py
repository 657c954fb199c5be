"""Say which tests show which requirement, and fail if one is not shown by any.

Usage: python tools/rows.py [--root DIRECTORY] [--all]

The requirements are the tables of docs/design/requirements.md: an id, the promise, and the kind of proof.
A row such as IDE-07 is shown by a test whose docstring or decorators name the id, or, where the table
says "bench", by a file of bench/ that names it. A behaviour such as C5 or X3 is shown by a test that is
named after it (``test_c5_...``).
"""
# ruff: noqa: INP001, T201 - a program of its own that speaks to people

from __future__ import annotations

import argparse
import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeGuard

TESTS: Final = ("tests", "src/holdfast/testing/conformance")
"""Where tests are; the conformance kits ship with the library."""

LINE: Final = re.compile(r"^\| *([A-Z]+-\d+|[A-Z]\d+) *\| *(.+?) *\| *(test|named test|bench) *\|$")
CITED: Final = re.compile(r"\b[A-Z]{3}-\d{2}\b")
NAMED: Final = re.compile(r"test((?:_[a-z]\d+)+)(?:_|$)")
SHORT: Final = 2
"""How many tests per requirement are shown unless all are asked for."""


class Unreadable(Exception):
    """The table of requirements cannot be read."""


@dataclass(slots=True)
class Requirement:
    """A promise of this release and what shows it.

    Attributes:
        proof: ``test``, ``named test`` or ``bench``: what counts as showing it.
        shown_by: Tests as ``path::name``, benches as paths.
    """

    id: str
    promise: str
    proof: str
    shown_by: list[str] = field(default_factory=list)


def requirements(table: Path) -> dict[str, Requirement]:
    """Read the table.

    Raises:
        Unreadable: It is missing, empty or names an id twice.
    """
    if not table.exists():
        message = f"{table} is missing"
        raise Unreadable(message)
    found: dict[str, Requirement] = {}
    for line in table.read_text(encoding="utf-8").splitlines():
        if cells := LINE.match(line):
            id_, promise, proof = cells.groups()
            if id_ in found:
                message = f"{table} names {id_} twice"
                raise Unreadable(message)
            found[id_] = Requirement(id_, promise, proof)
        elif re.match(r"\| *[A-Z]+-?\d+ *\|", line):
            message = f"{table}: not a row of id, promise and proof: {line}"
            raise Unreadable(message)
    if not found:
        message = f"{table} has no rows"
        raise Unreadable(message)
    return found


def show(root: Path, owed: dict[str, Requirement]) -> set[str]:
    """Fill in what shows each requirement; return the ids that are cited and not in the table."""
    strangers: set[str] = set()
    for path in _python_files(root, TESTS):
        for name, cited in _tests(path):
            known = {id_ for id_ in cited if id_ in owed}
            strangers |= {id_ for id_ in cited - known if CITED.fullmatch(id_)}
            for id_ in known:
                owed[id_].shown_by.append(f"{path.relative_to(root)}::{name}")
    benches = [requirement for requirement in owed.values() if requirement.proof == "bench"]
    for path in _python_files(root, ("bench",)):
        text = path.read_text(encoding="utf-8")
        for requirement in benches:
            if requirement.id in CITED.findall(text):
                requirement.shown_by.append(str(path.relative_to(root)))
    return strangers


def _python_files(root: Path, places: tuple[str, ...]) -> Iterator[Path]:
    for place in places:
        for path in sorted((root / place).rglob("*.py")):
            if not any(part.startswith(".") for part in path.relative_to(root).parts):
                yield path


def _tests(path: Path) -> Iterator[tuple[str, set[str]]]:
    """Each test function of a file, and the ids it shows by name, docstring, decorators or class."""
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            of_class = _cited(node)
            for method in node.body:
                if _is_test(method):
                    yield f"{node.name}::{method.name}", _ids(method) | of_class
        elif _is_test(node):
            yield node.name, _ids(node)


def _is_test(node: ast.stmt) -> TypeGuard[ast.FunctionDef | ast.AsyncFunctionDef]:
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test")


def _ids(test: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    named = NAMED.match(test.name)
    return _cited(test) | ({id_.upper() for id_ in named[1].split("_")[1:]} if named else set())


def _cited(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> set[str]:
    decorators = " ".join(ast.unparse(decorator) for decorator in node.decorator_list)
    return set(CITED.findall(f"{ast.get_docstring(node) or ''} {decorators}"))


def report(owed: dict[str, Requirement], *, in_full: bool) -> list[str]:
    """One block of lines per requirement."""
    lines: list[str] = []
    for requirement in owed.values():
        shown_by = requirement.shown_by if in_full else requirement.shown_by[:SHORT]
        more = len(requirement.shown_by) - len(shown_by)
        lines.append(f"{requirement.id:7} {requirement.promise}")
        lines += [f"          {place}" for place in shown_by or ["- nothing shows it"]]
        if more:
            lines.append(f"          and {more} more")
    return lines


def main() -> int:
    """Print the requirements and what shows them; fail on one that nothing shows."""
    parser = argparse.ArgumentParser(description="Which tests show which requirement?")
    parser.add_argument("--root", type=Path, default=Path(__file__).resolve().parent.parent)
    parser.add_argument("--all", action="store_true", help="name every test, not just the first ones")
    given = parser.parse_args()
    try:
        owed = requirements(given.root / "docs" / "design" / "requirements.md")
    except Unreadable as trouble:
        print(trouble, file=sys.stderr)
        return 2
    strangers = show(given.root, owed)
    print("\n".join(report(owed, in_full=given.all)))
    if strangers:
        print(f"\nCited, but owed by another release: {', '.join(sorted(strangers))}")
    missing = [requirement.id for requirement in owed.values() if not requirement.shown_by]
    if missing:
        print(f"\n{len(missing)} of {len(owed)} are shown by nothing: {', '.join(missing)}")
        return 1
    print(f"\nAll {len(owed)} are shown.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
