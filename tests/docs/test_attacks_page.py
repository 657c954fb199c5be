"""docs/security/attacks.md: every attack of the plan, and more, has an outcome and tests that exist."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "security" / "attacks.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| (\d+) \| (.*?) \| (.*?) \| (.*?) \|$", PAGE, re.MULTILINE)


def test_every_attack_of_the_plan_is_there_and_at_least_ten_of_our_own() -> None:
    numbers = [int(row[0]) for row in ROWS]

    assert numbers[:55] == list(range(1, 56))
    assert len(set(numbers[55:])) >= 10


def test_every_attack_has_an_outcome_and_tests_that_exist() -> None:
    for number, attack, outcome, told in ROWS:
        proofs = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", told)
        assert attack, number
        assert outcome, number
        assert proofs, number
        for path, name in proofs:
            assert name in _tests(path), f"attack {number}: {path}::{name} does not exist"


@cache
def _tests(path: str) -> frozenset[str]:
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return frozenset(
        node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
