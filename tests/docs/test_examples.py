"""Everything that the README and the docs show runs as shown, and every link leads somewhere.

A page's Python blocks are run as one program, in the reader's order: the page itself with everything else
blanked out, so that a traceback names the page's own lines. Sybil would run them inside this process, where
pytest, the other tests' imports and a running event loop are; a reader has none of these.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
PATIENCE_S = 120


def blocks(page: Path, language: str) -> list[str]:
    return [body for kind, body in BLOCK.findall(page.read_text(encoding="utf-8")) if kind == language]


def program(page: Path) -> str:
    """The page as a program: its Python blocks where they stand, and empty lines."""
    text = page.read_text(encoding="utf-8")
    spans = [found.span(2) for found in BLOCK.finditer(text) if found[1] == "python"]
    kept = "".join(c if c == "\n" or any(a <= n < b for a, b in spans) else "" for n, c in enumerate(text))
    assert kept.count("\n") == text.count("\n")
    return kept


def reader(home: Path) -> dict[str, str]:
    """The environment of somebody who has just installed the library."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HOLDFAST_")}
    return {**kept, "HOME": str(home), "PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"}


WITH_PYTHON = [page for page in PAGES if blocks(page, "python")]


@pytest.mark.parametrize("page", WITH_PYTHON, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_python_of_a_page_runs_from_top_to_bottom(page: Path, tmp_path: Path) -> None:
    """DOC-03, DOC-06, INT-03."""
    script = tmp_path / f"{page.stem}.py"
    script.write_text(program(page), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", script.name],
        cwd=tmp_path,
        env=reader(tmp_path),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr, done.stderr


SHOWN = re.compile(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", re.MULTILINE)


def session(page: Path) -> list[tuple[str, str]]:
    """The commands of the console blocks that show what they print, with what they print."""
    shown = [SHOWN.findall(body) for body in blocks(page, "console")]
    return [step for steps in shown if any(output for _, output in steps) for step in steps]


@pytest.mark.parametrize("name", ["README.md", "docs/tutorial/kill-it-yourself.md"])
def test_the_commands_of_a_page_print_what_the_page_shows(name: str, tmp_path: Path) -> None:
    """DOC-06, DUR-10: the crash, the doubt, the evidence, and one charge."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    shutil.copy(ROOT / "examples" / "charge_and_die.py", tmp_path)
    steps = session(ROOT / name)

    for command, expected in steps:
        done = subprocess.run(
            re.sub(r"^python\b", shlex.quote(sys.executable), command),
            shell=True,
            cwd=tmp_path,
            env=reader(tmp_path),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        pattern = ".*".join(re.escape(part) for part in expected.strip().split("..."))
        assert re.fullmatch(pattern, done.stdout.strip(), re.DOTALL), f"$ {command}\n{done.stdout}"

    assert any("charge_and_die.py" in command for command, _ in steps)
    assert len((tmp_path / "charges.log").read_text().splitlines()) == 1


def anchors(page: Path) -> set[str]:
    """The places of a page that a link can name."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    given = set(re.findall(r"\{ *#([\w-]+)|<a (?:id|name)=\"([\w-]+)\"", text))
    titles = re.findall(r"^#+ +(.*?)(?: *\{.*\})?$", text, re.MULTILINE)
    slugs = {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}
    return slugs | {name for pair in given for name in pair if name}


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_link_of_a_page_leads_to_a_file_and_a_place_in_it(page: Path) -> None:
    """DOC-03, INT-13."""
    text = BLOCK.sub("", page.read_text(encoding="utf-8"))
    broken = []
    for link in LINK.findall(text):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
            broken.append(link)

    assert broken == []


def test_the_readme_begins_with_what_it_is_how_to_get_it_and_a_crash() -> None:
    """DOC-06, INT-03: the first screen, in this order."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    places = [
        text.index(part)
        for part in ("# holdfast", "pip install holdfast", "```python", "charge_and_die", "kill -9")
    ]

    assert places == sorted(places)
    assert len(text[: places[-1]].splitlines()) <= 45
    [first, *_] = blocks(ROOT / "README.md", "python")
    assert len([line for line in first.splitlines() if line.strip()]) <= 12
