"""The race: processes that spend of the same budgets at once, some killed while they hold; and somebody who looks on.

``python race.py '{...}'`` is one of those processes; ``ours`` starts them. A call stands for 25 cents.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from typing import Any

import psycopg

from holdfast import Budget, Settings, SyncLedger, ToolCall
from holdfast.errors import BudgetExceeded

CENTS = 25
LEASE_S, RENEW_S = 2.0, 0.4
LEVELS = """
    SELECT account, sum(spent + held)::bigint, max(cap + raised) FILTER (WHERE slice = 0), sum(spent)::bigint,
           sum(held)::bigint
    FROM holdfast_budget GROUP BY owner, account, unit, per
"""


@dataclass(frozen=True)
class Raced:
    """How a race ended.

    Attributes:
        cap: What all together may spend, in cents.
        done: What was done, in cents: each call says so itself, by one insert outside of the ledger.
        spent: What the budget of all says was spent.
        held: What it says is held, at the end.
        refused: Calls that did not fit.
        looks: How often somebody looked at all budgets.
        violations: How many of those looks saw one above its cap.
    """

    cap: int
    done: int
    spent: int | None
    held: int | None
    refused: int
    looks: int = 0
    violations: int = 0


def be(told: dict[str, Any]) -> None:
    """Be one of the processes."""
    caps = told["caps"]
    budgets = {
        "global": Budget(tool_calls=caps["global"], slices=told["slices"]),
        "tenant": Budget(tool_calls=caps["tenant"]),
        "workflow": Budget(tool_calls=caps["workflow"]),
    }
    world = psycopg.connect(told["url"], autocommit=True)

    def act(n: int) -> int:
        world.execute("INSERT INTO world VALUES (%s)", (CENTS,))
        if n == told["holds_at"]:
            print("holding", flush=True)
            sys.stdin.readline()
        return n

    refused = 0
    settings = Settings(lease=LEASE_S, renew_every=RENEW_S)
    with SyncLedger(told["url"], settings=settings, budgets=budgets) as ledger:
        ledger.effects()
        print("ready", flush=True)
        sys.stdin.readline()
        for n in range(told["calls"]):
            name = told["number"]
            call = ToolCall(workflow_id=f"w{name % 4}", tool="act", args={"n": n}, key=f"{name}/{n}")
            try:
                ledger.run(call, act, safety="unsafe", retry=False)
            except BudgetExceeded:
                refused += 1
    print(refused, flush=True)


def said(process: subprocess.Popen[str]) -> str:
    """Return the next line that a process writes."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def go(process: subprocess.Popen[str]) -> None:
    """Let a process go on."""
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


def ours(url: str, processes: int, killed: int, calls: int, caps: dict[str, int], slices: int) -> Raced:
    """Let so many processes race, kill some of them while they hold, and look on all the time."""
    with SyncLedger(url, migrate=True) as ledger, psycopg.connect(url, autocommit=True) as admin:
        ledger.effects()
        admin.execute("CREATE TABLE IF NOT EXISTS world (cents integer)")
        racers: list[subprocess.Popen[str]] = []
        for number in range(processes):
            told = {"url": url, "number": number, "calls": calls, "caps": caps, "slices": slices}
            told["holds_at"] = 1 + number if number < killed else None
            word = [sys.executable, __file__, json.dumps(told)]
            racers.append(subprocess.Popen(word, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        assert {said(racer) for racer in racers} == {"ready"}
        over = threading.Event()
        looks: list[bool] = []

        def look() -> None:
            with psycopg.connect(url, autocommit=True) as eyes:
                while not over.is_set():
                    looks.append(any(used > cap for _, used, cap, _, _ in eyes.execute(LEVELS).fetchall()))

        looking = threading.Thread(target=look)
        looking.start()
        for racer in racers[:killed]:
            go(racer)
        for racer in racers[:killed]:
            assert said(racer) == "holding"
        for racer in racers[killed:]:
            go(racer)
        for racer in racers[:killed]:
            racer.kill()
        refused = sum(int(said(racer)) for racer in racers[killed:])
        for racer in racers:
            racer.communicate()
        time.sleep(LEASE_S + 0.5)
        ledger.sweep()
        over.set()
        looking.join()
        levels = {row[0]: row for row in admin.execute(LEVELS).fetchall()}
        row = admin.execute("SELECT coalesce(sum(cents), 0) FROM world").fetchone()
    everybody = levels["global"]
    cap = min(caps["global"], caps["tenant"], 4 * caps["workflow"])
    assert row is not None
    return Raced(
        cap=cap * CENTS,
        done=int(row[0]),
        spent=everybody[3] * CENTS,
        held=sum(level[4] for level in levels.values()) * CENTS,
        refused=refused,
        looks=len(looks),
        violations=sum(looks),
    )


if __name__ == "__main__":
    be(json.loads(sys.argv[1]))
