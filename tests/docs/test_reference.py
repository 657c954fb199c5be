"""The docs say what the code says: errors, settings, options, states, windows, queries, and the tutorial."""

from __future__ import annotations

import inspect
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import fields
from doctest import ELLIPSIS, OutputChecker
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest

from holdfast import Ledger, Permanent, Settings, State, SyncLedger, ToolCall, errors
from holdfast._core.states import DECIDED, FINISHED, TERMINAL, TRANSITIONS, Event
from holdfast.errors import OutcomeUnknown
from holdfast.ledger.engine import ToolOptions
from holdfast.testing import Crash, World
from holdfast.testing.places import places
from pg_server import PostgresServer

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
Ask = Callable[[str], list[Any]]


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def sections(text: str) -> dict[str, str]:
    """The parts of a page by their second-level headings, without backquotes."""
    _, *parts = re.split(r"^## (.+)$", text, flags=re.MULTILINE)
    return {head.strip("`"): body for head, body in zip(parts[::2], parts[1::2], strict=True)}


def tables(text: str) -> Iterator[list[list[str]]]:
    """The tables of a page: rows of cells, the heads first, without the line below them."""
    for is_table, lines in groupby(text.splitlines(), lambda line: line.startswith("|")):
        if is_table:
            rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
            yield [rows[0], *rows[2:]]


def table(text: str, first_head: str) -> list[list[str]]:
    """The rows of the one table whose heads begin so."""
    (found,) = [rows for rows in tables(text) if rows[0][0].startswith(first_head)]
    return found[1:]


def code(cell: str) -> str:
    assert re.fullmatch("`[^`]+`", cell), cell
    return cell.strip("`")


def linked(text: str) -> list[str]:
    """The pages that an index links, in order, as paths below docs."""
    return [target.partition("#")[0] for target in re.findall(r"\]\(([^)]+\.md[^)]*)\)", text)]


def anchor(error: type[BaseException]) -> str:
    kebab = re.sub(r"(?<=[a-z])(?=[A-Z])", "-", error.__name__).lower()
    return getattr(error, "code", kebab)


ERRORS = [
    kind
    for kind in map(errors.__dict__.__getitem__, errors.__all__)
    if isinstance(kind, type) and issubclass(kind, BaseException)
]


def test_every_public_error_has_a_section_named_by_its_code_and_no_other_section_exists() -> None:
    """INT-13: each error has a code, a place in the docs, and a fix."""
    described = list(sections(page("reference/errors.md")))

    assert sorted(described) == sorted(anchor(error) for error in ERRORS)


@pytest.mark.parametrize("error", ERRORS, ids=anchor)
def test_an_errors_section_names_its_class_and_says_what_is_so_and_what_to_do(
    error: type[BaseException],
) -> None:
    """INT-13"""
    told = sections(page("reference/errors.md"))[anchor(error)]

    assert told.strip().startswith(f"`{error.__name__}`")
    assert re.search(r"^\*\*World:\*\* \S", told, re.MULTILINE)
    assert re.search(r"^\*\*Do:\*\* \S", told, re.MULTILINE)


def test_every_attribute_that_the_errors_page_mentions_exists() -> None:
    """INT-13"""
    wrong = [
        f"{error.__name__}.{name}"
        for error in ERRORS
        for name in re.findall(r"`\.(\w+)`", sections(page("reference/errors.md"))[anchor(error)])
        if f"self.{name}" not in inspect.getsource(error) and not hasattr(error, name)
    ]

    assert not wrong


def test_the_settings_page_lists_exactly_the_fields_with_their_variables_and_defaults() -> None:
    """INT-13"""
    rows = table(page("reference/settings.md"), "field")

    said = [(code(row[0]), code(row[1]), code(row[2])) for row in rows]
    assert said == [
        (field.name, f"HOLDFAST_{field.name.upper()}", repr(field.default)) for field in fields(Settings)
    ]
    assert all(row[3] for row in rows)


def test_the_contract_page_has_a_section_for_every_option_of_a_tool_and_for_nothing_else() -> None:
    """INT-13"""
    found = re.findall(r"^## `(\w+)`$", page("reference/contract.md"), re.MULTILINE)

    assert found == list(ToolOptions.__annotations__)


def test_the_states_page_leads_where_the_state_table_leads() -> None:
    """IDE-13: each state has a section whose rows are the transitions out of it."""
    told = sections(page("reference/states.md"))
    named: dict[str, State | None] = {"new": None, **{str(state): state for state in State}}

    assert set(told) == {*named, "Events", "Workflows"}
    assert {
        (state, Event(code(event))): State(code(to))
        for name, state in named.items()
        for event, to in table(told[name], "event")
    } == TRANSITIONS


