"""`make rows` finds what shows a promise, and fails on a promise that nothing shows."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

HEAD = "| id | promise | proof |\n| --- | --- | --- |\n"

CITING = [
    'def test_a():\n    """It works (IDE-01)."""\n',
    'async def test_a():\n    """It works.\n\n    Rows: IDE-02, IDE-01.\n    """\n',
    'import pytest\n@pytest.mark.parametrize("x", [1], ids=["IDE-01"])\ndef test_a(x):\n    pass\n',
    'class TestStore:\n    """IDE-01"""\n    def test_a(self):\n        pass\n',
    'class TestStore:\n    def test_a(self):\n        """IDE-01"""\n',
]
"""Ways to cite; kept out of decorators, where this file would cite them itself."""

NOT_CITING = [
    "# IDE-01\n",
    '"""IDE-01"""\ndef test_a():\n    pass\n',
    'def helper():\n    """IDE-01"""\n',
    'def test_a():\n    """IDE-011 and XIDE-01"""\n',
]

UNREADABLE = [
    (),
    ("| IDE-01 | first | test |", "| IDE-01 | again | test |"),
    ("| IDE-01 | first | hope |",),
    ("| IDE-01 | first |",),
]


def rows(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "tools/rows.py"), "--root", str(root), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def project(tmp_path):
    def write(path: str, text: str) -> Path:
        target = tmp_path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        return tmp_path

    return write


def owe(project, *lines: str) -> Path:
    return project("docs/design/requirements.md", HEAD + "\n".join(lines) + "\n")


def test_every_promise_of_this_release_is_shown():
    answer = rows(ROOT)

    assert answer.returncode == 0, answer.stdout.splitlines()[-1:] + answer.stderr.splitlines()


def test_a_row_that_no_test_cites_fails_and_is_named(project):
    root = owe(project, "| IDE-01 | first | test |", "| IDE-02 | second | test |")
    project("tests/test_a.py", 'def test_a():\n    """IDE-01: shown."""\n')

    answer = rows(root)

    assert answer.returncode == 1
    assert answer.stdout.splitlines()[-1] == "1 of 2 are shown by nothing: IDE-02"


def test_the_examples_in_this_file_do_not_count():
    answer = rows(ROOT, "--all")

    assert Path(__file__).name not in answer.stdout


@pytest.mark.parametrize("text", CITING)
def test_docstrings_decorators_and_classes_cite_rows(project, text):
    root = owe(project, "| IDE-01 | first | test |")
    project("tests/deep/test_a.py", text)

    answer = rows(root)

    assert answer.returncode == 0
    assert "test_a" in answer.stdout


@pytest.mark.parametrize("text", NOT_CITING)
def test_a_mention_outside_a_test_shows_nothing(project, text):
    root = owe(project, "| IDE-01 | first | test |")
    project("tests/test_a.py", text)

    answer = rows(root)

    assert answer.returncode == 1


@pytest.mark.parametrize(
    ("name", "is_shown"),
    [
        ("test_c1_the_first_call_executes", True),
        ("test_c5_c1_two_at_once", True),
        ("test_c1", True),
        ("test_c11_a_waiter_times_out", False),
        ("test_about_c1_in_passing", False),
    ],
)
def test_a_behaviour_is_shown_by_a_test_that_bears_its_name(project, name, is_shown):
    root = owe(project, "| C1 | it executes | named test |")
    project("tests/test_a.py", f"def {name}():\n    pass\n")

    answer = rows(root)

    assert answer.returncode == (0 if is_shown else 1)


def test_a_conformance_kit_in_the_library_counts(project):
    root = owe(project, "| C1 | it executes | named test |")
    kit = "class StoreContract:\n    def test_c1_it_executes(self):\n        pass\n"
    project("src/holdfast/testing/conformance/store.py", kit)

    answer = rows(root)

    assert "store.py::StoreContract::test_c1_it_executes" in answer.stdout
    assert answer.returncode == 0


@pytest.mark.parametrize(("proof", "code"), [("bench", 0), ("test", 1)])
def test_a_bench_shows_a_row_only_where_the_table_says_so(project, proof, code):
    root = owe(project, f"| PER-05 | ten million rows | {proof} |")
    project("bench/scale.py", '"""PER-05: lookups in a large table."""\n')

    answer = rows(root)

    assert answer.returncode == code


def test_a_cited_row_of_another_release_is_mentioned_and_no_failure(project):
    root = owe(project, "| IDE-01 | first | test |")
    project("tests/test_a.py", 'def test_a():\n    """IDE-01, RET-09"""\n')

    answer = rows(root)

    assert "owed by another release: RET-09" in answer.stdout
    assert answer.returncode == 0


@pytest.mark.parametrize("lines", UNREADABLE)
def test_a_table_that_cannot_be_read_fails_loudly(project, lines):
    root = owe(project, *lines)

    answer = rows(root)

    assert answer.returncode == 2
    assert "requirements.md" in answer.stderr


def test_every_test_is_named_on_request_and_the_first_ones_otherwise(project):
    root = owe(project, "| IDE-01 | first | test |")
    project("tests/test_a.py", "".join(f'def test_{n}():\n    """IDE-01"""\n' for n in "abcd"))

    assert "test_d" not in rows(root).stdout
    assert "and 2 more" in rows(root).stdout
    assert "test_d" in rows(root, "--all").stdout
