"""DUR-08: the guide to engines is a dated comparison by what each takes, asks and costs, and is found by readers."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from engines.restate_package import VERSION
from holdfast import Settings

ROOT = Path(__file__).resolve().parents[2]
NAME = "explanation/choosing-an-engine.md"
PAGE = (ROOT / "docs" / NAME).read_text(encoding="utf-8")
ENGINES = ("holdfast", "DBOS", "Absurd", "Restate", "Temporal", "Inngest", "AWS Step Functions")
ENGINES += ("Azure Durable Functions", "LangGraph")
DATE = re.compile(
    r"\b(January|February|March|April|May|June|July|August|September|October|November|December) 20\d\d\b"
)


def table(first_head: str, second_head: str) -> list[dict[str, str]]:
    """The rows of the table whose heads begin so, by head."""
    lines = PAGE.splitlines()
    [start] = [n for n, line in enumerate(lines) if line.startswith(f"| {first_head} | {second_head} |")]
    rows = []
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return [dict(zip(rows[0], row, strict=True)) for row in rows[2:]]


def engine(row: dict[str, str]) -> str:
    """Which engine a row is about, without its release."""
    [found] = [name for name in ENGINES if re.match(rf"{name}\b", row["engine"])]
    return found


def test_each_engine_is_compared_by_deployment_languages_limits_and_costs_as_of_a_date() -> None:
    """DUR-08."""
    rows = table("engine", "as of")

    assert list(rows[0]) == ["engine", "as of", "deployed as", "languages", "limits", "costs"]
    assert tuple(map(engine, rows)) == ENGINES
    assert [row["engine"] for row in rows if not all(row.values()) or not DATE.search(row["as of"])] == []


def test_each_engine_says_what_becomes_of_a_tool_that_may_have_acted() -> None:
    """DUR-08, DUR-10: at least once, said of each; evidence, said of ours."""
    rows = {
        engine(row): row["a tool that may have acted when its worker died"]
        for row in table("engine", "where state is")
    }

    assert tuple(rows) == ENGINES
    assert rows.pop("holdfast").startswith("evidence")
    assert all(said.startswith("runs again") for said in rows.values())


def test_the_choice_goes_by_what_is_run_already_and_each_choice_has_its_price() -> None:
    """DUR-08: and names no engine that is compared nowhere."""
    rows = table("you have", "take")

    assert all(all(row.values()) for row in rows)
    taken = " ".join(row["take"] + row["you have"] for row in rows)
    for name in ENGINES:
        if name not in {"DBOS", "Absurd"}:  # which take what holdfast on PostgreSQL takes
            assert name.removeprefix("AWS ").removeprefix("Azure ") in taken


@pytest.mark.parametrize(
    ("package", "name"), [("langgraph", "LangGraph"), ("langgraph-checkpoint-postgres", "PostgresSaver")]
)
def test_what_is_said_to_be_measured_here_is_what_the_tests_run(package: str, name: str) -> None:
    """DUR-08: the releases in the table are those of this repository's environment."""
    constraints = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    [installed] = re.findall(rf"^{package}==(.+)$", constraints, re.MULTILINE)

    assert f"{name} {installed}" in PAGE
    assert f"| Restate {VERSION} |" in PAGE


def test_our_own_row_has_our_release_and_our_limits() -> None:
    """DUR-08."""
    [row] = [row for row in table("engine", "as of") if engine(row) == "holdfast"]
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    defaults = Settings()

    assert f"{row['engine'].removeprefix('holdfast ')}." in f"{version}."
    assert f"{defaults.max_args_bytes >> 20} MiB of arguments" in row["limits"]
    assert f"{defaults.max_result_bytes >> 20} MiB of result" in row["limits"]


def test_readers_find_the_page() -> None:
    """DUR-08: in the navigation, in the index, and where engines are set up."""
    assert f": {NAME}\n" in (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert f"]({NAME})" in (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    assert f"](../{NAME})" in (ROOT / "docs/how-to/run-on-an-engine.md").read_text(encoding="utf-8")
