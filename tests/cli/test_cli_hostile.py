"""What strangers wrote into a ledger cannot steer the terminal of who reads it, nor forge lines."""

from __future__ import annotations

import json
import re
import sqlite3

import pytest
from shopkeeping import on_terminal, uncoloured

from holdfast import SyncLedger, ToolCall
from holdfast.cli.output import printable

EVIL = "\x1b[2J\x1b]0;pwned\x07\r\n\tfake\x9b31m\u202egnp.exe\u2028\ud800\x7f [red]markup[/red]"
RAW = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e\u2028\ud800]")


@pytest.fixture
def evil(home):
    """A ledger whose every text is hostile, as far as the library or a hand in the database allows."""

    class Evil(Exception):
        pass

    Evil.__qualname__ = EVIL.replace("\ud800", "")

    def breaks(**_):
        raise Evil(EVIL.replace("\ud800", ""))

    with SyncLedger("sqlite:///holdfast.db") as ledger:
        call = ToolCall(workflow_id="w", tool="t", args={"text": EVIL.replace("\ud800", "")})
        with pytest.raises(Evil):
            ledger.run(call, breaks)
        read = ToolCall(workflow_id="w", tool="page", args={}, call_id="c")
        ledger.run(read, lambda: {EVIL: EVIL}, safety="read")
        key = ledger.effects(tool="t")[0].key
    db = sqlite3.connect(home / "holdfast.db")
    name = EVIL.replace("\ud800", "")
    db.execute("UPDATE holdfast_effect SET workflow_id = :evil, tool = :evil, intent = :evil", {"evil": name})
    db.execute("UPDATE holdfast_audit SET actor = :evil", {"evil": name})
    db.execute("UPDATE holdfast_workflow SET workflow_id = :evil, stopped = :evil", {"evil": name})
    db.execute("UPDATE holdfast_dependency SET name = :evil, state = 'open', retry_at = 1", {"evil": name})
    db.commit()
    db.close()
    return key


COMMANDS = [
    "effects",
    "unknown",
    "show KEY",
    "show WORKFLOW",
    "show KEY --diff args.json",
    "workflows",
    "dependencies",
    "signal WORKFLOW done",
    "resume WORKFLOW --by me --reason r",
    "audit verify",
    "doctor",
]


@pytest.mark.parametrize("form", ["tsv", "json"])
@pytest.mark.parametrize("command", COMMANDS)
def test_nothing_recorded_reaches_a_pipe_raw(evil, home, run, command, form):
    (home / "args.json").write_text(json.dumps({"text": "x", EVIL.replace("\ud800", ""): 1}))
    names = {"KEY": evil, "WORKFLOW": EVIL.replace("\ud800", "")}
    words = [names.get(word, word) for word in command.split()]

    result = run(*words, *(["--json"] if form == "json" else []))

    assert RAW.search(result.stdout.replace("\n", "").replace("\t", "")) is None
    assert RAW.search(result.stderr.replace("\n", "")) is None


def test_a_recorded_line_end_cannot_forge_a_line_nor_a_column(evil, run):
    lines = run("effects").stdout.splitlines()

    assert len(lines) == 2
    assert {line.count("\t") for line in lines} == {8}


def test_json_gives_back_exactly_what_was_recorded(evil, read):
    results = [effect["result"] for effect in read("effects")]

    assert {EVIL: EVIL} in results


@pytest.mark.parametrize(
    "command",
    ["effects", "unknown", "show KEY", "show KEY --diff args.json", "workflows", "dependencies", "doctor"],
)
def test_nothing_recorded_reaches_a_terminal_raw(evil, home, command):
    """On a real terminal the only escapes are those of our own colours."""
    (home / "args.json").write_text('{"text": "x"}')
    words = [evil if word == "KEY" else word for word in command.split()]

    shown = on_terminal(words)

    assert RAW.search(uncoloured(shown)) is None


def test_markup_in_a_record_is_shown_as_it_is(evil):
    assert "[red]markup[/red]" in uncoloured(on_terminal(["show", evil]))


def test_a_complaint_about_a_hostile_id_is_printable(home, run):
    with SyncLedger("sqlite:///holdfast.db") as ledger:
        ledger.effects()

    result = run("show", "\x1b[31mred\x07")

    assert result.exit_code == 2
    assert RAW.search(result.stderr.replace("\n", "")) is None


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("grüße 你好 🎉", "grüße 你好 🎉"),
        ("\x1b[31m", "\\x1b[31m"),
        ("a\nb\tc", "a\\nb\\tc"),
        ("\u202eabc", "\\u202eabc"),
        ("\ud800", "\\ud800"),
        ("\U000e0041", "\\U000e0041"),
    ],
)
def test_only_what_could_steer_a_terminal_is_escaped(text, shown):
    assert printable(text) == shown
