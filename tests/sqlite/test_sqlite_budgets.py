"""What budgets cost a call on SQLite, in statements: they cannot be noise."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from holdfast import Budget, SyncLedger, ToolCall

MANY = 10**6
THREE = {
    "global": Budget(tool_calls=MANY),
    "tenant": Budget(tool_calls=MANY, per="day"),
    "workflow": Budget(tool_calls=MANY),
}


def statements(path: Path, budgets: dict[str, Budget]) -> list[str]:
    """Return what one new call runs, and its commits."""
    seen: list[str] = []
    with SyncLedger(f"sqlite:///{path}", budgets=budgets) as ledger:
        ledger.run(ToolCall(workflow_id="w", tool="act", args={"n": 0}), lambda n: n)
        writer = ledger._engine.parts.store.database.connection("write")  # type: ignore[attr-defined]
        writer.set_trace_callback(seen.append)
        ledger.run(ToolCall(workflow_id="w", tool="act", args={"n": 1}), lambda n: n)
        writer.set_trace_callback(None)
    return [each.split()[0] for each in seen]


def test_each_budget_costs_a_call_two_statements_and_no_commit(tmp_path: Path) -> None:
    """PER-04, COS-02: one takes, one settles; the record of the cost takes three; a savepoint guards the claim."""
    plain, under = (statements(tmp_path / name, budgets) for name, budgets in (("a", {}), ("b", THREE)))

    assert plain.count("COMMIT") == under.count("COMMIT") == 2
    assert under.count("SAVEPOINT") - plain.count("SAVEPOINT") == 1
    around = {"BEGIN", "COMMIT", "SAVEPOINT", "RELEASE"}
    assert len([word for word in under if word not in around]) == 4 + 2 * 3 + 3
    assert len([word for word in plain if word not in around]) == 4


def test_a_settlement_rewrites_no_index(tmp_path: Path) -> None:
    statements(tmp_path / "a", THREE)
    with closing(sqlite3.connect(tmp_path / "a")) as db:
        made = db.execute(
            "SELECT sql FROM sqlite_master WHERE type = 'index' AND tbl_name = 'holdfast_hold'"
        ).fetchall()

    told = [row[0] for row in made if row[0]]
    assert len(told) == 2
    assert not [text for text in told if any(name in text for name in ("state", "spent", "settled", "usage"))]
