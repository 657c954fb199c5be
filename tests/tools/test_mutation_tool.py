"""`make mutation` tells bugs that tests notice from those that they do not, and from those it cannot plant."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).parents[2] / "tools/mutation.py"

SOURCE = "def add(a, b):\n    return a + b\n\n\ndef unused():\n    return 1\n"

TESTS = "from holdfast.sums import add\n\n\ndef test_sums_add_up():\n    assert add(1, 2) == 3\n"


def test_every_planted_bug_still_fits_the_code():
    command = [sys.executable, TOOL, "--plant-only"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)

    assert "FAIL" not in answer.stdout
    assert answer.returncode == 0, answer.stderr


@pytest.fixture
def check(tmp_path):
    """Write a small project with one bug to plant, and run the tool on it."""

    def run(old: str, new: str, *, tests: str = TESTS) -> subprocess.CompletedProcess[str]:
        files = {
            "src/holdfast/__init__.py": "",
            "src/holdfast/sums.py": SOURCE,
            "tests/test_sums.py": tests,
            "pyproject.toml": "[tool.pytest.ini_options]\naddopts = '-p no:cacheprovider'\n",
            "tools/mutation.toml": (
                "[[bug]]\nname = 'wrong sum'\ntests = ['tests/test_sums.py']\n"
                f"[[bug.edit]]\nfile = 'src/holdfast/sums.py'\nold = '{old}'\nnew = '{new}'\n"
            ),
        }
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        command = [sys.executable, TOOL, "--root", tmp_path]
        environment = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)

    return run


def test_a_bug_that_a_test_notices_is_fine(check, tmp_path):
    answer = check("a + b", "a - b")

    assert "ok   wrong sum: tests/test_sums.py::test_sums_add_up" in answer.stdout
    assert "1 of 1 planted bugs were noticed" in answer.stdout
    assert answer.returncode == 0
    assert (tmp_path / "src/holdfast/sums.py").read_text() == SOURCE


def test_a_bug_that_no_test_notices_fails(check):
    answer = check("return 1", "return 2")

    assert "FAIL wrong sum: NOT noticed" in answer.stdout
    assert answer.returncode == 1


@pytest.mark.parametrize(("old", "times"), [("a * b", 0), ("return", 2)])
def test_a_text_that_is_not_there_exactly_once_fails(check, old, times):
    answer = check(old, "pass")

    assert f"has this text {times} times" in answer.stdout
    assert answer.returncode == 1


def test_tests_that_cannot_even_start_with_the_bug_do_not_count_as_noticing(check):
    answer = check("return a + b", "return return")

    assert "FAIL wrong sum: the tests could not run" in answer.stdout
    assert answer.returncode == 1


def test_tests_that_fail_without_the_bug_prove_nothing(check):
    answer = check("a + b", "a - b", tests=TESTS.replace("== 3", "== 4"))

    assert "fail without a bug already" in answer.stdout
    assert answer.returncode == 1
