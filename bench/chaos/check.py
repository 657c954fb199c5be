"""Holds what the providers really did against what the ledger says, charge by charge."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from charges import KINDS, MOST_ATTEMPTS, Charge

from holdfast import State, SyncLedger
from holdfast.ledger.views import EffectRecord
from holdfast.testing.faultserver import LogEntry

_MANY = 1_000_000


@dataclass(slots=True)
class Findings:
    """What came of it.

    Attributes:
        violations: What must not be; empty is what all of this is about.
        charged: Per kind: how many intended charges the provider made exactly once, and the ledger knows.
        not_done: Known not to have happened.
        attempts: How often handlers were started, by kind.
    """

    violations: list[str] = field(default_factory=list)
    charged: Counter[str] = field(default_factory=Counter)
    not_done: Counter[str] = field(default_factory=Counter)
    attempts: Counter[str] = field(default_factory=Counter)


def check(
    intended: Collection[int],
    charged: Iterable[LogEntry],
    ledger: SyncLedger,
    *,
    renewals: Mapping[str, int],
) -> Findings:
    """Compare the provider's log with the ledger.

    Args:
        charged: What the providers really did.
        renewals: By key, how often a person began a new budget of retries.
    """
    found = Findings()
    effects = ledger.effects(limit=_MANY)
    by_order: dict[int, list[EffectRecord]] = defaultdict(list)
    for effect in effects:
        by_order[int((effect.args or {})["order"])].append(effect)
        found.attempts[effect.tool] += effect.attempt
        if effect.attempt > MOST_ATTEMPTS * (1 + renewals.get(effect.key, 0)):
            found.violations.append(
                f"{_name(effect)}: {effect.attempt} attempts, although {MOST_ATTEMPTS} are allowed"
            )
    commits: dict[str, list[LogEntry]] = defaultdict(list)
    for entry in charged:
        commits[entry.digest].append(entry)
    for order in sorted(intended):
        _judge(Charge(order), by_order.pop(order, []), commits.pop(Charge(order).digest, []), found)
    found.violations += [f"order {order}: an effect that nobody intended" for order in by_order]
    found.violations += [f"{len(log)} charges of a body that nobody intended" for log in commits.values()]
    _judge_ledger(ledger, found)
    return found


def _judge(charge: Charge, effects: list[EffectRecord], commits: list[LogEntry], found: Findings) -> None:
    name = f"order {charge.order} ({charge.kind})"
    if not effects and not commits:  # all that tried were told that nothing ran, and nothing did
        found.not_done[charge.kind] += 1
        return
    if len(effects) != 1:
        found.violations.append(f"{name}: {len(effects)} effects in the ledger, not one")
        return
    [effect] = effects
    key = effect.key.removeprefix("v1:")
    if strangers := [entry for entry in commits if entry.key != key]:
        found.violations.append(f"{name}: charged {len(strangers)} times under another key than its own")
    if len(commits) > 1:
        found.violations.append(f"{name}: charged {len(commits)} times; the ledger says {effect.state}")
        return
    made = commits[0].made if commits else None
    match effect.state:
        case State.SUCCEEDED if made is not None and effect.result["id"] == made:
            found.charged[charge.kind] += 1
        case State.RETRYABLE if made is None:
            found.not_done[charge.kind] += 1
        case _:
            truth = "was not charged" if made is None else "was charged once"
            found.violations.append(f"{name}: it {truth}, and the ledger says {effect.state}: {effect.key}")


def _judge_ledger(ledger: SyncLedger, found: Findings) -> None:
    verified = ledger.verify()
    found.violations += [f"audit: {problem.key}: {problem.what}" for problem in verified.problems]
    pending = ledger.counts().get(State.PENDING, 0)
    if pending:
        found.violations.append(f"{pending} effects are left pending")


def _name(effect: EffectRecord) -> str:
    return f"{effect.workflow_id} ({effect.tool})"


def kinds(counted: Counter[str]) -> str:
    return "  ".join(f"{kind} {counted[kind]:,}" for kind in KINDS)