def test_the_picture_of_the_states_shows_every_transition_that_changes_the_state() -> None:
    """IDE-13"""
    arrows = re.findall(r"^    (\S+) --> (\w+): (\w+)$", page("reference/states.md"), re.MULTILINE)

    assert sorted(arrows) == sorted(
        (before or "[*]", str(after), str(event))
        for (before, event), after in TRANSITIONS.items()
        if before != after
    )


def test_the_states_page_explains_every_event_and_names_the_final_states() -> None:
    """IDE-13"""
    text = page("reference/states.md")

    assert [code(row[0]) for row in table(sections(text)["Events"], "event")] == [str(e) for e in Event]
    (final,) = re.findall(r"^Final: (.+?)\.", text, re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", final)) == {str(state) for state in TERMINAL}
    (beside,) = re.findall(r"Retention may remove those and `(\w+)`;", text)
    assert TERMINAL | {State(beside)} == FINISHED


def test_the_matrix_of_the_guarantees_page_is_the_state_table() -> None:
    """DOC-03: what is decided for every state and event is published, the refusals too."""
    (heads, *rows) = next(rows for rows in tables(page("explanation/guarantees.md")) if "ask" in rows[0])

    said = {
        (None if row[0] == "(new)" else State(row[0]), Event(event)): State(cell) if cell else None
        for row in rows
        for event, cell in zip(heads[1:], row[1:], strict=True)
    }
    assert said == DECIDED


WINDOWS = {
    "before the claim is committed": ("before claim",),
    "after the claim, before the handler starts": ("after claim", "before handler"),
    "while the handler runs": ("handler started", "handler did it"),
    "after the handler returned, before the record is committed": ("after handler", "before succeed"),
    "after the record is committed, before the caller has it": ("after succeed",),
}
"""The windows of the guarantees page, and the boundaries where a process dies inside each."""


async def pay(ledger: Ledger, world: World) -> Any:
    def handler(amount: int) -> dict[str, int]:
        world.boundary("handler started")
        world.executed["pay"] += 1
        world.boundary("handler did it")
        return {"paid": amount}

    call = ToolCall(workflow_id="order-1", tool="pay", args={"amount": 100})
    return await ledger.run(call, handler)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(places("sqlite", tmp_path)())


def test_the_guarantees_page_has_a_line_for_every_boundary_where_a_call_can_die(world: World) -> None:
    """DOC-03"""
    life = world.live(pay)

    rows = table(page("explanation/guarantees.md"), "the process dies")
    assert [row[0] for row in rows] == list(WINDOWS)
    assert [name for names in WINDOWS.values() for name in names] == list(life.boundaries)


@pytest.mark.parametrize(("window", "boundary"), [(w, b) for w, names in WINDOWS.items() for b in names])
def test_a_death_leaves_what_the_guarantees_page_says(world: World, window: str, boundary: str) -> None:
    """DOC-03, DUR-10: each line of the crash table, by dying there."""
    (row,) = [row for row in table(page("explanation/guarantees.md"), "the process dies") if row[0] == window]
    _, on_record, in_the_world, next_call = row
    boundaries = [name for names in WINDOWS.values() for name in names]

    died = world.live(pay, die_at=boundaries.index(boundary))
    found = [str(effect.state) for effect in world.effects()]
    done = world.executed["pay"]
    world.recover()
    after = world.live(pay)

    assert isinstance(died.end, Crash)
    assert found == {"nothing": [], "`pending`": ["pending"], "`succeeded`": ["succeeded"]}[on_record]
    assert done in {"nothing": {0}, "perhaps": {0, 1}, "done": {1}}[in_the_world]
    if next_call == "waits for the lease, then `unknown`":
        assert isinstance(after.end, OutcomeUnknown)
        assert [effect.state for effect in world.effects()] == [State.UNKNOWN]
    else:
        assert next_call in {"executes", "gets the recorded result"}
        assert after.end == {"paid": 100}
    assert world.executed["pay"] == done + (next_call == "executes")
    assert world.verify().ok


@pytest.fixture(params=["sqlite", "postgres"])
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ask]:
    """A ledger with an effect of each kind that the documented queries ask for."""
    on_sqlite = request.param == "sqlite"
    path = tmp_path / "agent.db"
    url = f"sqlite:///{path}" if on_sqlite else request.getfixturevalue("postgres_url")

    def lost(**args: object) -> None:
        raise ConnectionError(str(args))

    def refused(amount: int) -> None:
        raise Permanent(str(amount))

    with SyncLedger(url, migrate=True) as ledger:
        charge = ToolCall(workflow_id="order-123", tool="stripe.charge", args={"amount": 100})
        ledger.run(charge, lambda amount: {"charged": amount})
        again = ToolCall(workflow_id="order-124", tool="stripe.charge", args={"amount": 250})
        ledger.run(again, lambda amount: {"charged": amount})
        mail = ToolCall(workflow_id="order-123", tool="ses.send", args={"to": "ada@example.org"})
        with suppress(ConnectionError):
            ledger.run(mail, lost, intent="send_email")
        doubtful = ToolCall(workflow_id="order-125", tool="stripe.charge", args={"amount": 9999})
        with suppress(ConnectionError):
            ledger.run(doubtful, lost)
        refund = ToolCall(workflow_id="order-123", tool="stripe.refund", args={"amount": 7})
        with suppress(Permanent):
            ledger.run(refund, refused)
    opened = sqlite3.connect(path) if on_sqlite else psycopg.connect(url)
    with closing(opened) as db:
        yield lambda query: db.execute(query).fetchall()


