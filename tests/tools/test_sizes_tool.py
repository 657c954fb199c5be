"""`tools/sizes.py` fails on what is too large to read or named after nothing."""

import subprocess
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).parents[2] / "tools/sizes.py"


def sizes(root: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, TOOL, root], capture_output=True, text=True, check=False)


def write(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def function(lines: int) -> str:
    return "def long():\n" + "    x = 1\n" * (lines - 1)


@pytest.mark.parametrize(
    ("name", "text", "code", "said"),
    [
        ("src/a.py", "x = 1\n" * 300, 0, "0 errors, 0 notes"),
        ("src/a.py", "x = 1\n" * 301, 0, "note: src/a.py: has 301 lines"),
        ("src/a.py", "x = 1\n" * 501, 1, "error: src/a.py: has 501 lines"),
        ("src/testing/conformance/store.py", "x = 1\n" * 501, 0, "note: src/testing/conformance/store.py"),
        ("src/a.sql", "SELECT 1;\n" * 900, 0, "0 errors, 0 notes"),
        ("tests/a.py", function(40), 0, "0 errors, 0 notes"),
        ("tests/a.py", function(60), 0, "note: tests/a.py:1: long has 60 lines"),
        ("tests/a.py", function(61), 1, "error: tests/a.py:1: long has 61 lines"),
        ("tools/helpers.py", "x = 1\n", 1, "error: tools/helpers.py: is named 'helpers'"),
        ("bench/.envs/x/utils.py", "x = 1\n", 0, "0 errors, 0 notes"),
        ("AGENTS.md", "word\n" * 120, 0, "0 errors, 0 notes"),
        ("AGENTS.md", "word\n" * 121, 1, "error: AGENTS.md: has 121 lines"),
    ],
)
def test_each_limit_holds_at_its_edge(tmp_path, name, text, code, said):
    write(tmp_path, name, text)

    answer = sizes(tmp_path)

    assert said in answer.stdout
    assert answer.returncode == code
