"""A shop's policy, and calls to put to it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from holdfast import ToolCall
from holdfast._core.contract import Contract
from holdfast.policies import Policies, read_policies
from holdfast.ports import Allow, Ask, Deny, Facts, Verdict

SECRET = b"sixteen bytes and some more"
NOW = datetime(2026, 11, 24, 10, tzinfo=UTC)  # a Tuesday

SHOP = """
version: 1
default: deny
roles: [finance, lead, operator]
agents:
  billing-bot: {tools: ["stripe.*", mail.send], owner: olga}
  mail-bot: {tools: [mail.send]}
tools:
  stripe.charge:
    args: {amount: int, currency: string, note: string or null, customer: string}
    optional: {note: null}
    amount: args.amount
    currency: args.currency
  stripe.refund:
    args: {amount: int, customer: string}
    amount: args.amount
    currency: usd
  mail.send:
    args: {to: list(string), urgent: bool}
    optional: {urgent: false}
  disk.wipe: {args: {}}
windows:
  daily: {tool: stripe.charge, sum: args.amount, over: 24h, by: [customer]}
rules:
  - id: small-charge
    tool: stripe.charge
    when: args.currency in ["usd", "eur"] && 0 < args.amount && args.amount <= 50000
    then: allow
  - id: big-charge
    tool: stripe.charge
    when: 50000 < args.amount && args.amount <= 1000000
    then: {approve: finance}
    reason: over 500.00
  - id: much-a-day
    tool: stripe.charge
    when: window.daily + args.amount > 100000
    then: {also: operators}
    reason: over 1000.00 in a day
  - id: nothing-odd
    tool: stripe.charge
    when: args.note != null && args.note.matches("(?i)test")
    then: deny
  - {id: refund, tool: stripe.refund, then: {approve: finance}}
  - {id: mail-at-home, tool: mail.send, when: 'args.to.all(one, one.endsWith("@ours.example"))', then: allow}
  - {id: not-in-production, tool: disk.wipe, when: environment != "production", then: allow}
  - {id: guessed, tool: "stripe.*", when: '"amount" in inferred', then: {also: operators}}
chains:
  finance:
    stages:
      - {role: finance, limited: true, timeout: 15m, remind: [5m], escalate: {to: lead, after: 10m}}
      - {if: args.amount > 500000, role: lead, quorum: 2, timeout: 2h}
    step_up: {mfa: true, max_age: 15m}
    valid_for: 1h
    apart: [carl]
    risk: high
    on_timeout: deny
  operators: {stages: [{role: operator}], valid_for: 2d}
confidence:
  stripe.charge: {review_below: 0.7, reject_below: 0.3, approve: operators}
"""

CHARGE: dict[str, Any] = {"amount": 2000, "currency": "usd", "customer": "c1"}


def shop(extra: str = "", *, without: str = "", **more: Any) -> Policies:
    """The shop's policy, with something more or less in it."""
    assert without in SHOP
    return read_policies(
        SHOP.replace(without, "") + extra if without else SHOP + extra, secret=SECRET, **more
    )


def facts(tool: str = "stripe.charge", args: Any = None, **known: Any) -> Facts:
    """What is known of a call: all that the shop's rules need, and what is said here instead."""
    args = CHARGE if args is None else args
    contract = known.pop("contract", Contract())
    told: dict[str, Any] = {
        "tenant": "default",
        "actor": "billing-bot",
        "workflow_id": "order-1",
        "key": "v1:" + "a" * 64,
        "fingerprint": "f" * 64,
        "confidence": 0.9,
        "now": NOW,
        "windows": {"daily": 0},
        **known,
    }
    return Facts(tool=tool, args=args, call=ToolCall(tool=tool, args=args), contract=contract, **told)


def charge(**args: Any) -> Facts:
    return facts(args=CHARGE | args)


def simple(when: str, then: str = "allow", args: str = "{amount: int}", more: str = "") -> Policies:
    """One rule about one tool ``pay``."""
    text = f"version: 1\ntools: {{pay: {{args: {args}}}}}\n{more}\n"
    return read_policies(
        text + f"rules:\n  - id: only\n    tool: pay\n    when: |-\n      {when}\n    then: {then}\n"
    )


def said(verdict: Verdict) -> str:
    return {Allow: "allow", Ask: "ask", Deny: "deny"}[type(verdict)]