def fenced(name: str, language: str) -> list[str]:
    """The code blocks of a page in one language."""
    return re.findall(rf"^```{language}\n(.+?)^```$", page(name), re.MULTILINE | re.DOTALL)


SQL = fenced("how-to/query-with-sql.md", "sql")


@pytest.mark.parametrize("query", SQL, ids=range(len(SQL)))
def test_every_documented_query_runs_and_finds_something(shop: Ask, query: str) -> None:
    """OBS-03: the queries of the docs, on a real ledger in either database."""
    assert shop(query)


def test_the_documented_queries_tell_the_truth(shop: Ask) -> None:
    """OBS-03: arguments, results, states and errors are what was recorded."""

    def answer(hint: str) -> list[Any]:
        (query,) = [query for query in SQL if hint in query]
        return shop(query)

    assert answer("AS cents") == [(2, 350)]
    assert [row[:2] for row in answer("AS in_doubt")] == [("order-123", 1), ("order-125", 1)]
    assert sorted(answer("AS error")) == [
        ("ses.send", "ConnectionError", 1),
        ("stripe.charge", "ConnectionError", 1),
        ("stripe.refund", "Permanent", 1),
    ]


def test_the_documented_columns_are_those_of_the_view(tmp_path: Path, postgres_url: str) -> None:
    """OBS-03"""
    rows = table(page("how-to/query-with-sql.md"), "column")
    documented = sorted(name for row in rows for name in re.findall(r"`(\w+)`", row[0]))
    path = tmp_path / "agent.db"
    views = "SELECT * FROM holdfast_effects_v"

    for url in (f"sqlite:///{path}", postgres_url):
        with SyncLedger(url, migrate=True) as ledger:
            ledger.effects()
    with closing(sqlite3.connect(path)) as db:
        in_sqlite = [column[0] for column in db.execute(views).description]
    with psycopg.connect(postgres_url) as pg:
        in_postgres = [column.name for column in pg.execute(views).description or ()]

    assert documented == sorted(in_sqlite) == sorted(in_postgres)


def test_the_documented_index_serves_the_documented_query(postgres_url: str) -> None:
    """OBS-03: what the page says makes a query on arguments quick does."""
    (index,) = fenced("how-to/query-with-sql.md", "pgsql")
    (query,) = [query for query in SQL if "ada@example.org" in query]
    with SyncLedger(postgres_url, migrate=True) as ledger:
        ledger.effects()

    with psycopg.connect(postgres_url) as pg:
        pg.execute(index)
        pg.execute("SET enable_seqscan = off")
        plan = "\n".join(row[0] for row in pg.execute(f"EXPLAIN {query}"))

    assert "holdfast_effect_by_recipient" in plan


