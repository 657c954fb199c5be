"""A policy on payments, and payments on record."""

from __future__ import annotations

from typing import Any

from holdfast import SyncLedger, ToolCall

PAY = """
version: 1
tools:
  pay: {args: {amount: int, to: string}}
  mail: {args: {to: string}}
rules:
  - {id: small, tool: pay, when: args.amount <= 500, then: allow}
  - {id: big, tool: pay, when: args.amount > 500, then: {approve: finance}}
  - {id: mail, tool: mail, then: allow}
chains: {finance: {stages: [{role: finance, quorum: 2}]}}
tests:
  - {call: {tool: pay, args: {amount: 500, to: bob}}, expect: allow}
  - {name: a cent more, call: {tool: pay, args: {amount: 501, to: bob}}, expect: ask, rule: big, chain: finance}
  - {call: {tool: pay, args: {amount: "501", to: bob}}, expect: deny, why: not int}
"""


def spend(*amounts: int, **options: Any) -> None:
    """Leave payments on record, in the default ledger."""
    with SyncLedger("sqlite:///holdfast.db") as ledger:
        for n, amount in enumerate(amounts):
            call = ToolCall(workflow_id=f"w{n}", tool="pay", args={"amount": amount, "to": "bob"})
            ledger.run(call, lambda **_: "paid", **options)