def test_the_documented_grants_are_enough_and_not_more(own_postgres: PostgresServer) -> None:
    """IDE-20, OBS-03: agents call but cannot delete or alter; the housekeeper deletes; the analyst reads."""
    (grants,) = fenced("how-to/use-postgres.md", "pgsql")
    roles = ("agent", "housekeeper", "analyst")
    call = ToolCall(workflow_id="order-123", tool="stripe.charge", args={"amount": 100})

    def url_of(role: str) -> str:
        server = urlsplit(own_postgres.url)
        place = f"{role}:secret@{server.hostname}:{server.port}"
        return urlunsplit(server._replace(netloc=place, query="options=-csearch_path%3Dledger"))

    with psycopg.connect(own_postgres.url, autocommit=True) as owner:
        owner.execute("CREATE SCHEMA ledger")
        with SyncLedger(f"{own_postgres.url}?options=-csearch_path%3Dledger", migrate=True) as ledger:
            ledger.effects()
        for role in roles:
            owner.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'secret'")
        owner.execute(grants)
    with SyncLedger(url_of("agent")) as ledger:
        assert ledger.run(call, lambda amount: {"charged": amount}) == {"charged": 100}
        assert ledger.call(call, lambda amount: {"charged": amount}).replayed
        with pytest.raises(errors.StoreError):
            ledger.reap(older_than="1ms")
    with psycopg.connect(url_of("agent")) as agent, pytest.raises(psycopg.errors.InsufficientPrivilege):
        agent.execute("ALTER TABLE holdfast_effect DROP CONSTRAINT holdfast_effect_state_check")
    with psycopg.connect(url_of("analyst")) as analyst:
        assert [query for query in SQL if analyst.execute(query).description is None] == []
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            analyst.execute("DELETE FROM holdfast_effect")
    with SyncLedger(url_of("housekeeper")) as ledger:
        assert ledger.reap(older_than="1ms").removed == 1


TUTORIAL = "tutorial/kill-it-yourself.md"


def test_the_tutorials_first_part_happens_as_it_is_told(tmp_path: Path) -> None:
    """DOC-06, DUR-10: the reader's commands, with real SIGKILLs; what they print is what the page shows."""
    part = next(body for head, body in sections(page(TUTORIAL)).items() if head.startswith("1."))
    shutil.copy(ROOT / "examples/charge_and_die.py", tmp_path)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python").symlink_to(sys.executable)
    script = tmp_path / "bin/holdfast"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m holdfast "$@"\n')
    script.chmod(0o755)
    # The link hides the environment that the interpreter belongs to: name its packages.
    paths = {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "PYTHONPATH": os.pathsep.join(sys.path)}

    steps = re.findall(r"^\$ (.+)\n((?:(?!\$ |```).*\n)*)", part, re.MULTILINE)
    assert len(steps) >= 8
    for command, expected in steps:
        ended = subprocess.run(
            ["/bin/sh", "-c", command],
            cwd=tmp_path,
            env={**os.environ, **paths},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            check=False,
            timeout=60,
        )
        got = re.sub(r"^ +(?=\d+$)", "", ended.stdout, flags=re.MULTILINE)  # some wc pad their count
        assert OutputChecker().check_output(expected, got, ELLIPSIS), (
            f"{command}: {got!r} is not {expected!r}"
        )


def test_the_tutorials_second_part_holds_on_postgres_as_well(tmp_path: Path, postgres_url: str) -> None:
    """DOC-06, DUR-10: ten agents are killed at random moments; every order is paid once."""
    program = tmp_path / "kill_loop.py"
    program.write_text("\n".join(fenced(TUTORIAL, "python")))

    ended = subprocess.run(
        [sys.executable, program],
        cwd=tmp_path,
        env={**os.environ, "HOLDFAST_URL": postgres_url},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    assert ended.returncode == 0, ended.stderr
    assert len(set((tmp_path / "payments.log").read_text().split())) == 10


def test_the_tutorial_asks_three_questions_and_answers_them() -> None:
    """DOC-06: the main idea, how to verify an answer about durability, the safest next step."""
    quiz = sections(page(TUTORIAL))["4. Three questions"]

    answers = re.findall(r"^\*\*(.+?)\*\*\n(\S.+)", quiz, re.MULTILINE)
    assert len(answers) == 3
    for (question, _), about in zip(answers, ("main idea", "verify", "safest next step"), strict=True):
        assert question.endswith("?")
        assert about in question


def test_the_index_links_every_page() -> None:
    """DOC-06: no page can only be found by searching."""
    pages = {str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md")} - {"index.md"}

    assert pages - set(linked(page("index.md"))) == set()


def test_the_navigation_has_every_page_in_the_reading_order_of_the_index() -> None:
    """DOC-06: by leverage: what saves a newcomer most comes first."""
    navigation = re.findall(r"^ +- [^:]+: (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)

    assert navigation == ["index.md", *linked(sections(page("index.md"))["Reading order"])]
    assert navigation[1] == TUTORIAL
